//! `cargo xtask serve`, and servers that steps start and ask.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    process::{self, program},
    setup, web,
};

/// Seconds that an answer may take before something is wrong.
const PATIENCE_S: u64 = 30;

/// Sets up, then becomes `cargo run ... serve`.
///
/// # Errors
/// Setting up failed, or cargo can't be run. On systems without `exec`, also when the
/// server failed.
pub(crate) fn serve(release: bool, args: &[OsString]) -> Result<()> {
    setup::wasm_target()?;
    // The whole environment is the user's: TENANTRY_... are the server's flags.
    let mut command = program("cargo");
    command.args(["run", "--quiet", "--locked", "--package", "tenantry"]);
    if release {
        command.arg("--release");
    }
    command.args(["--", "serve"]).args(args);
    // The server prints nothing before it listens, and a first build takes minutes.
    eprintln!("building tenantry (a first time takes some minutes), then serving");
    if std::env::var_os(DEMO).is_none() {
        match page() {
            Ok(folder) => {
                eprintln!("the page is under /demo/ of the address that follows");
                command.env(DEMO, folder);
            }
            Err(error) => eprintln!("serving without the page: {error:#}"),
        }
    }
    replace(&mut command)
}

/// The server's option for the page's folder. On the command line it comes before this.
const DEMO: &str = "TENANTRY_DEMO";

/// Builds the page; what that prints must not be taken for the server's output.
fn page() -> Result<PathBuf> {
    let mut command = program(&std::env::current_exe()?.to_string_lossy());
    let status = command.arg("web").stdout(std::io::stderr()).status()?;
    ensure!(status.success(), "`cargo xtask web` failed");
    Ok(web::folder()?.join("page"))
}

/// Becomes the program, so that signals reach it.
#[cfg(unix)]
fn replace(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec()).context("cargo can't be run")
}

#[cfg(not(unix))]
fn replace(command: &mut Command) -> Result<()> {
    let status = command.status().context("cargo can't be run")?;
    ensure!(status.success(), "the server failed: {status}");
    Ok(())
}

/// A running server; killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    address: SocketAddr,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: String,
}

impl Served {
    /// Starts a command that serves, and waits for the line that says where.
    ///
    /// # Errors
    /// It can't be started, or it ends before it has said an address.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the server can't be started")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        match line.trim_end().parse() {
            Ok(address) => Ok(Self { child, address }),
            Err(_) => {
                // It may be running still; either way its state is asked for next.
                let _ = child.kill();
                let status = child.wait()?;
                read.context("the server's output")?;
                bail!("the server's first line, {line:?}, is no address; {status}")
            }
        }
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gets a page.
    ///
    /// # Errors
    /// No answer came.
    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        self.send(minreq::get(self.url(path)))
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// No answer came.
    pub(crate) fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer> {
        let request = minreq::post(self.url(path)).with_body(body.to_string());
        self.send(request.with_header("content-type", "application/json"))
    }

    fn url(&self, path: &str) -> String {
        // It may listen on every address; this machine's own is one of them.
        format!("http://127.0.0.1:{}{path}", self.address.port())
    }

    fn send(&self, request: minreq::Request) -> Result<Answer> {
        let response = request.with_timeout(PATIENCE_S).send()?;
        Ok(Answer {
            status: response.status_code,
            body: response.as_str()?.to_owned(),
        })
    }

    /// Asks it to stop, and waits.
    ///
    /// # Errors
    /// It has ended already, or not with success.
    pub(crate) fn stop(mut self) -> Result<()> {
        process::terminate(&mut self.child)?;
        let status: ExitStatus = self.child.wait()?;
        // Without SIGTERM there is no gentle way to stop it.
        ensure!(
            status.success() || cfg!(not(unix)),
            "the server did not end well after SIGTERM: {status}"
        );
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
