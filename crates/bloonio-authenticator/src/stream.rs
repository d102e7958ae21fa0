//! Hints that something waits for this device, over server-sent events (PROTOCOL 5, GET /device/stream).
//!
//! A hint is never the truth: what is asked is fetched afterwards. And it may be lost: whenever the stream has been
//! opened anew, [`Hint::FetchAll`] says that the lists should be fetched as well.

mod sse;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;
use bloonio_wire::random::{Random, uniform};
use serde::Deserialize;
use tokio::time::Instant;

use crate::client::{RelayDevice, network};
use crate::error::{Advice, ClientError};
use sse::{Event, MAX_LINE_BYTES, Parser};

/// What a hint is about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subject {
    /// The prompt; for an alert its notification id.
    pub instruction_id: String,
    /// Who asks.
    pub tenant_id: TenantId,
    /// When it is too late.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// What the stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The stream is open (again), or a hint could not be read: something may have come, so fetch the lists.
    FetchAll,
    /// The stream is gone for now, and will be opened again after this.
    Waiting(Duration),
    /// A prompt waits.
    Challenge(Subject),
    /// A prompt was withdrawn.
    ChallengeCancelled(Subject),
    /// An alert waits.
    Alert(Subject),
}

impl Hint {
    /// The hint of an event; `None` for kinds that this version does not know.
    fn of(event: &Event) -> Option<Self> {
        let hint: fn(Subject) -> Self = match event.kind.as_str() {
            "challenge" => Self::Challenge,
            "challenge_cancelled" => Self::ChallengeCancelled,
            "alert" => Self::Alert,
            _ => return None,
        };
        Some(serde_json::from_str(&event.data).map_or(Self::FetchAll, hint))
    }
}

/// How long to wait before opening the stream again.
#[derive(Debug, Clone)]
pub struct Backoff {
    /// After the first failure; doubled after each further one.
    pub first: Duration,
    /// Never longer than this, unless the relay asks for it.
    pub most: Duration,
    /// A stream without a byte for so long is taken for dead; relays send comments to keep it alive.
    pub idle: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(30), idle: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The wait after `failures` failures in a row: three quarters of it at least, the rest drawn, so that the devices of
    /// a restarted relay do not all come back at once.
    fn wait(&self, failures: u32, at_least: Duration, random: &dyn Random) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.most);
        let percent = uniform(random, 75, 100).unwrap_or(100);
        (doubled * percent / 100).max(at_least)
    }
}

/// A stream of hints that opens itself again until the device is refused for good.
#[derive(Debug)]
pub struct Hints {
    device: RelayDevice,
    backoff: Backoff,
    random: Arc<dyn Random>,
    open: Option<Open>,
    failures: u32,
    reopen_at: Option<Instant>,
}

/// The stream while it is open, and the events that have arrived but not been told yet.
#[derive(Debug)]
struct Open {
    response: reqwest::Response,
    parser: Parser,
    arrived: VecDeque<Event>,
}

impl Open {
    /// Reads the next piece into `arrived`; `false` at the end of the stream.
    async fn read(&mut self, idle: Duration) -> Result<bool, ClientError> {
        let piece = tokio::time::timeout(idle, self.response.chunk()).await.map_err(|_| ClientError::Silent)?;
        let Some(piece) = piece.map_err(network)? else { return Ok(false) };
        let events =
            self.parser.push(&piece).map_err(|sse::TooLong| ClientError::TooLarge { limit: MAX_LINE_BYTES })?;
        self.arrived.extend(events);
        Ok(true)
    }
}

impl Hints {
    /// A stream for `device`, not yet opened.
    pub fn new(device: RelayDevice, backoff: Backoff, random: Arc<dyn Random>) -> Self {
        Self { device, backoff, random, open: None, failures: 0, reopen_at: None }
    }

    /// The next hint. The future may be dropped and asked for again.
    ///
    /// # Errors
    /// [`ClientError`] when trying again will not help, such as after the device was removed.
    pub async fn next(&mut self) -> Result<Hint, ClientError> {
        if let Some(at) = self.reopen_at {
            tokio::time::sleep_until(at).await;
            self.reopen_at = None;
        }
        match self.advance().await {
            Ok(Some(hint)) => Ok(hint),
            Ok(None) => Ok(self.reopen(Duration::ZERO)),
            Err(error) => match error.advice() {
                Advice::Retry(at_least) => Ok(self.reopen(at_least)),
                _ => Err(error),
            },
        }
    }

    /// The next hint of the stream, which is opened first if it is not; `None` at its end.
    async fn advance(&mut self) -> Result<Option<Hint>, ClientError> {
        let Some(open) = &mut self.open else {
            let response = self.device.open_stream().await?;
            self.open = Some(Open { response, parser: Parser::default(), arrived: VecDeque::new() });
            return Ok(Some(Hint::FetchAll));
        };
        loop {
            while let Some(event) = open.arrived.pop_front() {
                if let Some(hint) = Hint::of(&event) {
                    return Ok(Some(hint));
                }
            }
            if !open.read(self.backoff.idle).await? {
                return Ok(None);
            }
            // Something came, be it a comment: the relay is well. Having connected alone would not tell.
            self.failures = 0;
        }
    }

    /// Closes the stream and opens it again later, `at_least` after now: such as when a hint could not be followed up.
    pub fn reopen(&mut self, at_least: Duration) -> Hint {
        self.open = None;
        self.failures = self.failures.saturating_add(1);
        let wait = self.backoff.wait(self.failures, at_least, self.random.as_ref());
        self.reopen_at = Some(Instant::now() + wait);
        Hint::Waiting(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bloonio_wire::random::SeededRandom;

    #[test]
    fn waits_double_up_to_the_most_and_heed_the_relay() {
        let (backoff, random) = (Backoff::default(), SeededRandom::new(1));
        let millis = |failures, at_least| backoff.wait(failures, at_least, &random).as_millis();
        for (failures, most) in [(1, 500), (2, 1_000), (3, 2_000), (7, 30_000), (8, 30_000), (u32::MAX, 30_000)] {
            let wait = millis(failures, Duration::ZERO);
            assert!((most * 3 / 4..=most).contains(&wait), "after {failures}: {wait}");
        }
        assert_eq!(millis(1, Duration::from_secs(90)), 90_000);
    }

    #[test]
    fn a_hint_that_cannot_be_read_still_makes_the_device_look() {
        let of = |kind: &str, data: &str| Hint::of(&Event { kind: kind.into(), data: data.into() });
        let data = r#"{"instruction_id": "i", "tenant_id": "tnt_0123456789abcdef0123456789abcdef", "new": 1}"#;
        assert!(matches!(of("challenge", data), Some(Hint::Challenge(subject)) if subject.instruction_id == "i"));
        assert!(matches!(of("challenge_cancelled", data), Some(Hint::ChallengeCancelled(_))));
        assert!(matches!(of("alert", data), Some(Hint::Alert(_))));
        assert_eq!(of("challenge", "?"), Some(Hint::FetchAll));
        assert_eq!(of("something_new", data), None);
    }
}
