//! One-time codes that a device gives to the backend itself: the relay holds the seeds, so it is asked (PROTOCOL 6, 9.4).

use std::collections::BTreeSet;
use std::time::Duration;

use bloonio_wire::code::ErrorCode;
use bloonio_wire::envelope::FieldProblem;
use serde_json::json;

use crate::client::RelayError;
use crate::decision::Refusal;
use crate::engine::SudoEngine;
use crate::instruction::Instruction;
use crate::reply::Reply;
use crate::route::invalid;
use crate::store::{MissOutcome, StoreError};

/// The answer where the relay does not say whether a code is right.
fn unchecked(error: &RelayError) -> Reply {
    if let RelayError::Rejected { status: 429, retry_after, .. } = error {
        return Reply::error(ErrorCode::RateLimited).with_retry_after(retry_after.unwrap_or(Duration::from_secs(1)));
    }
    tracing::error!(%error, "a one-time code could not be checked");
    Refusal::relay_unavailable().into_reply()
}

impl SudoEngine {
    /// Asks the relay whether `code` is right. A wrong one counts, and the third denies the instruction; the reply says
    /// which.
    pub(super) async fn check_code(&self, of: &Instruction, code: &str) -> Result<Result<(), Reply>, StoreError> {
        let tenant = self.settings().tenant_id();
        let devices = self.inner.device_keys.devices(tenant, &of.user).await?;
        // More than one only where a pairing was revoked and another one made; the relay knows the revoked one no longer.
        let pairings: BTreeSet<_> = devices.into_iter().map(|device| device.relay_user_linked_id).collect();
        if pairings.is_empty() {
            let problem = FieldProblem::new("totp_code", "cannot be checked here: answer the relay");
            return Ok(Err(invalid(vec![problem])));
        }
        for pairing in &pairings {
            match self.inner.relay.verify_totp(pairing, code).await {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => {}
                Err(error) => return Ok(Err(unchecked(&error))),
            }
        }
        self.miss(of).await.map(Err)
    }

    async fn miss(&self, of: &Instruction) -> Result<Reply, StoreError> {
        let missed = self.inner.store.miss(self.settings().tenant_id(), &of.instruction_id).await?;
        Ok(match missed {
            MissOutcome::Counted => Reply::error(ErrorCode::InvalidTotp),
            MissOutcome::Denied { silenced_for } => {
                self.withdraw(of.instruction_id.clone());
                if silenced_for.is_some() {
                    self.alert(of.user.clone());
                }
                Reply::json(200, &json!({"recorded": true}))
            }
            MissOutcome::Final(_) => Reply::error(ErrorCode::AlreadyDecided),
            MissOutcome::Unknown => Reply::error(ErrorCode::InvalidResponseToken),
        })
    }
}
