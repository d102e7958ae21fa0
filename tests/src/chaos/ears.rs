//! Phones that listen: each holds a stream at some relay, comes back at the next one when it ends, and remembers what it heard.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Response;
use serde_json::Value;
use tokio::sync::watch;

use super::call::{note, read};
use super::crowd::{Crowd, Phone};
use super::ledger::Ledger;
use super::plan::{PEOPLE, RELAYS, TENANTS, has_stream};

/// Before a phone comes back.
const PAUSE: Duration = Duration::from_millis(200);
const ROUTE: &str = "GET stream";

/// What every listening phone has heard: instruction ids, by tenant and person.
#[derive(Debug)]
pub struct Ears(Vec<watch::Sender<HashSet<String>>>);

impl Default for Ears {
    fn default() -> Self {
        Self((0..TENANTS * PEOPLE).map(|_| watch::Sender::default()).collect())
    }
}

impl Ears {
    fn of(&self, tenant: usize, person: usize) -> &watch::Sender<HashSet<String>> {
        &self.0[tenant * PEOPLE + person]
    }

    /// Waits until this person's phone was told of the instruction.
    pub async fn heard(&self, tenant: usize, person: usize, instruction: &str) {
        let mut heard = self.of(tenant, person).subscribe();
        // The sender lives as long as this does.
        let _ = heard.wait_for(|heard| heard.contains(instruction)).await;
    }

    /// Hints heard, repeats not counted.
    pub fn count(&self) -> usize {
        self.0.iter().map(|heard| heard.borrow().len()).sum()
    }

    /// Lets every phone with a stream listen, for ever.
    pub async fn listen(&self, crowd: &Crowd, ledger: &Ledger) {
        let everybody = (0..TENANTS).flat_map(|tenant| (0..PEOPLE).map(move |person| (tenant, person)));
        let listening = everybody.filter(|(_, person)| has_stream(*person));
        join_all(listening.map(|(tenant, person)| self.listen_as(tenant, person, crowd, ledger))).await;
    }

    async fn listen_as(&self, tenant: usize, person: usize, crowd: &Crowd, ledger: &Ledger) {
        let phone: &Phone = &crowd.tenants[tenant].people[person].phones[0];
        for relay in person.. {
            let hear = |data: &Value| {
                if data["tenant_id"] != crowd.tenants[tenant].id.as_str() {
                    ledger.strange(format!("a phone of {} heard {data}", crowd.tenants[tenant].id));
                }
                let instruction = data["instruction_id"].as_str().unwrap_or_default().to_owned();
                self.of(tenant, person).send_modify(|heard| {
                    heard.insert(instruction);
                });
            };
            match crowd.listen(phone, relay % RELAYS).send().await {
                Ok(response) if response.status() == 200 => follow(response, hear).await,
                Ok(response) => match read(response).await {
                    Some(answer) => note(ledger, ROUTE, &answer),
                    None => ledger.lost(ROUTE),
                },
                Err(_) => ledger.lost(ROUTE),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Reads a stream to its end, however it ends.
async fn follow(mut response: Response, hear: impl Fn(&Value)) {
    let mut unread = String::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        unread.push_str(&String::from_utf8_lossy(&chunk));
        while let Some((event, rest)) = unread.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if field("event:") == Some("challenge") {
                hear(&field("data:").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default());
            }
            unread = rest.to_owned();
        }
    }
}
