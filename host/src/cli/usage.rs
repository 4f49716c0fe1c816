//! `tenantry usage` and `tenantry audit`.

use std::io::Write;

use super::{
    Ask, Error, Output,
    client::{Client, LARGE_ITEMS, SMALL_ITEMS, encoded},
    list,
};
use crate::terminal::{Escaping, Kind};

/// What is told of usage in a table.
const USAGE_COLUMNS: [&str; 9] = [
    "start",
    "tenant",
    "chats",
    "refused",
    "sessions",
    "bytes_in",
    "bytes_out",
    "busy_ns",
    "refused_bytes_in",
];

/// What is told of the audit in a table.
const AUDIT_COLUMNS: [&str; 6] = ["seq", "at", "who", "action", "tenant", "request_id"];

/// Where an answer is, and the members and columns that it has.
fn place(ask: &Ask) -> (String, &'static str, &'static [&'static str]) {
    match ask {
        Ask::Usage {
            tenant,
            from,
            to,
            step,
        } => {
            let tenant = tenant.as_deref().map(encoded);
            let mut path = tenant.map_or("/usage".to_owned(), |id| format!("/tenants/{id}/usage"));
            path += &format!("?step={step}");
            for (name, time) in [("from", from), ("to", to)] {
                if let Some(time) = time {
                    path += &format!("&{name}={}", encoded(time));
                }
            }
            (path, "usage", &USAGE_COLUMNS)
        }
        ask => {
            let mut path = "/audit?".to_owned();
            if let Ask::Audit(Some(id)) = ask {
                path += &format!("tenant={}", encoded(id));
            }
            (path, "records", &AUDIT_COLUMNS)
        }
    }
}

/// Asks, and prints the answer.
pub(super) fn print(
    client: &Client,
    ask: &Ask,
    output: Output,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let (path, member, columns) = place(ask);
    let limit = match member {
        "usage" if output == Output::Csv => return csv(client, &path, out),
        "usage" => SMALL_ITEMS,
        _ => LARGE_ITEMS,
    };
    list(
        client,
        &format!("{path}&limit={limit}"),
        member,
        columns,
        output,
        out,
    )
}

/// Usage in CSV, written as it comes.
fn csv(client: &Client, path: &str, out: &mut dyn Write) -> Result<(), Error> {
    let mut out = Escaping::new(out, Kind::Lines);
    client.stream(format!("{path}&format=csv"), |piece| {
        out.write_all(piece).map_err(Error::Output)
    })?;
    out.finish().map_err(Error::Output)
}
