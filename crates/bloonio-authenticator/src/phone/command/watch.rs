//! `watch`: prints what arrives, until ctrl-c.

use std::collections::HashSet;
use std::sync::Arc;

use bloonio_authenticator::client::RelayDevice;
use bloonio_authenticator::error::Advice;
use bloonio_authenticator::stream::{Backoff, Hint, Hints};
use bloonio_authenticator::text::visible;
use bloonio_wire::challenge::ChallengeStatus;
use bloonio_wire::id::InstructionId;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use serde_json::json;

use crate::error::PhoneError;
use crate::phone::Phone;
use crate::prompt::{render, render_alert};
use crate::state::Pairing;

pub async fn watch(phone: &Phone, once: bool) -> Result<(), PhoneError> {
    let pairings = phone.some_pairings(None).await?;
    let mut watchers = Vec::new();
    for pairing in pairings {
        watchers.push(Watcher::new(phone, pairing, once)?);
    }
    let mut watching: FuturesUnordered<_> = watchers.iter_mut().map(Watcher::run).collect();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let mut last = Ok(());
    loop {
        tokio::select! {
            ended = watching.next() => match ended {
                // With --once: the first prompt is printed.
                Some(Ok(())) => return Ok(()),
                // One pairing is over; the others go on.
                Some(Err(error)) => {
                    if !watching.is_empty() {
                        phone.output.note(&format!("note: {}", error.explain()));
                    }
                    last = Err(error);
                }
                None => return last,
            },
            signal = &mut interrupted => return Ok(signal?),
        }
    }
}

/// One pairing's stream.
struct Watcher<'a> {
    phone: &'a Phone,
    pairing: Pairing,
    device: RelayDevice,
    hints: Hints,
    once: bool,
    prompts: HashSet<InstructionId>,
    /// Known alerts; `None` before the first look: what was there before is not news.
    alerts: Option<HashSet<String>>,
}

impl<'a> Watcher<'a> {
    fn new(phone: &'a Phone, pairing: Pairing, once: bool) -> Result<Self, PhoneError> {
        let device = phone.device(&pairing)?;
        let hints = Hints::new(device.clone(), Backoff::default(), Arc::clone(&phone.random));
        Ok(Self { phone, pairing, device, hints, once, prompts: HashSet::new(), alerts: None })
    }

    /// Prints until the pairing ends, or with `once` until the first prompt.
    async fn run(&mut self) -> Result<(), PhoneError> {
        loop {
            let hint = self.hints.next().await?;
            match self.follow(&hint).await {
                Ok(printed) if printed && self.once => return Ok(()),
                Ok(_) => {}
                Err(PhoneError::Client(error)) => match error.advice() {
                    // Everything is fetched anew once the stream is open again.
                    Advice::Retry(at_least) => drop(self.hints.reopen(at_least)),
                    _ => return Err(error.into()),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches and prints what a hint is about; `true` if that was a prompt.
    async fn follow(&mut self, hint: &Hint) -> Result<bool, PhoneError> {
        match hint {
            Hint::FetchAll => self.fetch_all().await,
            Hint::Challenge(subject) => match subject.instruction_id.parse() {
                Ok(id) => self.prompt(id).await,
                // No id of the protocol's: the list will tell what is meant.
                Err(_) => self.fetch_all().await,
            },
            Hint::ChallengeCancelled(subject) => {
                let value = json!({"instruction_id": subject.instruction_id, "tenant_id": subject.tenant_id});
                self.print(
                    "challenge_cancelled",
                    &value,
                    &format!("No longer open: {}", visible(&subject.instruction_id)),
                )?;
                Ok(false)
            }
            Hint::Alert(_) => self.news().await.map(|()| false),
            Hint::Waiting(wait) => {
                let note = format!("note: {}: no stream, next try in {:.1} s", self.pairing, wait.as_secs_f32());
                self.phone.output.note(&note);
                Ok(false)
            }
        }
    }

    async fn fetch_all(&mut self) -> Result<bool, PhoneError> {
        // A watch may outlive its session token: this renews it in time.
        self.phone.pairings(None).await?;
        let open = self.device.challenges().await?;
        self.prompts.retain(|id| open.iter().any(|prompt| prompt.instruction_id == *id));
        self.news().await?;
        let mut printed = false;
        for prompt in open.into_iter().rev().filter(|prompt| prompt.status == ChallengeStatus::Pending) {
            if self.once && printed {
                break;
            }
            printed |= self.prompt(prompt.instruction_id).await?;
        }
        Ok(printed)
    }

    /// Fetches and prints one prompt, unless it was printed before or is over by now.
    async fn prompt(&mut self, id: InstructionId) -> Result<bool, PhoneError> {
        if self.prompts.contains(&id) {
            return Ok(false);
        }
        let mut prompt = match self.device.challenge(&id).await {
            Ok(prompt) => prompt,
            Err(error) if error.advice() == Advice::Settled => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // Who watches keeps the output; the token is for answering, not for keeping.
        prompt.response_token = None;
        self.prompts.insert(id);
        self.print("challenge", &prompt, &render(&prompt))?;
        Ok(true)
    }

    /// Prints the alerts that are new.
    async fn news(&mut self) -> Result<(), PhoneError> {
        let alerts = self.device.alerts().await?;
        let ids = alerts.iter().map(|alert| alert.notification_id.clone()).collect();
        if let Some(known) = self.alerts.replace(ids) {
            for alert in alerts.iter().rev().filter(|alert| !known.contains(&alert.notification_id)) {
                self.print("alert", alert, &render_alert(alert))?;
            }
        }
        Ok(())
    }

    fn print(&self, event: &str, value: &impl Serialize, text: &str) -> Result<(), PhoneError> {
        let mut value = serde_json::to_value(value).map_err(std::io::Error::from)?;
        value["event"] = json!(event);
        Ok(self.phone.output.print(&value, &format!("{text}\n"))?)
    }
}
