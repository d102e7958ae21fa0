//! A caller that goes from relay to relay until it gets a definite answer, as the SDK and the phones do.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::ledger::Ledger;
use super::plan::RELAYS;
use crate::operator::Answer;

/// The pause after a first failure; it grows with each.
const PAUSE: Duration = Duration::from_millis(50);
/// And no further than so many times.
const LONGEST: u32 = 10;

/// Calls until the answer is definite: neither lost, nor 503, nor 429, nor too late by the relay's clock. `request` makes
/// the call afresh for the relay of this number.
pub async fn until_definite(
    ledger: &Ledger,
    route: &str,
    first: usize,
    request: impl Fn(usize) -> RequestBuilder,
) -> Answer {
    for attempt in 0.. {
        let answer = once(ledger, route, request((first + attempt) % RELAYS)).await;
        let pause = PAUSE * u32::try_from(attempt + 1).unwrap_or(LONGEST).min(LONGEST);
        match answer {
            None => tokio::time::sleep(pause).await,
            Some(answer) if answer.status == 429 => tokio::time::sleep(retry_after(&answer)).await,
            Some(answer) if answer.status == 503 => tokio::time::sleep(pause).await,
            Some(answer) if answer.error() == "TIMESTAMP_OUT_OF_WINDOW" => {}
            Some(answer) => return answer,
        }
    }
    unreachable!("there is always another attempt")
}

fn retry_after(answer: &Answer) -> Duration {
    let seconds = answer.retry_after.as_deref().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1))
}

/// One call; `None` if its answer never came, or not to its end.
pub async fn once(ledger: &Ledger, route: &str, request: RequestBuilder) -> Option<Answer> {
    let answer = match request.send().await {
        Ok(response) => read(response).await,
        Err(_) => None,
    };
    match &answer {
        Some(answer) => note(ledger, route, answer),
        None => ledger.lost(route),
    }
    answer
}

/// Notes an answer; no failure but the documented ones may be told to anybody.
pub fn note(ledger: &Ledger, route: &str, answer: &Answer) {
    ledger.answered(route, answer);
    let documented = match (answer.status, answer.error()) {
        (502, error) => error == "PUSH_NOT_DELIVERED",
        (503, error) => error == "STORAGE_UNAVAILABLE" && answer.retry_after.is_some(),
        (status, _) => status < 500,
    };
    if !documented {
        ledger.strange(format!("{route} was answered {answer:?}"));
    }
}

/// An answer; `None` if it did not come to its end.
pub async fn read(response: Response) -> Option<Answer> {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bytes = response.bytes().await.ok()?;
    Some(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), retry_after })
}
