//! FCM as the relay's push service.

use std::sync::Arc;

use async_trait::async_trait;
use bloonio_wire::clock::{Clock, Timestamp};

use super::client::FcmClient;
use super::error::SendError;
use super::gate::Gate;
use super::lane::LaneLimits;
use super::message::{Message, MessageError};
use crate::push::{AddressVerdict, Push, PushFailure, PushOutcome, PushSender, Retry};

/// Writes each push as an FCM message, and sends it when the project's lane and breakers let it through.
#[derive(Debug)]
pub struct FcmSender {
    client: FcmClient,
    clock: Arc<dyn Clock>,
    gate: Gate,
}

impl FcmSender {
    /// A sender over `client`, as fast as PUSH.md 1.6 allows.
    pub fn new(client: FcmClient, clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(client, clock, LaneLimits::default())
    }

    /// A sender with another pace.
    pub fn with_limits(client: FcmClient, clock: Arc<dyn Clock>, limits: LaneLimits) -> Self {
        let gate = Gate::new(Arc::clone(&clock), limits);
        Self { client, clock, gate }
    }
}

/// Why a push was not accepted: no message could be made of it, or FCM did not take it.
enum Trouble {
    Message(MessageError),
    Send(SendError),
}

impl From<SendError> for Trouble {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

#[async_trait]
impl PushSender for FcmSender {
    async fn send(&self, push: &Push) -> PushOutcome {
        let write = || Message::build(push, self.clock.now()).map_err(Trouble::Message);
        // What cannot be sent takes nobody's turn.
        if let Err(trouble) = write() {
            return PushOutcome::Failed(trouble.into());
        }
        let permit = match self.gate.pass(push.platform).await {
            Ok(permit) => permit,
            Err(held) => return PushOutcome::Held(held),
        };
        match self.client.send_written(write).await {
            Ok(name) => {
                self.gate.learn(permit, Ok(()));
                PushOutcome::Accepted { message_id: name.into() }
            }
            Err(trouble) => {
                if let Trouble::Send(error) = &trouble {
                    self.gate.learn(permit, Err(error));
                }
                PushOutcome::Failed(trouble.into())
            }
        }
    }

    fn closed_until(&self) -> Option<Timestamp> {
        self.gate.closed_until()
    }
}

impl From<Trouble> for PushFailure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Message(error) => error.into(),
            Trouble::Send(error) => error.into(),
        }
    }
}

impl From<SendError> for PushFailure {
    fn from(error: SendError) -> Self {
        Self { error: error.cause.name(), address: error.address_verdict(), retry: error.retry() }
    }
}

impl From<MessageError> for PushFailure {
    fn from(error: MessageError) -> Self {
        let error = match error {
            MessageError::Expired => "expired",
            MessageError::NotAnFcmDevice => "no_address",
            MessageError::TooLarge { .. } => "message_too_large",
            MessageError::Unwritable => "message_unwritable",
        };
        Self { error, address: AddressVerdict::Keep, retry: Retry::Never }
    }
}
