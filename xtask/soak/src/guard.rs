//! What stops everything that was started, however this program ends.
//!
//! The guard is this program once more, in a process group of its own, so that a ctrl-c does
//! not reach it. It hears over a pipe what was started and mounted. When the pipe is closed,
//! because this program ends in whatever way, it ends what is still there.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use tenantry_stores::{Signal, children, signal};

/// How the guard is asked for.
const WORD: &str = "--guard-of-a-soak";

/// The guard, as it is talked to.
pub(crate) struct Guard {
    child: Child,
    pipe: Option<Mutex<ChildStdin>>,
}

impl Guard {
    /// Starts it.
    ///
    /// # Errors
    /// The system does not run this program a second time.
    pub(crate) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(WORD)
            .process_group(0)
            .stdin(Stdio::piped())
            .spawn()
            .context("the guard can't be started")?;
        let pipe = child.stdin.take().context("the guard has no pipe")?;
        Ok(Self {
            child,
            pipe: Some(Mutex::new(pipe)),
        })
    }

    fn tell(&self, line: &str) {
        if let Some(pipe) = &self.pipe {
            // A guard that is gone can't be helped.
            let _ = writeln!(pipe.lock(), "{line}");
        }
    }

    /// A process was started.
    pub(crate) fn started(&self, pid: u32) {
        self.tell(&format!("started {pid}"));
    }

    /// A process has ended.
    pub(crate) fn ended(&self, pid: u32) {
        self.tell(&format!("ended {pid}"));
    }

    /// Something was mounted.
    pub(crate) fn mounted(&self, folder: &Path) {
        self.tell(&format!("mounted {}", folder.display()));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.child.wait();
    }
}

/// What there is to end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    processes: BTreeSet<u32>,
    folders: BTreeSet<String>,
}

impl Left {
    fn hear(&mut self, line: &str) {
        let Some((what, of)) = line.split_once(' ') else {
            return;
        };
        match (what, of.parse()) {
            ("started", Ok(pid)) => {
                self.processes.insert(pid);
            }
            ("ended", Ok(pid)) => {
                self.processes.remove(&pid);
            }
            ("mounted", _) => {
                self.folders.insert(of.to_owned());
            }
            _ => {}
        }
    }

    fn end(self) {
        for pid in self.processes {
            // What it has started first: those of PostgreSQL.
            for one in children(pid).unwrap_or_default().into_iter().chain([pid]) {
                let _ = signal(one, Signal::KILL);
            }
        }
        for folder in &self.folders {
            // Whoever had files there is gone in a moment.
            for _ in 0..50 {
                let mut unmount = Command::new("umount");
                let unmounted = unmount.arg(folder).stderr(Stdio::null()).status();
                if unmounted.is_ok_and(|status| status.success()) {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Is the guard where this process was started as one.
pub(crate) fn if_asked() -> Option<Result<()>> {
    (std::env::args().nth(1).as_deref() == Some(WORD)).then(|| {
        let mut left = Left::default();
        for line in std::io::stdin().lock().lines() {
            left.hear(&line?);
        }
        left.end();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_started_and_has_not_ended_is_ended() {
        let mut left = Left::default();
        let sleeper = Command::new("sleep").arg("600").spawn();
        let mut sleeper = sleeper.expect("sleep runs");
        for line in ["started 4000000000", "ended 4000000000", "nonsense", "x y"] {
            left.hear(line);
        }
        left.hear(&format!("started {}", sleeper.id()));
        left.hear("mounted /nowhere at all");
        let expected = Left {
            processes: [sleeper.id()].into(),
            folders: ["/nowhere at all".to_owned()].into(),
        };
        assert_eq!(left, expected);
        left.folders.clear();
        left.end();
        assert!(!sleeper.wait().expect("it ends").success());
    }
}
