//! The outbox as its operator sees it: what waits, what was given up, and the order to send again.

use bloonio_wire::clock::Timestamp;
use bloonio_wire::id::TenantId;

use crate::audit::{Event, Kind};
use crate::storage::db::{Row, query};
use crate::storage::{Storage, StorageError, audit};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waits for its next attempt.
    Due,
    /// An attempt is under way.
    Sending,
    /// The receiver has it.
    Acknowledged,
    /// Given up.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: &'static [Self] = &[Self::Due, Self::Sending, Self::Acknowledged, Self::Dead];

    /// The state as it travels and as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Sending => "sending",
            Self::Acknowledged => "acknowledged",
            Self::Dead => "dead",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == name)
    }
}

/// A text that is none of the states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be due, sending, acknowledged or dead")]
pub struct UnknownState;

impl std::str::FromStr for DeliveryState {
    type Err = UnknownState;
    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::from_name(text).ok_or(UnknownState)
    }
}

/// A delivery, without its payload: what a person answered is the tenant's alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Whose event.
    pub tenant_id: TenantId,
    /// The delivery.
    pub delivery_id: String,
    /// What it is about.
    pub subject_id: String,
    /// Which event.
    pub flow: String,
    /// Where it goes.
    pub url: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts so far.
    pub attempts: i64,
    /// When it is due, for [`DeliveryState::Due`].
    pub next_at: Timestamp,
    /// When the event happened.
    pub created_at: Timestamp,
    /// Last instant of the schedule.
    pub give_up_at: Timestamp,
    /// When it was acknowledged or given up.
    pub settled_at: Option<Timestamp>,
    /// The receiver's last status.
    pub last_status: Option<i64>,
    /// What the last attempt failed of.
    pub last_error: Option<String>,
}

const COLUMNS: &str = "tenant_id, delivery_id, subject_id, flow, url, state, attempts, next_at, created_at, give_up_at, \
                       settled_at, last_status, last_error";

fn delivery(row: &Row) -> Result<DeliveryRow, StorageError> {
    let (tenant_id, state): (String, String) = (row.get("tenant_id")?, row.get("state")?);
    let time = |name| Ok::<_, StorageError>(Timestamp::from_millis(row.get(name)?));
    Ok(DeliveryRow {
        tenant_id: TenantId::parse(tenant_id).map_err(|_| StorageError::Corrupt("delivery"))?,
        delivery_id: row.get("delivery_id")?,
        subject_id: row.get("subject_id")?,
        flow: row.get("flow")?,
        url: row.get("url")?,
        state: DeliveryState::from_name(&state).ok_or(StorageError::Corrupt("delivery"))?,
        attempts: row.get("attempts")?,
        next_at: time("next_at")?,
        created_at: time("created_at")?,
        give_up_at: time("give_up_at")?,
        settled_at: row.get::<Option<i64>>("settled_at")?.map(Timestamp::from_millis),
        last_status: row.get("last_status")?,
        last_error: row.get("last_error")?,
    })
}

/// Which deliveries to list; `None` is no restriction.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this tenant.
    pub tenant_id: Option<TenantId>,
    /// In this state.
    pub state: Option<DeliveryState>,
}

/// A page of deliveries, newest first, and how many there are in all.
///
/// # Errors
/// [`StorageError`].
pub async fn list(
    storage: &Storage,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> Result<(Vec<DeliveryRow>, i64), StorageError> {
    let tenant = filter.tenant_id.as_ref().map(TenantId::as_str);
    let state = filter.state.map(DeliveryState::as_str);
    let mut reader = storage.begin_read().await?;
    let total = query(
        "-- count_deliveries
         SELECT count(*) FROM deliveries WHERE ($1 IS NULL OR tenant_id = $1) AND ($2 IS NULL OR state = $2)",
    )
    .bind(tenant)
    .bind(state)
    .fetch_one(&mut reader)
    .await?
    .at(0)?;
    let statement = format!(
        "-- list_deliveries
         SELECT {COLUMNS} FROM deliveries WHERE ($1 IS NULL OR tenant_id = $1) AND ($2 IS NULL OR state = $2)
         ORDER BY created_at DESC, delivery_id LIMIT $3 OFFSET $4"
    );
    let rows = query(statement).bind(tenant).bind(state).bind(limit).bind(offset).fetch_all(&mut reader).await?;
    Ok((rows.iter().map(delivery).collect::<Result<_, _>>()?, total))
}

/// The delivery of that id.
///
/// # Errors
/// [`StorageError`].
pub async fn find(storage: &Storage, delivery_id: &str) -> Result<Option<DeliveryRow>, StorageError> {
    let statement = format!("-- find_delivery\nSELECT {COLUMNS} FROM deliveries WHERE delivery_id = $1");
    let row = query(statement).bind(delivery_id).fetch_optional(storage.readers()).await?;
    row.as_ref().map(delivery).transpose()
}

/// Makes a delivery due now, whatever became of it, with a schedule that starts anew; one that is under way is left to
/// itself. `None` if there is none of that id.
///
/// # Errors
/// [`StorageError`].
pub async fn redeliver(
    storage: &Storage,
    delivery_id: &str,
    now: Timestamp,
    give_up_at: Timestamp,
) -> Result<Option<DeliveryRow>, StorageError> {
    let statement = format!(
        "-- redeliver
         UPDATE deliveries SET state = 'due', next_at = $2, scheduled_from = $2, settled_at = NULL,
                               give_up_at = CASE WHEN give_up_at < $3 THEN $3 ELSE give_up_at END
         WHERE delivery_id = $1 AND state IN ('due', 'acknowledged', 'dead')
         RETURNING {COLUMNS}"
    );
    let mut tx = storage.begin_shared().await?;
    let row = query(statement)
        .bind(delivery_id)
        .bind(now.as_millis())
        .bind(give_up_at.as_millis())
        .fetch_optional(&mut tx)
        .await?;
    let Some(row) = row else {
        tx.rollback().await?;
        return find(storage, delivery_id).await;
    };
    let row = delivery(&row)?;
    audit::append(&mut tx, &row.tenant_id, Event::new(Kind::CallbackResent, delivery_id), now).await?;
    storage.commit(tx).await?;
    Ok(Some(row))
}

/// What waits: how many deliveries are neither acknowledged nor given up, and when the oldest of them was created.
///
/// # Errors
/// [`StorageError::Database`].
pub async fn waiting(storage: &Storage) -> Result<(i64, Option<Timestamp>), StorageError> {
    let row = query(
        "-- waiting_deliveries
         SELECT count(*), min(created_at) FROM deliveries WHERE state IN ('due', 'sending')",
    )
    .fetch_one(storage.readers())
    .await?;
    Ok((row.at(0)?, row.at::<Option<i64>>(1)?.map(Timestamp::from_millis)))
}
