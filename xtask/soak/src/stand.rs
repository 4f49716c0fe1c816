//! All programs of a soak: servers, databases, Redis and the balancer.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use parking_lot::Mutex;
use tenantry_stores::{Postgres, Redis};

use crate::{
    balancer::{Balancer, Behind, Links},
    client::{TOKEN, at},
    disk::Disk,
    guard::Guard,
    load::Over,
    node::Node,
    plan::Kind,
    record::{CLUSTER, Home, Record},
};

/// A tenant without a limit.
pub(crate) const OPEN: &str = "open";
/// A tenant that sends more than it may.
pub(crate) const LIMITED: &str = "limited";
/// A tenant that operators change all the time.
pub(crate) const CHANGED: &str = "changed";
/// All of them.
pub(crate) const TENANTS: [&str; 3] = [OPEN, LIMITED, CHANGED];

/// Chats of the limited tenant in any window.
pub(crate) const LIMIT: usize = 20;

/// The disks of the databases: little more than they need.
const POSTGRES_DISK_MIB: u64 = 160;
const SQLITE_DISK_MIB: u64 = 24;

/// Where Debian has what steps clocks, in the folder of an architecture.
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// They end in this order.
pub(crate) struct Stand {
    /// The servers of the cluster, and the one with SQLite.
    pub(crate) nodes: Vec<Node>,
    pub(crate) balancer: Balancer,
    pub(crate) redis: Mutex<Redis>,
    pub(crate) postgres: Postgres,
    postgres_pid: Mutex<u32>,
    pub(crate) postgres_disk: Disk,
    pub(crate) sqlite_disk: Disk,
    can_step_clocks: bool,
    pub(crate) guard: Guard,
}

