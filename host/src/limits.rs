//! Limits that the system sets on a process.

/// Connections without which a server is not worth starting.
const MIN_CONNECTIONS: usize = 16;

/// Too few files may be open for the server to do its work.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system lets this process have {allowed} open files, and it needs at least {needed}: \
     raise the limit (ulimit -n)"
)]
pub struct TooFewFiles {
    allowed: u64,
    needed: u64,
}

/// What has files open beside the connections of the service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Users {
    /// Worker threads, each with one beside it.
    pub(crate) threads: usize,
    /// Whether tenants and sessions are in a database.
    pub(crate) has_database: bool,
    /// Connections of the admin listener, if there is one.
    pub(crate) admin_connections: usize,
}

/// Standard streams, the log, the listeners, random bytes, what is read for a moment (the
/// tenants file, /proc), Redis, the collector of traces, the sandboxes' images, and some to
/// spare.
const OTHER_FILES: usize = 64;

/// Up to ten connections to PostgreSQL and one for its notices; or those of SQLite, of which
/// each has the database, its log and its index open. With room for one more of each while
/// it takes the place of one that was lost.
const DATABASE_FILES: usize = 48;

/// A runtime has an epoll and an eventfd, and shares a socket pair for signals; a thread has
/// up to two runtimes' worth with its clone of the listener.
const FILES_OF_A_THREAD: usize = 8;

impl Users {
    /// Files that they may have open together.
    fn files(self) -> usize {
        let database = if self.has_database { DATABASE_FILES } else { 0 };
        OTHER_FILES + database + self.threads * FILES_OF_A_THREAD + self.admin_connections
    }
}

/// How many connections may be open, up to `wanted`: what the limit on open files leaves beside
/// everything else that has files open. The limit is raised as far as the system allows.
///
/// # Errors
/// It leaves next to nothing.
pub(crate) fn connections(wanted: usize, users: Users) -> Result<usize, TooFewFiles> {
    let reserved = users.files();
    let Some(allowed) = raise_open_files((wanted + reserved) as u64) else {
        return Ok(wanted);
    };
    let connections = within(allowed, wanted, reserved)?;
    if connections < wanted {
        tracing::warn!(
            open_files = allowed,
            reserved,
            max_connections = connections,
            "fewer connections than --max-connections says can be open; raise the limit on open \
             files (ulimit -n) to {}",
            wanted + reserved
        );
    }
    Ok(connections)
}

/// How many of these files are left for connections.
fn within(allowed: u64, wanted: usize, reserved: usize) -> Result<usize, TooFewFiles> {
    let left = usize::try_from(allowed).map_or(wanted, |allowed| allowed.saturating_sub(reserved));
    if left < MIN_CONNECTIONS.min(wanted) {
        let needed = (reserved + MIN_CONNECTIONS.min(wanted)) as u64;
        return Err(TooFewFiles { allowed, needed });
    }
    Ok(left.min(wanted))
}

/// Raises the limit on open files to as many, as far as that is allowed. Returns what it is
/// then; none where there is no limit.
#[cfg(unix)]
fn raise_open_files(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    if current >= wanted {
        return Some(current);
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum.map(|maximum| maximum.max(wanted)),
    };
    let as_far_as_allowed = Rlimit {
        current: limit
            .maximum
            .map(|maximum| maximum.min(wanted))
            .or(Some(wanted)),
        ..limit
    };
    // Only the superuser may raise the hard limit.
    for attempt in [raised, as_far_as_allowed] {
        if setrlimit(Resource::Nofile, attempt).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current
}

#[cfg(not(unix))]
fn raise_open_files(_wanted: u64) -> Option<u64> {
    None
}

/// What bodies and answers of all connections may take together, where nothing is said about
/// it: an eighth of the memory that there is, and not more than this.
const MAX_BUFFERED: usize = 128 << 20;

/// The default of `--max-buffered`, beside a body of this size.
pub(crate) fn default_buffered(max_body: usize) -> usize {
    let eighth = all_memory().map(|all| usize::try_from(all / 8).unwrap_or(usize::MAX));
    eighth
        .unwrap_or(MAX_BUFFERED)
        .min(MAX_BUFFERED)
        .max(max_body)
}

/// Bytes of memory that this process may take in all: those of the machine, or what its control
/// group allows; none where the system does not say.
#[cfg(target_os = "linux")]
fn all_memory() -> Option<u64> {
    let of_the_machine = std::fs::read_to_string("/proc/meminfo").ok();
    let of_the_machine = of_the_machine.and_then(|text| {
        let kib = number_behind(&text, "MemTotal:")?;
        Some(kib.saturating_mul(1024))
    });
    let of_the_group = own_group().and_then(|group| max_of_group(&group));
    of_the_machine.into_iter().chain(of_the_group).min()
}

#[cfg(not(target_os = "linux"))]
fn all_memory() -> Option<u64> {
    None
}

/// The folder of this process's control group.
#[cfg(target_os = "linux")]
fn own_group() -> Option<std::path::PathBuf> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(std::path::Path::new("/sys/fs/cgroup").join(group))
}

