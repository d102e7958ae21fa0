//! Instructions in Redis (5 or later, one server, a cluster, or behind sentinels): several processes share them, and they
//! outlive each of those.
//!
//! # Keys
//!
//! | key | what | kept |
//! | --- | --- | --- |
//! | `bloonio:auth:sudo:{ID}` | one instruction, a hash; the truth about it (PROTOCOL 9.3) | its life and 24 h |
//! | `bloonio:auth:attention:{TENANT}:user:USER` | open prompts, sharing, quiet, wrong numbers | 26 h from the last change |
//! | `bloonio:auth:attention:{TENANT}:initiator:HASH` | open prompts, denials, silence | 26 h from the last change |
//! | `bloonio:auth:devices:{TENANT}:USER` | pinned devices | for good |
//!
//! The braces are literal: what stands in them decides on the slot of a cluster. Changes are told on the channel
//! `bloonio:auth:changed`. The time is that of the server that holds the record: backends need not agree on theirs.
//!
//! # What is atomic
//!
//! Each transition of an instruction is one script on its one key, and so is each look at a user's attention on the keys
//! of his tenant. `get`, `consume`, `complete`, `release` and `expire` of a pending prompt's record are one step; using an
//! approval is one round trip. `create`, `decide`, `miss`, and `expire` are two: the attention lies in another slot.
//!
//! - `create` first reserves a place (with it: sharing, quiet, silence, limits, and the golden number, all in one step),
//!   then writes the record. Whoever finds a reservation without its record writes it in the creator's place for ten
//!   seconds, and gives the place back afterwards. A process that dies between the steps leaves a record that nobody was
//!   asked about, or none: nothing can be approved, and the place is free at the prompt's `expires_at`.
//! - `decide`, `miss` and `expire` change the record first, then settle: give the place back, count the denial. A process
//!   that dies in between leaves a place taken until the next request of the same kind finds the record and settles for
//!   it, or until `expires_at`. What was decided stands either way.
//!
//! Nothing runs without a step from validated to consumed (or to in use) on the record, and that happens once.
//!
//! # Sent twice, or not answered
//!
//! The client sends a command again when its connection breaks. Each call has a name of its own, which the record keeps: the
//! same call again is answered alike and changes nothing. A call that is not answered in time may have happened all the
//! same. An approval that was consumed that way is lost, and its request refused: it can be asked for again.
//!
//! # What Redis does not promise
//!
//! Replication is asynchronous: a primary that dies may take the last writes along, a consumption among them, and the
//! replica that takes over may still hold the approval as good. [`RedisOptions::with_required_replicas`] waits for
//! acknowledgements and refuses where they are missing, which makes that window small; it does not close it (`WAIT` is no
//! consensus). Where one approval must never run twice whatever fails, consume it in the transaction of your own database
//! ([`SudoRequirement::with_consume_in_transaction`](crate::SudoRequirement::with_consume_in_transaction)), and let Redis hold the rest.

mod attention;
mod connect;
mod devices;
mod eviction;
mod record;
mod replication;
mod script;
mod wakeup;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bloonio_wire::clock::Clock;
use bloonio_wire::id::{InstructionId, TenantId};
use fred::clients::Client;
use fred::types::scripts::Script;
use tokio::task::AbortHandle;

use self::attention::{Concerned, Found, Outcome, Reserved};
use self::record::{Asked, ending_text, redemption_text, usage_text, verdict_text};
use self::script::{Said, Scripts, Unreadable, time_of};
use self::wakeup::Waiting;
use super::{
    Created, DecideOutcome, ExpireOutcome, InstructionStore, Limits, MissOutcome, NewInstruction, StoreError, Wakeups,
};
use crate::instruction::{
    Claim, ConsumeRefusal, Ending, Instruction, InstructionStatus, Usage, Verdict, WRONG_CODES_TO_DENY,
};

pub use connect::{ConnectError, RedisOptions};

/// A reservation that turns out to be stale is cleared and the wish made anew, so often: each time means that another
/// request of the same kind came and went in between.
const CREATE_ATTEMPTS: usize = 8;
/// On it the scripts tell of changes.
const CHANNEL: &str = "bloonio:auth:changed";

