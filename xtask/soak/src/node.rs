//! A server of Tenantry as a process that is stopped, killed, stalled and started again.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use tenantry_stores::{Signal, free_port, signal};

use crate::{guard::Guard, record::Record};

/// For a server to end gently; it has 5 seconds for what is open, and 5 for usage.
const TO_END: Duration = Duration::from_secs(20);

/// A server, running or not.
pub(crate) struct Node {
    /// Its place among all servers.
    pub(crate) index: usize,
    /// Where the service is.
    pub(crate) service: u16,
    /// Where its admin API is.
    pub(crate) admin: u16,
    program: PathBuf,
    args: Vec<String>,
    /// What steps its clock.
    clock: Option<Clock>,
    log: PathBuf,
    process: Mutex<Process>,
}

/// libfaketime, and the file that says by how much.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

#[derive(Default)]
struct Process {
    child: Option<Child>,
    /// Whether it is to run: it is started again where it ends by itself.
    is_wanted: bool,
}

impl Node {
    pub(crate) fn new(
        index: usize,
        program: &Path,
        args: Vec<String>,
        faketime: Option<&Path>,
        scratch: &Path,
    ) -> Result<Self> {
        let file = scratch.join(format!("clock-{index}"));
        fs::write(&file, "+0")?;
        Ok(Self {
            index,
            service: free_port()?,
            admin: free_port()?,
            program: program.to_owned(),
            args,
            clock: faketime.map(|library| Clock {
                library: library.to_owned(),
                file,
            }),
            log: scratch.join(format!("server-{index}.log")),
            process: Mutex::default(),
        })
    }

    fn spawn(&self, guard: &Guard, record: &Record) -> Result<Child> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TENANTRY_") {
                command.env_remove(name);
            }
        }
        command
            .arg("serve")
            .arg(format!("--listen=127.0.0.1:{}", self.service))
            .arg(format!("--admin=127.0.0.1:{}", self.admin))
            .args(&self.args)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log?);
        if let Some(clock) = &self.clock {
            command
                .env("LD_PRELOAD", &clock.library)
                .env("FAKETIME_TIMESTAMP_FILE", &clock.file)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let child = command.spawn().context("the server can't be started")?;
        guard.started(child.id());
        record.begins(Some(self.index));
        Ok(child)
    }

    /// Starts it, and has it started again where it ends by itself.
    pub(crate) fn start(&self, guard: &Guard, record: &Record) -> Result<()> {
        let mut process = self.process.lock();
        process.child = Some(self.spawn(guard, record)?);
        process.is_wanted = true;
        Ok(())
    }

    /// Starts it again where it has ended by itself; returns how it did.
    pub(crate) fn tend(&self, guard: &Guard, record: &Record) -> Result<Option<ExitStatus>> {
        let mut process = self.process.lock();
        if !process.is_wanted {
            return Ok(None);
        }
        let Some(child) = &mut process.child else {
            return Ok(None);
        };
        let Some(status) = child.try_wait()? else {
            return Ok(None);
        };
        guard.ended(child.id());
        record.dies(self.index, false);
        process.child = Some(self.spawn(guard, record)?);
        Ok(Some(status))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, what: Signal) -> Result<()> {
        match &self.process.lock().child {
            Some(child) => signal(child.id(), what),
            None => Ok(()),
        }
    }

    /// Kills it.
    pub(crate) fn kill(&self, guard: &Guard, record: &Record) -> Result<()> {
        let mut process = self.process.lock();
        process.is_wanted = false;
        if let Some(mut child) = process.child.take() {
            child.kill()?;
            child.wait()?;
            guard.ended(child.id());
            record.dies(self.index, false);
        }
        Ok(())
    }

    /// Has it end gently.
    ///
    /// # Errors
    /// It does not end, or not well.
    pub(crate) fn stop(&self, guard: &Guard, record: &Record) -> Result<()> {
        let mut process = self.process.lock();
        process.is_wanted = false;
        let Some(mut child) = process.child.take() else {
            return Ok(());
        };
        record.dies(self.index, true);
        let start = Instant::now();
        // One that has just ended by itself is as good.
        let _ = signal(child.id(), Signal::TERM);
        while start.elapsed() < TO_END {
            if let Some(status) = child.try_wait()? {
                guard.ended(child.id());
                if status.signal().is_some() {
                    bail!("server {} did not end well: {status}", self.index);
                }
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        child.kill()?;
        child.wait()?;
        guard.ended(child.id());
        record.dies(self.index, false);
        bail!("server {} did not end within {TO_END:?}", self.index)
    }

    /// Steps its clock, by so many seconds from the true time.
    ///
    /// # Errors
    /// It does not look at the clock that is stepped.
    pub(crate) fn step(&self, seconds: i64) -> Result<()> {
        let clock = self.clock.as_ref().context("its clock can't be stepped")?;
        if let Some(child) = &self.process.lock().child {
            let maps = fs::read_to_string(format!("/proc/{}/maps", child.id()))?;
            let library = clock.library.to_string_lossy();
            // A static program takes no library.
            ensure!(maps.contains(&*library), "the server is without {library}");
        }
        // In one step: a half-written number is another time.
        let new = clock.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}"))?;
        fs::rename(&new, &clock.file)?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.lock().child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
