//! The commands that talk to a running server: `tenantry tenants`, `audit` and `usage`.

mod client;
pub mod health;
pub(crate) mod opts;
mod output;
mod progress;
mod tenants;
mod usage;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use self::{
    client::Client,
    output::{JsonList, table},
};
use crate::{
    admin::{TokenError, Tokens},
    state::Stage,
};

/// What a server is asked, and how its answer is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The address of the admin API, without a slash at its end.
    pub server: String,
    /// The file that has the token.
    pub token_file: PathBuf,
    /// For each answer of the server, in full.
    pub timeout: Duration,
    /// How the answer is printed.
    pub output: Output,
    /// What is asked.
    pub ask: Ask,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// As a table for people.
    Table,
    /// As JSON.
    Json,
    /// As comma-separated values.
    Csv,
}

/// Where a row, or a patch of one, comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// From a file.
    File(PathBuf),
    /// From standard input.
    Stdin,
    /// It is this.
    Text(String),
}

/// What is asked. A `version` is the one that a tenant must be in still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The tenants, in whatever stage or in this one.
    List(Option<Stage>),
    /// One tenant.
    Show(String),
    /// To add a tenant. Without an id, the row has it.
    Add {
        /// The tenant.
        id: Option<String>,
        /// Its row.
        row: Row,
    },
    /// To give a tenant another row. Without an id, the row has it.
    Replace {
        /// The tenant.
        id: Option<String>,
        /// Its row.
        row: Row,
        /// The version that is replaced.
        version: Option<u64>,
    },
    /// To change members of a tenant's row. Without an id, the patch has it.
    Patch {
        /// The tenant.
        id: Option<String>,
        /// The patch.
        row: Row,
        /// The version that is patched.
        version: Option<u64>,
    },
    /// To suspend, resume or archive a tenant.
    Change {
        /// The tenant.
        id: String,
        /// `suspend`, `resume` or `archive`.
        what: &'static str,
        /// The version that is changed.
        version: Option<u64>,
    },
    /// To remove an archived tenant.
    Purge {
        /// The tenant.
        id: String,
        /// The version that is removed.
        version: Option<u64>,
    },
    /// The sessions of a tenant.
    Sessions(String),
    /// To end a session of a tenant; without one, all of them.
    Revoke {
        /// The tenant.
        id: String,
        /// The session.
        session: Option<String>,
    },
    /// What was done, to any tenant or this one.
    Audit(Option<String>),
    /// What tenants used.
    Usage {
        /// Whose; none is everybody's.
        tenant: Option<String>,
        /// From then on, as RFC 3339 has it.
        from: Option<String>,
        /// Until then.
        to: Option<String>,
        /// `minute`, `hour` or `day`.
        step: &'static str,
    },
}

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The row cannot be read.
    #[error("{}: the row cannot be read", path.display())]
    Unreadable {
        /// The file; `-` is standard input.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The row does not say whose it is.
    #[error("the row must be a JSON object with an id, or the id stand behind the command")]
    NoId,
    /// The server cannot be asked, or does not answer.
    #[error(
        "{server} cannot be reached; start the server with `tenantry serve --admin-token-file \
         FILE`, or name another one with --server"
    )]
    Unreachable {
        /// The address.
        server: String,
        /// Why not.
        #[source]
        source: ureq::Error,
    },
    /// The server has refused what it was asked.
    #[error("{0}")]
    Refused(String),
    /// What answers is not the admin API.
    #[error(
        "{server} answers with {status}, and not as the admin API does; --server must be the \
         address of --admin"
    )]
    Foreign {
        /// The address.
        server: String,
        /// The status of the answer.
        status: u16,
    },
    /// The server takes longer than it may. What was printed of the answer is not all.
    #[error(
        "{server} has not sent its answer within {}; --timeout gives it longer",
        humantime::format_duration(*timeout)
    )]
    TooSlow {
        /// The address.
        server: String,
        /// The time.
        timeout: Duration,
    },
    /// An answer is larger than any of an admin API.
    #[error("{server} sends an answer of more than {max} bytes, which no admin API does")]
    TooLarge {
        /// The address.
        server: String,
        /// The bytes that it may have.
        max: u64,
    },
    /// A list has no end, or one that is too far. What was printed of it is not all.
    #[error("{server} sends a list that does not end: {what}")]
    Endless {
        /// The address.
        server: String,
        /// How that is known.
        what: &'static str,
    },
    /// The answer broke off. What was printed of it is not all.
    #[error("the answer broke off; what was printed is not all of it")]
    BrokenOff(#[source] io::Error),
    /// Standard output is closed.
    #[error("the answer cannot be written to standard output")]
    Output(#[source] io::Error),
}

impl Error {
    /// What the program exits with: 2 where what it was given is wrong, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Token(_) | Self::Unreadable { .. } | Self::NoId => 2,
            Self::Unreachable { .. }
            | Self::Refused(_)
            | Self::Foreign { .. }
            | Self::TooSlow { .. }
            | Self::TooLarge { .. }
            | Self::Endless { .. }
            | Self::BrokenOff(_)
            | Self::Output(_) => 1,
        }
    }
}

/// Asks the server, and prints the answer on `out`.
///
/// # Errors
/// What was given is wrong, the server cannot be reached or refuses, or `out` is closed.
pub fn run(task: &Task, out: &mut dyn Write) -> Result<(), Error> {
    let tokens = Tokens::read(&task.token_file)?;
    let client = Client::new(&task.server, &tokens, task.timeout);
    match &task.ask {
        ask @ (Ask::Usage { .. } | Ask::Audit(_)) => usage::print(&client, ask, task.output, out),
        ask => tenants::print(&client, ask, task.output, out),
    }
}

/// Prints all pages of an answer: a table once it is whole, JSON as it comes.
fn list(
    client: &Client,
    path: &str,
    member: &str,
    columns: &[&str],
    output: Output,
    out: &mut dyn Write,
) -> Result<(), Error> {
    match output {
        Output::Table => {
            let mut all = Vec::new();
            client.pages(path, member, output, |items| {
                all.extend(items);
                Ok(())
            })?;
            write(out, &table(columns, &all))
        }
        Output::Json | Output::Csv => {
            let mut list = JsonList::new(out);
            client.pages(path, member, output, |items| {
                list.add(&items).map_err(Error::Output)
            })?;
            list.finish().map_err(Error::Output)
        }
    }
}

fn write(out: &mut dyn Write, text: &str) -> Result<(), Error> {
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(Error::Output)
}
