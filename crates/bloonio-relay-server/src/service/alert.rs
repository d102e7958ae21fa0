//! Passive notices of a tenant: POST /relay/send/security-alert (PROTOCOL 5).

use std::time::Duration;

use bloonio_wire::challenge::{AlertKind, PushReceipt};
use bloonio_wire::code::ErrorCode;
use bloonio_wire::id::{InstructionId, UserSocketHash};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;
use crate::push::PushKind;
use crate::service::content::{AlertContent, request_sha256, seal_alert};
use crate::service::error::ServiceError;
use crate::service::prompt::enqueue;
use crate::service::receipt::{self, Subject};
use crate::service::tenant::Tenant;
use crate::storage::alert::{self, NewAlert};
use crate::storage::{device, pairing};

/// Life of a notice that names none, in seconds (PROTOCOL 5).
const DEFAULT_TTL: i64 = 86_400;

/// A notice to be sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "user_socket_hash": "f3a1c2d4e5b60718", "title": "New sign-in", "body": "From Firefox in Lisbon.", "kind": "sign_in"
}))]
pub struct SecurityAlert {
    /// Whom to tell.
    pub user_socket_hash: UserSocketHash,
    /// Headline, 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub title: String,
    /// Text, 1 to 1,024 characters.
    #[schema(min_length = 1, max_length = 1024)]
    pub body: String,
    /// What kind of notice.
    pub kind: AlertKind,
    /// The tenant's name of it; absent: the relay draws one.
    pub notification_id: Option<InstructionId>,
    /// Life in seconds, default 86,400.
    pub ttl_seconds: Option<i64>,
}

/// Stores a notice and pushes it to every live device. The same request under the same name gets the first answer.
///
/// # Errors
/// `IDEMPOTENCY_CONFLICT`, `PAIRING_NOT_FOUND`, `NO_DEVICE`, `PUSH_NOT_DELIVERED`.
pub async fn send(app: &SharedApp, tenant: &Tenant, request: SecurityAlert) -> Result<PushReceipt, ServiceError> {
    let tenant_id = &tenant.tenant_id;
    let request_sha256 = request_sha256(&request)?;
    let id = match request.notification_id {
        Some(id) => id,
        None => InstructionId::draw(app.random.as_ref())?,
    };
    let subject = Subject { tenant_id: tenant_id.clone(), kind: PushKind::SecurityAlert, id: id.clone() };
    let content = AlertContent {
        tenant_name: tenant.display_name().to_owned(),
        title: request.title,
        body: request.body,
        kind: request.kind,
    };
    let content_sealed = seal_alert(app, tenant_id, id.as_str(), &content)?;

    let mut tx = app.storage.begin(tenant_id).await?;
    let now = app.clock.now();
    if let Some(earlier) = alert::get(&mut tx, tenant_id, id.as_str()).await? {
        drop(tx);
        return if earlier.request_sha256 == request_sha256 {
            receipt::again(app, &subject).await
        } else {
            Err(ErrorCode::IdempotencyConflict.into())
        };
    }
    let pairing = pairing::of_user(&mut tx, tenant_id, &request.user_socket_hash).await?;
    let linked_id = pairing.ok_or(ErrorCode::PairingNotFound)?.relay_user_linked_id;
    let devices = device::targets(&mut tx, tenant_id, &linked_id, now).await?;
    if devices.is_empty() {
        return Err(ErrorCode::NoDevice.into());
    }
    let ttl = Duration::from_secs(request.ttl_seconds.unwrap_or(DEFAULT_TTL).unsigned_abs());
    let new = NewAlert {
        notification_id: id.as_str(),
        relay_user_linked_id: &linked_id,
        request_sha256,
        content_sealed,
        created_at: now,
        expires_at: now.plus(ttl),
    };
    if !alert::insert(&mut tx, tenant_id, &new).await? {
        // Cannot be: the row was not there, and this transaction is the only writer.
        return Err(ErrorCode::IdempotencyConflict.into());
    }
    enqueue(app, &mut tx, &subject, new.expires_at, &devices, now).await?;
    app.storage.commit(tx).await?;
    receipt::deliver(app, subject).await
}
