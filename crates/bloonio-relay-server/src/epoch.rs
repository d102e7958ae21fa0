//! Whether this is the database that the relays worked on last, and what becomes of an older one (ATTACKS A99).
//!
//! A database that comes back from a backup remembers less than was done: prompts that were answered are open in it, used
//! proofs and codes good, revoked phones paired, and what was seen unseen. So a relay looks before it serves:
//!
//! | it finds | by |
//! | --- | --- |
//! | a copy that `backup` has made | a mark in the copy |
//! | a dump that was read in elsewhere | the server's own id and that of the database, kept in the database |
//! | a database that was set back in its place | the number of audit entries, kept in the data folder every 30 s and at the end |
//!
//! Any of them and it does not start until [`restore`] has begun another epoch. A data folder that was lost or set back
//! together with its database finds nothing: an operator who has restored runs the command whether or not he is told to.

pub mod restore;

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::storage::epoch::{self as rows, Epoch};
use crate::storage::{Storage, StorageError};

/// The file in the data folder that remembers how far the database was.
const FILE: &str = "database.seen";

/// What to do about it.
const ADVICE: &str = "run `bloonio-relay-server restored` first, or with `--moved` if nothing was written to the old one after \
                      this copy was made";

/// This database must not be served.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// `backup` has made it.
    #[error("this database is a copy made by `backup`, and may know less than was done; {ADVICE}")]
    Copy,
    /// It lies elsewhere.
    #[error("this database was served from another server before, or under another name; {ADVICE}")]
    Elsewhere,
    /// It knows less than this data folder.
    #[error(
        "this database is older than the one that was served from here: {missing} audit entries are missing; {ADVICE}"
    )]
    Older {
        /// So many.
        missing: i64,
    },
    /// It is of an epoch before the one that this data folder knows.
    #[error("this database is older than the one that was served from here: that was restored since; {ADVICE}")]
    Earlier,
    /// The database fails.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The data folder fails.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody has written to the file.
    #[error("{0} holds something else than a relay has written; if the database was not restored, remove the file")]
    Unreadable(String),
}

/// How far a database was when it was looked at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    epoch: i64,
    entries: i64,
}

impl Seen {
    fn read(path: &Path) -> Result<Option<Self>, EpochError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(file_error(path)(source)),
        };
        let number = |word: Option<&str>| word?.parse::<i64>().ok();
        let mut words = text.split_ascii_whitespace();
        match (number(words.next()), number(words.next()), words.next()) {
            (Some(epoch), Some(entries), None) => Ok(Some(Self { epoch, entries })),
            _ => Err(EpochError::Unreadable(path.display().to_string())),
        }
    }

    /// Replaces the file as a whole: a crash leaves the one or the other. Not forced to the disk: losing it with the
    /// machine costs a look, and the disk's time is the decisions'.
    fn write(self, path: &Path) -> Result<(), EpochError> {
        let draft = path.with_extension(format!("seen.{}", std::process::id()));
        let written = fs::File::create(&draft)
            .and_then(|mut file| writeln!(file, "{} {}", self.epoch, self.entries))
            .and_then(|()| fs::rename(&draft, path));
        written.map_err(file_error(&draft))
    }
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> EpochError {
    let path = path.display().to_string();
    move |source| EpochError::File { path, source }
}

/// What a data folder remembers of its database.
#[derive(Debug, Clone)]
pub struct Memory {
    path: PathBuf,
}

impl Memory {
    /// That of a data folder.
    pub fn of(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FILE) }
    }

    /// Whether this database may be served; changes nothing.
    ///
    /// # Errors
    /// [`EpochError`], saying what to do.
    pub async fn check(&self, storage: &Storage) -> Result<(), EpochError> {
        let mut tx = storage.begin_read().await?;
        let epoch = rows::get(&mut tx).await?;
        let entries = rows::entries(&mut tx).await?;
        drop(tx);
        if epoch.is_copy {
            return Err(EpochError::Copy);
        }
        if let (Some(home), Some(here)) = (&epoch.home, rows::place(storage).await?)
            && *home != here
        {
            return Err(EpochError::Elsewhere);
        }
        match Seen::read(&self.path)? {
            Some(seen) if epoch.number < seen.epoch => Err(EpochError::Earlier),
            Some(seen) if epoch.number == seen.epoch && entries < seen.entries => {
                Err(EpochError::Older { missing: seen.entries - entries })
            }
            _ => Ok(()),
        }
    }

    /// Whether this very database was served from here last, and is not older than it was then.
    ///
    /// # Errors
    /// [`EpochError`], where that cannot be told.
    pub async fn is_as_left(&self, storage: &Storage) -> Result<bool, EpochError> {
        match self.check(storage).await {
            Ok(()) => Ok(Seen::read(&self.path)?.is_some()),
            Err(failed @ (EpochError::Storage(_) | EpochError::File { .. })) => Err(failed),
            Err(_) => Ok(false),
        }
    }

    /// Checks the database, and that it is here from now on.
    ///
    /// # Errors
    /// [`EpochError`], saying what to do.
    pub async fn admit(&self, storage: &Storage) -> Result<(), EpochError> {
        self.check(storage).await?;
        if let Some(here) = rows::place(storage).await? {
            rows::settle(storage, &here).await?;
        }
        self.keep(storage).await
    }

    /// Keeps how far the database is.
    ///
    /// # Errors
    /// [`EpochError`].
    pub async fn keep(&self, storage: &Storage) -> Result<(), EpochError> {
        let mut tx = storage.begin_read().await?;
        let Epoch { number, .. } = rows::get(&mut tx).await?;
        let seen = Seen { epoch: number, entries: rows::entries(&mut tx).await? };
        drop(tx);
        seen.write(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn what_was_seen_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(Seen::read(&path).unwrap(), None);
        for entries in [0, i64::MAX] {
            let seen = Seen { epoch: 3, entries };
            seen.write(&path).unwrap();
            assert_eq!(Seen::read(&path).unwrap(), Some(seen));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[rstest]
    fn a_file_that_holds_something_else_is_not_guessed_at(#[values("", "1", "1 2 3", "one 2", "1 \u{7f}")] text: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, text).unwrap();
        assert!(matches!(Seen::read(&path), Err(EpochError::Unreadable(_))), "{text:?}");
    }
}
