//! The master key's file: made once, whole or not at all, readable by its owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use bloonio_wire::random::{Random, hex_token};

use super::{ConfigError, StoreConfig};
use crate::seal::MasterKey;

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

/// The master key of the settings, or of the data folder; `None` before the first start, and where the file was lost.
///
/// # Errors
/// [`ConfigError`] for a key that cannot be read.
pub fn load(config: &StoreConfig) -> Result<Option<MasterKey>, ConfigError> {
    let Some(given) = &config.master_key else { return read(&config.data_dir.join(FILE)) };
    let key = MasterKey::from_base64(given.expose());
    key.map(Some).map_err(|error| ConfigError::invalid("RELAY_MASTER_KEY", error.to_string()))
}

fn read(path: &Path) -> Result<Option<MasterKey>, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => zeroize::Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error("cannot read the master key", path)(error)),
    };
    warn_if_open(path);
    match MasterKey::from_base64(&text) {
        Ok(key) => Ok(Some(key)),
        Err(_) => Err(ConfigError::BadMasterKey { path: path.display().to_string() }),
    }
}

/// Keeps a fresh key in the data folder, and gives the one that is kept there from now on.
///
/// # Errors
/// [`ConfigError`] for a key that cannot be written. Never replaces one that is there: everything sealed under it would
/// be lost.
pub fn keep(config: &StoreConfig, key: MasterKey, random: &dyn Random) -> Result<MasterKey, ConfigError> {
    let path = &config.data_dir.join(FILE);
    // Written under another name and then linked: a crash leaves no half key, and of two relays that start at once on one
    // folder the second takes the first one's.
    let draft = path.with_extension(hex_token::<8>(random).map_err(crate::seal::SealError::from)?);
    let written = write_private(&draft, key.to_base64().as_bytes()).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match written {
        Ok(()) => sync_folder(path).map(|()| key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match read(path)? {
            Some(key) => Ok(key),
            None => Err(file_error("cannot read the master key", path)(error)),
        },
        Err(error) => Err(file_error("cannot write the master key", path)(error)),
    }
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
