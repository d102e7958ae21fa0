//! One attempt of one push: what is sent, and what its outcome means for the row and for the address (PUSH.md 1.5, 1.6).

use bloonio_wire::clock::Timestamp;
use bloonio_wire::random::uniform;
use tracing::debug;

use super::dispatch::Inner;
use super::fcm::schedule::next_attempt;
use super::ledger::{Ending, Record};
use super::{AddressVerdict, Push, PushAddress, PushFailure, PushOutcome, Retry};
use crate::storage::push::{PushJob, Retirement, Settlement};
use crate::telemetry::metrics::{FCM_HELD, FCM_SENDS};

impl Inner {
    /// One attempt, from the send to the row: answers the push service's name of the message if it was accepted.
    pub(super) async fn attempt(&self, job: &PushJob) -> Option<String> {
        let outcome = match &job.address {
            None => gave_up("no_address"),
            Some(address) => self.send(job, address).await,
        };
        let now = self.parts.clock.now();
        let ending = self.ending(job, &outcome, now);
        let comes_again = ending.comes_again();
        self.ledger.record(Record { job: job.clone(), ending, at: now }).await;
        if comes_again {
            self.wake.notify_one();
        }
        match outcome {
            PushOutcome::Accepted { message_id } => Some(message_id),
            PushOutcome::Failed(_) | PushOutcome::Held(_) => None,
        }
    }

    fn ending(&self, job: &PushJob, outcome: &PushOutcome, now: Timestamp) -> Ending {
        let (word, ending) = match outcome {
            PushOutcome::Accepted { message_id } => {
                self.brakes.believes(now, None);
                ("accepted", Ending::Accepted(message_id.clone()))
            }
            PushOutcome::Failed(failure) => {
                let next = self.next_attempt(job, now, failure.retry);
                let settlement = next.map_or(Settlement::Failed, Settlement::Due);
                let retirement = self.believed_verdict(job, failure, now);
                (failure.error, Ending::Failed { settlement, error: failure.error, retirement })
            }
            PushOutcome::Held(held) => {
                metrics::counter!(FCM_HELD, "reason" => held.error).increment(1);
                debug!(tenant.id = job.tenant_id.as_str(), push.outcome = held.error, "a push was held back");
                return Ending::Held(*held);
            }
        };
        metrics::counter!(FCM_SENDS, "outcome" => word).increment(1);
        debug!(tenant.id = job.tenant_id.as_str(), push.outcome = word, "a push was attempted");
        ending
    }

    async fn send(&self, job: &PushJob, address: &PushAddress) -> PushOutcome {
        let Some(sender) = &self.parts.sender else { return gave_up("push_not_configured") };
        let push = Push {
            tenant_id: job.tenant_id.clone(),
            kind: job.kind,
            subject_id: job.subject_id.clone(),
            expires_at: job.expires_at,
            platform: job.platform,
            address: address.clone(),
        };
        match tokio::time::timeout(self.parts.limits.attempt_timeout, sender.send(&push)).await {
            Ok(outcome) => outcome,
            Err(_) => failed("timeout", Retry::Backoff),
        }
    }

    fn next_attempt(&self, job: &PushJob, now: Timestamp, retry: Retry) -> Option<Timestamp> {
        let not_before = match retry {
            Retry::Never => return None,
            Retry::Backoff => None,
            Retry::NotBefore(pause) => Some(pause),
        };
        // Messages that failed together must not come back together; without randomness they do, which is no danger.
        let thousandths = uniform(self.parts.random.as_ref(), 800, 1200).unwrap_or(1000);
        let attempts = u32::try_from(job.attempts).unwrap_or(u32::MAX);
        let pause = next_attempt(attempts, now, job.expires_at, not_before, f64::from(thousandths) / 1000.0)?;
        Some(now.plus(pause))
    }

    /// What becomes of the address, with the reason; nothing while too many verdicts come at once.
    fn believed_verdict(
        &self,
        job: &PushJob,
        failure: &PushFailure,
        now: Timestamp,
    ) -> Option<(Retirement, &'static str)> {
        // Where nothing was sent, nothing was learnt.
        job.address.as_ref()?;
        let retirement = match failure.address {
            AddressVerdict::Keep => None,
            AddressVerdict::Dead => Some((Retirement::Dead, failure.error)),
            AddressVerdict::Quarantine => Some((Retirement::Quarantined, failure.error)),
        };
        let believed = self.brakes.believes(now, retirement.map(|(verdict, _)| verdict));
        retirement.filter(|_| believed)
    }
}

fn gave_up(error: &'static str) -> PushOutcome {
    failed(error, Retry::Never)
}

fn failed(error: &'static str, retry: Retry) -> PushOutcome {
    PushOutcome::Failed(PushFailure { error, address: AddressVerdict::Keep, retry })
}
