//! The registry: which tenants there are, read from a `tenants.jsonl` text.
//!
//! One JSON object a line. Lines end at `\n`, `\r\n` or a lone `\r`; blank ones are
//! skipped, and so is a byte order mark. The text is checked as a whole: every problem is
//! reported at once, with its line and the member that it is about.

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use crate::{
    json::{self, Document, Value, push_string},
    python,
    tenant::{PackedTenant, Reply, ReplyStyle, Tenant},
};

/// The rows of one text, in its order.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    rows: Vec<Row>,
    places: BTreeMap<Box<str>, usize>,
}

/// One tenant, and what its runner must know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who it is and how it sounds.
    pub packed: PackedTenant,
    /// What it may use. Default is no limit.
    pub limits: Limits,
    /// Members of the row that this version does not know, as JSON members separated by
    /// commas; empty where there are none. Kept, and not looked at.
    pub other: Box<str>,
}

impl Row {
    /// Who it is and how it sounds.
    #[must_use]
    pub fn tenant(&self) -> Tenant<'_> {
        self.packed.tenant()
    }
}

/// What a tenant may use. `None` is no limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Chats in any 10 seconds; see [`crate::limit`].
    pub chat_per_10s: Option<u32>,
    /// Live sessions at a time; see [`crate::session`].
    pub sessions: Option<u32>,
}

/// A text that was accepted, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The rows; at least one.
    pub registry: Registry,
    /// Rows that were skipped or replaced.
    pub warnings: Vec<Problem>,
}

/// Everything that is wrong with a text; at least one problem, in the order of lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} in the tenants", count(.0.len(), "problem"))]
pub struct Problems(pub Vec<Problem>);

/// One thing that is wrong, or odd, about a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; `None` where it is about the text as a whole.
    pub line: Option<usize>,
    /// The member, such as `limits.chat_per_10s`; `None` where it is about the line.
    pub member: Option<&'static str>,
    /// What is wrong, and what to do about it.
    pub what: What,
}

/// What can be wrong, or odd, about a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum What {
    /// An error: the line has bytes that are not UTF-8.
    #[error("not UTF-8 (byte {column} of the line); save the file as UTF-8")]
    NotUtf8 {
        /// Where in the line, from 1.
        column: usize,
    },
    /// An error: the line is not JSON.
    #[error("not JSON: {message} (column {column}); each line must be one JSON object")]
    NotJson {
        /// What the JSON scanner says.
        message: &'static str,
        /// Where in the line, in characters, from 1.
        column: usize,
    },
    /// An error: the line is JSON beyond what is read.
    #[error("{0}")]
    TooMuch(json::Error),
    /// An error: the line is JSON, but not an object.
    #[error("{found} instead of an object; each line must be one JSON object")]
    NotAnObject {
        /// What it is instead.
        found: &'static str,
    },
    /// An error: a member that each row must have is missing.
    #[error("missing; it must be a string")]
    Missing,
    /// An error: a member is of another type.
    #[error("{found} instead of {expected}")]
    WrongType {
        /// What the member must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// An error: `reply.style` is no style.
    #[error("{found:?} is no style; use \"reverse\", \"upper\" or \"ack\"")]
    UnknownStyle {
        /// What it is instead.
        found: String,
    },
    /// An error: no row is left.
    #[error("no tenants; add a line such as {EXAMPLE}")]
    NoTenants,
    /// A warning: without an id there is no tenant.
    #[error("{0}; the row is skipped")]
    Skipped(&'static str),
    /// A warning: a later row has the same id and takes this one's place.
    #[error("{id:?} is used again in line {by}; that row replaces this one")]
    Replaced {
        /// The id.
        id: Box<str>,
        /// The line of the later row.
        by: usize,
    },
}

const EXAMPLE: &str = r#"{"id":"acme","name":"Acme Corp","welcome":"Howdy!"}"#;
const WHOLE_NUMBER: &str = "a whole number from 0 to 4294967295";

impl Problem {
    /// `file:line: member: what is wrong`, the form that editors jump to.
    #[must_use]
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        struct InFile<'a>(&'a str, &'a Problem);
        impl fmt::Display for InFile<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:", self.0)?;
                if let Some(line) = self.1.line {
                    write!(f, "{line}:")?;
                }
                if let Some(member) = self.1.member {
                    write!(f, " {member}:")?;
                }
                write!(f, " {}", self.1.what)
            }
        }
        InFile(file, self)
    }
}

