//! A server of PostgreSQL to keep state in.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// A running server of PostgreSQL, whose data goes with it.
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    /// Its one database.
    pub(crate) url: String,
}

impl Postgres {
    /// Starts one with its defaults, but for its port, in a folder of that name.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub(crate) fn start(scratch: &Path, name: &str) -> Result<Self> {
        let folder = scratch.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        if let Some((user, group)) = unprivileged()? {
            std::os::unix::fs::chown(&folder, Some(user), Some(group))?;
        }
        let data = folder.join("data");
        let args = [
            "--auth=trust",
            "--username=tenantry",
            "--encoding=UTF8",
            "-D",
        ];
        run(program("initdb")?.args(args).arg(&data))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self {
            folder,
            port,
            url: format!("postgres://tenantry@127.0.0.1:{port}/postgres"),
        };
        server.run()?;
        Ok(server)
    }

    /// Starts it, where it was stopped; it takes connections then.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn run(&self) -> Result<()> {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{}'",
            self.port,
            self.folder.display()
        );
        let mut start = program("pg_ctl")?;
        start
            .args(["start", "-w", "-l"])
            .arg(self.folder.join("log"));
        start.arg("-D").arg(self.data()).arg("-o").arg(options);
        run(&mut start)
    }

    /// Stops it as if it had crashed.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn crash(&self) -> Result<()> {
        self.stop("immediate")
    }

    fn stop(&self, mode: &str) -> Result<()> {
        let mut stop = program("pg_ctl")?;
        stop.args(["stop", "-w", "-m", mode, "-D"]);
        run(stop.arg(self.data()))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.stop("fast");
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
    command.current_dir("/");
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
