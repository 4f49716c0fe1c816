//! Programs that stand before PostgreSQL: a balancer, and a pooler of connections.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    client::PATIENCE,
    database::{Folder, Postgres, unprivileged},
    ports::free_port,
};

/// A program that listens, ended at the end of the test.
pub(crate) struct Front {
    child: Child,
    pub(crate) port: u16,
    _folder: Folder,
}

impl Front {
    /// HAProxy, which leads to the primary, and to the standby where the primary is down.
    /// None where HAProxy is not installed and nobody has said that it is.
    pub(crate) fn balancer(primary: &Postgres, standby: &Postgres) -> Option<Self> {
        let port = free_port();
        let configuration = format!(
            "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 1m\n    \
             timeout server 1m\n\
             listen postgres\n    bind 127.0.0.1:{port}\n    \
             default-server inter 100ms fall 2 rise 2\n    \
             server primary 127.0.0.1:{} check\n    \
             server standby 127.0.0.1:{} check backup\n",
            primary.port, standby.port
        );
        Self::start("haproxy", &["-db", "-f"], "HAPROXY", port, &configuration)
    }

    /// PgBouncer with one user, in this mode and with these further lines.
    pub(crate) fn pooler(database: &Postgres, mode: &str, more: &str) -> Option<Self> {
        let port = free_port();
        let configuration = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} user=tenantry password=secret\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n\
             unix_socket_dir =\npool_mode = {mode}\n{more}\n",
            database.port
        );
        Self::start("pgbouncer", &["-q"], "PGBOUNCER", port, &configuration)
    }

    #[expect(clippy::print_stderr, reason = "what a test could not try")]
    fn start(
        program: &str,
        args: &[&str],
        name: &str,
        port: u16,
        configuration: &str,
    ) -> Option<Self> {
        if Command::new(program).arg("-v").output().is_err() {
            let must = std::env::var_os(format!("TENANTRY_TEST_{name}")).is_some();
            assert!(!must, "there is no {program}");
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        let folder = Folder::new();
        let file = folder.join("configuration");
        fs::write(&file, configuration).expect("a file");
        let mut command = Command::new(program);
        command.args(args).arg(&file);
        if let Some((user, group)) = unprivileged() {
            use std::os::unix::process::CommandExt as _;
            command.uid(user).gid(group);
        }
        let null = Stdio::null;
        let child = command.stdin(null()).stdout(null()).stderr(null()).spawn();
        let mut front = Self {
            child: child.expect("it starts"),
            port,
            _folder: folder,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = front.child.try_wait().expect("it was started");
            assert!(ended.is_none(), "{program} has ended: {ended:?}");
            assert!(start.elapsed() < PATIENCE, "{program} does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Some(front)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
