//! What a session costs: a million of them, in resident memory.
//!
//! A program of its own, so that nothing else takes memory meanwhile.

use std::{fs, sync::Arc};

use tenantry::state::{Answer, Entry, ManualClock, MemorySessions, SessionStore, Stage};
use tenantry_core::{memory::Settings, registry::Registry, session::SessionId};

const SESSIONS: usize = 1_000_000;
const MAX_BYTES: usize = 64;

/// This process's resident memory in bytes, as Linux tells it; `None` elsewhere.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

#[test]
fn a_session_takes_at_most_64_bytes() {
    let row = br#"{"id":"acme","name":"n","welcome":"w"}"#;
    let parsed = Registry::parse(row).expect("a good row");
    let row = parsed.registry.into_rows().remove(0);
    let tenant = Entry::new(0, row, Stage::Active);
    let Some(before) = resident() else {
        eprintln!("skipped: only Linux tells how much memory is resident");
        return;
    };
    let clock = Arc::new(ManualClock::default());
    let store = MemorySessions::new(Settings::default(), Arc::clone(&clock) as _);
    // A fixed sequence that looks as random as ids do (SplitMix64).
    let mut state = 0_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    for n in 0..SESSIONS {
        // Spread over the day in which they live.
        clock.advance(std::time::Duration::from_millis(86));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&random().to_be_bytes());
        bytes[8..].copy_from_slice(&random().to_be_bytes());
        let id = SessionId::from_random(bytes);
        let Answer::Now(Ok(())) = store.open(&tenant, id) else {
            panic!("session {n} was not opened");
        };
    }
    let used = resident().expect("it was told before") - before;
    assert_eq!(store.len(), SESSIONS);
    println!(
        "{SESSIONS} sessions take {used} bytes: {:.1} bytes each",
        used as f64 / SESSIONS as f64
    );
    assert!(
        used <= MAX_BYTES * SESSIONS,
        "a session takes {} bytes",
        used.div_ceil(SESSIONS)
    );
}
