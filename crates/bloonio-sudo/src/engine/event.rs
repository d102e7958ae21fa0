//! A decision told by the relay: read, compared with what was asked, and taken (SECURITY, "Callbacks into a backend").

use bloonio_wire::callback::{ApprovalEvent, ResponseData};
use bloonio_wire::challenge::{AlertKind, CustomType};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::{InstructionId, TenantId, UserSocketHash};
use serde::Deserialize;

use super::{Signed, SudoEngine, short_hash};
use crate::client::SecurityAlert;
use crate::instruction::{Instruction, Verdict};
use crate::store::{DecideOutcome, StoreError};

/// The fields of an event that decide. `timestamp` is information and not read: freshness comes from the signed headers.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) instruction_id: InstructionId,
    pub(crate) user_socket_hash: UserSocketHash,
    pub(crate) tenant_id: TenantId,
    pub(crate) approved: bool,
    #[serde(default)]
    pub(crate) response_data: Option<ResponseData>,
    #[serde(default)]
    pub(crate) challenge_digest: Option<String>,
    #[serde(default)]
    pub(crate) event_id: Option<String>,
    #[serde(default)]
    pub(crate) outcome: Option<String>,
}

/// Why an event decides nothing.
#[derive(Debug)]
pub(crate) enum EventRefusal {
    /// It contradicts itself, or what was asked.
    Contradiction,
    /// Another tenant's or another user's.
    NotOurs,
    /// No such instruction.
    Unknown,
    /// The device's signature is missing where it is required, or does not hold.
    Unproven,
    /// The store is away.
    Store(StoreError),
}

impl EventRefusal {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Contradiction => ErrorCode::MalformedRequest,
            Self::NotOurs => ErrorCode::Forbidden,
            Self::Unknown => ErrorCode::NotFound,
            Self::Unproven => ErrorCode::InvalidDeviceSignature,
            Self::Store(_) => ErrorCode::SudoStateUnavailable,
        }
    }
}

impl Event {
    /// Whether what the event says of itself agrees.
    pub(crate) fn is_coherent(&self) -> bool {
        let outcome = match self.outcome.as_deref() {
            None => true,
            Some("validated") => self.approved,
            Some("rejected" | "expired") => !self.approved,
            Some(_) => false,
        };
        outcome && self.event_id.as_ref().is_none_or(|id| id == self.instruction_id.as_str())
    }
}

impl From<ApprovalEvent> for Event {
    fn from(event: ApprovalEvent) -> Self {
        Self {
            instruction_id: event.instruction_id,
            user_socket_hash: event.user_socket_hash,
            tenant_id: event.tenant_id,
            approved: event.approved,
            response_data: Some(event.response_data),
            challenge_digest: event.challenge_digest,
            event_id: None,
            outcome: None,
        }
    }
}

impl SudoEngine {
    /// Takes an event that has been authenticated. A repeat, or one against a final status, changes nothing and is fine.
    pub(crate) async fn take(&self, event: Event, webhook_id: Option<String>) -> Result<(), EventRefusal> {
        let tenant = &self.inner.settings.tenant_id;
        if !event.is_coherent() {
            return Err(EventRefusal::Contradiction);
        }
        if event.tenant_id != *tenant {
            return Err(EventRefusal::NotOurs);
        }
        let found = self.inner.store.get(tenant, &event.instruction_id).await.map_err(EventRefusal::Store)?;
        let instruction = found.ok_or(EventRefusal::Unknown)?;
        if event.user_socket_hash != instruction.user {
            return Err(EventRefusal::NotOurs);
        }
        match &event.challenge_digest {
            Some(digest) if *digest != instruction.challenge_digest => return Err(EventRefusal::Contradiction),
            None if self.inner.require_challenge_digest => return Err(EventRefusal::Contradiction),
            _ => {}
        }
        let response = event.response_data.unwrap_or_default();
        let signed = Signed {
            device_id: response.device_id.as_deref(),
            approved: event.approved,
            selected_number: response.selected_number,
            decided_at: response.decided_at,
            challenge_sha256: response.challenge_sha256.as_deref(),
            signature: response.signature.as_deref(),
        };
        let proof = self.proof(&instruction, signed).await.map_err(EventRefusal::Store)?;
        if !self.suffices(&proof, event.approved) {
            return Err(EventRefusal::Unproven);
        }
        let approved = counts_as_approved(&instruction, event.approved, &response);
        let wrong_number = event.approved && !approved && instruction.custom_type == CustomType::GoldenNumber;
        let verdict = Verdict { approved, wrong_number, device_id: response.device_id, webhook_id };
        match self.record(&instruction, &verdict).await.map_err(EventRefusal::Store)? {
            DecideOutcome::Unknown => Err(EventRefusal::Unknown),
            DecideOutcome::Recorded { .. } | DecideOutcome::Repeated => Ok(()),
            DecideOutcome::Final(status) => {
                let instruction = short_hash(&event.instruction_id);
                tracing::error!(%instruction, status = status.as_str(), approved, "a decision came for what is over");
                Ok(())
            }
        }
    }

    /// Records a verdict, and alerts the user when it silences the one who asked.
    pub(crate) async fn record(&self, of: &Instruction, verdict: &Verdict) -> Result<DecideOutcome, StoreError> {
        let id = &of.instruction_id;
        let outcome = self.inner.store.decide(&self.inner.settings.tenant_id, id, verdict).await?;
        if let DecideOutcome::Recorded { silenced_for } = &outcome {
            tracing::info!(instruction = %short_hash(id), approved = verdict.approved, "a decision was recorded");
            if silenced_for.is_some() {
                self.alert(of.user.clone());
            }
        }
        Ok(outcome)
    }

    pub(crate) fn alert(&self, user: UserSocketHash) {
        let engine = self.clone();
        self.inner.tasks.spawn(async move {
            let alert = SecurityAlert {
                user_socket_hash: user,
                title: "Several requests were refused".to_owned(),
                body:
                    "Somebody signed in as you keeps asking for approvals that were refused. If that is not you, sign \
                       out everywhere and change your password."
                        .to_owned(),
                kind: AlertKind::Security,
                notification_id: None,
                ttl_seconds: None,
            };
            if let Err(error) = engine.inner.relay.send_security_alert(&alert).await {
                tracing::warn!(%error, "a security alert could not be sent");
            }
        });
    }
}

/// Whether an answer counts as approved: only with its factor, and by the instruction's own type. Anything else does not.
pub(crate) fn counts_as_approved(instruction: &Instruction, approved: bool, response: &ResponseData) -> bool {
    approved
        && match instruction.custom_type {
            CustomType::LocalAuth => true,
            CustomType::GoldenNumber => {
                let right = instruction.golden_number.map(i64::from);
                right.is_some() && response.selected_number == right
            }
            CustomType::Totp => response.totp_verified == Some(true),
        }
}