impl Registry {
    /// Reads a whole text.
    ///
    /// # Errors
    /// Every problem that the text has, at once.
    pub fn parse(text: &[u8]) -> Result<Parsed, Problems> {
        let mut reader = Reader::default();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        for (index, line) in lines(text).enumerate() {
            reader.line = index + 1;
            reader.read(line);
        }
        reader.finish()
    }

    /// The rows in the text's order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The place of the tenant with that id in [`Registry::rows`].
    #[must_use]
    pub fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// The row of the tenant with that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Row> {
        self.rows.get(self.place(id)?)
    }

    /// The rows, given away.
    #[must_use]
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

/// Lines as Python's text files have them: ended by `\n`, `\r\n` or a lone `\r`.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(text);
        };
        let ending = if text[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + ending..]);
        Some(&text[..end])
    })
}

#[derive(Default)]
struct Reader {
    line: usize,
    registry: Registry,
    /// The line that each tenant comes from, in the order of the registry.
    sources: Vec<usize>,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Reader {
    fn error(&mut self, member: impl Into<Option<&'static str>>, what: What) {
        self.errors.push(Problem {
            line: Some(self.line),
            member: member.into(),
            what,
        });
    }

    fn warn(&mut self, line: usize, what: What) {
        self.warnings.push(Problem {
            line: Some(line),
            member: Some("id"),
            what,
        });
    }

    fn read(&mut self, line: &[u8]) {
        let line = match core::str::from_utf8(line) {
            Ok(line) => line,
            Err(error) => {
                let column = error.valid_up_to() + 1;
                return self.error(None, What::NotUtf8 { column });
            }
        };
        let text = python::strip(line);
        if text.is_empty() {
            return;
        }
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(json::Error::Syntax { message, position }) => {
                let before = line.find(text).and_then(|at| line.get(..at));
                let column = before.unwrap_or_default().chars().count() + position + 1;
                return self.error(None, What::NotJson { message, column });
            }
            Err(error) => return self.error(None, What::TooMuch(error)),
        };
        let row = document.root();
        if !row.is_object() {
            let found = row.kind();
            return self.error(None, What::NotAnObject { found });
        }
        let id = match self.id(row) {
            Some(id) => id,
            None => return,
        };
        // All members are looked at before the row is given up.
        let name = self.required(row, "name");
        let welcome = self.required(row, "welcome");
        let model = self.string(row.member("model"), "model");
        let limits = self.limits(row);
        let reply = self.reply(row, &id);
        if let (Some(name), Some(welcome), Ok(model), Some(limits), Some(reply)) =
            (name, welcome, model, limits, reply)
        {
            let (style, tag) = reply;
            let tenant = Tenant {
                id: &id,
                name: &name,
                welcome: &welcome,
                model: model.as_deref().unwrap_or(Tenant::DEFAULT_MODEL),
                reply: Reply { style, tag: &tag },
            };
            self.add(Row {
                packed: PackedTenant::new(&tenant),
                limits,
                other: other_members(row),
            });
        }
    }

    /// The row's id; where there is none, the row is skipped or refused.
    fn id(&mut self, row: Value<'_, '_>) -> Option<Box<str>> {
        let skipped = match row.member("id") {
            None => "missing",
            Some(id) if id.is_null() => "null",
            Some(id) => match self.string(Some(id), "id").ok()?? {
                id if id.is_empty() => "empty",
                id => return Some(id),
            },
        };
        self.warn(self.line, What::Skipped(skipped));
        None
    }

