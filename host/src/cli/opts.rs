//! The options of the commands that talk to a running server.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::{Ask, Output, Row, Task, health};
use crate::{
    opts::duration_above_0,
    state::{Stage, Step},
};

/// Which server is talked to.
#[derive(Debug, Args)]
struct ServerOpts {
    /// Address of the server's admin API
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TENANTRY_ADMIN_URL",
        default_value = "http://127.0.0.1:9001",
        value_parser = server
    )]
    server: String,

    /// File with the token of the admin API; the server's own, or a copy of it
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TENANTRY_ADMIN_TOKEN_FILE"
    )]
    admin_token_file: Option<PathBuf>,

    /// Time for each answer of the server, in full
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        env = "TENANTRY_ADMIN_TIMEOUT",
        default_value = "60s",
        value_parser = duration_above_0
    )]
    timeout: Duration,
}

/// Forms of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table for people.
    Table,
    /// JSON, as the server tells it.
    Json,
}

/// Forms of usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UsageForm {
    /// A table for people.
    Table,
    /// JSON, as the server tells it.
    Json,
    /// Comma-separated values, for spreadsheets.
    Csv,
}

impl From<Form> for Output {
    fn from(form: Form) -> Self {
        match form {
            Form::Table => Self::Table,
            Form::Json => Self::Json,
        }
    }
}

impl From<UsageForm> for Output {
    fn from(form: UsageForm) -> Self {
        match form {
            UsageForm::Table => Self::Table,
            UsageForm::Json => Self::Json,
            UsageForm::Csv => Self::Csv,
        }
    }
}

/// `tenantry tenants`
#[derive(Debug, Args)]
pub(crate) struct TenantsOpts {
    #[command(flatten)]
    server: ServerOpts,

    /// Form of what is printed
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORM",
        env = "TENANTRY_OUTPUT",
        default_value = "table"
    )]
    output: Form,

    #[command(subcommand)]
    command: TenantsCommand,
}

#[derive(Debug, Subcommand)]
enum TenantsCommand {
    /// Lists tenants in the order of GET /
    List {
        /// Only those in this state: active, suspended or archived
        #[arg(long, value_name = "STATE", value_parser = stage)]
        state: Option<Stage>,
    },
    /// Shows a tenant and its row
    Show {
        /// The tenant's id
        id: String,
    },
    /// Adds a tenant; one that is there already stays as it is
    Add(RowOpts),
    /// Gives a tenant another row
    Replace {
        #[command(flatten)]
        row: RowOpts,
        #[command(flatten)]
        only: OnlyOpts,
    },
    /// Changes members of a tenant's row by a JSON merge patch; null takes one away
    Patch {
        #[command(flatten)]
        row: RowOpts,
        #[command(flatten)]
        only: OnlyOpts,
    },
    /// Suspends a tenant: it is listed, and its sessions and chats are answered with 403
    Suspend(ChangeOpts),
    /// Has a suspended or archived tenant served again
    Resume(ChangeOpts),
    /// Archives a tenant: it is as unknown, and everything of it is kept
    Archive(ChangeOpts),
    /// Removes an archived tenant and everything of it, for good
    Purge(ChangeOpts),
    /// Lists the live sessions of a tenant; their ids are secrets
    Sessions {
        /// The tenant's id
        id: String,
    },
    /// Ends a session of a tenant (--session), or all of them (--all)
    #[command(group(clap::ArgGroup::new("which").required(true)))]
    Revoke {
        /// The tenant's id
        id: String,
        /// The id of a session
        #[arg(long, value_name = "SESSION", group = "which")]
        session: Option<String>,
        /// All sessions of the tenant
        #[arg(long, group = "which")]
        all: bool,
    },
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source").required(true)))]
struct RowOpts {
    /// The tenant's id; where it is left out, the row has it
    id: Option<String>,

    /// File with the JSON object, or - for standard input
    #[arg(long, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,

