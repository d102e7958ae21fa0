//! Secrets as files of one folder, as containers and systemd hand them over: neither in the environment, which children
//! inherit and crash reports show, nor among the arguments, which everybody on the machine may read.
//!
//! A file has its setting's name in small letters. What is not there is not set; what is there and in the environment, too,
//! is refused: one of the two would be the wrong one.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bloonio_wire::secret::Secret;
use zeroize::Zeroizing;

use super::{ConfigError, RelayArgs, StoreArgs};

/// Fills in what the folder has of the settings that open the database.
pub(super) fn fill_store(args: &mut StoreArgs) -> Result<(), ConfigError> {
    let Some(folder) = args.relay_secrets_dir.take().filter(|path| !path.as_os_str().is_empty()) else { return Ok(()) };
    // A folder that is not there would look like one without secrets, and a relay without its database.
    fs::read_dir(&folder).map_err(|source| ConfigError::File {
        what: "cannot read the folder of secrets",
        path: folder.display().to_string(),
        source,
    })?;
    set(&folder, "RELAY_DATABASE_URL", &mut args.relay_database_url)?;
    set(&folder, "RELAY_MASTER_KEY", &mut args.relay_master_key)?;
    let given = !args.relay_master_key_previous.is_empty();
    if let Some(keys) = read(&folder, "RELAY_MASTER_KEY_PREVIOUS", given)? {
        args.relay_master_key_previous = keys.expose().split(',').map(Secret::new).collect();
    }
    Ok(())
}

/// Fills in what the folder has of all settings.
pub(super) fn fill(args: &mut RelayArgs) -> Result<(), ConfigError> {
    let folder = args.store.relay_secrets_dir.clone().filter(|path| !path.as_os_str().is_empty());
    fill_store(&mut args.store)?;
    let Some(folder) = folder else { return Ok(()) };
    set(&folder, "RELAY_ADMIN_KEY", &mut args.relay_admin_key)?;
    set(&folder, "RELAY_ADMIN_KEY_NEXT", &mut args.relay_admin_key_next)?;
    set(&folder, "RELAY_REDIS_URL", &mut args.relay_redis_url)
}

fn set(folder: &Path, name: &'static str, value: &mut Option<Secret>) -> Result<(), ConfigError> {
    if let Some(secret) = read(folder, name, value.is_some())? {
        *value = Some(secret);
    }
    Ok(())
}

/// The file of one setting, without the line's end that editors and `echo` leave.
fn read(folder: &Path, name: &'static str, is_given: bool) -> Result<Option<Secret>, ConfigError> {
    let path = folder.join(name.to_ascii_lowercase());
    let text = match fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ConfigError::File { what: "cannot read the secret", path: path.display().to_string(), source });
        }
    };
    if is_given {
        return Err(ConfigError::invalid(name, format!("is given twice, also by {}", path.display())));
    }
    Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
}