    fn required(&mut self, row: Value<'_, '_>, member: &'static str) -> Option<Box<str>> {
        let value = row.member(member);
        if value.is_none() {
            self.error(member, What::Missing);
        }
        self.string(value, member).ok()?
    }

    /// The string that a member holds, if there is the member; `Err` where it is another
    /// thing, which is then reported.
    fn string(
        &mut self,
        value: Option<Value<'_, '_>>,
        member: &'static str,
    ) -> Result<Option<Box<str>>, Reported> {
        let Some(value) = value else { return Ok(None) };
        match value.as_str() {
            Some(text) => Ok(Some(text.into())),
            None => Err(self.wrong_type(value, member, "a string")),
        }
    }

    fn wrong_type(
        &mut self,
        value: Value<'_, '_>,
        member: &'static str,
        expected: &'static str,
    ) -> Reported {
        let found = value.kind();
        self.error(member, What::WrongType { expected, found });
        Reported
    }

    fn limits(&mut self, row: Value<'_, '_>) -> Option<Limits> {
        let Some(limits) = row.member("limits") else {
            return Some(Limits::default());
        };
        if !limits.is_object() {
            self.wrong_type(limits, "limits", "an object");
            return None;
        }
        let chat_per_10s = self.number(limits.member("chat_per_10s"), "limits.chat_per_10s");
        let sessions = self.number(limits.member("sessions"), "limits.sessions");
        Some(Limits {
            chat_per_10s: chat_per_10s.ok()?,
            sessions: sessions.ok()?,
        })
    }

    fn number(
        &mut self,
        value: Option<Value<'_, '_>>,
        member: &'static str,
    ) -> Result<Option<u32>, Reported> {
        let Some(value) = value else { return Ok(None) };
        match value.as_u32() {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong_type(value, member, WHOLE_NUMBER)),
        }
    }

    fn reply(&mut self, row: Value<'_, '_>, id: &str) -> Option<(ReplyStyle, Box<str>)> {
        let default = Reply::default_for(id);
        let Some(reply) = row.member("reply") else {
            return Some((default.style, default.tag.into()));
        };
        if !reply.is_object() {
            self.wrong_type(reply, "reply", "an object");
            return None;
        }
        let style = self.string(reply.member("style"), "reply.style");
        let tag = self.string(reply.member("tag"), "reply.tag");
        let style = match style.ok()? {
            None => default.style,
            Some(found) => match ReplyStyle::NAMES.iter().find(|(name, _)| *name == &*found) {
                Some((_, style)) => *style,
                None => {
                    let found = found.into();
                    self.error("reply.style", What::UnknownStyle { found });
                    return None;
                }
            },
        };
        Some((style, tag.ok()?.unwrap_or_else(|| default.tag.into())))
    }

    fn add(&mut self, row: Row) {
        let id: Box<str> = row.tenant().id.into();
        let Registry { rows, places } = &mut self.registry;
        let Some(&place) = places.get(&id) else {
            places.insert(id, rows.len());
            rows.push(row);
            self.sources.push(self.line);
            return;
        };
        if let (Some(replaced), Some(source)) = (rows.get_mut(place), self.sources.get_mut(place)) {
            *replaced = row;
            let line = core::mem::replace(source, self.line);
            let by = self.line;
            self.warn(line, What::Replaced { id, by });
        }
    }

    fn finish(mut self) -> Result<Parsed, Problems> {
        if self.errors.is_empty() && self.registry.rows.is_empty() {
            self.errors.push(Problem {
                line: None,
                member: None,
                what: What::NoTenants,
            });
        }
        if !self.errors.is_empty() {
            return Err(Problems(self.errors));
        }
        self.warnings.sort_by_key(|warning| warning.line);
        Ok(Parsed {
            registry: self.registry,
            warnings: self.warnings,
        })
    }
}

/// A value was refused, and the problem is on its list.
struct Reported;

