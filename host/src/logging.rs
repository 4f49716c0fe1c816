//! Where the log goes: to standard error, through a thread that writes, so that no
//! request waits for a slow terminal or pipe.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt};

use crate::opts::LogForm;

/// Sends the log of this process on its way. What is logged is written while the guard
/// lives, and to the end when it is dropped.
pub(crate) fn start(form: LogForm, filter: Targets) -> WorkerGuard {
    let (writer, guard) = NonBlocking::new(io::stderr());
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
    guard
}
