//! The registry: which tenants there are, read from a `tenants.jsonl` text.
//!
//! One JSON object a line. Lines end at `\n`, `\r\n` or a lone `\r`; blank ones are
//! skipped, and so is a byte order mark. The text is checked as a whole: every problem is
//! reported at once, with its line and the member that it is about.

mod problem;
mod reader;
mod writer;

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};
use core::fmt;

use self::{problem::count, reader::Reader};
pub use self::{
    problem::{Problem, Problems, What},
    reader::lines,
};
use crate::tenant::{PackedTenant, Tenant};

/// Bytes of an id, at most. It stands in paths of the admin API, where each may be written with
/// three characters, and in indexes of databases, which take some 2700.
pub const MAX_ID_BYTES: usize = 512;

/// Bytes of a name, at most.
pub const MAX_NAME_BYTES: usize = 4096;

/// Bytes of a welcome, at most. Each reply begins with it.
pub const MAX_WELCOME_BYTES: usize = 16 << 10;

/// Bytes of a model's name and of a reply's tag, at most.
pub const MAX_TAG_BYTES: usize = 512;

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

    /// The row as one line of a tenants file. What it says by saying nothing is left out.
    #[must_use]
    pub fn to_json(&self) -> String {
        writer::json(self)
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
    /// The line that each row comes from, counted from 1, in the order of the rows.
    pub lines: Vec<usize>,
    /// Rows that were skipped or replaced, and members that are not known: the first twenty of
    /// those, and how many more there are.
    pub warnings: Vec<Problem>,
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
    use alloc::{
        borrow::ToOwned,
        format,
        string::{String, ToString},
        vec,
    };

    use super::*;
    use crate::tenant::{Reply, ReplyStyle};

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
    fn a_row_that_is_written_and_read_is_the_same_row() {
        for (row, written) in [
            (
                ACME,
                r#"{"id":"acme","name":"Acme","welcome":"Hi","model":"mock"}"#,
            ),
            (
                r#"{"welcome":"é\"\n","id":"a","plan": [1] ,"name":"","limits":{"sessions":0}}"#,
                r#"{"id":"a","name":"","welcome":"é\"\n","model":"mock","limits":{"sessions":0},"plan":[1]}"#,
            ),
            (
                r#"{"id":"acme","name":"n","welcome":"w","limits":{"sessions":7,"chat_per_10s":5},"reply":{"style":"ack"}}"#,
                r#"{"id":"acme","name":"n","welcome":"w","model":"mock","limits":{"chat_per_10s":5,"sessions":7},"reply":{"style":"ack","tag":"ACME MOCK"}}"#,
            ),
        ] {
            let parsed = accepted(row);
            let json = parsed.registry.rows()[0].to_json();
            assert_eq!(json, written);
            assert_eq!(accepted(&json).registry.rows(), parsed.registry.rows());
        }
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

    fn warned(text: &str) -> Vec<String> {
        let warnings = accepted(text).warnings;
        let shown = warnings.iter().map(|w| w.in_file("t").to_string());
        shown.collect()
    }

    #[test]
    fn unknown_members_are_named_with_what_was_probably_meant() {
        let text = [
            ACME,
            r#"{"id":"b","name":"n","welcome":"w","limts":{"chat_per_10s":1},"modle":"m"}"#,
            r#"{"id":"c","name":"n","welcome":"w","limits":{"chats_per_10s":1,"name":2}}"#,
            r#"{"id":"d","name":"n","welcome":"w","reply":{"Style":"ack"},"sessions":1,"tag":""}"#,
            r#"{"id":"e","name":"n","welcome":"w","plan":{"limts":1},"a\u001b[31m\n":0}"#,
            r#"{"limts":1}"#,
        ]
        .join("\n");
        assert_eq!(
            warned(&text),
            [
                "t:2: limts: unknown, so it is ignored; did you mean limits?",
                "t:2: modle: unknown, so it is ignored; did you mean model?",
                "t:3: limits.chats_per_10s: unknown, so it is ignored; did you mean limits.chat_per_10s?",
                "t:3: limits.name: unknown, so it is ignored; did you mean name?",
                "t:4: sessions: unknown, so it is ignored; did you mean limits.sessions?",
                "t:4: tag: unknown, so it is ignored; did you mean reply.tag?",
                "t:4: reply.Style: unknown, so it is ignored; did you mean reply.style?",
                "t:5: plan: unknown, so it is ignored",
                r"t:5: a\u{1b}[31m\n: unknown, so it is ignored",
                "t:6: id: missing; the row is skipped",
            ]
        );
        // They are ignored, and kept.
        let row = accepted(&text).registry.rows()[1].clone();
        assert_eq!(row.limits, Limits::default());
        assert!(row.other.contains("limts"));
    }

    #[test]
    fn no_more_than_twenty_unknown_members_are_named() {
        let row = |n: usize| format!(r#"{{"id":"{n}","name":"n","welcome":"w","plan":1}}"#);
        let text = |rows: usize| (0..rows).map(row).collect::<Vec<_>>().join("\n");
        assert_eq!(warned(&text(20)).len(), 20);
        let warnings = warned(&(text(1000) + "\n{}"));
        assert_eq!(warnings.len(), 22);
        assert_eq!(warnings[19], "t:20: plan: unknown, so it is ignored");
        assert_eq!(warnings[20], "t:1001: id: missing; the row is skipped");
        assert_eq!(warnings[21], "t: 980 more unknown members are ignored");
        let long = format!(
            r#"{{"id":"a","name":"n","welcome":"w","{}":1}}"#,
            "é".repeat(1000)
        );
        assert_eq!(warned(&long)[0].chars().filter(|c| *c == 'é').count(), 64);
    }

    #[test]
    fn texts_are_bounded_in_bytes() {
        let row = |member: &str, text: &str| {
            let mut members = vec![("id", "a"), ("name", "n"), ("welcome", "w"), ("model", "m")];
            members.retain(|(name, _)| *name != member);
            members.push((member, text));
            let members = members
                .iter()
                .map(|(name, text)| format!(r#""{name}":"{text}""#));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        };
        for (member, max) in [
            ("id", 512),
            ("name", 4096),
            ("welcome", 16384),
            ("model", 512),
        ] {
            // Two bytes each.
            accepted(&row(member, &"é".repeat(max / 2)));
            let found = max + 1;
            assert_eq!(
                refused(row(member, &("é".repeat(max / 2) + "x"))),
                [format!(
                    "t:1: {member}: {found} bytes; it may have {max} at most"
                )]
            );
        }
        let tag = |len: usize| {
            let tag = "x".repeat(len);
            format!(r#"{{"id":"a","name":"n","welcome":"w","reply":{{"tag":"{tag}"}}}}"#)
        };
        accepted(&tag(512));
        assert_eq!(
            refused(tag(513)),
            ["t:1: reply.tag: 513 bytes; it may have 512 at most"]
        );
    }

    #[test]
    fn an_id_has_any_character_but_one() {
        let row = |id: &str| format!(r#"{{"id":"{id}","name":"\u0000","welcome":"\u0000"}}"#);
        for id in [r"\u0001", r"\u007f", r"\u009b", r"\u202e", r"\n", " "] {
            accepted(&row(id));
        }
        assert_eq!(
            refused(row(r"ab\u0000")),
            ["t:1: id: the character U+0000, which an id may not have (byte 3 of it)"]
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