/// The store in Redis. Made by [`RedisStore::connect`].
pub struct RedisStore {
    client: Client,
    waiting: Arc<Waiting>,
    scripts: Scripts,
    rules: String,
    /// Names this store's calls, with a number for each.
    caller: String,
    calls: AtomicU64,
    required_replicas: u32,
    /// Instead of the server's clock, for the acceptance suite.
    clock: Option<Arc<dyn Clock>>,
    /// Goes before every key, for tests that share a server.
    space: String,
    tasks: Vec<AbortHandle>,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("required_replicas", &self.required_replicas).finish_non_exhaustive()
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl RedisStore {
    fn key(&self, id: &InstructionId) -> String {
        format!("{}bloonio:auth:sudo:{{{id}}}", self.space)
    }

    fn channel(&self) -> String {
        format!("{}{CHANNEL}", self.space)
    }

    /// Runs a script on a record.
    async fn ask(
        &self,
        script: &Script,
        tenant: &TenantId,
        id: &InstructionId,
        own: Vec<String>,
    ) -> Result<Said, StoreError> {
        let call = format!("{}-{}", self.caller, self.calls.fetch_add(1, Ordering::Relaxed));
        let mut arguments =
            vec![time_of(self.clock.as_deref()), tenant.to_string(), call, self.channel(), id.to_string()];
        arguments.extend(own);
        script::call(&self.client, script, vec![self.key(id)], arguments).await
    }

    /// What the same request has already. `None` if that is over: its place is given back then.
    async fn existing(&self, of: Concerned<'_>, found: Found) -> Result<Option<Instruction>, StoreError> {
        let Found { id, asked, golden_number } = found;
        let instruction = match asked {
            Some(asked) => {
                let said = self.insert(of.tenant, &id, &asked, &golden_number).await?;
                if said.outcome == "mine" { Some(record::instruction(&said.fields)?) } else { None }
            }
            None => self.get(of.tenant, &id).await?,
        };
        match instruction {
            Some(open) if open.status == InstructionStatus::Pending => Ok(Some(open)),
            Some(other) if Outcome::of(&other) == Some(Outcome::Approved) => Ok(Some(other)),
            Some(over) => {
                self.settle_by(of.tenant, &over).await;
                Ok(None)
            }
            None => {
                self.settle(Concerned { id: &id, ..of }, Outcome::Undelivered).await?;
                Ok(None)
            }
        }
    }

    /// Writes the record of a fresh reservation, or gives the place back.
    async fn write(&self, of: Concerned<'_>, asked: &str, golden_number: &str) -> Result<Instruction, StoreError> {
        let written = match self.insert(of.tenant, of.id, asked, golden_number).await {
            Ok(said) if said.outcome == "mine" => Ok(record::instruction(&said.fields)?),
            Ok(said) => Err(said.unexpected()),
            Err(error) => Err(error),
        };
        if written.is_err() {
            // As well as it can be done: Redis may be away.
            let _ = self.settle(of, Outcome::Undelivered).await;
        }
        written
    }

    /// Records a change that only some statuses allow, and settles. What the record says, and what came of it.
    async fn change(
        &self,
        script: &Script,
        tenant: &TenantId,
        id: &InstructionId,
        own: Vec<String>,
    ) -> Result<Option<Changed>, StoreError> {
        let said = self.ask(script, tenant, id, own).await?;
        if said.outcome == "unknown" {
            return Ok(None);
        }
        let instruction = record::instruction(&said.fields)?;
        let silenced_for = match said.outcome.as_str() {
            "refused" | "counted" => None,
            _ => self.settle_by(tenant, &instruction).await,
        };
        Ok(Some(Changed { outcome: said.outcome, instruction, silenced_for }))
    }

    /// Whether a script without an answer of its own changed anything.
    async fn changed(&self, script: &Script, tenant: &TenantId, id: &InstructionId) -> Result<bool, StoreError> {
        Ok(self.ask(script, tenant, id, Vec::new()).await?.outcome == "changed")
    }
}

/// What a changing script did.
struct Changed {
    outcome: String,
    instruction: Instruction,
    silenced_for: Option<std::time::Duration>,
}

fn written(error: serde_json::Error) -> StoreError {
    Unreadable::of(error.to_string()).into()
}

#[async_trait]
impl InstructionStore for RedisStore {
    async fn create(&self, tenant: &TenantId, new: NewInstruction, limits: Limits) -> Result<Created, StoreError> {
        let asked = Asked::of(&new);
        let asked_text = serde_json::to_string(&asked).map_err(written)?;
        let of = Concerned {
            tenant,
            user: &new.user,
            initiator: &asked.initiator,
            id: &new.instruction_id,
            fingerprint: &asked.fingerprint,
        };
        for _ in 0..CREATE_ATTEMPTS {
            match self.reserve(of, &new, &asked_text, limits).await? {
                Reserved::New { golden_number, typed_only } => {
                    let instruction = self.write(of, &asked_text, &golden_number).await?;
                    return Ok(Created::New { instruction, typed_only });
                }
                Reserved::Limited(limited) => return Ok(Created::Limited(limited)),
                Reserved::Existing(found) => {
                    if let Some(existing) = self.existing(of, found).await? {
                        return Ok(Created::Existing(existing));
                    }
                }
            }
        }
        Err(StoreError::Unavailable("the same request came and went too often meanwhile".into()))
    }

