//! Asking a person, and withdrawing the question (PROTOCOL 5).

use std::time::Duration;

use bloonio_wire::challenge::{AuthChallenge, ChallengeStatus, CustomType, PushReceipt};
use bloonio_wire::clock::Timestamp;
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::{InstructionId, RelayUserLinkedId, TenantId};
use tracing::info;

use crate::app::SharedApp;
use crate::audit::{Event, Kind, digest_of};
use crate::push::{PushKind, PushTarget};
use crate::service::content::{PromptContent, request_sha256, seal_prompt};
use crate::service::error::ServiceError;
use crate::service::receipt::{self, Subject};
use crate::service::tenant::Tenant;
use crate::storage::prompt::NewPrompt;
use crate::storage::push::NewPush;
use crate::storage::{Tx, audit, device, pairing, prompt, push};
use crate::telemetry::stage::Stage;
use crate::telemetry::{metrics as names, short_hash};

/// Life of a prompt that names none, in seconds (PROTOCOL 5).
const DEFAULT_TTL: i64 = 180;
/// The relay's own backstop against push bombing (PROTOCOL 5): so many unanswered prompts a pairing …
const MAX_UNANSWERED: u32 = 30;
/// … in this long.
const ATTENTION_WINDOW: Duration = Duration::from_secs(600);

/// Stores a prompt, pushes it to every live device of the pairing, and answers what the first attempts came to. The same
/// request again gets the first answer; many at once make one prompt.
///
/// # Errors
/// `IDEMPOTENCY_CONFLICT`, `PAIRING_NOT_FOUND`, `NO_DEVICE`, `VALIDATION_FAILED` for `totp` without a seed, `RATE_LIMITED`,
/// `PUSH_NOT_DELIVERED`.
pub async fn send(app: &SharedApp, tenant: &Tenant, challenge: AuthChallenge) -> Result<PushReceipt, ServiceError> {
    let content = PromptContent { tenant_name: tenant.display_name().to_owned(), challenge };
    let (tenant_id, id) = (&tenant.tenant_id, &content.challenge.instruction_id);
    let subject = Subject { tenant_id: tenant_id.clone(), kind: PushKind::AuthChallenge, id: id.clone() };
    // Sealed before the transaction: others wait for the writer.
    let sealed = Sealed {
        request_sha256: request_sha256(&content.challenge)?,
        content_sealed: seal_prompt(app, tenant_id, &content)?,
    };
    if !Stage::Store.measure(store(app, &subject, &content.challenge, sealed)).await? {
        return receipt::again(app, &subject).await;
    }
    metrics::counter!(names::PROMPTS, "outcome" => "asked").increment(1);
    info!(tenant.id = tenant_id.as_str(), instruction.id = short_hash(id), "a prompt was stored");
    Stage::Push.measure(receipt::deliver(app, subject)).await
}

struct Sealed {
    request_sha256: [u8; 32],
    content_sealed: Vec<u8>,
}

/// Prompt and pushes in one transaction; `false` means that the same request was stored before.
async fn store(
    app: &SharedApp,
    subject: &Subject,
    challenge: &AuthChallenge,
    sealed: Sealed,
) -> Result<bool, ServiceError> {
    let (tenant_id, instruction_id) = (&subject.tenant_id, &subject.id);
    let mut tx = app.storage.begin(tenant_id).await?;
    let now = app.clock.now();
    if let Some(earlier) = prompt::get(&mut tx, tenant_id, instruction_id).await? {
        let same = earlier.request_sha256 == sealed.request_sha256;
        return if same { Ok(false) } else { Err(ErrorCode::IdempotencyConflict.into()) };
    }
    let pairing = pairing::of_user(&mut tx, tenant_id, &challenge.user_socket_hash).await?;
    let linked_id = pairing.ok_or(ErrorCode::PairingNotFound)?.relay_user_linked_id;
    let devices = device::targets(&mut tx, tenant_id, &linked_id, now).await?;
    if devices.is_empty() {
        return Err(ErrorCode::NoDevice.into());
    }
    check_factor(app, &mut tx, tenant_id, &linked_id, challenge.custom_type).await?;
    check_attention(&mut tx, tenant_id, &linked_id, now).await?;
    let ttl = challenge.ttl_seconds.unwrap_or(DEFAULT_TTL).unsigned_abs();
    let new = NewPrompt {
        instruction_id,
        relay_user_linked_id: &linked_id,
        request_sha256: sealed.request_sha256,
        content_sealed: sealed.content_sealed,
        created_at: now,
        expires_at: now.plus(Duration::from_secs(ttl)),
    };
    if !prompt::insert(&mut tx, tenant_id, &new).await? {
        // Cannot be: the row was not there, and this transaction is the only writer.
        return Err(ErrorCode::IdempotencyConflict.into());
    }
    enqueue(app, &mut tx, subject, new.expires_at, &devices, now).await?;
    let event = Event::new(Kind::PromptAsked, digest_of(tenant_id, instruction_id.as_str()))
        .with("pairing", linked_id.as_str())
        .with("custom_type", challenge.custom_type.as_str())
        .with("request_sha256", hex::encode(new.request_sha256))
        .with("expires_at", new.expires_at.as_millis());
    audit::append(&mut tx, tenant_id, event, now).await?;
    app.storage.commit(tx).await?;
    Ok(true)
}

