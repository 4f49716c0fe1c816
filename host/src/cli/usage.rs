//! `tenantry usage` and `tenantry audit`.

use std::io::{self, Read, Write};

use super::{
    Ask, Error, Output,
    client::{Client, escaped},
    output::{json, table},
};

/// What is told of usage in a table.
const USAGE_COLUMNS: [&str; 8] = [
    "start",
    "tenant",
    "chats",
    "refused",
    "sessions",
    "bytes_in",
    "bytes_out",
    "busy_ns",
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
            let tenant = tenant.as_deref().map(escaped);
            let mut path = tenant.map_or("/usage".to_owned(), |id| format!("/tenants/{id}/usage"));
            path += &format!("?step={step}");
            for (name, time) in [("from", from), ("to", to)] {
                if let Some(time) = time {
                    path += &format!("&{name}={}", escaped(time));
                }
            }
            (path, "usage", &USAGE_COLUMNS)
        }
        ask => {
            let mut path = "/audit?limit=1000".to_owned();
            if let Ask::Audit(Some(id)) = ask {
                path += &format!("&tenant={}", escaped(id));
            }
            (path, "records", &AUDIT_COLUMNS)
        }
    }
}

/// All pages of an answer, as they are printed.
pub(super) fn told(client: &Client, ask: &Ask, output: Output) -> Result<String, Error> {
    let (mut path, list, columns) = place(ask);
    if list == "usage" {
        path += "&limit=1000";
    }
    let items = client.pages(&path, list)?;
    Ok(match output {
        Output::Table => table(columns, &items),
        Output::Json | Output::Csv => json(&items),
    })
}

/// Usage in CSV, written as it comes.
pub(super) fn csv(client: &Client, ask: &Ask, out: &mut dyn Write) -> Result<(), Error> {
    let (path, ..) = place(ask);
    let mut answer = client.stream(format!("{path}&format=csv"))?;
    let mut bytes = [0; 16 << 10];
    loop {
        let read = match answer.read(&mut bytes) {
            Ok(0) => return out.flush().map_err(Error::Output),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::BrokenOff(error)),
        };
        let piece = bytes.get(..read).unwrap_or_default();
        out.write_all(piece).map_err(Error::Output)?;
    }
}
