//! Signals that stop the program, the one that has it read its files again, and those that do
//! nothing.

use std::{io, thread, time::Duration};

use tokio::{runtime::Runtime, signal};

use crate::server::Shutdown;

/// The first SIGTERM or ctrl-c stops the server gently, the second one at once. `announce` is
/// called at the first one, and the server serves on for `delay`: whoever sends requests here
/// learns meanwhile that it should not.
///
/// # Errors
/// The system gives no thread, or no way to catch signals.
pub(crate) fn stop(
    shutdown: Shutdown,
    delay: Duration,
    announce: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // From here on a signal is caught, whenever the thread looks at it.
    let mut signals = {
        let _context = runtime.enter();
        Signals::new()?
    };
    let watch = move || {
        runtime.block_on(async move {
            signals.next().await;
            announce();
            if !delay.is_zero() {
                tracing::info!(?delay, "going to stop; not ready any more");
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = signals.next() => {}
                }
            }
            tracing::info!("stopping: open requests are answered; a second signal cuts them off");
            shutdown.drain();
            signals.next().await;
            shutdown.now();
        });
    };
    thread::Builder::new()
        .name("tenantry-signals".to_owned())
        .spawn(watch)
        .map(drop)
}

#[cfg(unix)]
struct Signals {
    interrupt: signal::unix::Signal,
    terminate: signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // An error is no signal: wait for ever.
        if signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Signals that must not end a server, caught from the making of this to the end of the
/// process. SIGHUP has the server read again what can be read again, whenever it gets to it.
pub(crate) struct Caught {
    pub(crate) runtime: Runtime,
    pub(crate) hangups: Hangups,
}

impl Caught {
    /// Catches them from now on: SIGHUP, and SIGUSR1 and SIGUSR2, which do nothing. SIGPIPE is
    /// ignored in every program of Rust.
    ///
    /// # Errors
    /// The system gives no way to catch them.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let hangups = {
            let _context = runtime.enter();
            #[cfg(unix)]
            for kind in [
                signal::unix::SignalKind::user_defined1(),
                signal::unix::SignalKind::user_defined2(),
            ] {
                // The signal stays caught when nobody listens any more.
                drop(signal::unix::signal(kind)?);
            }
            Hangups::new()?
        };
        Ok(Self { runtime, hangups })
    }
}

/// SIGHUP, each time that it comes.
#[cfg(unix)]
pub(crate) struct Hangups(signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    /// Catches the signal from now on. Needs a runtime around it.
    ///
    /// # Errors
    /// The system gives no way to catch it.
    pub(crate) fn new() -> io::Result<Self> {
        signal::unix::signal(signal::unix::SignalKind::hangup()).map(Self)
    }

    /// Waits for the next one. Several that come while nobody waits are one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// There is no such signal here.
#[cfg(not(unix))]
pub(crate) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}