/// Writes the pushes of a subject, under the lease of this process.
///
/// # Errors
/// [`ServiceError`].
pub(super) async fn enqueue(
    app: &SharedApp,
    tx: &mut Tx,
    subject: &Subject,
    expires_at: Timestamp,
    devices: &[PushTarget],
    now: Timestamp,
) -> Result<(), ServiceError> {
    let new = NewPush { kind: subject.kind, subject_id: subject.id.as_str(), expires_at };
    push::enqueue(tx, &subject.tenant_id, new, devices, now, &app.pusher.lease()?).await?;
    Ok(())
}

/// A prompt that nobody could approve is not sent: a pairing has no seed if it is older than this relay's one-time codes, or
/// if its seed ended with its device.
async fn check_factor(
    app: &SharedApp,
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    custom_type: CustomType,
) -> Result<(), ServiceError> {
    if custom_type != CustomType::Totp || app.totp.is_enrolled(tx, tenant, linked_id).await? {
        return Ok(());
    }
    Err(ServiceError::invalid("custom_type", "must not be totp: the pairing has no seed, revoke it and pair again"))
}

async fn check_attention(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let since = now.minus(ATTENTION_WINDOW);
    match prompt::nth_unanswered(tx, tenant, linked_id, since, MAX_UNANSWERED).await? {
        None => Ok(()),
        Some(oldest) => {
            let millis = oldest.plus(ATTENTION_WINDOW).since(now).as_millis();
            let seconds = u64::try_from(millis.div_ceil(1000)).unwrap_or(u64::MAX);
            Err(ServiceError::RateLimited { retry_after: Duration::from_secs(seconds.max(1)) })
        }
    }
}

/// Withdraws a prompt from the devices. Repeating it changes nothing; a prompt that is over stays what it is.
///
/// # Errors
/// `NOT_FOUND`, `ALREADY_DECIDED`.
pub async fn cancel(
    app: &SharedApp,
    tenant: &Tenant,
    instruction_id: &InstructionId,
) -> Result<ChallengeStatus, ServiceError> {
    let tenant_id = &tenant.tenant_id;
    let mut tx = app.storage.begin(tenant_id).await?;
    let now = app.clock.now();
    let cancelled = prompt::cancel(&mut tx, tenant_id, instruction_id, now).await?;
    let prompt = prompt::get(&mut tx, tenant_id, instruction_id).await?.ok_or(ErrorCode::NotFound)?;
    if !cancelled {
        return match prompt.status(now) {
            ChallengeStatus::Answered => Err(ErrorCode::AlreadyDecided.into()),
            status => Ok(status),
        };
    }
    let subject =
        Subject { tenant_id: tenant_id.clone(), kind: PushKind::ChallengeCancelled, id: instruction_id.clone() };
    let devices = device::targets(&mut tx, tenant_id, &prompt.relay_user_linked_id, now).await?;
    enqueue(app, &mut tx, &subject, prompt.expires_at, &devices, now).await?;
    let event = Event::new(Kind::PromptCancelled, digest_of(tenant_id, instruction_id.as_str()));
    audit::append(&mut tx, tenant_id, event, now).await?;
    app.storage.commit(tx).await?;
    metrics::counter!(names::PROMPTS, "outcome" => "cancelled").increment(1);
    app.prompts.wake(&(tenant_id.clone(), instruction_id.clone()), ());
    receipt::push_unattended(app, subject);
    Ok(ChallengeStatus::Cancelled)
}
