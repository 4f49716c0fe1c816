//! What changes while the server runs: tenants when their file does, and when SIGHUP says so;
//! admin tokens at SIGHUP.
//!
//! A thread of its own looks at the tenants file every second, and reads it once it has stopped
//! changing. Looking is cheap, and sees what notices from the system do not: a link far up
//! the path that now leads elsewhere, and files of other machines. What is read is taken as
//! a whole, or refused as a whole: then the tenants stay as they are, and the log says why.

use std::{io, path::Path, sync::Arc, thread, time::Duration};

use crate::{
    admin::Tokens,
    causes,
    metrics::Metrics,
    server::Shutdown,
    signals::Caught,
    state::{Directory, Reloaded},
    supervisor,
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

/// What is read again.
pub(crate) struct Sources {
    /// The file that tenants come from; `None` where they are in a database.
    pub(crate) tenants: Option<Tenants>,
    /// The tokens of the admin API.
    pub(crate) tokens: Option<Tokens>,
}

/// Tenants of a file.
pub(crate) struct Tenants {
    pub(crate) file: TenantsFile,
    /// How the file looked when it was read.
    pub(crate) read: Seen,
    /// Whether it is read again whenever it has changed.
    pub(crate) is_watched: bool,
    /// Who serves them.
    pub(crate) directory: Arc<Directory>,
}

/// Reads the sources again until the server stops: all of them at each SIGHUP, one that came
/// during the start too, and watched tenants when their file has changed.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start(
    caught: Caught,
    sources: Sources,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
) -> io::Result<()> {
    let Caught {
        runtime,
        mut hangups,
    } = caught;
    let Sources {
        mut tenants,
        tokens,
    } = sources;
    let work = async move {
        let is_watched = tenants.as_ref().is_some_and(|tenants| tenants.is_watched);
        let read = tenants.as_ref().map(|tenants| tenants.read);
        let mut watch = Watch::new(read.unwrap_or(Err(io::ErrorKind::NotFound)));
        loop {
            let is_asked = tokio::select! {
                () = shutdown.requested() => return,
                () = hangups.next() => true,
                () = tokio::time::sleep(watch.pause()), if is_watched => false,
            };
            if let Some(tenants) = &mut tenants {
                if !is_asked && !watch.look(look(tenants.file.path())) {
                    continue;
                }
                if is_asked {
                    supervisor::reloading();
                }
                watch = Watch::new(tenants.read_again(is_asked, &metrics));
            } else {
                supervisor::reloading();
            }
            if is_asked {
                match &tokens {
                    Some(tokens) => read_tokens_again(tokens),
                    None if tenants.is_none() => tracing::info!(
                        "SIGHUP: there is nothing to read again; tenants are in the database, \
                         and there is no admin token file"
                    ),
                    None => {}
                }
                supervisor::reloaded();
            }
        }
    };
    thread::Builder::new()
        .name("tenantry-reload".to_owned())
        .spawn(move || runtime.block_on(work))
        .map(drop)
}

impl Tenants {
    /// Reads the file again. Returns the state in which it was read.
    fn read_again(&mut self, is_asked: bool, metrics: &Metrics) -> Seen {
        let (read, reread) = self.file.read_again();
        match &reread {
            Reread::Other(_) => metrics.has_reloaded(true),
            Reread::Refused(_) => metrics.has_reloaded(false),
            Reread::RefusedAgain(_) if is_asked => metrics.has_reloaded(false),
            _ => {}
        }
        take_over(self.file.path(), reread, is_asked, &self.directory);
        read
    }
}

/// Takes the tokens of the file as it is now; where that is bad, they stay as they were.
fn read_tokens_again(tokens: &Tokens) {
    match tokens.read_again() {
        Ok(count) => {
            let file = tokens.path().display();
            tracing::info!(tokens = count, "{file}: admin tokens reloaded");
        }
        Err(error) => tracing::error!("{}; {TOKENS_STAY}", causes::all(&error)),
    }
}

const TOKENS_STAY: &str = "the admin tokens stay as they were";

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
    tracing::error!("{}; {STAY}", causes::all(error));
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
