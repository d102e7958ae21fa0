//! The data folder and what is in it.

use std::path::Path;

use super::finding::Finding;
use crate::config::{StoreConfig, master_key};

/// Less room than this is an alarm …
const LITTLE: u64 = 100 * MIB;
/// … and less than this a warning.
const SOME: u64 = 1024 * MIB;
const MIB: u64 = 1024 * 1024;

pub(super) fn examine(config: &StoreConfig) -> Vec<Finding> {
    let folder = config.data_dir.as_path();
    let mut findings = Vec::new();
    if !folder.is_dir() {
        let found = format!("{} is not there", folder.display());
        findings.push(Finding::warn("data folder", found, "the first start makes it; is RELAY_DATA_DIR right?"));
    } else {
        findings.push(modes(folder, config));
        findings.push(space(folder));
    }
    findings.push(key(config));
    findings
}

fn key(config: &StoreConfig) -> Finding {
    let check = "master key";
    match master_key::load(config) {
        Ok(Some(_)) if config.master_key.is_some() => Finding::ok(check, "given by RELAY_MASTER_KEY"),
        Ok(Some(_)) => Finding::ok(check, "in the data folder; is there a copy apart from the database's backup?"),
        Ok(None) => Finding::warn(
            check,
            "there is none yet",
            "the first start makes it; with a database that is older than that, restore it from its backup",
        ),
        Err(error) => Finding::fail(
            check,
            super::finding::chain(&error),
            "restore it from its backup: nothing sealed opens without it",
        ),
    }
}

#[cfg(unix)]
fn modes(folder: &Path, config: &StoreConfig) -> Finding {
    use std::os::unix::fs::MetadataExt;
    let check = "data folder";
    let open = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.mode() & 0o077 != 0);
    let names = ["master.key", "relay.db", "relay.db-wal"];
    let mut exposed: Vec<_> = names.iter().filter(|name| open(&folder.join(name))).copied().collect();
    exposed.retain(|name| *name != "master.key" || config.master_key.is_none());
    match exposed.as_slice() {
        [] => Finding::ok(check, folder.display().to_string()),
        // A folder that others cannot enter protects what is in it.
        names if !open(folder) => {
            Finding::ok(check, format!("{} (its mode protects {})", folder.display(), names.join(", ")))
        }
        names => Finding::fail(
            check,
            format!("others than their owner may read {} in {}", names.join(", "), folder.display()),
            "chmod 700 the folder and chmod 600 the files",
        ),
    }
}

#[cfg(not(unix))]
fn modes(folder: &Path, _config: &StoreConfig) -> Finding {
    Finding::ok("data folder", folder.display().to_string())
}

#[cfg(unix)]
fn space(folder: &Path) -> Finding {
    let check = "disk";
    let free = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Finding::warn(check, format!("its room cannot be read: {error}"), "look at it by hand"),
    };
    let found = format!("{} MiB free", free / MIB);
    let advice = "make room: a relay that cannot write refuses every prompt and every decision";
    match free {
        ..LITTLE => Finding::fail(check, found, advice),
        LITTLE..SOME => Finding::warn(check, found, advice),
        SOME.. => Finding::ok(check, found),
    }
}

#[cfg(not(unix))]
fn space(_folder: &Path) -> Finding {
    Finding::warn("disk", "its room cannot be read on this system", "look at it by hand")
}