    async fn get(&self, tenant: &TenantId, id: &InstructionId) -> Result<Option<Instruction>, StoreError> {
        let said = self.ask(&self.scripts.get, tenant, id, Vec::new()).await?;
        if said.outcome == "unknown" { Ok(None) } else { Ok(Some(record::instruction(&said.fields)?)) }
    }

    async fn decide(
        &self,
        tenant: &TenantId,
        id: &InstructionId,
        verdict: &Verdict,
    ) -> Result<DecideOutcome, StoreError> {
        let status = if verdict.approved { InstructionStatus::Validated } else { InstructionStatus::Denied };
        let own = vec![status.as_str().to_owned(), verdict_text(verdict).map_err(written)?];
        Ok(match self.change(&self.scripts.decide, tenant, id, own).await? {
            None => DecideOutcome::Unknown,
            Some(Changed { outcome, silenced_for, .. }) if outcome == "recorded" => {
                DecideOutcome::Recorded { silenced_for }
            }
            Some(Changed { instruction, .. }) => DecideOutcome::refused(&instruction, verdict),
        })
    }

    async fn miss(&self, tenant: &TenantId, id: &InstructionId) -> Result<MissOutcome, StoreError> {
        let denied = Verdict { approved: false, wrong_number: false, device_id: None, webhook_id: None };
        let own = vec![WRONG_CODES_TO_DENY.to_string(), verdict_text(&denied).map_err(written)?];
        Ok(match self.change(&self.scripts.miss, tenant, id, own).await? {
            None => MissOutcome::Unknown,
            Some(Changed { outcome, .. }) if outcome == "counted" => MissOutcome::Counted,
            Some(Changed { outcome, silenced_for, .. }) if outcome == "denied" => MissOutcome::Denied { silenced_for },
            Some(Changed { instruction, .. }) => MissOutcome::Final(instruction.status),
        })
    }

    async fn consume(
        &self,
        tenant: &TenantId,
        id: &InstructionId,
        claim: &Claim,
    ) -> Result<Result<Instruction, ConsumeRefusal>, StoreError> {
        let own = vec![
            hex::encode(claim.initiator.as_bytes()),
            hex::encode(claim.fingerprint.as_bytes()),
            redemption_text(claim.redemption).to_owned(),
            usage_text(claim.usage).to_owned(),
        ];
        let said = self.ask(&self.scripts.consume, tenant, id, own).await?;
        match said.outcome.as_str() {
            "used" => {
                if claim.usage != Usage::Elsewhere {
                    self.wait_for_replicas(&self.key(id)).await?;
                }
                Ok(Ok(record::instruction(&said.fields)?))
            }
            "pending" => Ok(Err(ConsumeRefusal::Pending(Box::new(record::instruction(&said.fields)?)))),
            "denied" => Ok(Err(ConsumeRefusal::Denied)),
            "mismatch" => Ok(Err(ConsumeRefusal::Mismatch)),
            "expired" => Ok(Err(ConsumeRefusal::Expired)),
            _ => Err(said.unexpected()),
        }
    }

    async fn complete(&self, tenant: &TenantId, id: &InstructionId) -> Result<bool, StoreError> {
        self.changed(&self.scripts.complete, tenant, id).await
    }

    async fn release(&self, tenant: &TenantId, id: &InstructionId) -> Result<bool, StoreError> {
        self.changed(&self.scripts.release, tenant, id).await
    }

    async fn expire(&self, tenant: &TenantId, id: &InstructionId, ending: Ending) -> Result<ExpireOutcome, StoreError> {
        let own = vec![ending_text(ending).to_owned()];
        Ok(match self.change(&self.scripts.expire, tenant, id, own).await? {
            None => ExpireOutcome::Unknown,
            Some(Changed { outcome, .. }) if outcome == "ended" => ExpireOutcome::Expired,
            Some(Changed { instruction, .. }) => ExpireOutcome::Final(instruction.status),
        })
    }

    async fn subscribe(&self, tenant: &TenantId, id: &InstructionId) -> Result<Option<Wakeups>, StoreError> {
        // First the ear, then the look: what changes in between is heard.
        let wakeups = self.waiting.enter(id);
        Ok(self.get(tenant, id).await?.map(|_| wakeups))
    }
}
