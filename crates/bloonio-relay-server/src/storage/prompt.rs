//! Rows of `prompts` (PROTOCOL 5). A prompt is open while it is `pending` and `expires_at` lies ahead; nothing has to
//! happen for it to expire, and its row stays as a memory.

use bloonio_wire::challenge::ChallengeStatus;
use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::{DeviceId, InstructionId, RelayUserLinkedId, TenantId};

use super::{Storage, StorageError, Tx};
use crate::storage::db::{On, Row, query};

/// A prompt to be stored.
#[derive(Debug)]
pub struct NewPrompt<'a> {
    /// The tenant's name of it.
    pub instruction_id: &'a InstructionId,
    /// Whom it asks.
    pub relay_user_linked_id: &'a RelayUserLinkedId,
    /// Tells another request under the same name.
    pub request_sha256: [u8; 32],
    /// What is asked, sealed.
    pub content_sealed: Vec<u8>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// First instant at which it is over.
    pub expires_at: Timestamp,
}

/// A stored prompt.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The tenant's name of it.
    pub instruction_id: InstructionId,
    /// Whom it asks.
    pub relay_user_linked_id: RelayUserLinkedId,
    /// SHA-256 of the request.
    pub request_sha256: Vec<u8>,
    /// What is asked, sealed.
    pub content_sealed: Vec<u8>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// First instant at which it is over.
    pub expires_at: Timestamp,
    /// The `ApprovalEvent` as JSON, once it was answered.
    pub event: Option<String>,
    /// The `PushReceipt` as JSON, once the first attempts are over.
    pub receipt: Option<String>,
    stored: ChallengeStatus,
}

impl Prompt {
    /// Where it stands at `now`.
    pub fn status(&self, now: Timestamp) -> ChallengeStatus {
        match self.stored {
            ChallengeStatus::Pending if now >= self.expires_at => ChallengeStatus::Expired,
            status => status,
        }
    }
}

/// A decision to be stored.
#[derive(Debug)]
pub struct NewDecision<'a> {
    /// The prompt.
    pub instruction_id: &'a InstructionId,
    /// The pairing it must belong to.
    pub relay_user_linked_id: &'a RelayUserLinkedId,
    /// The device, which must still be allowed to act.
    pub device_id: &'a DeviceId,
    /// The `ApprovalEvent` as JSON.
    pub event: &'a str,
    /// When.
    pub decided_at: Timestamp,
}

const COLUMNS: &str = "SELECT instruction_id, relay_user_linked_id, request_sha256, content_sealed, status, created_at,
        expires_at, event, receipt FROM prompts";

fn prompt(row: &Row) -> Result<Prompt, StorageError> {
    let corrupt = || StorageError::Corrupt("prompt");
    let text = |name| Ok::<String, StorageError>(row.get(name)?);
    let time = |name| Ok::<_, StorageError>(Timestamp::from_millis(row.get(name)?));
    Ok(Prompt {
        instruction_id: text("instruction_id")?.parse().map_err(|_| corrupt())?,
        relay_user_linked_id: text("relay_user_linked_id")?.parse().map_err(|_| corrupt())?,
        request_sha256: row.get("request_sha256")?,
        content_sealed: row.get("content_sealed")?,
        created_at: time("created_at")?,
        expires_at: time("expires_at")?,
        event: row.get("event")?,
        receipt: row.get("receipt")?,
        stored: text("status")?.parse().map_err(|_| corrupt())?,
    })
}