impl Stand {
    /// Starts everything but the servers.
    ///
    /// # Errors
    /// A program is missing, or does not start.
    pub(crate) fn start(program: &Path, scratch: &Path, guard: Guard) -> Result<Self> {
        if scratch.exists() {
            fs::remove_dir_all(scratch).with_context(|| scratch.display().to_string())?;
        }
        fs::create_dir_all(scratch)?;
        // PostgreSQL's own user goes through it.
        fs::set_permissions(scratch, fs::Permissions::from_mode(0o755))?;
        let postgres_disk = Disk::in_memory(scratch.join("postgres"), POSTGRES_DISK_MIB, &guard)?;
        let sqlite_disk = Disk::in_file(scratch.join("sqlite"), SQLITE_DISK_MIB, &guard)?;
        let postgres = Postgres::start_in(
            postgres_disk.folder.clone(),
            &["--wal-segsize=1"],
            &[
                "shared_buffers=16MB",
                "max_wal_size=16MB",
                "min_wal_size=2MB",
            ],
        )?;
        let redis = Redis::start()?;
        guard.started(postgres.pid()?);
        guard.started(redis.pid());

        let tenants = scratch.join("tenants.jsonl");
        fs::write(&tenants, rows())?;
        let token = scratch.join("token");
        fs::write(&token, TOKEN)?;
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600))?;
        let sqlite = format!(
            "sqlite:{}",
            sqlite_disk.folder.join("tenantry.db").display()
        );
        for state in [&postgres.url, &sqlite] {
            let mut import = Command::new(program);
            let import = import.args(["import", "--state", state]).arg(&tenants);
            ensure!(import.status()?.success(), "the tenants can't be imported");
        }

        let faketime = faketime();
        let links = [Links::free()?, Links::free()?, Links::free()?];
        let common = [
            format!("--admin-token-file={}", token.display()),
            "--drain=5s".to_owned(),
            "--threads=1".to_owned(),
            "--log-filter=info,tenantry::access=off".to_owned(),
        ];
        let mut nodes = Vec::new();
        for (n, links) in links.iter().enumerate() {
            let own = [
                format!("--state={}", postgres.url_by(links.postgres)),
                format!("--cache=redis://127.0.0.1:{}/0", links.redis),
            ];
            let args = common.iter().chain(&own).cloned().collect();
            nodes.push(Node::new(n, program, args, faketime.as_deref(), scratch)?);
        }
        let args = common.iter().cloned().chain([format!("--state={sqlite}")]);
        let single = Node::new(
            CLUSTER,
            program,
            args.collect(),
            faketime.as_deref(),
            scratch,
        )?;
        nodes.push(single);
        let behind = |n: usize| Behind {
            service: nodes[n].service,
            admin: nodes[n].admin,
            links: links[n],
        };
        let servers = [behind(0), behind(1), behind(2)];
        let (to_postgres, to_redis) = (postgres.port(), redis.port());
        let balancer = Balancer::start(scratch, &servers, to_postgres, to_redis, &guard)?;
        let postgres_pid = Mutex::new(postgres.pid()?);
        Ok(Self {
            nodes,
            balancer,
            redis: Mutex::new(redis),
            postgres,
            postgres_pid,
            postgres_disk,
            sqlite_disk,
            can_step_clocks: faketime.is_some(),
            guard,
        })
    }

    /// The kinds of faults that can be made here; says which can't.
    pub(crate) fn possible_faults(&self, only: &[String]) -> Result<Vec<Kind>> {
        let has_disks = self.postgres_disk.is_mounted() && self.sqlite_disk.is_mounted();
        let mut possible = Vec::new();
        for kind in Kind::ALL {
            let is_wanted = |start: &String| kind.name().starts_with(start.as_str());
            if !only.is_empty() && !only.iter().any(is_wanted) {
                continue;
            }
            if kind.needs_disk() && !has_disks {
                println!("left out: {}; only root can mount disks", kind.name());
            } else if kind.needs_image() && !self.sqlite_disk.can_break() {
                println!(
                    "left out: {}; it takes root, mkfs.ext4 and a loop device",
                    kind.name()
                );
            } else if kind.needs_clock() && !self.can_step_clocks {
                println!("left out: {}; there is no libfaketime", kind.name());
            } else {
                possible.push(*kind);
            }
        }
        if possible.is_empty() {
            bail!("there is no such fault, or none that can be made here");
        }
        Ok(possible)
    }

    /// Where clients of those servers go.
    pub(crate) fn entrance(&self, home: Home) -> String {
        match home {
            Home::Cluster => at(self.balancer.port),
            Home::Single => at(self.nodes[CLUSTER].service),
        }
    }

    /// Starts again what ends by itself, and holds against a server that it should not have.
    pub(crate) fn tend(&self, record: &Record, over: &Over) {
        while !over.is_told() {
            for node in &self.nodes {
                match node.tend(&self.guard, record) {
                    Ok(None) => {}
                    Ok(Some(status)) => {
                        let may_be = matches!(status.code(), Some(1 | 2));
                        let is_out = record.is_out(Home::of(node.index));
                        if !(may_be && is_out) {
                            record.is_wrong(format!(
                                "server {} ended by itself: {status}",
                                node.index
                            ));
                        }
                    }
                    Err(error) => record.is_wrong(format!("server {}: {error:#}", node.index)),
                }
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Starts PostgreSQL where it does not run.
    pub(crate) fn run_postgres(&self) -> Result<()> {
        self.postgres.run_again()?;
        let mut pid = self.postgres_pid.lock();
        self.guard.ended(*pid);
        *pid = self.postgres.pid()?;
        self.guard.started(*pid);
        Ok(())
    }
}

fn rows() -> String {
    let row = |id: &str, more: &str| {
        format!(r#"{{"id":"{id}","name":"n","welcome":"<0>"{more}}}"#) + "\n"
    };
    let limits = format!(r#","limits":{{"chat_per_10s":{LIMIT}}}"#);
    row(OPEN, "") + &row(LIMITED, &limits) + &row(CHANGED, "")
}

/// libfaketime, where it is installed.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let mut files = folders.map(|folder| folder.path().join(FAKETIME));
    files.find(|file| file.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenants_are_rows_of_json() {
        let rows = rows();
        assert_eq!(rows.lines().count(), TENANTS.len());
        for (row, tenant) in rows.lines().zip(TENANTS) {
            let row: serde_json::Value = serde_json::from_str(row).expect("JSON");
            assert_eq!(row["id"], tenant);
        }
    }
}
