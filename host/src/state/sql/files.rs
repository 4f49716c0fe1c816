//! The files of a SQLite database: how they are made, and whether they are still there.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A lock on a file beside the database: one server writes to it, and nobody else.
#[derive(Debug)]
pub(super) struct Lock {
    /// Closed, and so unlocked, however this process ends.
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that is being started at this moment may have a copy of the open file.
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Takes the lock for the database at `path`; `None` where somebody else has it.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = private()
            .create(true)
            .truncate(false)
            .open(beside(path, ".lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// How a file is opened to write that only its owner may read, if it is made.
fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes an empty file for a database, unless there is one. SQLite gives the files beside it
/// the same mode.
pub(super) fn create(path: &Path) -> io::Result<()> {
    match private().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Whether there is a write-ahead log, and no database that it could belong to.
pub(super) fn has_log_alone(path: &Path) -> bool {
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    bytes(path) == 0 && bytes(&beside(path, "-wal")) > 0
}

/// The file of this name beside a database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The database and what SQLite puts beside it.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", ".lock"];

/// Says so where others than the owner may read or write a file of this database, which has
/// ids of sessions.
#[cfg(unix)]
pub(super) fn exposure(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let wider = SUFFIXES.iter().filter_map(|suffix| {
        let file = beside(path, suffix);
        let mode = fs::metadata(&file).ok()?.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then_some((file, mode))
    });
    let wider: Vec<_> = wider.collect();
    let (first, mode) = wider.first()?;
    let names = wider
        .iter()
        .map(|(file, _)| format!("'{}'", file.display()));
    let names: Vec<_> = names.collect();
    Some(format!(
        "{}: the file has mode {mode:04o}, and it holds session ids; keep it from other users: \
         chmod 600 {}",
        first.display(),
        names.join(" ")
    ))
}

#[cfg(not(unix))]
pub(super) fn exposure(_: &Path) -> Option<String> {
    None
}

/// A file, whatever its name.
#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// There is no such number here: a name is believed.
#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(drop)
}

#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = ();

/// The files of a database that is open. As long as one connection stays open, SQLite
/// removes none of them.
#[derive(Debug)]
pub(super) struct OpenFiles {
    files: Vec<(PathBuf, Identity)>,
    /// The file itself, to ask about the disk that it is on.
    path: PathBuf,
}

/// Bytes that must be free on the disk: a commit of some sessions, and some to spare.
#[cfg(unix)]
const MIN_FREE: u64 = 256 << 10;

impl OpenFiles {
    /// The files as they are now, which is when they have been opened.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        // SQLite has the other ones beside the file that a link leads to.
        let real = fs::canonicalize(&path)?;
        let mut files = vec![(path.clone(), identity(&path)?)];
        for suffix in ["-wal", "-shm"] {
            let file = beside(&real, suffix);
            // Where the file system allows no write-ahead log, there is none.
            if let Ok(identity) = identity(&file) {
                files.push((file, identity));
            }
        }
        Ok(Self { files, path: real })
    }

    /// Makes sure that each of them is still found at its path.
    pub(super) fn check_identity(&self) -> Result<(), String> {
        for (file, opened) in &self.files {
            let why = match identity(file) {
                Ok(found) if found == *opened => continue,
                Ok(_) => "was replaced",
                Err(error) if error.kind() == io::ErrorKind::NotFound => "was deleted or moved",
                Err(_) => "cannot be looked at",
            };
            let name = file.file_name().unwrap_or_default().display();
            return Err(format!("the file {name} {why} while it is open"));
        }
        Ok(())
    }

    /// Makes sure that there is a disk that can be written, and room on it, as far as the
    /// system tells.
    #[cfg(unix)]
    pub(super) fn check_room(&self) -> Result<(), String> {
        use rustix::fs::{StatVfsMountFlags, statvfs};
        let disk = statvfs(&self.path).map_err(|error| io::Error::from(error).to_string())?;
        if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err("its disk is mounted to be read only".to_owned());
        }
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < MIN_FREE {
            return Err(format!(
                "its disk is full: {} KiB are free, and {} KiB are needed",
                free >> 10,
                MIN_FREE >> 10
            ));
        }
        Ok(())
    }

    #[cfg(not(unix))]
    pub(super) fn check_room(&self) -> Result<(), String> {
        fs::metadata(&self.path)
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

/// How a file looked before it was read as one that does not change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Whether there is a write-ahead log with something in it.
    has_log: bool,
}

impl Snapshot {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::metadata(path)?;
        let log = fs::metadata(beside(path, "-wal"));
        Ok(Self {
            bytes: file.len(),
            modified: file.modified().ok(),
            has_log: log.is_ok_and(|log| log.len() > 0),
        })
    }

    pub(super) fn has_log(&self) -> bool {
        self.has_log
    }
}