/// Stores a prompt, unless the tenant has one of that name: then `false`, and nothing is changed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn insert(tx: &mut Tx, tenant: &TenantId, new: &NewPrompt<'_>) -> Result<bool, StorageError> {
    let done = query(
        "-- insert_prompt
         INSERT INTO prompts (tenant_id, instruction_id, relay_user_linked_id, request_sha256, content_sealed, status,
                              created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7)
         ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(new.instruction_id.as_str())
    .bind(new.relay_user_linked_id.as_str())
    .bind(new.request_sha256.as_slice())
    .bind(&new.content_sealed)
    .bind(new.created_at.as_millis())
    .bind(new.expires_at.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The tenant's prompt of that name.
///
/// # Errors
/// [`StorageError`].
pub async fn get(
    db: impl Into<On<'_>>,
    tenant: &TenantId,
    instruction: &InstructionId,
) -> Result<Option<Prompt>, StorageError> {
    let statement = format!("-- prompt\n{COLUMNS} WHERE tenant_id = $1 AND instruction_id = $2");
    let row = query(statement).bind(tenant.as_str()).bind(instruction.as_str()).fetch_optional(db).await?;
    row.as_ref().map(prompt).transpose()
}

/// A pairing's open prompts, newest first.
///
/// # Errors
/// [`StorageError`].
pub async fn open(
    storage: &Storage,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    now: Timestamp,
) -> Result<Vec<Prompt>, StorageError> {
    let statement = format!(
        "-- open_prompts\n{COLUMNS}
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND status = 'pending' AND expires_at > $3
         ORDER BY created_at DESC, instruction_id"
    );
    let rows = query(statement)
        .bind(tenant.as_str())
        .bind(linked_id.as_str())
        .bind(now.as_millis())
        .fetch_all(storage.readers())
        .await?;
    rows.iter().map(prompt).collect()
}

/// When the `nth` newest of a pairing's unanswered prompts since `since` was asked; `None` if there are fewer.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn nth_unanswered(
    tx: &mut Tx,
    tenant: &TenantId,
    linked_id: &RelayUserLinkedId,
    since: Timestamp,
    nth: u32,
) -> Result<Option<Timestamp>, StorageError> {
    let at: Option<i64> = query(
        "-- nth_unanswered_prompt
         SELECT created_at FROM prompts
         WHERE tenant_id = $1 AND relay_user_linked_id = $2 AND created_at > $3 AND status <> 'answered'
         ORDER BY created_at DESC LIMIT 1 OFFSET $4",
    )
    .bind(tenant.as_str())
    .bind(linked_id.as_str())
    .bind(since.as_millis())
    .bind(nth.saturating_sub(1))
    .fetch_value(&mut *tx)
    .await?;
    Ok(at.map(Timestamp::from_millis))
}

/// Keeps what the first attempts came to; the first receipt stands.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn set_receipt(
    storage: &Storage,
    tenant: &TenantId,
    instruction: &str,
    receipt: &str,
) -> Result<(), StorageError> {
    query(
        "-- set_prompt_receipt
         UPDATE prompts SET receipt = $3 WHERE tenant_id = $1 AND instruction_id = $2 AND receipt IS NULL",
    )
    .bind(tenant.as_str())
    .bind(instruction)
    .bind(receipt)
    .execute(storage.writer())
    .await?;
    Ok(())
}

/// Withdraws an open prompt; `false` means that it was not open.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn cancel(
    tx: &mut Tx,
    tenant: &TenantId,
    instruction: &InstructionId,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let done = query(
        "-- cancel_prompt
         UPDATE prompts SET status = 'cancelled'
         WHERE tenant_id = $1 AND instruction_id = $2 AND status = 'pending' AND expires_at > $3",
    )
    .bind(tenant.as_str())
    .bind(instruction.as_str())
    .bind(now.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Counts a wrong one-time code for an open prompt; answers how many there are now. `None` means that the prompt is not
/// open, and nothing was changed.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn count_wrong_code(
    tx: &mut Tx,
    tenant: &TenantId,
    instruction: &InstructionId,
    now: Timestamp,
) -> Result<Option<i64>, StorageError> {
    let count = query(
        "-- count_wrong_code
         UPDATE prompts SET wrong_codes = wrong_codes + 1
         WHERE tenant_id = $1 AND instruction_id = $2 AND status = 'pending' AND expires_at > $3
         RETURNING wrong_codes",
    )
    .bind(tenant.as_str())
    .bind(instruction.as_str())
    .bind(now.as_millis())
    .fetch_value(&mut *tx)
    .await?;
    Ok(count)
}

/// Answers an open prompt of the pairing, for a device that may act, of an active tenant; `false` means that one of these did not hold, and
/// nothing was changed. Of any number of answers, one changes the row.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn decide(tx: &mut Tx, tenant: &TenantId, new: &NewDecision<'_>) -> Result<bool, StorageError> {
    let done = query(
        "-- decide_prompt
         UPDATE prompts SET status = 'answered', decided_at = $6, event = $5
         WHERE tenant_id = $1 AND instruction_id = $2 AND relay_user_linked_id = $3
           AND status = 'pending' AND expires_at > $6
           AND EXISTS (
               SELECT 1 FROM devices d
               WHERE d.tenant_id = $1 AND d.device_id = $4 AND d.relay_user_linked_id = $3 AND d.status = 'active'
           )
           AND EXISTS (SELECT 1 FROM tenants t WHERE t.tenant_id = $1 AND t.status = 'active')",
    )
    .bind(tenant.as_str())
    .bind(new.instruction_id.as_str())
    .bind(new.relay_user_linked_id.as_str())
    .bind(new.device_id.as_str())
    .bind(new.event)
    .bind(new.decided_at.as_millis())
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
