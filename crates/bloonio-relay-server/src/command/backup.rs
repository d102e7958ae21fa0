//! `backup`: a copy of a SQLite database that relays are working on.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::config::StoreArgs;
use crate::serve;
use crate::storage::schema::{self, Schema};
use crate::storage::{Storage, epoch};

/// Of which database, and where to.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to be made; one that is there is left alone.
    pub file: PathBuf,
    #[command(flatten)]
    store: StoreArgs,
}

impl BackupArgs {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal; then there is no file.
    pub async fn run(self) -> anyhow::Result<()> {
        let config = super::store(self.store)?;
        let Some(database) = config.sqlite_file() else {
            bail!("a PostgreSQL database is backed up by its own tools: pg_dump, or pg_basebackup with its log");
        };
        ensure!(database.is_file(), "there is no database yet");
        let place = self.file.to_str().context("the file's name must be UTF-8")?;
        // Made first: SQLite would make it for everybody to read.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file);
        made.with_context(|| format!("cannot make {place}"))?;
        let storage = serve::database(&config).await?;
        let copied = copy(&storage, &self.file, place).await;
        storage.close().await;
        if copied.is_err() {
            let _ = fs::remove_file(&self.file);
        }
        copied?;
        super::print(&format!("{place} is a copy of {}; the master key is not in it", database.display()))
    }
}

/// Copies, marks the copy, and looks whether it is whole.
async fn copy(storage: &Storage, file: &Path, place: &str) -> anyhow::Result<()> {
    epoch::copy_to(storage, place).await.context("cannot copy the database")?;
    let copy = Storage::open_file(file).await.context("cannot open the copy")?;
    // A schema that lacks the mark has a relay that does not look for it.
    if schema::compare(&copy).await? == Schema::Current {
        epoch::mark_copy(&copy).await?;
    }
    let damage = epoch::damage(&copy).await?;
    copy.close().await;
    if let Some(damage) = damage {
        bail!("the copy is damaged: {damage}");
    }
    File::open(file).and_then(|file| file.sync_all()).with_context(|| format!("cannot keep {place}"))
}
