//! The tenants file: read at the start, and again when it has changed.

use std::{
    fs, hash, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use tenantry_core::registry::{Parsed, Problem, Registry};

use crate::{
    input::{self, Input, Kinds, read_stdin},
    limits,
};

/// Memory that reading a file takes, as a multiple of its length: its text, and twice what
/// it says, as that is read and as it is served.
const MEMORY_PER_BYTE: u64 = 4;

/// Bytes of a text whose length is not known before it is read, from a pipe or standard
/// input, at most: 256 MiB. A regular file may have as many as the memory has room for.
const MAX_STREAM: u64 = 256 << 20;

/// The name for standard input, where a command takes a file.
const STDIN: &str = "-";

/// Between two attempts to read a file that is being written.
const PAUSE: Duration = Duration::from_millis(50);

/// Attempts to read a file that is being written.
const MAX_ATTEMPTS: u32 = 60;

/// Why a tenants file was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read.
    #[error("{}: the tenants file cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no room for it.
    #[error(
        "{}: the tenants file is too large: its {len} bytes need about {needed} bytes of memory, \
         and {free} are free",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// Bytes of memory that it needs, about.
        needed: u64,
        /// Bytes of memory that are free.
        free: u64,
    },
    /// It is longer than what is read of a text whose length is not known.
    #[error(
        "{}: the tenants are of more than {max} bytes; a regular file may have more",
        path.display()
    )]
    Endless {
        /// The file.
        path: PathBuf,
        /// Bytes that it may have.
        max: u64,
    },
    /// It changed again and again while it was read.
    #[error("{}: the tenants file does not stop changing", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// It has problems.
    #[error("{}", report(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All of its problems.
        problems: Vec<Problem>,
    },
}

/// How many problems there are, and a line for each, which begins with the file's name.
fn report(path: &Path, problems: &[Problem]) -> String {
    let file = path.display().to_string();
    let s = if problems.len() == 1 { "" } else { "s" };
    let mut report = format!("{} problem{s} in the tenants file", problems.len());
    for problem in problems {
        report += &format!("\n{}", problem.in_file(&file));
    }
    report
}

/// Reads a tenants file.
///
/// # Errors
/// It cannot be read, or has problems, which are all named.
pub fn read(path: &Path) -> Result<Parsed, ReadError> {
    parse(&named(path), &text(path)?)
}

/// The bytes of a tenants file; `-` is standard input.
///
/// # Errors
/// It cannot be read.
pub(crate) fn text(path: &Path) -> Result<Vec<u8>, ReadError> {
    let free = limits::free_memory();
    if path.as_os_str() != STDIN {
        return text_within(path, Kinds::Pipes, free);
    }
    let max = max_stream(free);
    let path = named(path);
    match read_stdin(max) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(ReadError::Endless { path, max }),
        Err(source) => Err(ReadError::Unreadable { path, source }),
    }
}

/// What a command's file is called where something is said of it.
pub(crate) fn named(path: &Path) -> PathBuf {
    if path.as_os_str() == STDIN {
        return PathBuf::from("<stdin>");
    }
    path.to_owned()
}

fn max_stream(free: Option<u64>) -> u64 {
    free.map_or(MAX_STREAM, |free| MAX_STREAM.min(free / MEMORY_PER_BYTE))
}

fn parse(path: &Path, text: &[u8]) -> Result<Parsed, ReadError> {
    Registry::parse(text).map_err(|problems| ReadError::Invalid {
        path: path.to_owned(),
        problems: problems.0,
    })
}

/// The bytes of a file, unless they would not fit into what is free of the memory.
fn text_within(path: &Path, kinds: Kinds, free: Option<u64>) -> Result<Vec<u8>, ReadError> {
    let unreadable = |source| ReadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let input = Input::open(path, kinds).map_err(unreadable)?;
    let is_regular = input.metadata().is_file();
    let len = input.metadata().len();
    let needed = len.saturating_mul(MEMORY_PER_BYTE);
    if let Some(free) = free.filter(|free| needed > *free) {
        return Err(ReadError::TooLarge {
            path: path.to_owned(),
            len,
            needed,
            free,
        });
    }
    let max = match free {
        _ if !is_regular => max_stream(free),
        Some(free) => free / MEMORY_PER_BYTE,
        // Where nobody knows, what was there when it was opened is read, and a little more.
        None => len.saturating_add(MAX_STREAM),
    };
    let text = input.read(max).map_err(unreadable)?;
    text.ok_or_else(|| ReadError::Endless {
        path: path.to_owned(),
        max,
    })
}

