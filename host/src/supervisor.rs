//! Notices to systemd about this process, for units of `Type=notify`.
//!
//! Nothing depends on it: where nobody listens, nothing is sent, and where that fails, the log
//! says so.

#[cfg(target_os = "linux")]
use sd_notify::NotifyState;

/// All is ready: requests are answered from now on.
pub(crate) fn ready(status: &str) {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    #[cfg(not(target_os = "linux"))]
    let _ = status;
}

/// What can be read again is being read.
pub(crate) fn reloading() {
    #[cfg(target_os = "linux")]
    // Newer versions want the time with it, to tell this reload from an earlier one.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// It has been read.
pub(crate) fn reloaded() {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Ready]);
}

/// No new requests are taken.
pub(crate) fn stopping(status: &str) {
    #[cfg(target_os = "linux")]
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    #[cfg(not(target_os = "linux"))]
    let _ = status;
}

#[cfg(target_os = "linux")]
fn tell(news: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(news) {
        tracing::warn!(%error, "systemd cannot be told how this server is (NOTIFY_SOCKET)");
    }
}
