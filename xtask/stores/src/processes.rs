//! Signals to processes, and what they have started.

use std::fs;

use anyhow::{Context as _, Result};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// Sends a signal to a process.
///
/// # Errors
/// There is no such process.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.with_context(|| format!("{pid} is no process"))?;
    kill_process(number, signal).with_context(|| format!("process {pid}"))
}

/// The processes that a process has started, and that are still there.
///
/// # Errors
/// There is no such process.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let children = text.split_whitespace();
    Ok(children.filter_map(|child| child.parse().ok()).collect())
}