/// What tells one state of a file from another without reading it. A name that is moved to
/// another file, by a rename or by a link, is another state, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    /// Device and number of the file, and when anything about it was last changed.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl Stamp {
    /// That of the file which has this name now.
    ///
    /// # Errors
    /// There is none, or not a regular one: a pipe is read once, and a device may never end.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let data = fs::metadata(path)?;
        input::check(&data, Kinds::Regular)?;
        Ok(Self {
            len: data.len(),
            modified: data.modified().ok(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt as _;
                (data.dev(), data.ino(), data.ctime(), data.ctime_nsec())
            },
        })
    }
}

/// What a file's state is at a look at it.
pub(crate) type Seen = Result<Stamp, io::ErrorKind>;

/// The state of the file which has this name now.
pub(crate) fn look(path: &Path) -> Seen {
    Stamp::of(path).map_err(|error| error.kind())
}

/// The file that a server has its tenants from, and which of its contents are known.
pub(crate) struct TenantsFile {
    path: PathBuf,
    /// Seeded anew in each process: nobody makes a text that is taken for another.
    hasher: hash::RandomState,
    /// What is served.
    served: u64,
    /// What was refused last, if that was after what is served.
    refused: Option<Refused>,
}

/// What was refused, so that it is not reported twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Text(u64),
    Unreadable(io::ErrorKind),
    TooLarge(u64),
    Changing,
}

/// What a file says that was read again.
pub(crate) enum Reread {
    /// What is served.
    Same,
    /// What is served, after something else that was refused.
    SameAgain,
    /// Other tenants.
    Other(Parsed),
    /// What was refused before.
    RefusedAgain(ReadError),
    /// What can't be served.
    Refused(ReadError),
}

impl TenantsFile {
    /// Reads a file for the first time.
    ///
    /// # Errors
    /// It cannot be read, or has problems, which are all named.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, Parsed), ReadError> {
        let text = text_within(&path, Kinds::Pipes, limits::free_memory())?;
        let parsed = parse(&path, &text)?;
        let hasher = hash::RandomState::new();
        let file = Self {
            served: hash::BuildHasher::hash_one(&hasher, &text),
            path,
            hasher,
            refused: None,
        };
        Ok((file, parsed))
    }

    /// Its name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it again. Returns the state in which it was read, too.
    pub(crate) fn read_again(&mut self) -> (Seen, Reread) {
        let again = |path: &Path| text_within(path, Kinds::Regular, limits::free_memory());
        let read = settled_text(&self.path, again);
        match read {
            Ok((stamp, text)) => (Ok(stamp), self.take(&text)),
            Err((seen, error)) => {
                let refused = match &error {
                    ReadError::TooLarge { len, .. } => Refused::TooLarge(*len),
                    ReadError::Unreadable { source, .. } => Refused::Unreadable(source.kind()),
                    ReadError::Endless { max, .. } => Refused::TooLarge(*max),
                    ReadError::Changing { .. } | ReadError::Invalid { .. } => Refused::Changing,
                };
                (seen, self.refuse(refused, error))
            }
        }
    }

    fn take(&mut self, text: &[u8]) -> Reread {
        let content = hash::BuildHasher::hash_one(&self.hasher, text);
        if content == self.served {
            return match self.refused.take() {
                None => Reread::Same,
                Some(_) => Reread::SameAgain,
            };
        }
        match parse(&self.path, text) {
            Ok(parsed) => {
                self.served = content;
                self.refused = None;
                Reread::Other(parsed)
            }
            Err(error) => self.refuse(Refused::Text(content), error),
        }
    }

    fn refuse(&mut self, refused: Refused, error: ReadError) -> Reread {
        if self.refused.replace(refused) == Some(refused) {
            Reread::RefusedAgain(error)
        } else {
            Reread::Refused(error)
        }
    }
}

