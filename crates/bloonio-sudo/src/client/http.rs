//! The relay over HTTPS: signed calls, one deadline over each whole exchange, capped answers (PROTOCOL 2.1 to
//! 2.3).

mod exchange;
mod read;
mod signing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bloonio_wire::challenge::{AuthChallenge, PushReceipt};
use bloonio_wire::clock::Clock;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::delivery::DeliveryState;
use bloonio_wire::device::{PairingOffer, PreparePairing};
use bloonio_wire::id::{InstructionId, RelayUserLinkedId, TenantId, UserSocketHash};
use bloonio_wire::random::{Random, SystemRandom};
use bloonio_wire::secret::Secret;
use reqwest::Client;
use serde_json::{Value, json};
use url::Url;

use super::read::acknowledged;
use super::{Outcome, RelayApi, RelayCall, RelayClient, RelayError, Repeat, SecurityAlert};
use crate::error::BuildError;
use crate::settings::RelaySettings;

/// The relay holds no question longer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Calls the relay over HTTPS. Each call is signed in both ways, by HMAC #1 and as an HTTP message (RFC 9421) over method,
/// path and query: whatever stands between must pass these on unchanged.
///
/// Each call has the settings' request timeout from its beginning to its end, repeats included. That may be less than the
/// 12 s that a relay gives a push service which is slow to answer: from three quarters of the time on, a prompt or alert
/// that has an id is therefore asked after beside (`fetch/delivery-status`), and if the relay has it, that is the answer.
pub struct HttpRelayClient {
    http: Client,
    base_url: Url,
    tenant_id: TenantId,
    secret: Secret,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    timeout: Duration,
}

impl fmt::Debug for HttpRelayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRelayClient").field("base_url", &self.base_url.as_str()).finish_non_exhaustive()
    }
}

impl HttpRelayClient {
    /// A client for the relay and tenant of `settings`. It follows no redirects and asks no proxy, whatever the
    /// environment says: a signed call goes to the configured relay or nowhere.
    ///
    /// # Errors
    /// [`BuildError::HttpClient`].
    pub fn new(settings: &RelaySettings, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("bloonio-sudo/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BuildError::HttpClient(Box::new(error)))?;
        Ok(Self {
            http,
            base_url: settings.base_url.clone(),
            tenant_id: settings.tenant_id.clone(),
            secret: settings.tenant_secret.clone(),
            clock,
            random: Arc::new(SystemRandom),
            timeout: settings.request_timeout,
        })
    }

    /// With another source of nonces than the system's generator.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// Sends a prompt or an alert, and from three quarters of the time on asks beside whether the relay has it.
    async fn push(&self, call: RelayCall, id: Option<&InstructionId>) -> Result<PushReceipt, RelayError> {
        let Some(id) = id else {
            return read::receipt(self.call(&call).await?, None);
        };
        let call = call.with_repeat(Repeat::Safe);
        let sending = self.call(&call);
        tokio::pin!(sending);
        tokio::select! {
            biased;
            answer = &mut sending => return read::receipt(answer?, Some(id)),
            () = tokio::time::sleep(self.timeout * 3 / 4) => {}
        }
        tokio::select! {
            biased;
            answer = &mut sending => read::receipt(answer?, Some(id)),
            // `None`: the branch is out, and the answer alone is waited for.
            Some(receipt) = self.receipt_so_far(id) => Ok(receipt),
        }
    }

    /// What has become of a prompt so far, if the relay has it and it has not failed.
    async fn receipt_so_far(&self, id: &InstructionId) -> Option<PushReceipt> {
        let found = self.fetch_delivery_status(id).await.ok()?;
        match found.status {
            DeliveryState::Failed | DeliveryState::Expired | DeliveryState::Cancelled => return None,
            DeliveryState::Pending | DeliveryState::Delivered | DeliveryState::Partial | DeliveryState::Answered => {}
        }
        Some(PushReceipt {
            instruction_id: id.as_str().to_owned(),
            delivered_count: found.delivered_count,
            failed_count: found.failed_count,
            fcm_message_ids: found.devices.into_iter().filter_map(|device| device.fcm_message_id).collect(),
            failed_tokens_sample: Vec::new(),
            sent_at: self.clock.now(),
        })
    }
}

#[async_trait]
impl RelayClient for HttpRelayClient {
    async fn send_auth_challenge(&self, challenge: &AuthChallenge) -> Result<PushReceipt, RelayError> {
        self.push(RelayCall::post("send/auth-challenge", challenge)?, Some(&challenge.instruction_id)).await
    }

    async fn cancel_auth_challenge(&self, instruction: &InstructionId) -> Result<(), RelayError> {
        let call = RelayCall::post("cancel/auth-challenge", &json!({"instruction_id": instruction}))?;
        read::cancelled(&self.call(&call.with_repeat(Repeat::Safe)).await?, instruction)
    }

    async fn fetch_outcome(&self, instruction: &InstructionId, wait: Duration) -> Result<Outcome, RelayError> {
        let wait = wait.min(LONGEST_WAIT);
        let call = RelayCall::get("fetch/outcome")
            .with_query("instruction_id", instruction.as_str())
            .with_query("wait_seconds", wait.as_secs().to_string())
            .with_wait(wait);
        let answered = self.exchange(&call).await?;
        signing::verify_answer(&self.secret, self.clock.now(), &answered.headers, &answered.body)?;
        read::outcome(answered.data()?, instruction, &self.tenant_id)
    }

    async fn prepare_pairing(&self, profile: &PreparePairing) -> Result<PairingOffer, RelayError> {
        // A repeat would void the offer that may be on its way.
        let call = RelayCall::post("prepare-pairing", profile)?.with_repeat(Repeat::Never);
        read::pairing_offer(self.call(&call).await?, &self.base_url)
    }

    async fn revoke_pairing(&self, user: &UserSocketHash) -> Result<(), RelayError> {
        let answer = self.call(&RelayCall::post("revoke-pairing", &json!({"user_socket_hash": user}))?).await?;
        acknowledged(&answer, &[("user_socket_hash", user.as_str())])
    }

    async fn send_security_alert(&self, alert: &SecurityAlert) -> Result<PushReceipt, RelayError> {
        self.push(RelayCall::post("send/security-alert", alert)?, alert.notification_id.as_ref()).await
    }

    async fn verify_totp(&self, user: &RelayUserLinkedId, code: &str) -> Result<bool, RelayError> {
        let body = json!({"relay_user_linked_id": user, "totp": code});
        // A code works once, and wrong ones are counted: one question, one answer.
        let call = RelayCall::post("sudo/verify-totp", &body)?.with_repeat(Repeat::Never);
        match self.call(&call).await {
            Ok(data) => read::totp_ok(&data),
            Err(RelayError::Rejected { status: 401, code: Some(ErrorCode::InvalidTotp), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn call(&self, call: &RelayCall) -> Result<Value, RelayError> {
        self.exchange(call).await?.data()
    }
}
