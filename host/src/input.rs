//! Files that the program is given: opened without waiting, looked at, and read within bounds.
//!
//! A name may lead to a pipe that nobody writes to, to a device without an end, or to another
//! file than a moment ago. So nothing is asked of the name: what was opened is looked at, and
//! of what may never end the time and the bytes are bounded.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    path::Path,
    time::{Duration, Instant},
};

/// Which kinds of files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// Regular ones: what is read again, or has been found in a folder.
    Regular,
    /// Pipes, too, such as a shell makes of `<(command)`: what is read once.
    Pipes,
}

/// For a pipe to be written to its end.
const PIPE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that a pipe is read by.
#[cfg(unix)]
const CHUNK: usize = 64 << 10;

/// A file that was opened.
pub(crate) struct Input {
    file: File,
    metadata: Metadata,
}

impl Input {
    /// Opens a file, and waits for nothing and nobody.
    ///
    /// # Errors
    /// It cannot be opened, or is of another kind.
    pub(crate) fn open(path: &Path, kinds: Kinds) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // Without it, a pipe is opened once somebody writes to it. Files are as ever.
            let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
            options.custom_flags(flags.bits().cast_signed());
        }
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        check(&metadata, kinds)?;
        Ok(Self { file, metadata })
    }

    /// What was opened.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All that it holds; `None` where that is more than `max` bytes, of which no more are
    /// read than one.
    ///
    /// # Errors
    /// It cannot be read, or there is no end within ten seconds.
    pub(crate) fn read(self, max: u64) -> io::Result<Option<Vec<u8>>> {
        match Kind::of(&self.metadata) {
            #[cfg(unix)]
            Some(Kind::Pipe) => read_pipe(self.file, max, PIPE_TIMEOUT),
            _ => {
                // It may have grown since, and may grow on.
                let len = self.metadata.len().min(max);
                bounded(&self.file, len, max)
            }
        }
    }
}

/// Makes sure that what has this metadata is of a kind that may be read.
///
/// # Errors
/// It is of another kind; the error says which.
pub(crate) fn check(metadata: &Metadata, kinds: Kinds) -> io::Result<()> {
    match Kind::of(metadata) {
        None => Ok(()),
        Some(Kind::Pipe) if kinds == Kinds::Pipes => Ok(()),
        Some(kind) => Err(io::Error::new(io::ErrorKind::InvalidInput, kind.refused())),
    }
}

/// What is no regular file.
enum Kind {
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are none"))]
    Pipe,
    Folder,
    Other,
}

impl Kind {
    fn of(metadata: &Metadata) -> Option<Self> {
        let file_type = metadata.file_type();
        if file_type.is_file() {
            return None;
        }
        #[cfg(unix)]
        if std::os::unix::fs::FileTypeExt::is_fifo(&file_type) {
            return Some(Self::Pipe);
        }
        Some(if file_type.is_dir() {
            Self::Folder
        } else {
            Self::Other
        })
    }

    fn refused(&self) -> &'static str {
        match self {
            Self::Pipe => "it is no regular file, but a pipe, which could not be read again",
            Self::Folder => "it is no regular file, but a folder",
            Self::Other => "it is no regular file, but a device or a socket",
        }
    }
}

/// What standard input holds; `None` where that is more than `max` bytes.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_stdin(max: u64) -> io::Result<Option<Vec<u8>>> {
    bounded(io::stdin().lock(), 0, max)
}

/// Reads to the end, or one byte more than `max`; about `len` are expected.
fn bounded(input: impl io::Read, len: u64, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let room = usize::try_from(len).unwrap_or(usize::MAX);
    let reserved = bytes.try_reserve_exact(room);
    reserved.map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
    input.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max).then_some(bytes))
}

/// Reads a pipe that was opened without waiting. One that nobody writes to yet is waited for.
#[cfg(unix)]
fn read_pipe(mut pipe: File, max: u64, timeout: Duration) -> io::Result<Option<Vec<u8>>> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let end = Instant::now() + timeout;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let too_slow = || {
            let text = format!(
                "the pipe was not written to its end within {}",
                humantime::format_duration(timeout)
            );
            io::Error::new(io::ErrorKind::TimedOut, text)
        };
        if left.is_zero() {
            return Err(too_slow());
        }
        let left = Timespec::try_from(left).map_err(|_| too_slow())?;
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(too_slow()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match pipe.read(&mut chunk) {
            Ok(0) => return Ok(Some(bytes)),
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
        if bytes.len() as u64 > max {
            return Ok(None);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::{fs, io::Write as _, path::PathBuf, process::Command, thread};

    use super::*;

    fn pipe(name: &str) -> PathBuf {
        let name = format!("tenantry-input-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        path
    }

    #[test]
    fn what_never_ends_is_not_read_and_what_is_not_there_not_waited_for() {
        let path = pipe("refused");
        let kind = |path: &Path, kinds| match Input::open(path, kinds) {
            Ok(_) => "opened".to_owned(),
            Err(error) => error.to_string(),
        };
        let refused = kind(&path, Kinds::Regular);
        assert!(refused.contains("a pipe"), "{refused}");
        assert_eq!(kind(&path, Kinds::Pipes), "opened");
        for kinds in [Kinds::Regular, Kinds::Pipes] {
            let refused = kind(Path::new("/dev/zero"), kinds);
            assert!(refused.contains("a device"), "{refused}");
            let refused = kind(&std::env::temp_dir(), kinds);
            assert!(refused.contains("a folder"), "{refused}");
        }
        let input = Input::open(&path, Kinds::Pipes).expect("it is opened");
        let error = read_pipe(input.file, 10, Duration::from_millis(50)).expect_err("no writer");
        let text = "the pipe was not written to its end within 50ms";
        assert_eq!(error.to_string(), text);
        fs::remove_file(path).expect("it is there");
    }

    #[test]
    fn a_pipe_is_read_to_its_end_however_late_that_comes() {
        let path = pipe("written");
        for (max, is_read) in [(200_000, true), (199_999, false)] {
            let writer = thread::spawn({
                let path = path.clone();
                move || {
                    // Waits for the reader.
                    let mut pipe = File::options().write(true).open(path).expect("a pipe");
                    for _ in 0..2 {
                        // The reader may have had enough.
                        let _ = pipe.write_all(&[b'x'; 100_000]);
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            });
            let input = Input::open(&path, Kinds::Pipes).expect("it is opened");
            let read = input.read(max).expect("it is written to");
            assert_eq!(read.map(|bytes| bytes.len()), is_read.then_some(200_000));
            writer.join().expect("it was written to");
        }
        fs::remove_file(path).expect("it is there");
    }

    #[test]
    fn no_more_is_read_than_may_be() {
        let path = std::env::temp_dir().join(format!("tenantry-input-{}", std::process::id()));
        fs::write(&path, "12345").expect("a file");
        let read = |max| {
            let input = Input::open(&path, Kinds::Regular).expect("a file");
            input.read(max).expect("it can be read")
        };
        assert_eq!(read(5).as_deref(), Some(&b"12345"[..]));
        assert_eq!(read(4), None);
        assert_eq!(bounded(io::repeat(b'x'), 0, 1000).expect("bytes"), None);
        fs::remove_file(path).expect("it is there");
    }
}