/// The text of a file, of which no part was written while another one was read.
fn settled_text(
    path: &Path,
    read: impl Fn(&Path) -> Result<Vec<u8>, ReadError>,
) -> Result<(Stamp, Vec<u8>), (Seen, ReadError)> {
    let unreadable = |source: io::Error| {
        let seen = Err(source.kind());
        let path = path.to_owned();
        (seen, ReadError::Unreadable { path, source })
    };
    for _ in 0..MAX_ATTEMPTS {
        let before = Stamp::of(path).map_err(unreadable)?;
        let text = read(path);
        if look(path) == Ok(before) {
            let text = text.map_err(|error| (Ok(before), error))?;
            return Ok((before, text));
        }
        thread::sleep(PAUSE);
    }
    let path = path.to_owned();
    Err((look(&path), ReadError::Changing { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "{\"id\":\"a\",\"name\":\"A\",\"welcome\":\"w\"}\n";

    /// A file that only one test uses, in a folder that ends with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("tenantry-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("tenants.jsonl"), ROW).expect("a file");
            Self(folder)
        }

        fn path(&self) -> PathBuf {
            self.0.join("tenants.jsonl")
        }

        fn open(&self) -> TenantsFile {
            TenantsFile::open(self.path()).expect("a good file").0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_text_is_taken_once_and_refused_once() {
        let folder = Folder::new("once");
        let mut file = folder.open();
        let other = ROW.replace("\"w\"", "\"x\"");
        assert!(matches!(file.read_again().1, Reread::Same));
        fs::write(file.path(), "nonsense").expect("a file");
        assert!(matches!(file.read_again().1, Reread::Refused(_)));
        assert!(matches!(file.read_again().1, Reread::RefusedAgain(_)));
        fs::write(file.path(), "nonsense!").expect("a file");
        assert!(matches!(file.read_again().1, Reread::Refused(_)));
        fs::write(file.path(), ROW).expect("a file");
        assert!(matches!(file.read_again().1, Reread::SameAgain));
        assert!(matches!(file.read_again().1, Reread::Same));
        fs::write(file.path(), other).expect("a file");
        assert!(matches!(file.read_again().1, Reread::Other(_)));
        assert!(matches!(file.read_again().1, Reread::Same));
    }

    #[test]
    fn a_file_that_is_gone_is_reported_once() {
        let folder = Folder::new("gone");
        let mut file = folder.open();
        fs::remove_file(file.path()).expect("it is there");
        let (seen, reread) = file.read_again();
        assert_eq!(seen, Err(io::ErrorKind::NotFound));
        assert!(matches!(
            reread,
            Reread::Refused(ReadError::Unreadable { .. })
        ));
        assert!(matches!(file.read_again().1, Reread::RefusedAgain(_)));
        fs::write(file.path(), ROW).expect("a file");
        assert!(matches!(file.read_again().1, Reread::SameAgain));
    }

    #[test]
    fn what_is_no_regular_file_is_not_read_again() {
        let folder = Folder::new("folder");
        let mut file = folder.open();
        fs::remove_file(file.path()).expect("it is there");
        fs::create_dir_all(file.path()).expect("a folder");
        let Reread::Refused(error) = file.read_again().1 else {
            panic!("a folder was read");
        };
        let source = std::error::Error::source(&error).expect("a cause");
        assert!(
            source.to_string().starts_with("it is no regular file"),
            "{source}"
        );
    }

    #[test]
    fn a_file_without_room_for_it_is_not_read() {
        let folder = Folder::new("large");
        let path = folder.path();
        let len = ROW.len() as u64;
        for (free, fits) in [(4 * len, true), (4 * len - 1, false), (0, false)] {
            let read = text_within(&path, Kinds::Regular, Some(free));
            assert_eq!(read.is_ok(), fits, "{free}");
            assert!(fits || matches!(read, Err(ReadError::TooLarge { .. })));
        }
        text_within(&path, Kinds::Regular, None).expect("where nobody knows, it is tried");
        // As long as no memory is, and empty.
        let sparse = fs::File::create(&path).expect("a file");
        sparse.set_len(1 << 43).expect("a file with a hole");
        let error = read(&path).expect_err("it is too large").to_string();
        let message = "the tenants file is too large: its 8796093022208 bytes need about";
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn a_file_that_is_written_while_it_is_read_is_read_again() {
        let folder = Folder::new("unsettled");
        let reads = std::cell::Cell::new(0);
        // Each time, something is added while it is read: three times, or for ever.
        let read = |path: &Path, writes: u32| {
            let text = text_within(path, Kinds::Regular, None);
            reads.set(reads.get() + 1);
            if reads.get() <= writes {
                fs::write(path, ROW.repeat(1 + reads.get() as usize)).expect("a file");
            }
            text
        };
        let settled = settled_text(&folder.path(), |path| read(path, 3));
        let (stamp, text) = settled.expect("it settles");
        assert_eq!(text, ROW.repeat(4).as_bytes());
        assert_eq!(look(&folder.path()), Ok(stamp));
        assert_eq!(reads.get(), 4);
        reads.set(0);
        let settled = settled_text(&folder.path(), |path| read(path, u32::MAX));
        let (_, error) = settled.expect_err("it never settles");
        assert!(matches!(error, ReadError::Changing { .. }), "{error}");
        assert_eq!(reads.get(), MAX_ATTEMPTS);
    }
}
