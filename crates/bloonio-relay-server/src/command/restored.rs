//! `restored`: what comes after a backup was read back, and before a relay serves it.

use anyhow::ensure;
use bloonio_wire::clock::SystemClock;
use clap::Args;
use serde_json::{Value, json};

use crate::config::StoreArgs;
use crate::epoch::Memory;
use crate::epoch::restore::{self, Begun, Devices};
use crate::serve;

/// Which database, and how it came here.
#[derive(Debug, Args)]
pub struct RestoredArgs {
    /// The database was moved: nothing was written to the old one after this copy was made. Everything in it holds.
    #[arg(long)]
    pub moved: bool,
    /// Let the phones of the backup act, those too that were lost and revoked since it was made.
    #[arg(long, conflicts_with = "moved")]
    pub insecure_keep_devices: bool,
    /// Treat a database that looks as if it had never been away: the data folder was set back together with it.
    #[arg(long)]
    pub anyway: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl RestoredArgs {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal; then nothing was changed.
    pub async fn run(self) -> anyhow::Result<()> {
        let config = super::store(self.store)?;
        let (storage, _keys) = serve::open(&config).await?;
        let memory = Memory::of(&config.data_dir);
        // By mistake it would cost every person a pairing.
        ensure!(
            self.anyway || !memory.is_as_left(&storage).await?,
            "this database is as the relay of this data folder has left it; if it was restored together with the folder, use \
             --anyway"
        );
        let devices = if self.insecure_keep_devices { Devices::Kept } else { Devices::Removed };
        let answer = match self.moved {
            true => json!({"epoch": restore::accept(&storage, &SystemClock).await?}),
            false => answer(&restore::treat(&storage, &SystemClock, devices).await?, devices),
        };
        memory.keep(&storage).await?;
        storage.close().await;
        super::print(&serde_json::to_string_pretty(&answer)?)
    }
}

fn answer(begun: &Begun, devices: Devices) -> Value {
    let tenants = begun.tenants.iter().map(|tenant| {
        json!({
            "tenant_id": tenant.tenant_id,
            "prompts_withdrawn": tenant.prompts,
            "proofs_voided": tenant.proofs,
            "devices_removed": tenant.devices,
            "secret_rotated_at": tenant.secret_rotated_at,
        })
    });
    let phones = match devices {
        Devices::Removed => {
            "have people pair their phones again: a new offer from their backend, a new code from their phone"
        }
        Devices::Kept => "have every backend revoke again the pairings that it has revoked since the backup was made",
    };
    json!({
        "epoch": begun.epoch,
        "tenants": tenants.collect::<Value>(),
        "left_to_do": [
            "before a relay starts, `tenant rotate-secret` for every secret that was replaced since the backup was made: this \
             database holds the older one",
            "before a relay starts, repeat what was done to tenants since: suspended, updated, provisioned",
            phones,
            "keep the audit trail that was exported before: its newer entries are not in this database",
        ],
    })
}
