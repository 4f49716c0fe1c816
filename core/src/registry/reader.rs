//! From lines to rows.

use alloc::{borrow::Cow, boxed::Box, format, string::String, vec::Vec};

use super::{
    Limits, MAX_ID_BYTES, MAX_NAME_BYTES, MAX_TAG_BYTES, MAX_WELCOME_BYTES, Parsed, Problem,
    Problems, Registry, Row, What,
};
use crate::{
    json::{self, Document, Value, push_string},
    python,
    similar::nearest,
    tenant::{PackedTenant, Reply, ReplyStyle, Tenant},
};

/// Warnings of unknown members of one text, at most. What is beyond is counted.
const MAX_UNKNOWN: usize = 20;

/// Characters that are shown of the name of an unknown member, at most.
const MAX_SHOWN: usize = 64;

const WHOLE_NUMBER: &str = "a whole number from 0 to 4294967295";

/// Lines as Python's text files have them: ended by `\n`, `\r\n` or a lone `\r`.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
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

/// Reads line after line, and gathers what is wrong.
#[derive(Default)]
pub(super) struct Reader {
    /// The line that is read, from 1.
    pub(super) line: usize,
    registry: Registry,
    /// The line that each tenant comes from, in the order of the registry.
    sources: Vec<usize>,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Members with unknown names so far.
    unknown: usize,
}

impl Reader {
    fn error(&mut self, member: impl Into<Option<&'static str>>, what: What) {
        self.errors.push(Problem {
            line: Some(self.line),
            member: member.into().map(Cow::Borrowed),
            what,
        });
    }

    fn warn(&mut self, line: usize, what: What) {
        self.warnings.push(Problem {
            line: Some(line),
            member: Some(Cow::Borrowed("id")),
            what,
        });
    }

    /// Warns of the members of an object that are not known. They may be meant for something
    /// else, or be a known one that is misspelt, or stand in another object than they should.
    fn warn_of_unknown(&mut self, object: Value<'_, '_>, place: &Place) {
        for (name, _) in object.members() {
            if place.members.contains(&&*name) {
                continue;
            }
            self.unknown += 1;
            if self.unknown > MAX_UNKNOWN {
                continue;
            }
            let here = nearest(&name, place.members.iter().copied());
            let here = here.and_then(|meant| {
                let mut paths = place.paths.iter().copied();
                paths.find(|path| path.rsplit('.').next() == Some(meant))
            });
            let elsewhere = || {
                let mut paths = PLACES.iter().flat_map(|place| place.paths).copied();
                paths.find(|path| path.rsplit('.').next() == Some(&*name))
            };
            self.warnings.push(Problem {
                line: Some(self.line),
                member: Some(Cow::Owned(place.path_of(&name))),
                what: What::UnknownMember {
                    meant: here.or_else(elsewhere),
                },
            });
        }
    }

    pub(super) fn read(&mut self, line: &[u8]) {
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
        self.warn_of_unknown(row, &ROW);
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
                suspended: false,
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
            Some(text) => match unfit(member, &text) {
                None => Ok(Some(text.into())),
                Some(what) => {
                    self.error(member, what);
                    Err(Reported)
                }
            },
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
        self.warn_of_unknown(limits, &LIMITS);
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
        self.warn_of_unknown(reply, &REPLY);
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

    pub(super) fn finish(mut self) -> Result<Parsed, Problems> {
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
        if let Some(more @ 1..) = self.unknown.checked_sub(MAX_UNKNOWN) {
            self.warnings.push(Problem {
                line: None,
                member: None,
                what: What::MoreUnknownMembers(more),
            });
        }
        Ok(Parsed {
            registry: self.registry,
            lines: self.sources,
            warnings: self.warnings,
        })
    }
}

/// A value was refused, and the problem is on its list.
struct Reported;

/// Why a member must not be this text.
fn unfit(member: &str, text: &str) -> Option<What> {
    let max = match member {
        "id" => MAX_ID_BYTES,
        "name" => MAX_NAME_BYTES,
        "welcome" => MAX_WELCOME_BYTES,
        "model" | "reply.tag" => MAX_TAG_BYTES,
        // One of a few words.
        _ => return None,
    };
    let found = text.len();
    if found > max {
        return Some(What::TooLong { found, max });
    }
    let nul = text.find('\0').filter(|_| member == "id")?;
    Some(What::Nul { at: nul + 1 })
}

/// An object of a row, and what it may have.
struct Place {
    /// What stands before the names of its members in messages.
    prefix: &'static str,
    members: &'static [&'static str],
    /// The same, as messages name them.
    paths: &'static [&'static str],
}

const ROW: Place = Place {
    prefix: "",
    members: &["id", "name", "welcome", "model", "limits", "reply"],
    paths: &["id", "name", "welcome", "model", "limits", "reply"],
};

const LIMITS: Place = Place {
    prefix: "limits.",
    members: &["chat_per_10s", "sessions"],
    paths: &["limits.chat_per_10s", "limits.sessions"],
};

const REPLY: Place = Place {
    prefix: "reply.",
    members: &["style", "tag"],
    paths: &["reply.style", "reply.tag"],
};

const PLACES: [Place; 3] = [ROW, LIMITS, REPLY];

impl Place {
    /// A member of this object as messages show it: a file may use any name.
    fn path_of(&self, name: &str) -> String {
        let shown: String = name.chars().take(MAX_SHOWN).collect();
        let more = if shown.len() < name.len() { "..." } else { "" };
        format!("{}{}{more}", self.prefix, shown.escape_debug())
    }
}

fn other_members(row: Value<'_, '_>) -> Box<str> {
    let mut other = Vec::new();
    for (name, value) in row.members() {
        if !ROW.members.contains(&&*name) {
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
