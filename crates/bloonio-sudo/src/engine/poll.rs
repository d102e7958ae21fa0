//! Asks the relay what became of a prompt, for backends that no callback can reach (PROTOCOL 5, `OUTCOME_DELIVERY`).

use std::time::Duration;

use bloonio_wire::id::InstructionId;

use super::{Event, SudoEngine, short_hash};
use crate::client::Outcome;
use crate::instruction::InstructionStatus;

/// How long the relay holds one question.
const WAIT: Duration = Duration::from_secs(25);
/// How long to pause between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// How long to rest after a failed one.
const REST: Duration = Duration::from_secs(2);

impl SudoEngine {
    /// Follows a prompt until it is answered or over, where the settings say so.
    pub(super) fn watch_outcome(&self, id: &InstructionId) {
        if !self.inner.settings.outcome_delivery.polls() {
            return;
        }
        let (engine, id) = (self.clone(), id.clone());
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = engine.follow(&id) => {}
                () = engine.inner.stopping.cancelled() => {}
            }
        });
    }

    async fn follow(&self, id: &InstructionId) {
        while self.is_open(id).await {
            match self.inner.relay.fetch_outcome(id, WAIT).await {
                // A relay that does not hold the question must not be asked in a loop.
                Ok(Outcome::Pending) => tokio::time::sleep(PAUSE).await,
                Ok(Outcome::Expired | Outcome::Cancelled) => return,
                Ok(Outcome::Decided(event)) if event.instruction_id != *id => {
                    tracing::error!(instruction = %short_hash(id), "the relay answered for another instruction");
                    tokio::time::sleep(REST).await;
                }
                Ok(Outcome::Decided(event)) => match self.take(Event::from(*event), None).await {
                    Ok(()) => return,
                    Err(why) => {
                        tracing::warn!(instruction = %short_hash(id), ?why, "an outcome was not taken");
                        tokio::time::sleep(REST).await;
                    }
                },
                Err(error) => {
                    tracing::warn!(instruction = %short_hash(id), %error, "an outcome could not be fetched");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Whether anybody still waits for an answer. A store that is away may come back in time.
    async fn is_open(&self, id: &InstructionId) -> bool {
        match self.inner.store.get(&self.inner.settings.tenant_id, id).await {
            Ok(found) => found.is_some_and(|instruction| instruction.status == InstructionStatus::Pending),
            Err(_) => true,
        }
    }
}
