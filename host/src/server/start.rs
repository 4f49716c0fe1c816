//! The start of a server's threads: each gets what it needs from the system before any of them
//! accepts a connection. Later, connections may have taken all files that may be open.

use std::sync::mpsc;

/// The start as a thread sees it.
pub(super) struct Start {
    ready: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
}

impl Start {
    /// Says that this thread has all that it needs, and waits for the others. Returns whether
    /// they have, too; where one has not, the server does not start.
    #[must_use]
    pub(super) fn wait(self) -> bool {
        let Self { ready, go } = self;
        let said = ready.send(());
        drop(ready);
        said.is_ok() && go.recv().is_ok()
    }
}

/// The start as whoever starts the threads sees it.
pub(super) struct Starter {
    ready: mpsc::Sender<()>,
    said: mpsc::Receiver<()>,
    waiting: Vec<mpsc::Sender<()>>,
}

impl Starter {
    pub(super) fn new() -> Self {
        let (ready, said) = mpsc::channel();
        Self {
            ready,
            said,
            waiting: Vec::new(),
        }
    }

    /// The start of one more thread.
    pub(super) fn thread(&mut self) -> Start {
        let (go, wait) = mpsc::channel();
        self.waiting.push(go);
        Start {
            ready: self.ready.clone(),
            go: wait,
        }
    }

    /// Waits for all threads, and lets them go on. Returns false where one of them has ended
    /// instead; then all others do.
    #[must_use]
    pub(super) fn go(self) -> bool {
        let Self {
            ready,
            said,
            waiting,
        } = self;
        drop(ready);
        let are_ready = said.iter().count() == waiting.len();
        // Those that are not told to go on hear that nobody will tell them.
        are_ready && waiting.iter().all(|go| go.send(()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn all_threads_go_on_or_none() {
        for failing in [None, Some(1)] {
            let mut starter = Starter::new();
            let threads: Vec<_> = (0..3)
                .map(|n| {
                    let start = starter.thread();
                    thread::spawn(move || failing != Some(n) && start.wait())
                })
                .collect();
            assert_eq!(starter.go(), failing.is_none());
            for thread in threads {
                assert_eq!(thread.join().expect("no panic"), failing.is_none());
            }
        }
    }
}
