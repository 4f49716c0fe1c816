//! A real Redis of a test's own.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tenantry::state::RedisUrl;

use super::{client::PATIENCE, ports::free_port};

/// A running redis-server, which keeps nothing; killed at the end of the test.
pub(crate) struct RedisServer {
    pub(crate) address: SocketAddr,
    folder: PathBuf,
    args: Vec<String>,
    child: Child,
}

/// Says why a test checks nothing here.
#[expect(clippy::print_stdout, reason = "a note beside the test's result")]
fn skipped() {
    println!("skipped: there is no redis-server (apt-get install redis-server)");
}

impl RedisServer {
    /// A Redis on a free port; none, and a note, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(args: &[&str]) -> Option<Self> {
        for _ in 0..10 {
            let port = free_port();
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("redis-{port}"));
            std::fs::create_dir_all(&folder).expect("a folder");
            let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let mut child = match spawn(port, &folder, &args) {
                Ok(child) => child,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    skipped();
                    return None;
                }
                Err(error) => panic!("redis-server: {error}"),
            };
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            if wait_for(&mut child, address) {
                return Some(Self {
                    address,
                    folder,
                    args,
                    child,
                });
            }
        }
        panic!("redis-server finds no free port");
    }

    /// How a server is told of it.
    pub(crate) fn url(&self) -> RedisUrl {
        url(self.address)
    }

    /// Runs a command in it.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(format!("redis://{}", self.address)).expect("a URL");
        let mut connection = client.get_connection().expect("Redis is there");
        let mut words = command.iter();
        let mut command = redis::cmd(words.next().expect("a command"));
        for word in words {
            command.arg(*word);
        }
        command.query(&mut connection).expect("an answer")
    }

    /// Sends it a signal, such as `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port. It has forgotten everything.
    pub(crate) fn start_again(&mut self) {
        let args = self.args.clone();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        self.start_again_with(&args);
    }

    /// The same with other arguments.
    pub(crate) fn start_again_with(&mut self, args: &[&str]) {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let port = self.address.port();
        self.child = spawn(port, &self.folder, &self.args).expect("redis-server starts");
        assert!(wait_for(&mut self.child, self.address), "it does not start");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// How a server is told of a Redis at this address.
pub(crate) fn url(address: SocketAddr) -> RedisUrl {
    format!("redis://{address}/0").parse().expect("a URL")
}

fn spawn(port: u16, folder: &Path, args: &[String]) -> std::io::Result<Child> {
    let mut command = Command::new("redis-server");
    if args.iter().any(|arg| arg == "--sentinel") {
        // It keeps what it learns there, and does not start without.
        let file = folder.join("sentinel.conf");
        std::fs::write(&file, "")?;
        command.arg(file);
    }
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Waits until it can be connected to; whether it can, or has ended.
fn wait_for(child: &mut Child, address: SocketAddr) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("redis-server does not listen");
}
