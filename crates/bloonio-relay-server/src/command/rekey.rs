//! `rekey`: the last step but one of replacing the master key.

use anyhow::ensure;
use bloonio_wire::clock::SystemClock;
use bloonio_wire::random::SystemRandom;
use clap::Args;

use crate::config::StoreArgs;
use crate::keys::rekey::Rekey;
use crate::seal::Sealer;
use crate::serve;

/// Which database, and the keys to it.
#[derive(Debug, Args)]
pub struct RekeyArgs {
    #[command(flatten)]
    store: StoreArgs,
}

impl RekeyArgs {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        let config = super::store(self.store)?;
        let (storage, keys) = serve::open(&config).await?;
        let sealer = Sealer::new(keys);
        let rekey = Rekey { storage: &storage, sealer: &sealer, clock: &SystemClock, random: &SystemRandom };
        let done = rekey.run(|at, done| eprintln!("{}: {} sealed again so far", at.table, done.resealed)).await;
        storage.close().await;
        let done = done?;
        super::print(&serde_json::to_string_pretty(&serde_json::json!({
            "key": sealer.current().to_string(),
            "resealed": done.resealed,
            "overtaken": done.overtaken,
            "unopenable": done.unopenable,
        }))?)?;
        ensure!(done.unopenable == 0, "{} values were opened by no key at hand", done.unopenable);
        Ok(())
    }
}