    /// The JSON object itself
    #[arg(long, value_name = "JSON", group = "source")]
    row: Option<String>,
}

#[derive(Debug, Args)]
struct OnlyOpts {
    /// Only if the tenant is in this version still, which `show` tells
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

#[derive(Debug, Args)]
struct ChangeOpts {
    /// The tenant's id
    id: String,

    #[command(flatten)]
    only: OnlyOpts,
}

/// `tenantry audit`
#[derive(Debug, Args)]
pub(crate) struct AuditOpts {
    #[command(flatten)]
    server: ServerOpts,

    /// Only what was done to this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,

    /// Form of what is printed
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        env = "TENANTRY_OUTPUT",
        default_value = "table"
    )]
    output: Form,
}

/// `tenantry health`
#[derive(Debug, Args)]
pub(crate) struct HealthOpts {
    /// Address of the server's admin listener; or of the service, where there is no other
    /// [default: where the variables of `tenantry serve` have it listen, or else
    /// http://127.0.0.1:9001]
    #[arg(value_name = "URL", env = "TENANTRY_ADMIN_URL", value_parser = server)]
    server: Option<String>,

    /// Where the environment of a container has its server listen
    #[arg(long, env = "TENANTRY_LISTEN", hide = true)]
    listen: Option<String>,

    #[arg(long, env = "TENANTRY_ADMIN", hide = true)]
    admin: Option<String>,

    #[arg(long, env = "TENANTRY_ADMIN_TOKEN_FILE", hide = true)]
    admin_token_file: Option<PathBuf>,

    /// Asks whether the server is alive, ready or not
    #[arg(long)]
    live: bool,

    /// Time for the answer
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration_above_0)]
    timeout: Duration,
}

impl HealthOpts {
    /// What is to be done. `port` is what PORT in the environment says.
    pub(crate) fn into_task(self, port: Option<&str>) -> health::Task {
        let server = self.server.unwrap_or_else(|| {
            // Without a token there is no admin listener.
            match self.admin_token_file {
                Some(_) => near(self.admin.as_deref(), None, DEFAULT_ADMIN),
                None if self.listen.is_none() && port.is_none() => {
                    format!("http://{DEFAULT_ADMIN}")
                }
                None => near(self.listen.as_deref(), port, DEFAULT_LISTEN),
            }
        });
        health::Task {
            server,
            live: self.live,
            timeout: self.timeout,
        }
    }
}

const DEFAULT_ADMIN: &str = "127.0.0.1:9001";
const DEFAULT_LISTEN: &str = "127.0.0.1:8001";

/// The URL at which this machine reaches a server that listens on `listen`, and on `port` where
/// that is said.
fn near(listen: Option<&str>, port: Option<&str>, default: &str) -> String {
    let listen = listen.unwrap_or(default);
    let (host, own_port) = listen.rsplit_once(':').unwrap_or((listen, ""));
    let host = match host {
        // All addresses: one of them is this machine's own.
        "0.0.0.0" | "" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    format!("http://{host}:{}", port.unwrap_or(own_port))
}

/// `tenantry usage`
#[derive(Debug, Args)]
pub(crate) struct UsageOpts {
    #[command(flatten)]
    server: ServerOpts,

    /// Only that of this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,

    /// From then on, as in 2026-01-31T12:00:00Z [default: a day before --to]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// Until then [default: now]
    #[arg(long, value_name = "TIME")]
    to: Option<String>,

    /// Length of the spans: minute, hour or day
    #[arg(long, value_name = "STEP", default_value = "hour", value_parser = step)]
    step: &'static str,

    /// Form of what is printed
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        env = "TENANTRY_OUTPUT",
        default_value = "table"
    )]
    output: UsageForm,
}

impl ServerOpts {
    /// The task of asking this server something.
    ///
    /// # Errors
    /// There is no token.
    fn task(self, output: impl Into<Output>, ask: Ask) -> Result<Task, &'static str> {
        let token_file = self.admin_token_file.ok_or(
            "the admin API needs its token: --admin-token-file FILE, or \
             TENANTRY_ADMIN_TOKEN_FILE in the environment",
        )?;
        Ok(Task {
            server: self.server,
            token_file,
            timeout: self.timeout,
            output: output.into(),
            ask,
        })
    }
}

