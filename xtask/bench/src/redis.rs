//! A server of Redis to hold limits in.

use std::{
    io::{BufRead, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// For it to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running redis-server that keeps nothing.
pub(crate) struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts one with its defaults, but for its port, and without a file.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub(crate) fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = spawn(port)?;
        let redis = Self { child, port };
        redis.wait()?;
        Ok(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again; it has forgotten everything.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.child = spawn(self.port)?;
        self.wait()
    }

    /// How many keys it has.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn keys(&self) -> Result<u64> {
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
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("there is no redis-server: please install redis-server")
}
