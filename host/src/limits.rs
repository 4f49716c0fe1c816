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
