//! HAProxy: before the servers, with the configuration that is in `deploy`; and between them
//! and their stores, so that these can be cut off.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tenantry_stores::free_port;

use crate::{guard::Guard, record::CLUSTER};

/// What operators use.
const SHIPPED: &str = include_str!("../../../deploy/haproxy/haproxy.cfg");

/// For it to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running HAProxy.
pub(crate) struct Balancer {
    child: Child,
    socket: PathBuf,
    /// Where clients come in.
    pub(crate) port: u16,
}

/// Where a server finds its stores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    pub(crate) postgres: u16,
    pub(crate) redis: u16,
}

impl Links {
    pub(crate) fn free() -> Result<Self> {
        Ok(Self {
            postgres: free_port()?,
            redis: free_port()?,
        })
    }
}

/// Where the balancer finds a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behind {
    pub(crate) service: u16,
    pub(crate) admin: u16,
    pub(crate) links: Links,
}

impl Balancer {
    /// Starts it.
    pub(crate) fn start(
        scratch: &Path,
        servers: &[Behind; CLUSTER],
        postgres: u16,
        redis: u16,
        guard: &Guard,
    ) -> Result<Self> {
        let port = free_port()?;
        let socket = scratch.join("haproxy.sock");
        let _ = fs::remove_file(&socket);
        let file = scratch.join("haproxy.cfg");
        let text = configuration(&socket, port, servers, postgres, redis)?;
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        let log = fs::File::create(scratch.join("haproxy.log"))?;
        let child = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("there is no haproxy: please install haproxy")?;
        guard.started(child.id());
        let balancer = Self {
            child,
            socket,
            port,
        };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(start.elapsed() < PATIENCE, "HAProxy does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(balancer)
    }

    /// Closes what is open to a server behind it, and each new connection.
    pub(crate) fn cut(&self, server: &str) -> Result<()> {
        self.say(&format!("disable server {server}"))?;
        self.say(&format!("shutdown sessions server {server}"))
    }

    /// Connects to it again.
    pub(crate) fn heal(&self, server: &str) -> Result<()> {
        self.say(&format!("enable server {server}"))
    }

    fn say(&self, command: &str) -> Result<()> {
        let mut stream = UnixStream::connect(&self.socket).context("HAProxy's socket")?;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        ensure!(said.trim().is_empty(), "HAProxy, {command}: {said}");
        Ok(())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The shipped configuration for servers of this machine, and a way to each store for each.
fn configuration(
    socket: &Path,
    port: u16,
    servers: &[Behind; CLUSTER],
    postgres: u16,
    redis: u16,
) -> Result<String> {
    let mut text = SHIPPED.to_owned();
    let mut put = |part: &str, new: &str| {
        ensure!(text.contains(part), "haproxy.cfg has no {part:?}");
        text = text.replace(part, new);
        Ok(())
    };
    let stats = format!(
        "stats socket {} level admin\n    maxconn 2000",
        socket.display()
    );
    put("maxconn 20000", &stats)?;
    put("bind :8001", &format!("bind 127.0.0.1:{port}"))?;
    put(" check port 9001", " check")?;
    put(" resolvers docker init-addr libc,none", "")?;
    put(
        "option httpchk\n",
        "option httpchk\n    http-response set-header x-served-by %s\n",
    )?;
    for (n, server) in servers.iter().enumerate() {
        let name = format!("tenantry-{}", n + 1);
        let known = format!("server {name} {name}:8001");
        let Behind { service, admin, .. } = server;
        let local = format!("server server-{n} 127.0.0.1:{service} port {admin}");
        put(&known, &local)?;
    }
    for (n, Behind { links, .. }) in servers.iter().enumerate() {
        for (store, from, to) in [
            ("postgres", links.postgres, postgres),
            ("redis", links.redis, redis),
        ] {
            write!(
                text,
                "\nlisten {store}-{n}\n    mode tcp\n    option tcplog\n    timeout client 1h\n    \
                 timeout server 1h\n    bind 127.0.0.1:{from}\n    server it 127.0.0.1:{to}\n"
            )?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_configuration_is_used_with_other_addresses() {
        let behind = |n: u16| Behind {
            service: 100 + n,
            admin: 200 + n,
            links: Links {
                postgres: 300 + n,
                redis: 400 + n,
            },
        };
        let servers = [behind(0), behind(1), behind(2)];
        let text = configuration(Path::new("/s"), 99, &servers, 5, 6).expect("a configuration");
        for part in [
            "stats socket /s level admin",
            "bind 127.0.0.1:99",
            "server server-2 127.0.0.1:102 port 202",
            "listen redis-1",
            "bind 127.0.0.1:301",
            "server it 127.0.0.1:6\n",
            "uri /readyz",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        for part in ["8001", "9001"] {
            assert!(!text.contains(part), "{part}: {text}");
        }
    }
}