impl RowOpts {
    fn split(self) -> (Option<String>, Row) {
        let row = match (self.file, self.row) {
            (Some(file), _) if file.as_os_str() == "-" => Row::Stdin,
            (Some(file), _) => Row::File(file),
            (None, row) => Row::Text(row.unwrap_or_default()),
        };
        (self.id, row)
    }
}

impl TenantsOpts {
    /// What is to be done.
    ///
    /// # Errors
    /// There is no token.
    pub(crate) fn into_task(self) -> Result<Task, &'static str> {
        let change = |opts: ChangeOpts, what| Ask::Change {
            id: opts.id,
            what,
            version: opts.only.if_version,
        };
        let ask = match self.command {
            TenantsCommand::List { state } => Ask::List(state),
            TenantsCommand::Show { id } => Ask::Show(id),
            TenantsCommand::Add(row) => {
                let (id, row) = row.split();
                Ask::Add { id, row }
            }
            TenantsCommand::Replace { row, only } => {
                let (id, row) = row.split();
                let version = only.if_version;
                Ask::Replace { id, row, version }
            }
            TenantsCommand::Patch { row, only } => {
                let (id, row) = row.split();
                let version = only.if_version;
                Ask::Patch { id, row, version }
            }
            TenantsCommand::Suspend(opts) => change(opts, "suspend"),
            TenantsCommand::Resume(opts) => change(opts, "resume"),
            TenantsCommand::Archive(opts) => change(opts, "archive"),
            TenantsCommand::Purge(ChangeOpts { id, only }) => Ask::Purge {
                id,
                version: only.if_version,
            },
            TenantsCommand::Sessions { id } => Ask::Sessions(id),
            TenantsCommand::Revoke { id, session, .. } => Ask::Revoke { id, session },
        };
        self.server.task(self.output, ask)
    }
}

impl AuditOpts {
    /// What is to be done.
    ///
    /// # Errors
    /// There is no token.
    pub(crate) fn into_task(self) -> Result<Task, &'static str> {
        self.server.task(self.output, Ask::Audit(self.tenant))
    }
}

impl UsageOpts {
    /// What is to be done.
    ///
    /// # Errors
    /// There is no token.
    pub(crate) fn into_task(self) -> Result<Task, &'static str> {
        let ask = Ask::Usage {
            tenant: self.tenant,
            from: self.from,
            to: self.to,
            step: self.step,
        };
        self.server.task(self.output, ask)
    }
}

fn server(text: &str) -> Result<String, String> {
    let right = "it must be as http://127.0.0.1:9001; the admin API speaks no TLS";
    let uri: http::Uri = text.parse().map_err(|_| right.to_owned())?;
    let is_plain = uri.scheme_str() == Some("http") && uri.query().is_none();
    match uri.authority() {
        Some(_) if is_plain => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(right.to_owned()),
    }
}

fn stage(text: &str) -> Result<Stage, &'static str> {
    Stage::parse(text).ok_or("it must be active, suspended or archived")
}

fn step(text: &str) -> Result<&'static str, &'static str> {
    let mut names = Step::NAMES.iter().map(|(name, _)| *name);
    names
        .find(|name| *name == text)
        .ok_or("it must be minute, hour or day")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_this_machine_is_reached_near_by() {
        for (listen, port, url) in [
            (None, None, "http://127.0.0.1:8001"),
            (None, Some("9000"), "http://127.0.0.1:9000"),
            (Some("0.0.0.0:8000"), None, "http://127.0.0.1:8000"),
            (Some("0.0.0.0:8000"), Some("80"), "http://127.0.0.1:80"),
            (Some("[::]:8000"), None, "http://[::1]:8000"),
            (Some("10.0.0.1:8000"), None, "http://10.0.0.1:8000"),
        ] {
            assert_eq!(near(listen, port, DEFAULT_LISTEN), url);
        }
    }
}
