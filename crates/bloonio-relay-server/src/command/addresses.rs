//! `addresses`: push addresses from the command line.

use bloonio_wire::clock::{Clock, SystemClock, Timestamp};
use bloonio_wire::id::TenantId;
use clap::{Args, Subcommand};
use serde_json::json;

use super::output::PlaceArgs;
use crate::service::address;
use crate::storage::Storage;
use crate::storage::device::revival::{self, Wave};
use crate::storage::push::Retirement;

/// What can be done to push addresses.
#[derive(Debug, Subcommand)]
pub enum AddressesCommand {
    /// Take addresses into use again that were taken out of it by a wave of wrong verdicts: a key file of another project, a
    /// mistake of the push service. Addresses of devices that were removed, or have a new address, stay as they are.
    Revive(ReviveArgs),
}

/// Which addresses.
#[derive(Debug, Args)]
pub struct ReviveArgs {
    /// What was said against them: dead or quarantined.
    #[arg(long)]
    pub verdict: Retirement,
    /// When the wave began, in UTC: 2026-11-25T02:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Timestamp,
    /// Those with this reason alone, as in the delivery status: unregistered, sender_id_mismatch …
    #[arg(long, value_name = "WORD")]
    pub reason: Option<String>,
    /// Those of this tenant alone.
    #[arg(long, value_name = "TENANT_ID")]
    pub tenant: Option<TenantId>,
    /// Only count them.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

impl AddressesCommand {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self::Revive(ReviveArgs { verdict, since, reason, tenant, dry_run, place }) = self;
        let wave = Wave { verdict, since, reason, tenant_id: tenant };
        let revive = async |storage: &Storage| {
            let (done, found) = match dry_run {
                true => ("would_be_revived", revival::count(storage, &wave).await?),
                false => ("revived", address::revive(storage, &wave, SystemClock.now()).await?),
            };
            Ok(json!({"verdict": verdict.as_str(), "since": since, done: found}))
        };
        place.work("revive addresses", "tenant", &[], revive).await
    }
}
