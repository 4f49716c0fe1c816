//! Which processors programs run on.

use std::{process::Command, thread};

/// Where the server runs that is measured.
pub(crate) const SERVER: usize = 0;

/// Where what loads it runs.
pub(crate) const GENERATOR: usize = 1;

/// How many processors there are.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Whether programs can be kept apart: server and generator must not take turns.
pub(crate) fn are_apart() -> bool {
    cfg!(target_os = "linux") && processors() > 1
}

/// A program on one processor of its own, where there is more than one.
pub(crate) fn on_processor(processor: usize, program: &str) -> Command {
    if are_apart() {
        let mut command = Command::new("taskset");
        command.args(["-c", &processor.to_string(), program]);
        command
    } else {
        Command::new(program)
    }
}
