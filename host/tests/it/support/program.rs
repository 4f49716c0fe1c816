//! The server as users have it: a program.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::client::{PATIENCE, ask, get};

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

/// The same program, which may open no more than `files` files, whatever user it runs as.
pub(crate) fn with_files(files: u32, args: &[&str]) -> Command {
    let plain = tenantry(args);
    // Without this capability not even root may raise the limit again.
    let drop = "setpriv --inh-caps=-sys_resource --bounding-set=-sys_resource";
    let limited = format!(
        r#"ulimit -n {files} && if {drop} true 2>/dev/null; then exec {drop} "$0" "$@"; fi; exec "$0" "$@""#
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &limited])
        .arg(plain.get_program())
        .args(plain.get_args())
        .stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = plain.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// A running server program; killed at the end of the test if it still runs.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

/// What a program has logged so far.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Log {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().expect("nobody panics with it")
    }

    /// Reads to the end.
    fn read(&self, log: ChildStderr) {
        let mut log = BufReader::new(log);
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            *self.text() += &String::from_utf8_lossy(&line);
            self.grown.notify_all();
            line.clear();
        }
    }
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
        let stderr = child.stderr.take().expect("a pipe");
        let log = Arc::<Log>::default();
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || log.read(stderr)
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("text");
        let Ok(address) = line.trim_end().parse() else {
            let _ = child.kill();
            let _ = reader.join();
            panic!("{line:?} is no address; the log: {:?}", log.text());
        };
        Self {
            address,
            child,
            stdout,
            log,
            reader: Some(reader),
        }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text().clone()
    }

    /// Waits for a line of the log with this in it.
    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        self.wait_for_log(part, 1);
        let log = self.log();
        let line = log.lines().find(|line| line.contains(part));
        line.expect("it was seen").to_owned()
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

    /// Waits until it is ready, as its admin listener says.
    pub(crate) fn wait_until_ready(&self) {
        let admin = self.admin_address();
        let end = Instant::now() + PATIENCE;
        while ask(admin, &get("/readyz")).status != 200 {
            assert!(Instant::now() < end, "it is never ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until its log has a text so many times.
    pub(crate) fn wait_for_log(&self, text: &str, times: usize) {
        let end = Instant::now() + PATIENCE;
        let mut log = self.log.text();
        while log.matches(text).count() < times {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text:?}, {times} times, in: {log}");
            let waited = self.log.grown.wait_timeout(log, left);
            (log, _) = waited.expect("nobody panics with it");
        }
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
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read");
        }
        let log = self.log();
        (self.child.wait().expect("it was started"), rest, log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
