//! The clock of deadlines: one thread for an engine, however many requests run.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::Duration,
};

use wasmtime::EngineWeak;

/// Advances an engine's epoch until it is dropped.
pub(super) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: EngineWeak, interval: Duration) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("tenantry-ticker".to_owned())
            .spawn(move || tick(&engine, interval, &stopped))
            .ok();
        Self {
            stop: Some(stop),
            thread,
        }
    }
}

fn tick(engine: &EngineWeak, interval: Duration, stopped: &Receiver<()>) {
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say but that it ended.
            let _ = thread.join();
        }
    }
}
