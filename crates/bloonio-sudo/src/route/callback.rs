//! Callbacks of the relay: authenticated over the raw bytes, then read (PROTOCOL 2.5, 9.4; SECURITY, "Callbacks into a
//! backend").

use bloonio_wire::callback::Flow;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::TenantId;
use bloonio_wire::sign::{self, Signature, SignatureError};
use bloonio_wire::{header, webhook};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::pairing::PairingBody;
use crate::decision::Refusal;
use crate::device_keys::PinOutcome;
use crate::engine::{Event, EventRefusal, SudoEngine};
use crate::reply::Reply;
use crate::request::RequestView;

/// The same window as that of HMAC #1, in seconds.
const WINDOW_SECS: u64 = 30;

/// A callback whose signatures hold.
struct Authentic {
    tenant: Option<TenantId>,
    webhook_id: Option<String>,
}

impl SudoEngine {
    pub(super) async fn take_callback(&self, view: &RequestView<'_>, flow: Option<&str>) -> Reply {
        let authentic = match self.authenticate(view) {
            Ok(authentic) => authentic,
            Err(error) => {
                tracing::warn!(%error, "a callback was refused");
                return Reply::error(match error {
                    SignatureError::OutOfWindow => ErrorCode::TimestampOutOfWindow,
                    _ => ErrorCode::InvalidSignature,
                });
            }
        };
        // The header is not signed; one that names another tenant is not for us, whoever made the signature.
        if authentic.tenant.as_ref() != Some(self.settings().tenant_id()) {
            return Reply::error(ErrorCode::Forbidden);
        }
        let flow = match flow.map(str::parse::<Flow>) {
            None => None,
            Some(Ok(flow)) => Some(flow),
            Some(Err(_)) => return Reply::error(ErrorCode::MalformedRequest),
        };
        match flow {
            Some(flow @ (Flow::PairingCompleted | Flow::DeviceAdded)) => {
                self.take_pairing(view.body(), flow, authentic.webhook_id).await
            }
            _ => self.take_decision(view.body(), flow, authentic.webhook_id).await,
        }
    }

    async fn take_decision(&self, body: &[u8], flow: Option<Flow>, webhook_id: Option<String>) -> Reply {
        let event = match read::<Event>(body) {
            Ok(event) => event,
            Err(code) => return Reply::error(code),
        };
        let agrees = match flow {
            Some(Flow::SudoValidated) => event.approved,
            Some(Flow::SudoRejected) => !event.approved,
            _ => true,
        };
        let taken = if agrees { self.take(event, webhook_id).await } else { Err(EventRefusal::Contradiction) };
        match taken {
            Ok(()) => acknowledged(),
            // The relay tries again later.
            Err(EventRefusal::Store(error)) => {
                tracing::error!(%error, "a callback could not be taken");
                Refusal::state_unavailable().into_reply()
            }
            Err(why) => {
                tracing::warn!(?why, "a callback decides nothing");
                Reply::error(why.code())
            }
        }
    }

    async fn take_pairing(&self, body: &[u8], flow: Flow, webhook_id: Option<String>) -> Reply {
        let pairing = match read::<PairingBody>(body) {
            Ok(pairing) => pairing,
            Err(code) => return Reply::error(code),
        };
        if pairing.tenant_id.as_ref().is_some_and(|tenant| tenant != self.settings().tenant_id()) {
            return Reply::error(ErrorCode::Forbidden);
        }
        let Some(device) = pairing.device() else { return Reply::error(ErrorCode::MalformedRequest) };
        let pinned = self.inner.device_keys.pin(self.settings().tenant_id(), pairing.user(), &device).await;
        match pinned {
            Ok(PinOutcome::Conflict) => {
                tracing::error!("a device that is known came with another key or pairing: the first one stands");
                return acknowledged();
            }
            Ok(outcome) => {
                if let Some(told) = &self.inner.on_pairing {
                    told(pairing.into_event(flow, outcome == PinOutcome::Known, webhook_id));
                }
            }
            Err(error) => {
                tracing::error!(%error, "a device could not be pinned");
                return Refusal::state_unavailable().into_reply();
            }
        }
        acknowledged()
    }

    /// HMAC #1 must hold, and where any Standard Webhooks header is there, all three must hold too.
    fn authenticate(&self, view: &RequestView<'_>) -> Result<Authentic, SignatureError> {
        let (secret, now) = (&self.settings().tenant_secret, self.inner.clock.now());
        let tenant = required(view, header::TENANT_ID)?;
        let timestamp = sign::parse_timestamp(required(view, header::TIMESTAMP)?)?;
        let signature = Signature::from_hex(required(view, header::SIGNATURE)?)?;
        sign::check_window(timestamp, now)?;
        sign::verify(secret, timestamp, view.body(), &signature)?;

        let names = [header::WEBHOOK_ID, header::WEBHOOK_TIMESTAMP, header::WEBHOOK_SIGNATURE];
        let mut webhook_id = None;
        if names.iter().any(|name| !view.header_values(name).is_empty()) {
            let id = required(view, header::WEBHOOK_ID)?;
            let seconds = sign::parse_timestamp(required(view, header::WEBHOOK_TIMESTAMP)?)?;
            if seconds.abs_diff(now.as_secs()) > WINDOW_SECS {
                return Err(SignatureError::OutOfWindow);
            }
            webhook::verify(secret, id, seconds, view.body(), required(view, header::WEBHOOK_SIGNATURE)?)?;
            webhook_id = Some(id.to_owned());
        }
        Ok(Authentic { tenant: TenantId::parse(tenant).ok(), webhook_id })
    }
}

/// Reads a body whole: from bytes, serde_json passes over what is no UTF-8 in the fields that it skips.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ErrorCode> {
    let text = std::str::from_utf8(body).map_err(|_| ErrorCode::MalformedRequest)?;
    serde_json::from_str(text).map_err(|_| ErrorCode::MalformedRequest)
}

fn acknowledged() -> Reply {
    Reply::json(200, &json!({"acknowledged": true}))
}

/// A header given exactly once: two of them, and somebody reads the other one.
fn required<'v>(view: &RequestView<'v>, name: &str) -> Result<&'v str, SignatureError> {
    view.header(name).ok_or(SignatureError::Malformed)
}
