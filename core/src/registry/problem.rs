//! What can be wrong with a text, and how it is told.

use alloc::{
    borrow::Cow,
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use crate::json;

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
    pub member: Option<Cow<'static, str>>,
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
    /// An error: a text is too long to be kept.
    #[error("{found} bytes; it may have {max} at most")]
    TooLong {
        /// Bytes that it has.
        found: usize,
        /// Bytes that it may have.
        max: usize,
    },
    /// An error: an id has a character that not every database takes.
    #[error("the character U+0000, which an id may not have (byte {at} of it)")]
    Nul {
        /// Where in the id, from 1.
        at: usize,
    },
    /// An error: no row is left.
    #[error("no tenants; add a line such as {EXAMPLE}")]
    NoTenants,
    /// A warning: without an id there is no tenant.
    #[error("{0}; the row is skipped")]
    Skipped(&'static str),
    /// A warning: no member has this name.
    #[error("unknown, so it is ignored{}", question(.meant))]
    UnknownMember {
        /// The member that was probably meant.
        meant: Option<&'static str>,
    },
    /// A warning: there are further members with unknown names.
    #[error("{0} more unknown members are ignored")]
    MoreUnknownMembers(usize),
    /// A warning: a later row has the same id and takes this one's place.
    #[error("{id:?} is used again in line {by}; that row replaces this one")]
    Replaced {
        /// The id.
        id: Box<str>,
        /// The line of the later row.
        by: usize,
    },
}

/// A question, where there is something to ask.
fn question(meant: &Option<&'static str>) -> String {
    meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"))
}

const EXAMPLE: &str = r#"{"id":"acme","name":"Acme Corp","welcome":"Howdy!"}"#;

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
                if let Some(member) = &self.1.member {
                    write!(f, " {member}:")?;
                }
                write!(f, " {}", self.1.what)
            }
        }
        InFile(file, self)
    }
}

/// `1 problem` or `2 problems`.
pub(super) fn count(n: usize, noun: &str) -> String {
    let mut text = n.to_string();
    text.push(' ');
    text.push_str(noun);
    if n != 1 {
        text.push('s');
    }
    text
}
