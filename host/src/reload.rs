//! Tenants change while the server runs: when their file does, and when SIGHUP says so.
//!
//! A thread of its own looks at the file every second, and reads it once it has stopped
//! changing. Looking is cheap, and sees what notices from the system do not: a link far up
//! the path that now leads elsewhere, and files of other machines. What is read is taken as
//! a whole, or refused as a whole: then the tenants stay as they are, and the log says why.

use std::{io, path::Path, sync::Arc, thread, time::Duration};

use crate::{
    metrics::Metrics,
    server::Shutdown,
    signals::Hangups,
    state::{Directory, Reloaded},
    tenants_file::{ReadError, Reread, Seen, TenantsFile, look},
};

/// Between two looks at a file that does not change.
const PAUSE: Duration = Duration::from_secs(1);

/// Between two looks at a file that has just changed.
const SHORT_PAUSE: Duration = Duration::from_millis(200);

/// Looks at which a changed file must be the same in a row before it is read. Whoever
/// writes it may not be done.
const SETTLED_LOOKS: u32 = 2;

/// Looks at which a file must be missing in a row before that is said. Some programs remove
/// a file to write it anew.
const MISSING_LOOKS: u32 = 6;

/// What is known of a file that is looked at again and again.
#[derive(Debug)]
struct Watch {
    /// As it was when it was read last.
    read: Seen,
    /// As it was at the last look.
    last: Seen,
    /// Looks in a row at which it was so.
    looks: u32,
}

impl Watch {
    fn new(read: Seen) -> Self {
        Self {
            read,
            last: read,
            looks: 0,
        }
    }

    /// Takes a look; returns whether the file is to be read now.
    fn look(&mut self, now: Seen) -> bool {
        if now == self.last {
            self.looks = self.looks.saturating_add(1);
        } else {
            self.last = now;
            self.looks = 1;
        }
        let enough = match now {
            Ok(_) => SETTLED_LOOKS,
            Err(_) => MISSING_LOOKS,
        };
        now != self.read && self.looks >= enough
    }

    /// Until the next look.
    fn pause(&self) -> Duration {
        if self.last == self.read {
            PAUSE
        } else {
            SHORT_PAUSE
        }
    }
}

/// Brings a directory up to date with its file until the server stops: at each SIGHUP and,
/// where the file is watched, when it has changed since it was in the state `read`.
///
/// # Errors
/// The system gives no thread, or no way to catch signals.
pub(crate) fn start(
    mut file: TenantsFile,
    read: Seen,
    is_watched: bool,
    directory: Arc<Directory>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // From here on a signal is caught, whenever the thread looks at it.
    let mut hangups = {
        let _context = runtime.enter();
        Hangups::new()?
    };
    let work = async move {
        let mut watch = Watch::new(read);
        loop {
            let is_asked = tokio::select! {
                () = shutdown.requested() => return,
                () = hangups.next() => true,
                () = tokio::time::sleep(watch.pause()), if is_watched => {
                    if !watch.look(look(file.path())) {
                        continue;
                    }
                    false
                }
            };
            let (read, reread) = file.read_again();
            watch = Watch::new(read);
            match &reread {
                Reread::Other(_) => metrics.has_reloaded(true),
                Reread::Refused(_) => metrics.has_reloaded(false),
                Reread::RefusedAgain(_) if is_asked => metrics.has_reloaded(false),
                _ => {}
            }
            take_over(file.path(), reread, is_asked, &directory);
        }
    };
    thread::Builder::new()
        .name("tenantry-reload".to_owned())
        .spawn(move || runtime.block_on(work))
        .map(drop)
}

/// Does what the file says, and logs that. What was logged before is logged again only
/// where somebody has asked.
fn take_over(path: &Path, reread: Reread, is_asked: bool, directory: &Directory) {
    let file = path.display().to_string();
    match reread {
        Reread::Same if !is_asked => {}
        Reread::Same | Reread::SameAgain => {
            tracing::info!("{file}: the tenants file says what is served");
        }
        Reread::RefusedAgain(_) if !is_asked => {}
        Reread::RefusedAgain(error) | Reread::Refused(error) => complain(&file, &error),
        Reread::Other(parsed) => {
            for warning in &parsed.warnings {
                tracing::warn!("{}", warning.in_file(&file));
            }
            let tenants = parsed.registry.rows().len();
            let Reloaded {
                added,
                changed,
                removed,
            } = directory.replace(parsed.registry);
            tracing::info!(tenants, added, changed, removed, "{file}: tenants reloaded");
        }
    }
}

/// Says why a file was refused: a line for each problem.
fn complain(file: &str, error: &ReadError) {
    const STAY: &str = "the tenants stay as they were";
    if let ReadError::Invalid { problems, .. } = error {
        for problem in problems {
            tracing::error!("{}", problem.in_file(file));
        }
        tracing::error!(problems = problems.len(), "{file}: refused; {STAY}");
        return;
    }
    match std::error::Error::source(error) {
        Some(source) => tracing::error!("{error}: {source}; {STAY}"),
        None => tracing::error!("{error}; {STAY}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::ErrorKind,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;

    /// States of a file, all different.
    fn states() -> [Seen; 2] {
        // Tests run at the same time.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        [1, 2].map(|bytes| {
            let n = COUNT.fetch_add(1, Ordering::SeqCst);
            let name = format!("tenantry-watch-{}-{n}", std::process::id());
            let file = std::env::temp_dir().join(name);
            fs::write(&file, vec![b'x'; bytes]).expect("a file");
            let seen = look(&file);
            fs::remove_file(file).expect("it is there");
            seen
        })
    }

    #[test]
    fn a_file_is_read_when_it_has_changed_and_settled() {
        let [first, second] = states();
        assert_ne!(first, second);
        let mut watch = Watch::new(first);
        for _ in 0..10 {
            assert!(!watch.look(first));
            assert_eq!(watch.pause(), PAUSE);
        }
        assert!(!watch.look(second));
        assert_eq!(watch.pause(), SHORT_PAUSE);
        assert!(watch.look(second));
    }

    #[test]
    fn a_file_that_goes_on_changing_is_not_read_yet() {
        let [first, second] = states();
        let mut watch = Watch::new(Err(ErrorKind::NotFound));
        for _ in 0..10 {
            assert!(!watch.look(first));
            assert!(!watch.look(second));
        }
        assert!(watch.look(second));
    }

    #[test]
    fn a_file_that_is_missing_for_a_moment_is_not_missed() {
        let [first, second] = states();
        let missing = Err(ErrorKind::NotFound);
        let mut watch = Watch::new(first);
        for _ in 0..3 {
            assert!(!watch.look(missing));
        }
        assert!(!watch.look(first));
        assert!(!watch.look(first));
        for _ in 1..MISSING_LOOKS {
            assert!(!watch.look(missing));
        }
        assert!(watch.look(missing));
        assert!(!watch.look(second));
        assert!(watch.look(second));
    }
}
