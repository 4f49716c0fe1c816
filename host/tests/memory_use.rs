//! What a session costs: a million of them, counted byte by byte.
//!
//! A program of its own, for its allocator counts what everything in it allocates.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tenantry::state::{Answer, Entry, ManualClock, MemorySessions, SessionStore};
use tenantry_core::{memory::Settings, registry::Registry, session::SessionId};

/// The system's allocator, and how much of it is in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// What an allocation takes from the system: glibc's allocator puts 8 bytes in front of
/// it, and rounds up to 16 with 32 at least; others take no more.
fn taken(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

#[expect(unsafe_code, reason = "an allocator is unsafe to write")]
// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(taken(layout), Ordering::Relaxed);
        // SAFETY: the caller keeps to what `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(taken(layout), Ordering::Relaxed);
        // SAFETY: the caller keeps to what `dealloc` asks for.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SESSIONS: usize = 1_000_000;
const MAX_BYTES: usize = 64;

#[test]
fn a_session_takes_at_most_64_bytes() {
    let row = br#"{"id":"acme","name":"n","welcome":"w"}"#;
    let parsed = Registry::parse(row).expect("a good row");
    let row = parsed.registry.into_rows().remove(0);
    let tenant = Entry {
        key: 0,
        packed: row.packed,
        limits: row.limits,
    };
    let before = IN_USE.load(Ordering::Relaxed);
    let clock = Arc::new(ManualClock::default());
    let store = MemorySessions::new(1, Settings::default(), Arc::clone(&clock) as _);
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
    let used = IN_USE.load(Ordering::Relaxed) - before;
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
    // And all of it comes back.
    drop(store);
    drop(clock);
    let left = IN_USE.load(Ordering::Relaxed).saturating_sub(before);
    assert!(left < 1 << 20, "{left} bytes were not given back");
}
