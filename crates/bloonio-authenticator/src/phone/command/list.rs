//! `list` and `alerts`: what waits, of all pairings.

use bloonio_authenticator::client::RelayDevice;
use bloonio_authenticator::error::ClientError;
use bloonio_wire::clock::Timestamp;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::PhoneError;
use crate::output::failure;
use crate::phone::Phone;
use crate::prompt::{render, render_alert};
use crate::state::Pairing;

pub async fn prompts(phone: &Phone) -> Result<(), PhoneError> {
    let mut gathered = gather(phone, async |device| device.challenges().await).await?;
    gathered.newest_first(|prompt| prompt.created_at);
    gathered.print(phone, "open prompt", render)
}

pub async fn alerts(phone: &Phone) -> Result<(), PhoneError> {
    let mut gathered = gather(phone, async |device| device.alerts().await).await?;
    gathered.newest_first(|alert| alert.created_at);
    gathered.print(phone, "alert", render_alert)
}

/// What the relays gave, and those that gave nothing.
struct Gathered<T> {
    items: Vec<T>,
    failures: Vec<(Pairing, PhoneError)>,
}

/// Asks for all pairings at once.
///
/// One that fails does not hide the others' items; if all fail, that is the command's failure.
async fn gather<T>(
    phone: &Phone,
    ask: impl AsyncFn(RelayDevice) -> Result<Vec<T>, ClientError>,
) -> Result<Gathered<T>, PhoneError> {
    let pairings = phone.pairings(None).await?;
    if pairings.is_empty() {
        phone.output.note("note: this phone is not paired");
    }
    let ask = &ask;
    let asking = pairings.into_iter().map(|pairing| async move {
        let answer = match phone.device(&pairing) {
            Ok(device) => ask(device).await.map_err(PhoneError::from),
            Err(error) => Err(error),
        };
        (pairing, answer)
    });
    let mut gathered = Gathered { items: Vec::new(), failures: Vec::new() };
    let mut answered = 0;
    for (pairing, answer) in join_all(asking).await {
        match answer {
            Ok(mut items) => {
                answered += 1;
                gathered.items.append(&mut items);
            }
            Err(error) => gathered.failures.push((pairing, error)),
        }
    }
    match gathered.failures.pop() {
        Some((_, error)) if answered == 0 => Err(error),
        Some(failure) => {
            gathered.failures.push(failure);
            Ok(gathered)
        }
        None => Ok(gathered),
    }
}

impl<T: Serialize> Gathered<T> {
    fn newest_first(&mut self, created_at: impl Fn(&T) -> Timestamp) {
        self.items.sort_by_key(|item| std::cmp::Reverse(created_at(item)));
    }

    fn print(&self, phone: &Phone, what: &str, render: impl Fn(&T) -> String) -> Result<(), PhoneError> {
        let mut value = json!({"items": self.items, "count": self.items.len()});
        if !self.failures.is_empty() {
            value["failures"] = self.failures.iter().map(|(pairing, error)| describe(pairing, error)).collect();
        }
        let plural = if self.items.len() == 1 { "" } else { "s" };
        let mut blocks = vec![format!("{} {what}{plural}", self.items.len())];
        blocks.extend(self.items.iter().map(render));
        phone.output.print(&value, &blocks.join("\n\n"))?;
        for (pairing, error) in &self.failures {
            phone.output.note(&format!("note: {pairing}: {}", error.explain()));
        }
        Ok(())
    }
}

fn describe(pairing: &Pairing, error: &PhoneError) -> Value {
    let mut value = failure(error);
    value["tenant_id"] = json!(pairing.info.tenant_id);
    value["relay"] = json!(pairing.relay.as_str());
    value
}
