//! FCM as the relay's push service.

use std::sync::Arc;

use async_trait::async_trait;
use bloonio_wire::clock::Clock;

use super::client::FcmClient;
use super::error::SendError;
use super::message::{Message, MessageError};
use crate::push::{AddressVerdict, Push, PushFailure, PushOutcome, PushSender, Retry};

/// Writes each push as an FCM message and sends it.
#[derive(Debug)]
pub struct FcmSender {
    client: FcmClient,
    clock: Arc<dyn Clock>,
}

impl FcmSender {
    /// A sender over `client`.
    pub fn new(client: FcmClient, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock }
    }
}

#[async_trait]
impl PushSender for FcmSender {
    async fn send(&self, push: &Push) -> PushOutcome {
        let write = || Message::build(push, self.clock.now()).map_err(PushFailure::from);
        match self.client.send_written(write).await {
            Ok(name) => PushOutcome::Accepted { message_id: name.into() },
            Err(failure) => PushOutcome::Failed(failure),
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
