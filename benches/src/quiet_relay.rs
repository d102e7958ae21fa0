//! A relay that takes every prompt at once and says nothing more.

use std::time::Duration;

use async_trait::async_trait;
use bloonio_sudo::client::{Outcome, RelayCall};
use bloonio_sudo::wire::challenge::{AuthChallenge, PushReceipt};
use bloonio_sudo::wire::id::RelayUserLinkedId;
use bloonio_sudo::{
    InstructionId, PairingOffer, PreparePairing, RelayClient, RelayError, SecurityAlert, Timestamp, UserSocketHash,
};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

/// Tells somebody of each prompt, if anybody wants to know.
#[derive(Debug, Default)]
pub struct QuietRelay(pub Option<UnboundedSender<InstructionId>>);

const NOT_ASKED: RelayError = RelayError::Unreachable("nobody asks for this here");

fn receipt(id: &str) -> PushReceipt {
    PushReceipt {
        instruction_id: id.to_owned(),
        delivered_count: 1,
        failed_count: 0,
        fcm_message_ids: Vec::new(),
        failed_tokens_sample: Vec::new(),
        sent_at: Timestamp::from_secs(0),
    }
}

#[async_trait]
impl RelayClient for QuietRelay {
    async fn send_auth_challenge(&self, challenge: &AuthChallenge) -> Result<PushReceipt, RelayError> {
        if let Some(told) = &self.0 {
            let _ = told.send(challenge.instruction_id.clone());
        }
        Ok(receipt(challenge.instruction_id.as_str()))
    }

    async fn cancel_auth_challenge(&self, _instruction: &InstructionId) -> Result<(), RelayError> {
        Ok(())
    }

    async fn fetch_outcome(&self, _instruction: &InstructionId, _wait: Duration) -> Result<Outcome, RelayError> {
        Err(NOT_ASKED)
    }

    async fn prepare_pairing(&self, _profile: &PreparePairing) -> Result<PairingOffer, RelayError> {
        Err(NOT_ASKED)
    }

    async fn revoke_pairing(&self, _user: &UserSocketHash) -> Result<(), RelayError> {
        Err(NOT_ASKED)
    }

    async fn send_security_alert(&self, _alert: &SecurityAlert) -> Result<PushReceipt, RelayError> {
        Ok(receipt("alert"))
    }

    async fn verify_totp(&self, _user: &RelayUserLinkedId, _code: &str) -> Result<bool, RelayError> {
        Err(NOT_ASKED)
    }

    async fn call(&self, _call: &RelayCall) -> Result<Value, RelayError> {
        Err(NOT_ASKED)
    }
}
