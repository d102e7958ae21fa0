//! `callbacks`: the outbox from the command line (PROTOCOL 9.5). A running relay sees what is made due within a second.

use anyhow::ensure;
use bloonio_wire::clock::{Clock, SystemClock};
use bloonio_wire::id::TenantId;
use clap::{Args, Subcommand};
use serde_json::json;

use super::output::PlaceArgs;
use crate::service::callback;
use crate::service::error::ServiceError;
use crate::storage::Storage;
use crate::storage::delivery::listing::{DeliveryState, Filter};

/// What a list shows of a callback in text.
const COLUMNS: &[&str] =
    &["delivery_id", "tenant_id", "flow", "status", "attempts", "last_status", "last_error", "created_at"];
/// Dead callbacks read at a time.
const PAGE: i64 = 200;

/// What can be done to callbacks.
#[derive(Debug, Subcommand)]
pub enum CallbacksCommand {
    /// List callbacks, newest first; never what they say.
    List(ListArgs),
    /// Send callbacks again: same id, same body, fresh signatures, a schedule that starts anew.
    Redeliver(RedeliverArgs),
}

/// Which callbacks to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this tenant alone.
    #[arg(long, value_name = "TENANT_ID")]
    pub tenant: Option<TenantId>,
    /// In this state alone: due, sending, acknowledged or dead.
    #[arg(long, value_name = "STATUS")]
    pub status: Option<DeliveryState>,
    /// Callbacks at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
    /// Callbacks to leave out.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub offset: i64,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Which callbacks to send again.
#[derive(Debug, Args)]
pub struct RedeliverArgs {
    /// The callback, as `callbacks list` names it.
    #[arg(required_unless_present = "all_dead", conflicts_with = "all_dead")]
    pub delivery_id: Option<String>,
    /// Every callback of a tenant that was given up.
    #[arg(long, requires = "tenant")]
    pub all_dead: bool,
    /// The tenant of --all-dead.
    #[arg(long, value_name = "TENANT_ID", requires = "all_dead")]
    pub tenant: Option<TenantId>,
    #[command(flatten)]
    place: PlaceArgs,
}

impl CallbacksCommand {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(args) => {
                let filter = Filter { tenant_id: args.tenant, state: args.status };
                let list = async |storage: &Storage| callback::page(storage, &filter, args.limit, args.offset).await;
                args.place.work("list callbacks", "tenant", COLUMNS, list).await
            }
            Self::Redeliver(RedeliverArgs { delivery_id: Some(id), place, .. }) => {
                let redeliver = async |storage: &Storage| callback::make_due(storage, SystemClock.now(), &id).await;
                place.work("redeliver callback", "callback", COLUMNS, redeliver).await
            }
            Self::Redeliver(RedeliverArgs { tenant, place, .. }) => {
                ensure!(tenant.is_some(), "--all-dead needs --tenant");
                let redeliver = async |storage: &Storage| all_dead(storage, tenant).await;
                place.work("redeliver dead callbacks", "tenant", COLUMNS, redeliver).await
            }
        }
    }
}

/// Makes every dead callback of a tenant due. They are read first: one that dies again meanwhile is not sent twice.
async fn all_dead(storage: &Storage, tenant_id: Option<TenantId>) -> Result<serde_json::Value, ServiceError> {
    let filter = Filter { tenant_id, state: Some(DeliveryState::Dead) };
    let mut dead = Vec::new();
    loop {
        let offset = i64::try_from(dead.len()).unwrap_or(i64::MAX);
        let page = callback::page(storage, &filter, PAGE, offset).await?;
        dead.extend(page.items.iter().map(|item| item.delivery_id.clone()));
        if page.items.is_empty() {
            break;
        }
    }
    let mut made_due = 0;
    for delivery_id in &dead {
        match callback::make_due(storage, SystemClock.now(), delivery_id).await {
            Ok(_) => made_due += 1,
            // Forgotten meanwhile: it was kept for its time.
            Err(ServiceError::Refused(_)) => (),
            Err(failure) => return Err(failure),
        }
    }
    Ok(json!({"tenant_id": filter.tenant_id, "redelivered": made_due}))
}
