//! Where an instruction stands, for the one who asked for it and nobody else (PROTOCOL 9.4).

use std::time::Duration;

use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::FieldProblem;
use bloonio_wire::id::InstructionId;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use super::invalid;
use super::waiters::Place;
use crate::decision::Refusal;
use crate::engine::{SudoEngine, left_of};
use crate::identity::InitiatorHash;
use crate::instruction::{Instruction, InstructionStatus};
use crate::reply::{Answer, Reply};
use crate::request::RequestView;
use crate::store::{StoreError, Wakeups};

/// A longer question is not held.
const LONGEST_WAIT_SECS: u64 = 30;
/// How often a silent stream shows that it lives, before a proxy thinks otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

impl SudoEngine {
    pub(super) async fn tell_status(&self, view: &RequestView<'_>, id: &str) -> Answer {
        let caller = match self.identified(view).await {
            Ok(caller) => caller,
            Err(refusal) => return refusal.into_reply().into(),
        };
        let initiator = caller.initiator_hash(self.settings().tenant_id());
        let wait = match wait_seconds(view) {
            Ok(wait) => wait,
            Err(problem) => return invalid(vec![problem]).into(),
        };
        let found = match InstructionId::parse(id) {
            Ok(id) => self.own(&id, &initiator).await,
            Err(_) => Ok(None),
        };
        let instruction = match found {
            Ok(Some(instruction)) => instruction,
            Ok(None) => return Reply::error(ErrorCode::NotFound).into(),
            Err(error) => return away(&error),
        };
        let streams = wants_stream(view);
        if !streams && (wait.is_zero() || instruction.status != InstructionStatus::Pending) {
            return Reply::json(200, &status_of(&instruction)).into();
        }
        let Some(place) = self.inner.waiters.enter(&instruction.instruction_id, caller.user()) else {
            return Reply::error(ErrorCode::RateLimited).with_retry_after(Duration::from_secs(1)).into();
        };
        if streams { self.stream(instruction.instruction_id, place).await } else { self.poll(instruction, wait).await }
    }

    /// The instruction, if this session asked for it; to anybody else it does not exist.
    async fn own(&self, id: &InstructionId, initiator: &InitiatorHash) -> Result<Option<Instruction>, StoreError> {
        let found = self.inner.store.get(self.settings().tenant_id(), id).await?;
        Ok(found.filter(|instruction| instruction.initiator == *initiator))
    }

    async fn poll(&self, instruction: Instruction, wait: Duration) -> Answer {
        tokio::select! {
            // Answered, out of time, or the process stops: in each case what holds now is told.
            _ = tokio::time::timeout(wait, self.answered(&instruction.instruction_id)) => {}
            () = self.inner.stopping.cancelled() => {}
        }
        match self.inner.store.get(self.settings().tenant_id(), &instruction.instruction_id).await {
            Ok(Some(instruction)) => Reply::json(200, &status_of(&instruction)).into(),
            Ok(None) => Reply::error(ErrorCode::NotFound).into(),
            Err(error) => away(&error),
        }
    }

    async fn stream(&self, id: InstructionId, place: Place) -> Answer {
        let wakeups = match self.inner.store.subscribe(self.settings().tenant_id(), &id).await {
            Ok(Some(wakeups)) => wakeups,
            Ok(None) => return Reply::error(ErrorCode::NotFound).into(),
            Err(error) => return away(&error),
        };
        let feed = Feed { engine: self.clone(), id, wakeups, shown: None, _place: place };
        let events = stream::unfold(feed, |mut feed| async move { feed.next().await.map(|event| (Ok(event), feed)) });
        let headers = vec![
            ("content-type", "text/event-stream".to_owned()),
            ("cache-control", "no-store".to_owned()),
            // Asks nginx not to hold the events back.
            ("x-accel-buffering", "no".to_owned()),
        ];
        Answer::Events { status: 200, headers, events: Box::pin(events) }
    }
}

/// The events of one instruction: its status, and each change, until it is final.
struct Feed {
    engine: SudoEngine,
    id: InstructionId,
    wakeups: Wakeups,
    shown: Option<InstructionStatus>,
    _place: Place,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        if self.shown.is_some_and(InstructionStatus::is_final) {
            return None;
        }
        loop {
            // A store that fails ends the stream: the client comes again, and is told what holds.
            let instruction =
                self.engine.inner.store.get(self.engine.settings().tenant_id(), &self.id).await.ok()??;
            if self.shown != Some(instruction.status) {
                self.shown = Some(instruction.status);
                return Some(Bytes::from(format!("event: status\ndata: {}\n\n", status_of(&instruction))));
            }
            let left = left_of(&instruction, self.engine.inner.clock.now());
            tokio::select! {
                woken = tokio::time::timeout(left.min(KEEP_ALIVE), self.wakeups.next()) => {
                    if woken.is_err() && left > KEEP_ALIVE {
                        return Some(Bytes::from_static(b": still here\n\n"));
                    }
                }
                () = self.engine.inner.stopping.cancelled() => return None,
            }
        }
    }
}

fn away(error: &StoreError) -> Answer {
    tracing::error!(%error, "a status could not be told");
    Refusal::state_unavailable().into_reply().into()
}

fn status_of(instruction: &Instruction) -> Value {
    json!({"status": instruction.status.as_str(), "expires_at": instruction.good_until()})
}

fn wants_stream(view: &RequestView<'_>) -> bool {
    view.header_values("accept").iter().any(|accept| {
        accept.split(|b| *b == b',').any(|kind| {
            let essence = kind.split(|b| *b == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
        })
    })
}

fn wait_seconds(view: &RequestView<'_>) -> Result<Duration, FieldProblem> {
    let Some((_, text)) = view.query_pairs().find(|(name, _)| name == "wait_seconds") else {
        return Ok(Duration::ZERO);
    };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT_SECS);
    let rule = || FieldProblem::new("wait_seconds", format!("must be between 0 and {LONGEST_WAIT_SECS}"));
    seconds.map(Duration::from_secs).ok_or_else(rule)
}
