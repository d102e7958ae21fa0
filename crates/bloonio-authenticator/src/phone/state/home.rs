//! Where the memory lies: one file, its owner's alone, never half written, never written by two at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{KeyError, State, VERSION};

const STATE: &str = "state.json";
const NEXT: &str = "state.json.new";
const LOCK: &str = "state.lock";

/// Why the memory cannot be used. Nothing has been overwritten.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system said no.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what this program writes. Its content stays out of the message: it holds keys.
    #[error("{path} is damaged (line {line}); mend it or move it away, it is left as it is")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where reading ended.
        line: usize,
    },
    /// The file is of another version of this program.
    #[error("{path} has format version {version}, this program knows {VERSION} only; it is left as it is")]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// A key in it is none.
    #[error(transparent)]
    Key(#[from] KeyError),
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StateError + 'a {
    move |source| StateError::Io { action, path: path.to_owned(), source }
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Home {
    folder: PathBuf,
}

impl Home {
    /// The memory in `folder`, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The memory as last saved. Needs no lock: the file is replaced whole.
    pub fn read(&self) -> Result<State, StateError> {
        let path = self.folder.join(STATE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => return Err(io_error("cannot read", &path)(error)),
        };
        parse(&bytes, path)
    }

    /// The memory, locked against every other process that wants to change it; waits for them.
    pub fn lock(&self) -> Result<Locked, StateError> {
        create_folder(&self.folder)?;
        let path = self.folder.join(LOCK);
        let file = private().create(true).truncate(false).open(&path).map_err(io_error("cannot open", &path))?;
        file.lock().map_err(io_error("cannot lock", &path))?;
        let state = self.read()?;
        Ok(Locked { home: self.clone(), state, _lock: file })
    }

    fn write(&self, state: &State) -> Result<(), StateError> {
        let (path, next) = (self.folder.join(STATE), self.folder.join(NEXT));
        let bytes =
            serde_json::to_vec_pretty(state).map_err(io::Error::from).map_err(io_error("cannot write", &path))?;
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("cannot remove", &next)(error));
            }
            _ => {}
        }
        let mut file = private().create_new(true).open(&next).map_err(io_error("cannot create", &next))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io_error("cannot write", &next))?;
        fs::rename(&next, &path).map_err(io_error("cannot replace", &path))?;
        sync_folder(&self.folder).map_err(io_error("cannot write", &self.folder))
    }
}

fn parse(bytes: &[u8], path: PathBuf) -> Result<State, StateError> {
    // The version first: what else another version holds is not for this one to judge.
    let raw: serde_json::Value = match serde_json::from_slice(bytes) {
        Ok(raw) => raw,
        Err(error) => return Err(StateError::Corrupt { path, line: error.line() }),
    };
    match raw["version"].as_u64() {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => return Err(StateError::Version { path, version }),
        None => return Err(StateError::Corrupt { path, line: 1 }),
    }
    serde_json::from_slice(bytes).map_err(|error| StateError::Corrupt { path, line: error.line() })
}

/// The memory while nobody else may change it.
#[derive(Debug)]
pub struct Locked {
    home: Home,
    /// As it was when the lock was taken, and as it will be saved.
    pub state: State,
    _lock: File,
}

impl Locked {
    /// Saves the state; once this returns it is on disk.
    pub fn save(&self) -> Result<(), StateError> {
        self.home.write(&self.state)
    }
}

/// Makes the folder, or makes it private if it holds nothing but this program's files. A folder with other things in it
/// is somebody's on purpose (`--home .`), and the file is private in any case.
fn create_folder(folder: &Path) -> Result<(), StateError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(io_error("cannot create", folder))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = fs::metadata(folder).map_err(io_error("cannot read", folder))?.permissions();
        if permissions.mode() & 0o077 != 0 && is_ours(folder).map_err(io_error("cannot read", folder))? {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
                .map_err(io_error("cannot protect", folder))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn is_ours(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if ![STATE, NEXT, LOCK].iter().any(|ours| name == *ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How to open a file that only its owner may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Puts the renaming itself on disk, where folders can be synced.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
