//! Limits that the system sets on a process.

/// Files that are open besides connections: listener, log, runtimes, and some to spare.
#[cfg(unix)]
const OTHER_FILES: u64 = 256;

/// Makes sure that as many connections may be open, or says how many may.
#[cfg(unix)]
pub(crate) fn raise_open_files(max_connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let wanted = max_connections as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let Some(current) = limit.current.filter(|current| *current < wanted) else {
        return;
    };
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
    let reached = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    if reached < wanted {
        let connections = reached.saturating_sub(OTHER_FILES);
        tracing::warn!(
            open_files = reached,
            before = current,
            "only about {connections} connections can be open; raise the limit on open files \
             (ulimit -n) to {wanted}, or lower --max-connections"
        );
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_open_files(_max_connections: usize) {}

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
    let of_the_group = std::fs::read_to_string("/proc/self/cgroup").ok();
    let of_the_group = of_the_group.and_then(|text| {
        let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
        free_of_group(&std::path::Path::new("/sys/fs/cgroup").join(group))
    });
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
