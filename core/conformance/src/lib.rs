//! The recorded HTTP contract, as one suite that runs against every way of running the
//! core: natively, in a sandbox, behind real sockets, in Node and in browsers.
//!
//! `core/tests/contract/vectors.json` holds exchanges recorded from the reference
//! service, `tenants_files.json` what it made of tenant files. A [`Runner`] is one way of
//! running the core; [`replay`] sends it every exchange and says what came out otherwise
//! than it should. [`Model`] is the contract's outline once more, for random calls.

#![forbid(unsafe_code)]

mod case;
mod check;
mod model;
mod tenants_file;

pub use case::{Case, Deviation, Exchange, Framing, Wire, cases};
pub use model::{Call, Expected, MAX_SESSIONS, Model, Session, TTL, WAITS};
pub use tenants_file::{Chat, TenantsFile, tenants_files};

/// The three tenants that the exchanges were recorded with.
pub const TENANTS: &str = include_str!("../../../tenants.jsonl");

/// One way of running the core, with [`TENANTS`] and without limits.
pub trait Runner {
    /// Sends a request and waits for the answer.
    fn send(&mut self, wire: &Wire) -> Outcome;
}

/// What came of a request.
#[derive(Debug)]
pub enum Outcome {
    /// An answer.
    Reply(Reply),
    /// This runner cannot send it, for this reason.
    Skip(&'static str),
    /// No answer, but this: the case has failed.
    Broken(String),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as it was sent.
    pub body: Vec<u8>,
    /// `100 Continue` came before it.
    pub continued: bool,
}

impl Reply {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(candidate, _)| candidate == name)?;
        Some(value)
    }

    /// The body as text, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Cases that came out as they should.
    pub passed: usize,
    /// Cases that the runner could not send, and why.
    pub skipped: Vec<(String, &'static str)>,
    /// What came out otherwise.
    pub failures: Vec<String>,
}

impl Report {
    /// Panics with everything that failed, or where fewer than all cases are accounted
    /// for.
    ///
    /// # Panics
    /// As its purpose is.
    pub fn assert_passed(&self) {
        assert!(
            self.failures.is_empty(),
            "{} of the recorded cases failed:\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
        assert_eq!(
            self.passed + self.skipped.len(),
            cases().len(),
            "a case was neither run nor skipped"
        );
    }
}

/// Sends every recorded case to `runner`.
pub fn replay(runner: &mut dyn Runner) -> Report {
    let mut report = Report::default();
    let sessions = match case::Sessions::open(runner) {
        Ok(sessions) => sessions,
        Err(error) => {
            report.failures.push(error);
            return report;
        }
    };
    for case in cases() {
        match runner.send(&case.wire(&sessions)) {
            Outcome::Skip(reason) => report.skipped.push((case.name.clone(), reason)),
            Outcome::Broken(error) => report.failures.push(format!("{}: {error}", case.name)),
            Outcome::Reply(reply) => match check::check(case, &sessions, &reply) {
                Ok(()) => report.passed += 1,
                Err(error) => report.failures.push(format!("{}: {error}", case.name)),
            },
        }
    }
    report
}
