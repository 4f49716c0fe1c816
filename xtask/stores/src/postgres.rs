//! A server of PostgreSQL to keep state in.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Signal, children, free_port, signal};

/// For it to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server of PostgreSQL, which is stopped with this.
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    /// Settings beside those that it always has.
    settings: Vec<String>,
    /// Its one database.
    pub url: String,
}

/// How a server of PostgreSQL is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its clients are cut off, and all is written.
    Fast,
    /// As if it had crashed: the next start has to recover.
    Crash,
}

impl Postgres {
    /// Starts one with its defaults, but for its port, in a new folder of that name.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(scratch: &Path, name: &str) -> Result<Self> {
        let folder = scratch.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        Self::start_in(folder, &[], &[])
    }

    /// Starts one in a folder that is empty, with further arguments of initdb, and settings.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start_in(folder: PathBuf, initdb: &[&str], settings: &[&str]) -> Result<Self> {
        // Beside the folder: that may have a disk of its own, which may be full.
        let log = folder.with_extension("log");
        fs::File::create(&log).with_context(|| log.display().to_string())?;
        if let Some((user, group)) = unprivileged()? {
            for path in [&folder, &log] {
                std::os::unix::fs::chown(path, Some(user), Some(group))?;
            }
        }
        let data = folder.join("data");
        let args = [
            "--auth=trust",
            "--username=tenantry",
            "--encoding=UTF8",
            "-D",
        ];
        run(program("initdb")?.args(initdb).args(args).arg(&data))?;
        let port = free_port()?;
        let server = Self {
            folder,
            port,
            settings: settings.iter().map(|one| (*one).to_owned()).collect(),
            url: url(port),
        };
        server.run()?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL by another port: that of a proxy before it.
    #[must_use]
    pub fn url_by(&self, port: u16) -> String {
        url(port)
    }

    /// Starts it, where it was stopped; it takes connections then.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(&self) -> Result<()> {
        let mut options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{}'",
            self.port,
            self.folder.display()
        );
        for setting in &self.settings {
            options = options + " -c " + setting;
        }
        let mut start = program("pg_ctl")?;
        start
            .args(["start", "-w", "-l"])
            .arg(self.folder.with_extension("log"));
        start.arg("-D").arg(self.data()).arg("-o").arg(options);
        run(&mut start)
    }

    /// Starts it unless it runs. After a kill, what it had started is gone a moment later;
    /// until then the data is still theirs.
    ///
    /// # Errors
    /// It does not start.
    pub fn run_again(&self) -> Result<()> {
        let start = Instant::now();
        while !self.takes_connections() {
            if let Err(error) = self.run()
                && start.elapsed() > PATIENCE
            {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Whether it can be asked.
    #[must_use]
    pub fn takes_connections(&self) -> bool {
        self.sql(&["SELECT 1"]).is_ok()
    }

    /// Stops it.
    ///
    /// # Errors
    /// It does not run.
    pub fn stop(&self, how: Stop) -> Result<()> {
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Crash => "immediate",
        };
        let mut stop = program("pg_ctl")?;
        stop.args(["stop", "-w", "-m", mode, "-D"]);
        run(stop.arg(self.data()))
    }

    /// Kills its first process; the others notice, and end.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self) -> Result<()> {
        signal(self.pid()?, Signal::KILL)
    }

    /// Sends a signal to all of its processes.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal_all(&self, what: Signal) -> Result<()> {
        let pid = self.pid()?;
        signal(pid, what)?;
        for child in children(pid)? {
            // One that has ended meanwhile needs no signal.
            let _ = signal(child, what);
        }
        Ok(())
    }

    /// Its first process.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> Result<u32> {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let pid = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        pid.with_context(|| format!("{} names no process", file.display()))
    }

    /// Runs statements, each by itself, in a session that may write; returns what the last
    /// ones say.
    ///
    /// # Errors
    /// It is out of reach, or refuses one.
    pub fn sql(&self, statements: &[&str]) -> Result<String> {
        let mut psql = program("psql")?;
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.args(statements.iter().flat_map(|statement| ["-c", statement]));
        psql.arg(&self.url)
            .env("PGCONNECT_TIMEOUT", "2")
            .env("PGOPTIONS", "-c default_transaction_read_only=off");
        let output = psql.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

fn url(port: u16) -> String {
    format!("postgres://tenantry@127.0.0.1:{port}/postgres")
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.stop(Stop::Fast);
    }
}

/// A program of PostgreSQL, wherever Debian has it, as a user that is not root.
fn program(name: &str) -> Result<Command> {
    let mut folders: Vec<PathBuf> = (13..30)
        .rev()
        .map(|version| format!("/usr/lib/postgresql/{version}/bin").into())
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&path));
    let found = folders.iter().map(|folder| folder.join(name));
    let mut command = Command::new(
        found
            .into_iter()
            .find(|program| program.exists())
            .with_context(|| format!("there is no {name}: please install postgresql"))?,
    );
    if let Some((user, group)) = unprivileged()? {
        command.uid(user).gid(group);
    }
    // Not ended by a ctrl-c that is meant for who has started it.
    command.process_group(0).current_dir("/");
    Ok(command)
}

/// Who runs what refuses to be run by root, where this is root: `nobody`.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    let myself = fs::metadata("/proc/self")?.uid();
    Ok((myself == 0).then_some((65534, 65534)))
}

fn run(command: &mut Command) -> Result<()> {
    // What it starts must not keep a pipe of this process open.
    let null = Stdio::null;
    let status = command
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .status()?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
