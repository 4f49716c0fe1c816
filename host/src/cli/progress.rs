//! How far a long answer has come, for the person who waits for it.

use std::{
    io::{self, IsTerminal as _, Stderr, Write},
    time::{Duration, Instant},
};

use super::Output;

/// What takes less needs no word.
const FIRST: Duration = Duration::from_secs(2);

/// How often it is said.
const EVERY: Duration = Duration::from_millis(500);

/// A line on a terminal that says what has come so far. It is gone in the end.
pub(super) struct Progress<W: Write> {
    out: Option<W>,
    next: Instant,
    is_shown: bool,
    items: usize,
    bytes: u64,
}

impl Progress<Stderr> {
    /// On standard error, where that is a terminal, and no answer is printed there meanwhile.
    pub(super) fn of_terminal(output: Output) -> Self {
        let out = io::stderr();
        let is_free = output == Output::Table || !io::stdout().is_terminal();
        let out = (is_free && out.is_terminal()).then_some(out);
        Self::new(out, Instant::now() + FIRST)
    }
}

impl<W: Write> Progress<W> {
    fn new(out: Option<W>, first: Instant) -> Self {
        Self {
            out,
            next: first,
            is_shown: false,
            items: 0,
            bytes: 0,
        }
    }

    /// So much more has come.
    pub(super) fn came(&mut self, items: usize, bytes: usize) {
        self.items += items;
        self.bytes += bytes as u64;
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let size = bytesize::ByteSize(self.bytes);
        if let Some(out) = &mut self.out {
            // Who does not see it misses nothing that matters.
            let _ = write!(out, "\r\x1b[K{} lines, {size} so far", self.items);
            let _ = out.flush();
            self.is_shown = true;
        }
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        if let Some(out) = self.out.as_mut().filter(|_| self.is_shown) {
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_wait_shows_a_line_that_goes_away() {
        let mut out = Vec::new();
        let mut progress = Progress::new(Some(&mut out), Instant::now());
        progress.came(2, 1024);
        progress.came(3, 1024);
        drop(progress);
        let said = String::from_utf8(out).expect("text");
        assert_eq!(said, "\r\x1b[K2 lines, 1.0 KiB so far\r\x1b[K");
    }

    #[test]
    fn a_short_wait_and_a_pipe_show_nothing() {
        let mut out = Vec::new();
        let mut progress = Progress::new(Some(&mut out), Instant::now() + FIRST);
        progress.came(1, 1);
        drop(progress);
        assert!(out.is_empty());
        let mut nobody = Progress::<Vec<u8>>::new(None, Instant::now());
        nobody.came(1, 1);
        assert!(!nobody.is_shown);
    }
}
