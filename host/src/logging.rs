//! Where the log goes: to standard error, through a thread that writes, so that no
//! request waits for a slow terminal or pipe.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use tracing::{Level, Subscriber, field::Field, level_filters::LevelFilter};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer,
    field::MakeExt as _,
    filter::Targets,
    fmt::{self, format},
    layer::SubscriberExt as _,
    registry::LookupSpan,
};

use crate::{
    opts::LogForm,
    terminal::{Escaping, Kind, escaped},
};

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

/// The filter without what the library for databases says at the usual levels, unless the
/// filter names it: statements that took long, with their text, notices of the database,
/// parameters of URLs with their values, and errors, which whoever has asked it says, too.
fn quiet(filter: Targets) -> Targets {
    let is_named = filter
        .iter()
        .any(|(target, _)| target.starts_with(DATABASES));
    let is_verbose = filter.would_enable(DATABASES, &Level::DEBUG);
    if is_named || is_verbose {
        return filter;
    }
    filter.with_target(DATABASES, LevelFilter::OFF)
}

/// The library for databases.
const DATABASES: &str = "sqlx";

/// Sends the log of this process on its way.
pub(crate) fn start(form: LogForm, filter: Targets) -> Log {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .thread_name("tenantry-log")
        .finish(io::stderr());
    let dropped = writer.error_counter();
    let layer = layer(form, writer, io::stderr().is_terminal());
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(quiet(filter)));
    // Only tests start a second log; they keep their first.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Log {
        _writer: guard,
        dropped,
    }
}

/// Writes lines of this form. Nothing that is logged steers a terminal.
fn layer<S, W>(form: LogForm, writer: W, has_colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + Clone + Send + Sync + 'static,
{
    match form {
        LogForm::Text => fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(has_colours)
            .fmt_fields(format::debug_fn(write_field).delimited(" "))
            .boxed(),
        LogForm::Json => fmt::layer()
            .with_writer(move || Escaping::new(writer.clone(), Kind::Json))
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .boxed(),
    }
}

/// Writes a field of a line, so that nothing in it ends the line or steers a terminal.
fn write_field(
    out: &mut format::Writer<'_>,
    field: &Field,
    value: &dyn std::fmt::Debug,
) -> std::fmt::Result {
    if field.name() != "message" {
        write!(out, "{}=", field.name())?;
    }
    write!(Escaped(out), "{value:?}")
}

/// Passes text on, so that it can be shown in a line.
struct Escaped<'a, 'b>(&'a mut format::Writer<'b>);

impl std::fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write_str(&escaped(text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_steers_a_terminal() {
        const EVIL: &str = "a\u{1b}[1m\u{9b}2J\u{202e}\u{2028}\u{61c}\nforged\r\u{7f}";
        for form in [LogForm::Text, LogForm::Json] {
            let kept = Kept::default();
            let layer = layer(form, kept.clone(), false);
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(plain = EVIL, shown = %EVIL, "a word, {EVIL}");
            });
            let text = String::from_utf8(kept.0.lock().clone()).expect("text");
            let line = text.strip_suffix('\n').expect("a line");
            let marks = "\u{202e}\u{2028}\u{61c}";
            let steers = |letter: char| letter.is_control() || marks.contains(letter);
            assert!(!line.contains(steers), "{line:?}");
            match form {
                LogForm::Text => assert!(line.contains(r"shown=a\u{1b}[1m\u{9b}2J"), "{line}"),
                LogForm::Json => {
                    let json: serde_json::Value = serde_json::from_str(line).expect("JSON");
                    assert_eq!(json["plain"], EVIL);
                    assert_eq!(json["shown"], EVIL);
                }
            }
        }
    }

    #[test]
    fn what_the_library_for_databases_says_is_logged_where_it_is_asked_for() {
        for (filter, level, is_logged) in [
            ("info", Level::WARN, false),
            ("info", Level::ERROR, false),
            ("warn,tenantry::access=off", Level::WARN, false),
            ("off", Level::ERROR, false),
            ("debug", Level::WARN, true),
            ("info,sqlx=info", Level::INFO, true),
            ("info,sqlx::query=warn", Level::WARN, true),
        ] {
            let quiet = quiet(filter.parse().expect(filter));
            let found = quiet.would_enable("sqlx::query", &level);
            assert_eq!(found, is_logged, "{filter} {level}");
        }
    }
}
