//! A server of Redis to hold limits in.

use std::{
    io::{BufRead, BufReader, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::free_port;

/// For it to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running redis-server that keeps nothing.
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts one with its defaults, but for its port, and without a file.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let port = free_port()?;
        let child = spawn(port)?;
        let redis = Self { child, port };
        redis.wait()?;
        Ok(redis)
    }

    /// What a server needs to reach it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it.
    ///
    /// # Errors
    /// It has ended by itself.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again; it has forgotten everything.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.child = spawn(self.port)?;
        self.wait()
    }

    /// How many keys it has.
    ///
    /// # Errors
    /// It does not answer.
    pub fn keys(&self) -> Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(b"DBSIZE\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let number = line.trim().trim_start_matches(':').parse();
        number.with_context(|| format!("Redis says {line}"))
    }

    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        while self.keys().is_err() {
            ensure!(start.elapsed() < PATIENCE, "redis-server does not start");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn spawn(port: u16) -> Result<Child> {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        // Not ended by a ctrl-c that is meant for who has started it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("there is no redis-server: please install redis-server")
}
