//! `migrate`: brings the database up to date, or says whether it is.

use anyhow::{bail, ensure};
use clap::Args;

use crate::config::StoreArgs;
use crate::serve;
use crate::storage::schema::{self, Schema};

/// Which database.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Change nothing: say what is missing, and fail if anything is.
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl MigrateArgs {
    /// Runs it.
    ///
    /// # Errors
    /// What keeps the database from being up to date, for the person at the terminal.
    pub async fn run(self) -> anyhow::Result<()> {
        let config = super::store(self.store)?;
        if !self.check {
            let (storage, _master) = serve::open(&config).await?;
            storage.close().await;
            return super::print("the database is up to date");
        }
        // Opening would make it.
        let missing = config.sqlite_file().filter(|path| !path.is_file());
        ensure!(missing.is_none(), "there is no database yet");
        let storage = serve::connect(&config).await?;
        let schema = schema::compare(&storage).await;
        storage.close().await;
        match schema? {
            Schema::Current => super::print("the database is up to date"),
            Schema::Empty => bail!("nothing is in the database yet"),
            Schema::Behind(missing) => bail!("the database lacks {}", missing.join(", ")),
            Schema::Newer(version) => bail!("the database has migration {version}, which this version does not know"),
        }
    }
}
