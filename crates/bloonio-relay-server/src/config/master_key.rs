//! The master keys: of the settings, or of a file that is made once, whole or not at all, readable by its owner alone.
//!
//! The file has a key a line. The first seals; the others open only, and are there while one key replaces another.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use bloonio_wire::random::{Random, hex_token};
use bloonio_wire::secret::Secret;

use super::{ConfigError, StoreConfig};
use crate::seal::{KeyRing, MasterKey};

const FILE: &str = "master.key";

fn file_error(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ConfigError {
    let path = path.display().to_string();
    move |source| ConfigError::File { what, path, source }
}

/// Creates the data folder, for its owner alone, if it is missing.
///
/// # Errors
/// [`ConfigError::File`].
pub fn create_data_dir(path: &Path) -> Result<(), ConfigError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(file_error("cannot create the data folder", path))
}

/// The master keys of the settings, or of the data folder; `None` before the first start, and where the file was lost.
/// Keys of `RELAY_MASTER_KEY_PREVIOUS` stand behind whichever it is.
///
/// # Errors
/// [`ConfigError`] for a key that cannot be read.
pub fn load(config: &StoreConfig) -> Result<Option<KeyRing>, ConfigError> {
    let ring = match &config.master_key {
        Some(given) => Some(KeyRing::new(setting("RELAY_MASTER_KEY", given)?)),
        None => read(&config.data_dir.join(FILE))?,
    };
    ring.map(|ring| with_previous(config, ring)).transpose()
}

fn with_previous(config: &StoreConfig, mut ring: KeyRing) -> Result<KeyRing, ConfigError> {
    for given in &config.master_key_previous {
        ring = ring.with_opener(setting("RELAY_MASTER_KEY_PREVIOUS", given)?);
    }
    Ok(ring)
}

fn setting(name: &'static str, given: &Secret) -> Result<MasterKey, ConfigError> {
    MasterKey::from_base64(given.expose()).map_err(|error| ConfigError::invalid(name, error.to_string()))
}

fn read(path: &Path) -> Result<Option<KeyRing>, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => zeroize::Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error("cannot read the master key", path)(error)),
    };
    warn_if_open(path);
    let bad = |line| ConfigError::BadMasterKey { path: path.display().to_string(), line };
    let mut ring: Option<KeyRing> = None;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let key = MasterKey::from_base64(line).map_err(|_| bad(number + 1))?;
        ring = Some(match ring {
            None => KeyRing::new(key),
            Some(ring) => ring.with_opener(key),
        });
    }
    ring.map(Some).ok_or_else(|| bad(1))
}

/// Keeps a fresh key in the data folder, and gives the ring that is kept there from now on.
///
/// # Errors
/// [`ConfigError`] for a key that cannot be written. Never replaces one that is there: everything sealed under it would
/// be lost.
pub fn keep(config: &StoreConfig, key: MasterKey, random: &dyn Random) -> Result<KeyRing, ConfigError> {
    let path = &config.data_dir.join(FILE);
    // Written under another name and then linked: a crash leaves no half key, and of two relays that start at once on one
    // folder the second takes the first one's.
    let draft = path.with_extension(hex_token::<8>(random).map_err(crate::seal::SealError::from)?);
    let written = write_private(&draft, key.to_base64().as_bytes()).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    let ring = match written {
        Ok(()) => sync_folder(path).map(|()| KeyRing::new(key)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match read(path)? {
            Some(ring) => Ok(ring),
            None => Err(file_error("cannot read the master key", path)(error)),
        },
        Err(error) => Err(file_error("cannot write the master key", path)(error)),
    };
    with_previous(config, ring?)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> Result<(), ConfigError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error("cannot sync the folder", folder))
}

#[cfg(unix)]
fn warn_if_open(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        tracing::warn!("others than its owner may read the master key's file; set its mode to 0600");
    }
}

#[cfg(not(unix))]
fn warn_if_open(_path: &Path) {}
