//! The server as a program that may not listen yet.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tenantry_conformance::Reply;

use super::{
    admin::token_file,
    client::{PATIENCE, ask, get},
    database::Folder,
    ports::free_port,
    program::tenantry,
};

/// A server program whose admin listener answers, and which may wait for its database;
/// killed at the end of the test if it still runs.
pub(crate) struct Early {
    child: Child,
    /// Where its admin listener is.
    pub(crate) admin: SocketAddr,
    folder: Folder,
}

impl Early {
    /// `tenantry serve` with these further arguments, as soon as its admin listener is there.
    pub(crate) fn serve(state: &str, args: &[&str]) -> Self {
        let folder = Folder::new();
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let token = token_file().display().to_string();
        let listener = admin.to_string();
        let mut command = tenantry(&["serve", "--listen", "127.0.0.1:0", "--state", state]);
        command.args(["--admin", &listener, "--admin-token-file", &token]);
        command.args(["--engine", "native", "--no-limits"]);
        let file = |name: &str| Stdio::from(fs::File::create(folder.join(name)).expect("a file"));
        let child = command
            .args(args)
            .stdout(file("out"))
            .stderr(file("log"))
            .spawn();
        let mut early = Self {
            child: child.expect("the program starts"),
            admin,
            folder,
        };
        early.until("its admin listener", |early| {
            TcpStream::connect(early.admin).ok().map(drop)
        });
        early
    }

    /// Waits until there is something.
    pub(crate) fn until<T>(&mut self, what: &str, found: impl Fn(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let ended = self.child.try_wait().expect("it was started");
            assert!(
                ended.is_none() && start.elapsed() < 2 * PATIENCE,
                "{what}: {ended:?}: {}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn read(&self, name: &str) -> String {
        let text = fs::read(self.folder.join(name)).expect("a file");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.read("log")
    }

    /// Waits until the log has a text.
    pub(crate) fn wait_for_log(&mut self, text: &str) {
        self.until(text, |early| early.log().contains(text).then_some(()));
    }

    /// Where it serves, if it does so.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.read("out").trim_end().parse().ok()
    }

    /// Waits until it serves.
    pub(crate) fn wait_for_address(&mut self) -> SocketAddr {
        self.until("an address", Self::address)
    }

    /// What /readyz answers: whether it is ready, and if not, what is in the way.
    pub(crate) fn readiness(&self) -> (bool, Vec<(String, String)>) {
        readiness(&ask(self.admin, &get("/readyz")))
    }

    /// Waits until it is ready, or is not and says this.
    pub(crate) fn wait_until_ready(&mut self) {
        self.until("ready", |early| early.readiness().0.then_some(()));
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &id])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until it ends; returns how, and its log.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it was started");
        (status, self.log())
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an answer of /readyz says.
pub(crate) fn readiness(reply: &Reply) -> (bool, Vec<(String, String)>) {
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let is_ready = body["ready"].as_bool().expect("a truth value");
    assert_eq!(reply.status, if is_ready { 200 } else { 503 });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let obstacles = body["obstacles"].as_array().into_iter().flatten();
    let obstacles = obstacles.map(|one| (text(&one["what"]), text(&one["why"])));
    (is_ready, obstacles.collect())
}
