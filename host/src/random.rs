//! Random bytes that nobody can guess: the system's.

use tenantry_core::session::SessionId;

/// 64 random bits.
///
/// # Errors
/// The system has none to give.
pub(crate) fn random_u64() -> Result<u64, getrandom::Error> {
    getrandom::u64()
}

/// A new session id.
///
/// # Panics
/// Where the system has no random numbers to give: an id that can be guessed would be
/// worse than none.
pub(crate) fn session_id() -> SessionId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    SessionId::from_random(bytes)
}
