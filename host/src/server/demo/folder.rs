//! Reading a folder of files, whole and within bounds.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use crate::input::{Input, Kinds};

/// The page that the folder is for.
pub(super) const INDEX: &str = "index.html";

/// Bytes of all files, at most.
const MAX_BYTES: u64 = 64 << 20;

/// Files and folders, at most.
const MAX_ENTRIES: usize = 4096;

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The folder, or one in it, cannot be read.
    #[error("{}: the folder cannot be read; --demo names the folder of a web page", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no page in it.
    #[error("{}: there is no index.html; --demo names the folder of a web page", path.display())]
    NoIndex {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error(
        "{}: the file cannot be read; all that is in the folder of --demo must be readable",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something in it is nothing to serve.
    #[error("{}: {what}; take it out of the folder of --demo", path.display())]
    Odd {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// It holds too much.
    #[error(
        "{}: there are more than {what} in the folder; --demo names one that has only what its \
         page needs",
        path.display()
    )]
    TooLarge {
        /// The folder.
        path: PathBuf,
        /// More than that is too much.
        what: &'static str,
    },
}

/// A file that was read.
pub(super) struct Found {
    /// Its path in the folder, with `/` between its parts.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads all files of a folder and of those in it. What is hidden, by a dot in front of its
/// name, is left out. A symbolic link is as good as the file that it leads to, if that is in
/// the folder.
///
/// # Errors
/// There is no page, something is unreadable or neither file nor folder, a link leads out
/// or to a folder, a name is not UTF-8, or it is all too much.
pub(super) fn read(folder: &Path) -> Result<Vec<Found>, DemoError> {
    let root = fs::canonicalize(folder).map_err(unreadable_folder(folder))?;
    let too_large = |what| DemoError::TooLarge {
        path: folder.to_owned(),
        what,
    };
    // Before all that may be wrong with a folder that nobody meant.
    let entries = sorted(folder)?;
    if !folder.join(INDEX).is_file() {
        return Err(DemoError::NoIndex {
            path: folder.to_owned(),
        });
    }
    let (mut files, mut bytes_left, mut entries_left) = (Vec::new(), MAX_BYTES, MAX_ENTRIES);
    let mut folders = vec![(folder.to_owned(), String::new(), entries)];
    while let Some((folder, prefix, entries)) = folders.pop() {
        for name in entries {
            let path = folder.join(&name);
            let Some(name) = name.to_str() else {
                let what = "a name that is not UTF-8";
                return Err(DemoError::Odd { path, what });
            };
            if name.starts_with('.') {
                continue;
            }
            entries_left = entries_left
                .checked_sub(1)
                .ok_or_else(|| too_large("4096 files and folders"))?;
            let name = format!("{prefix}{name}");
            match kind(&root, &path)? {
                Kind::Folder => {
                    let entries = sorted(&path)?;
                    folders.push((path, name + "/", entries));
                }
                Kind::File(target) => {
                    // Whatever has this name by now.
                    let input = Input::open(&target, Kinds::Regular);
                    let read = input.and_then(|input| input.read(bytes_left));
                    let bytes = read
                        .map_err(unreadable_file(&path))?
                        .ok_or_else(|| too_large("64 MiB of files"))?;
                    bytes_left -= bytes.len() as u64;
                    files.push(Found { name, bytes });
                }
            }
        }
    }
    Ok(files)
}

/// What is to be done with an entry of a folder.
enum Kind {
    /// To look into it.
    Folder,
    /// To read the file that it is, or leads to.
    File(PathBuf),
}

fn kind(root: &Path, path: &Path) -> Result<Kind, DemoError> {
    let unreadable = unreadable_file(path);
    let is_link = fs::symlink_metadata(path)
        .map_err(&unreadable)?
        .is_symlink();
    let target = fs::canonicalize(path).map_err(&unreadable)?;
    let metadata = fs::metadata(&target).map_err(&unreadable)?;
    let what = if !target.starts_with(root) {
        "a symbolic link that leads out of the folder"
    } else if metadata.is_dir() && is_link {
        // It could lead in circles.
        "a symbolic link to a folder"
    } else if metadata.is_dir() {
        return Ok(Kind::Folder);
    } else if metadata.is_file() {
        return Ok(Kind::File(target));
    } else {
        // Reading it could take for ever.
        "neither a file nor a folder"
    };
    Err(DemoError::Odd {
        path: path.to_owned(),
        what,
    })
}

/// The names in a folder, in an order that does not change from one start to the next.
fn sorted(folder: &Path) -> Result<Vec<OsString>, DemoError> {
    let entries = fs::read_dir(folder).map_err(unreadable_folder(folder))?;
    let names = entries.map(|entry| Ok(entry?.file_name()));
    let mut names: Vec<_> = names
        .collect::<io::Result<_>>()
        .map_err(unreadable_folder(folder))?;
    names.sort_unstable();
    Ok(names)
}

fn unreadable_folder(path: &Path) -> impl Fn(io::Error) -> DemoError {
    |source| DemoError::Folder {
        path: path.to_owned(),
        source,
    }
}

fn unreadable_file(path: &Path) -> impl Fn(io::Error) -> DemoError {
    |source| DemoError::File {
        path: path.to_owned(),
        source,
    }
}
