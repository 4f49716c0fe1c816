//! `tenantry tenants`: everything about tenants and their sessions.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use http::{Method, header};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    Ask, Error, Output, Row,
    client::{Call, Client, LARGE_ITEMS, SMALL_ITEMS, encoded},
    list,
    output::table,
    write,
};
use crate::{
    input::{Input, Kinds, read_stdin},
    terminal::{escaped, escaped_json},
};

/// Bytes of a row, at most. A server takes no more.
const MAX_ROW: u64 = 1 << 20;

/// What is told of tenants in a table.
const COLUMNS: [&str; 5] = ["id", "state", "version", "changed", "row/name"];

/// What is told of one tenant in a table.
const ALL_COLUMNS: [&str; 6] = ["id", "state", "version", "created", "changed", "row"];

/// Asks, and prints the answer.
pub(super) fn print(
    client: &Client,
    ask: &Ask,
    output: Output,
    out: &mut dyn Write,
) -> Result<(), Error> {
    match ask {
        Ask::List(stage) => {
            let query = stage.map_or(String::new(), |stage| format!("&state={}", stage.name()));
            let path = format!("/tenants?limit={LARGE_ITEMS}{query}");
            list(client, &path, "tenants", &COLUMNS, output, out)
        }
        Ask::Sessions(id) => {
            let path = format!("{}/sessions?limit={SMALL_ITEMS}", path(id));
            list(client, &path, "sessions", &["id", "used"], output, out)
        }
        ask => write(out, &one(client, ask, output)?),
    }
}

/// The answer to a question about one tenant, as it is printed.
fn one(client: &Client, ask: &Ask, output: Output) -> Result<String, Error> {
    let shown = |item: Box<RawValue>, columns: &[&str]| match output {
        Output::Table => table(columns, &[item]),
        Output::Json | Output::Csv => escaped_json(item.get()).into_owned() + "\n",
    };
    Ok(match ask {
        Ask::Show(id) => {
            let call = Call {
                path: path(id),
                ..Call::default()
            };
            shown(client.ask_json(call)?, &ALL_COLUMNS)
        }
        Ask::Add { id, row } => {
            let text = read(row)?;
            let call = Call {
                method: Method::PUT,
                path: path(&id_of(id.as_deref(), &text)?),
                condition: Some((header::IF_NONE_MATCH, "*".to_owned())),
                body: Some((&text, "application/json")),
            };
            shown(warned(client.ask_json(call)?), &COLUMNS)
        }
        Ask::Replace { id, row, version } => {
            let text = read(row)?;
            let call = Call {
                method: Method::PUT,
                path: path(&id_of(id.as_deref(), &text)?),
                condition: Some(condition(*version)),
                body: Some((&text, "application/json")),
            };
            shown(warned(client.ask_json(call)?), &COLUMNS)
        }
        Ask::Patch { id, row, version } => {
            let text = read(row)?;
            let call = Call {
                method: Method::PATCH,
                path: path(&id_of(id.as_deref(), &text)?),
                condition: version.map(|version| condition(Some(version))),
                body: Some((&text, "application/merge-patch+json")),
            };
            shown(warned(client.ask_json(call)?), &COLUMNS)
        }
        Ask::Change { id, what, version } => {
            let call = Call {
                method: Method::POST,
                path: format!("{}/{what}", path(id)),
                condition: version.map(|version| condition(Some(version))),
                body: None,
            };
            shown(client.ask_json(call)?, &COLUMNS)
        }
        Ask::Purge { id, version } => {
            let call = Call {
                method: Method::DELETE,
                path: path(id),
                condition: version.map(|version| condition(Some(version))),
                body: None,
            };
            client.ask(call)?;
            match output {
                Output::Table => format!("{} is purged\n", escaped(id)),
                Output::Json | Output::Csv => String::new(),
            }
        }
        Ask::Revoke { id, session } => revoke(client, id, session.as_deref(), output)?,
        // What is not about one tenant is not asked here.
        Ask::List(_) | Ask::Sessions(_) | Ask::Audit(_) | Ask::Usage { .. } => String::new(),
    })
}

/// A tenant as it was told, after what is odd about its row was printed.
#[expect(clippy::print_stderr, reason = "standard output has the answer")]
fn warned(item: Box<RawValue>) -> Box<RawValue> {
    let Warned { warnings } = serde_json::from_str(item.get()).unwrap_or_default();
    for Warning { member, detail } in warnings {
        let about = member.map(|member| format!("{}: ", escaped(&member)));
        let about = about.unwrap_or_default();
        eprintln!("warning: {about}{}", escaped(&detail));
    }
    item
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Warned {
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Warning {
    member: Option<String>,
    detail: String,
}

fn path(id: &str) -> String {
    format!("/tenants/{}", encoded(id))
}

fn condition(version: Option<u64>) -> (header::HeaderName, String) {
    let value = version.map_or("*".to_owned(), |version| format!("\"{version}\""));
    (header::IF_MATCH, value)
}

/// The text of a row.
fn read(row: &Row) -> Result<String, Error> {
    let (read, path) = match row {
        Row::Text(text) => return Ok(text.clone()),
        Row::File(path) => (read_file(path), path.clone()),
        Row::Stdin => (read_stdin(MAX_ROW), PathBuf::from("-")),
    };
    let text = read.and_then(|text| {
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidData, text);
        let text = text
            .ok_or_else(|| invalid(format!("it is longer than a row may be, {MAX_ROW} bytes")))?;
        String::from_utf8(text).map_err(|error| invalid(format!("it is not UTF-8: {error}")))
    });
    text.map_err(|source| Error::Unreadable { path, source })
}

fn read_file(path: &Path) -> io::Result<Option<Vec<u8>>> {
    Input::open(path, Kinds::Pipes)?.read(MAX_ROW)
}

/// The id that stands behind the command, or in the row.
fn id_of(given: Option<&str>, row: &str) -> Result<String, Error> {
    if let Some(id) = given {
        return Ok(id.to_owned());
    }
    let row: Value = serde_json::from_str(row).map_err(|_| Error::NoId)?;
    let id = row.get("id").and_then(Value::as_str);
    let id = id.filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or(Error::NoId)
}

#[derive(Deserialize)]
struct Revoked {
    revoked: u64,
}

/// Ends sessions, and says how many.
fn revoke(
    client: &Client,
    id: &str,
    session: Option<&str>,
    output: Output,
) -> Result<String, Error> {
    let mut path = format!("{}/sessions", path(id));
    if let Some(session) = session {
        path = format!("{path}/{}", encoded(session));
    }
    let text = client.ask(Call {
        method: Method::DELETE,
        path,
        ..Call::default()
    })?;
    // Of a single session the server says nothing more.
    let revoked = serde_json::from_str(&text).map_or(1, |Revoked { revoked }| revoked);
    Ok(match (output, revoked) {
        (Output::Json | Output::Csv, _) => format!("{{\"revoked\":{revoked}}}\n"),
        (Output::Table, 1) => "1 session ended\n".to_owned(),
        (Output::Table, n) => format!("{n} sessions ended\n"),
    })
}