/// The bound on a control group's memory, its own or that of a group around it; none where there
/// is none.
#[cfg(target_os = "linux")]
fn max_of_group(folder: &std::path::Path) -> Option<u64> {
    let bounds = folder.ancestors().filter_map(|folder| {
        let text = std::fs::read_to_string(folder.join("memory.max")).ok()?;
        text.trim().parse().ok()
    });
    bounds.min()
}

/// Mappings that a sandbox takes while it lives: two of its stack, four of its memory and
/// tables.
#[cfg(target_os = "linux")]
const SANDBOX_MAPPINGS: usize = 6;

/// Says so where the system does not let a process have the mappings for that many
/// sandboxes.
#[cfg(target_os = "linux")]
pub(crate) fn check_mappings(sandboxes: usize) {
    const FILE: &str = "/proc/sys/vm/max_map_count";
    let Some(allowed) = std::fs::read_to_string(FILE)
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok())
    else {
        return;
    };
    let wanted = sandboxes.saturating_mul(SANDBOX_MAPPINGS);
    if wanted > allowed {
        tracing::warn!(
            allowed,
            wanted,
            "once all sandboxes are in use, new ones will fail; raise vm.max_map_count, or \
             lower --sandboxes"
        );
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn check_mappings(_sandboxes: usize) {}

/// Bytes of memory that this process may still take before the system has to take some from
/// others, or ends it; none where the system does not say.
#[cfg(target_os = "linux")]
pub(crate) fn free_memory() -> Option<u64> {
    let of_the_machine = std::fs::read_to_string("/proc/meminfo").ok();
    let of_the_machine = of_the_machine.and_then(|text| {
        let kib = number_behind(&text, "MemAvailable:")?;
        Some(kib.saturating_mul(1024))
    });
    let of_the_group = own_group().and_then(|group| free_of_group(&group));
    of_the_machine.into_iter().chain(of_the_group).min()
}

/// What a control group may still take, its cached files counted as free; none where it has
/// no bound.
#[cfg(target_os = "linux")]
fn free_of_group(folder: &std::path::Path) -> Option<u64> {
    let read = |name| std::fs::read_to_string(folder.join(name)).ok();
    let max: u64 = read("memory.max")?.trim().parse().ok()?;
    let current: u64 = read("memory.current")?.trim().parse().ok()?;
    let cached = number_behind(&read("memory.stat")?, "inactive_file ").unwrap_or(0);
    Some(max.saturating_sub(current.saturating_sub(cached)))
}

/// The number on the line that starts with `name`.
#[cfg(target_os = "linux")]
fn number_behind(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn free_memory() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn connections_get_what_the_limit_leaves_beside_everything_else() {
        let users = Users {
            threads: 2,
            has_database: true,
            admin_connections: 128,
        };
        assert_eq!(users.files(), 64 + 48 + 16 + 128);
        assert_eq!(within(1024, 16_384, 256).expect("some are left"), 768);
        assert_eq!(within(1024, 500, 256).expect("all"), 500);
        // One that wants few is content with few.
        assert_eq!(within(260, 4, 256).expect("all"), 4);
        let error = within(256, 16_384, 256).expect_err("nothing is left");
        assert_eq!(
            error.to_string(),
            "the system lets this process have 256 open files, and it needs at least 272: raise \
             the limit (ulimit -n)"
        );
    }

    #[test]
    fn the_default_for_bodies_is_a_part_of_the_memory_and_holds_one_body() {
        let all = all_memory().expect("Linux says so");
        assert!(all >= free_memory().expect("Linux says so"));
        let buffered = default_buffered(1 << 20) as u64;
        assert!(buffered <= 128 << 20 && (buffered <= all / 8 || buffered == 1 << 20));
        assert_eq!(default_buffered(256 << 20), 256 << 20);
    }

    #[test]
    fn the_narrowest_bound_of_a_group_and_those_around_it_holds() {
        let folder = std::env::temp_dir().join(format!("tenantry-bound-{}", std::process::id()));
        let inner = folder.join("inner");
        fs::create_dir_all(&inner).expect("folders");
        assert_eq!(max_of_group(&inner), None);
        fs::write(inner.join("memory.max"), "max\n").expect("a file");
        assert_eq!(max_of_group(&inner), None);
        fs::write(folder.join("memory.max"), "1000\n").expect("a file");
        assert_eq!(max_of_group(&inner), Some(1000));
        fs::write(inner.join("memory.max"), "700\n").expect("a file");
        assert_eq!(max_of_group(&inner), Some(700));
        fs::remove_dir_all(&folder).expect("it is there");
    }

    #[test]
    fn the_free_memory_is_that_of_the_machine_and_of_the_group() {
        let free = free_memory().expect("Linux says so");
        assert!(free > 1 << 20, "{free}");
        let folder = std::env::temp_dir().join(format!("tenantry-group-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let write = |name, text| fs::write(folder.join(name), text).expect("a file");
        assert_eq!(free_of_group(&folder), None);
        write("memory.current", "700\n");
        write("memory.stat", "anon 500\ninactive_file 200\n");
        write("memory.max", "max\n");
        assert_eq!(free_of_group(&folder), None);
        write("memory.max", "1000\n");
        assert_eq!(free_of_group(&folder), Some(500));
        write("memory.max", "100\n");
        assert_eq!(free_of_group(&folder), Some(0));
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
