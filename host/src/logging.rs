//! Where the log goes: to standard error, through a thread that writes, so that no
//! request waits for a slow terminal or pipe.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt};

use crate::opts::LogForm;

/// Lines that wait to be written, at most. Where nobody reads them as fast as they come,
/// further ones are dropped: the server's memory and its answers are worth more.
const WAITING_LINES: usize = 16 << 10;

/// The log of this process. What is logged is written while this lives, and to the end
/// when it is dropped.
#[must_use]
pub(crate) struct Log {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl Log {
    /// Lines that were dropped so far.
    pub(crate) fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Sends the log of this process on its way.
pub(crate) fn start(form: LogForm, filter: Targets) -> Log {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("tenantry-log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    let layer = fmt::layer().with_writer(writer);
    let layer = match form {
        LogForm::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        LogForm::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
    // Only tests start a second log; they keep their first.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Log {
        _writer: guard,
        dropped,
    }
}