const KNOWN_MEMBERS: [&str; 6] = ["id", "name", "welcome", "model", "limits", "reply"];

fn other_members(row: Value<'_, '_>) -> Box<str> {
    let mut other = Vec::new();
    for (name, value) in row.members() {
        if !KNOWN_MEMBERS.contains(&&*name) {
            if !other.is_empty() {
                other.push(b',');
            }
            push_string(&mut other, &*name);
            other.push(b':');
            other.extend_from_slice(value.text().as_bytes());
        }
    }
    String::from_utf8(other).unwrap_or_default().into()
}

fn count(n: usize, noun: &str) -> String {
    let mut text = n.to_string();
    text.push(' ');
    text.push_str(noun);
    if n != 1 {
        text.push('s');
    }
    text
}

impl fmt::Display for Parsed {
    /// `3 tenants` or `2 tenants, 1 warning`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&count(self.registry.rows.len(), "tenant"))?;
        if !self.warnings.is_empty() {
            write!(f, ", {}", count(self.warnings.len(), "warning"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, format, vec};

    use super::*;

    const ACME: &str = r#"{"id":"acme","name":"Acme","welcome":"Hi"}"#;

    fn accepted(text: &str) -> Parsed {
        Registry::parse(text.as_bytes()).expect(text)
    }

    fn refused(text: impl AsRef<[u8]>) -> Vec<String> {
        let problems = Registry::parse(text.as_ref())
            .expect_err("a text with problems")
            .0;
        let shown = problems
            .iter()
            .map(|problem| problem.in_file("t").to_string());
        shown.collect()
    }

    fn ids(parsed: &Parsed) -> Vec<&str> {
        parsed
            .registry
            .rows()
            .iter()
            .map(|row| row.tenant().id)
            .collect()
    }

    #[test]
    fn a_row_needs_only_id_name_and_welcome() {
        let parsed = accepted(ACME);
        let row = parsed.registry.get("acme").expect("acme");
        assert_eq!(row.tenant().model, "mock");
        assert_eq!(row.limits, Limits::default());
        assert_eq!(row.tenant().reply, Reply::default_for("acme"));
        assert!(parsed.registry.get("ACME").is_none());
    }

    #[test]
    fn a_voice_is_configuration() {
        let parsed = accepted(
            r#"{"id":"n","name":"N","welcome":"W","model":"","limits":{"chat_per_10s":2,"sessions":0,"x":1},"reply":{"style":"upper","tag":"NEW"}}"#,
        );
        let Row { packed, limits, .. } = &parsed.registry.rows()[0];
        let tenant = packed.tenant();
        assert_eq!(tenant.model, "");
        assert_eq!(limits.chat_per_10s, Some(2));
        assert_eq!(limits.sessions, Some(0));
        assert_eq!(
            (tenant.reply.style, tenant.reply.tag),
            (ReplyStyle::Upper, "NEW")
        );
        let half = accepted(r#"{"id":"acme","name":"N","welcome":"W","reply":{"tag":"A"}}"#);
        let reply = half.registry.rows()[0].tenant().reply;
        assert_eq!((reply.style, reply.tag), (ReplyStyle::Reverse, "A"));
    }

    #[test]
    fn unknown_members_are_kept() {
        let row = r#"{"id":"a","plan": {"x": [1, 2] } ,"name":"n","welcome":"w","z":[],"e":{ }}"#;
        let parsed = accepted(row);
        let other = &*parsed.registry.rows()[0].other;
        assert_eq!(other, r#""plan":{"x": [1, 2] },"z":[],"e":{ }"#);
        assert_eq!(&*accepted(ACME).registry.rows()[0].other, "");
    }

    #[test]
    fn lines_end_as_in_python() {
        let text = ACME.to_owned()
            + "\r"
            + &ACME.replace("acme", "b")
            + "\r\n\u{b}\n"
            + &ACME.replace("acme", "c");
        assert_eq!(ids(&accepted(&text)), ["acme", "b", "c"]);
        assert_eq!(ids(&accepted(&format!("\u{feff}{ACME}"))), ["acme"]);
    }

    #[test]
    fn rows_without_an_id_are_skipped_with_a_warning() {
        let text = format!("{{}}\n{ACME}\n{{\"id\":null}}\n{{\"id\":\"\",\"name\":1}}");
        let parsed = accepted(&text);
        assert_eq!(ids(&parsed), ["acme"]);
        let shown: Vec<_> = parsed
            .warnings
            .iter()
            .map(|w| w.in_file("t").to_string())
            .collect();
        assert_eq!(
            shown,
            [
                "t:1: id: missing; the row is skipped",
                "t:3: id: null; the row is skipped",
                "t:4: id: empty; the row is skipped",
            ]
        );
        assert_eq!(parsed.to_string(), "1 tenant, 3 warnings");
    }

    #[test]
    fn the_last_row_of_an_id_wins_in_the_first_ones_place() {
        let again = ACME.replace("Hi", "Later");
        let parsed = accepted(&format!("{ACME}\n{}\n{again}", ACME.replace("acme", "b")));
        assert_eq!(ids(&parsed), ["acme", "b"]);
        assert_eq!(parsed.registry.rows()[0].tenant().welcome, "Later");
        assert_eq!(
            parsed.warnings[0].in_file("t").to_string(),
            r#"t:1: id: "acme" is used again in line 3; that row replaces this one"#
        );
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let text = [
            ACME,
            r#"{"id":"a"}"#,
            "[1]",
            r#"{"id":7,"name":"n"}"#,
            "  # c",
            r#"{"id":"a","name":1,"welcome":null,"model":null,"limits":[],"reply":"x"}"#,
            r#"{"id":"a","name":"n","welcome":"w","limits":{"chat_per_10s":-1,"sessions":1.0}}"#,
            r#"{"id":"a","name":"n","welcome":"w","reply":{"style":"loud","tag":1}}"#,
            r#"{"id":"a","name":"\ud800","welcome":"w"}"#,
        ]
        .join("\n");
        assert_eq!(
            refused(text),
            [
                "t:2: name: missing; it must be a string",
                "t:2: welcome: missing; it must be a string",
                "t:3: a list instead of an object; each line must be one JSON object",
                "t:4: id: a number instead of a string",
                "t:5: not JSON: Expecting value (column 3); each line must be one JSON object",
                "t:6: name: a number instead of a string",
                "t:6: welcome: null instead of a string",
                "t:6: model: null instead of a string",
                "t:6: limits: a list instead of an object",
                "t:6: reply: a string instead of an object",
                "t:7: limits.chat_per_10s: a number instead of a whole number from 0 to 4294967295",
                "t:7: limits.sessions: a number instead of a whole number from 0 to 4294967295",
                "t:8: reply.tag: a number instead of a string",
                "t:8: reply.style: \"loud\" is no style; use \"reverse\", \"upper\" or \"ack\"",
                "t:9: not JSON: Invalid \\uXXXX escape (column 20); each line must be one JSON object",
            ]
        );
    }

    #[test]
    fn a_text_without_tenants_is_refused() {
        let example = "t: no tenants; add a line such as ";
        for text in ["", "\n \n", "{}\n"] {
            assert!(refused(text)[0].starts_with(example), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_named() {
        let text = [ACME.as_bytes(), b"\n{\"id\":\"\xff\"}"].concat();
        assert_eq!(
            refused(text),
            ["t:2: not UTF-8 (byte 8 of the line); save the file as UTF-8"]
        );
    }

    #[test]
    fn what_is_too_much_is_named() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
        let long = format!("{{\"x\":{}}}", "1".repeat(4301));
        assert_eq!(
            refused(format!("{deep}\n{long}")),
            vec![
                "t:1: nested deeper than 128 levels",
                "t:2: an integer of more than 4300 digits",
            ]
        );
    }
}
