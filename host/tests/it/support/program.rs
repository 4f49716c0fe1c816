//! The server as users have it: a program.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
};

use super::client::PATIENCE;

/// The program with these arguments, and with an environment that says nothing about it.
pub(crate) fn tenantry(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TENANTRY_") {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        .env_remove("PORT")
        .current_dir(workspace())
        .stdin(Stdio::null());
    command
}

/// The folder that has `tenants.jsonl`.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    tenantry(args).output().expect("the program runs")
}

/// A running server program; killed at the end of the test if it still runs.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: Option<JoinHandle<String>>,
    lines: Arc<Lines>,
}

/// The lines of a log that have come so far, and word of each.
#[derive(Default)]
struct Lines {
    seen: Mutex<Vec<String>>,
    more: Condvar,
}

impl Program {
    /// `tenantry serve` on a free port, with these further arguments.
    pub(crate) fn serve(args: &[&str]) -> Self {
        Self::start(tenantry(
            &[&["serve", "--listen", "127.0.0.1:0"], args].concat(),
        ))
    }

    /// Starts a command that serves, and waits for its address.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let lines = Arc::new(Lines::default());
        let seen = Arc::clone(&lines);
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            let mut start = 0;
            while stderr.read_line(&mut log).is_ok_and(|read| read > 0) {
                let line = log[start..].to_owned();
                start = log.len();
                seen.seen.lock().expect("no panic").push(line);
                seen.more.notify_all();
            }
            log
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let Ok(address) = line.trim_end().parse() else {
            let _ = child.kill();
            panic!("{line:?} is no address; the log: {:?}", log.join());
        };
        Self {
            address,
            child,
            stdout,
            log: Some(log),
            lines,
        }
    }

    /// Waits for a line of the log with this in it.
    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        let seen = self.lines.seen.lock().expect("no panic");
        let is_missing = |seen: &mut Vec<String>| !seen.iter().any(|line| line.contains(part));
        let more = &self.lines.more;
        let (seen, _) = more
            .wait_timeout_while(seen, PATIENCE, is_missing)
            .expect("no panic");
        let mut lines = seen.iter();
        let line = lines.find(|line| line.contains(part));
        line.unwrap_or_else(|| panic!("no line with {part} in {seen:?}"))
            .clone()
    }

    /// Where its admin API is, as the log says.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        let line = self.wait_for_line("tenantry::admin");
        let is_other = |letter: char| !letter.is_ascii_digit() && !".:".contains(letter);
        let mut words = line.split(is_other);
        let address = words.find_map(|word| {
            let word = word.trim_start_matches(':');
            word.parse().ok()
        });
        address.unwrap_or_else(|| panic!("no address in {line}"))
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, such as `TERM` or `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// Waits until it ends. Returns how it ended, what else it wrote to standard output,
    /// and its log.
    pub(crate) fn wait(mut self) -> (ExitStatus, String, String) {
        let mut rest = String::new();
        let _ = self.stdout.read_to_string(&mut rest);
        let log = self.log.take().map(JoinHandle::join);
        let log = log.and_then(Result::ok).unwrap_or_default();
        (self.child.wait().expect("it was started"), rest, log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
