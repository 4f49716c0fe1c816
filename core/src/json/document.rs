//! A scanned JSON text: looking values up, and writing them again.

use alloc::{borrow::Cow, boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use super::scan::{Error, Node, scan};
use super::write::push_string;
use crate::python;

/// A JSON text and where its values are. Nothing is decoded until it is asked for.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

impl<'a> Document<'a> {
    /// Parses a whole text.
    ///
    /// # Errors
    /// Says what is wrong and where. A text of 4 GiB or more is [`Error::TooDeep`]:
    /// every runner bounds a body long before that.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        if u32::try_from(text.len()).is_err() {
            return Err(Error::TooDeep);
        }
        Ok(Self {
            text,
            nodes: scan(text)?,
        })
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> Value<'a, '_> {
        Value {
            document: self,
            index: 0,
        }
    }

    fn node(&self, index: usize) -> Node {
        let end = self.text.len() as u32;
        let nothing = Node {
            start: end,
            end,
            has_escapes: false,
        };
        self.nodes.get(index).copied().unwrap_or(nothing)
    }
}

/// One value of a [`Document`].
#[derive(Debug, Clone, Copy)]
pub struct Value<'a, 'd> {
    document: &'d Document<'a>,
    index: usize,
}

impl<'a, 'd> Value<'a, 'd> {
    fn start(self) -> usize {
        self.document.node(self.index).start as usize
    }

    fn first_byte(self) -> u8 {
        let text = self.document.text.as_bytes();
        text.get(self.start()).copied().unwrap_or_default()
    }

    fn is_container(self) -> bool {
        matches!(self.first_byte(), b'[' | b'{')
    }

    /// The text of a value that is not a container.
    fn scalar(self) -> &'a str {
        let end = self.document.node(self.index).end as usize;
        self.document
            .text
            .get(self.start()..end)
            .unwrap_or_default()
    }

    /// The value as it stands in the text, without the blanks around it.
    #[must_use]
    pub fn text(self) -> &'a str {
        if !self.is_container() {
            return self.scalar();
        }
        let end = match self.inside().last() {
            Some(last) => last.start() + last.text().len(),
            None => self.start() + 1,
        };
        let rest = self.document.text.get(end..).unwrap_or_default();
        let close = rest.find([']', '}']).map_or(rest.len(), |at| at + 1);
        self.document
            .text
            .get(self.start()..end + close)
            .unwrap_or_default()
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.first_byte() == b'n'
    }

    /// Whether this is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.first_byte() == b'{'
    }

    /// The string, decoded; `None` of anything else.
    #[must_use]
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        if self.first_byte() != b'"' {
            return None;
        }
        let Node {
            start,
            end,
            has_escapes,
        } = self.document.node(self.index);
        let inside = start as usize + 1..end as usize - 1;
        let inside = self.document.text.get(inside).unwrap_or_default();
        Some(if has_escapes {
            unescape(inside).into()
        } else {
            inside.into()
        })
    }

    /// The number, where it is an integer that fits; `None` of anything else.
    #[must_use]
    pub fn as_u32(self) -> Option<u32> {
        let text = self.scalar();
        // `parse` would take `+1`, which the scanner did not let through.
        if text == "-0" {
            Some(0)
        } else {
            text.parse().ok()
        }
    }

    /// "a string", "null", ...: what this is, for a message.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self.first_byte() {
            b'"' => "a string",
            b'{' => "an object",
            b'[' => "a list",
            b'n' => "null",
            b't' | b'f' => "true or false",
            _ => "a number",
        }
    }

    /// The values directly inside a list; names and values, in turn, of an object.
    fn inside(self) -> impl Iterator<Item = Self> + use<'a, 'd> {
        let document = self.document;
        let end = if self.is_container() {
            document.node(self.index).end as usize
        } else {
            0
        };
        let mut index = self.index + 1;
        core::iter::from_fn(move || {
            let value = (index < end).then_some(Self { document, index })?;
            index = if value.is_container() {
                document.node(index).end as usize
            } else {
                index + 1
            };
            Some(value)
        })
    }

    /// The members of an object in the order of the text, duplicates included; nothing
    /// of anything else.
    pub fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Self)> + use<'a, 'd> {
        let mut inside = self.inside();
        let is_object = self.is_object();
        core::iter::from_fn(move || {
            let name = inside.next().filter(|_| is_object)?.as_str()?;
            Some((name, inside.next()?))
        })
    }

    /// The value of the last member of that name.
    #[must_use]
    pub fn member(self, name: &str) -> Option<Self> {
        let with_name = self.members().filter(|(candidate, _)| candidate == name);
        with_name.last().map(|(_, value)| value)
    }

    /// The value written again as Python would: without blanks, numbers in Python's form,
    /// duplicate members merged (the last value in the first one's place). `None` where
    /// that takes more than `max_bytes`.
    #[must_use]
    pub fn echo(self, max_bytes: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        // Containers that are not closed yet. Kept here and not by recursion: a caller's
        // stack may be all but used up.
        let mut open: Vec<Open<'a, 'd>> = Vec::new();
        let mut value = self;
        loop {
            match value.first_byte() {
                b'"' => push_string(&mut out, &*value.as_str().unwrap_or_default()),
                bracket @ (b'[' | b'{') => {
                    out.push(bracket);
                    open.push(Open::new(value, max_bytes)?);
                }
                b'n' | b't' | b'f' => out.extend_from_slice(value.scalar().as_bytes()),
                _ => push_number(&mut out, value.scalar()),
            }
            value = loop {
                if out.len() > max_bytes {
                    return None;
                }
                let Some(container) = open.last_mut() else {
                    return Some(out);
                };
                if let Some(value) = container.next(&mut out) {
                    break value;
                }
                open.pop();
            };
        }
    }

    /// An object's members as a Python dict would hold them; `None` where there are too
    /// many to be written in `max_bytes`.
    fn merged_members(self, max_bytes: usize) -> Option<Vec<(Cow<'a, str>, Self)>> {
        let mut merged: Vec<(Cow<'a, str>, Self)> = Vec::new();
        let mut places: BTreeMap<Cow<'a, str>, usize> = BTreeMap::new();
        for (name, value) in self.members() {
            if let Some(member) = places.get(&name).and_then(|&place| merged.get_mut(place)) {
                member.1 = value;
                continue;
            }
            // Each takes at least `"":0,`.
            if merged.len() > max_bytes / 5 {
                return None;
            }
            places.insert(name.clone(), merged.len());
            merged.push((name, value));
        }
        Some(merged)
    }
}

/// A container that is being written: what is still to come of it.
struct Open<'a, 'd> {
    rest: Box<dyn Iterator<Item = (Option<Cow<'a, str>>, Value<'a, 'd>)> + 'd>,
    /// What stands in front of what comes next, if anything does.
    comma: &'static [u8],
    end: u8,
}

impl<'a: 'd, 'd> Open<'a, 'd> {
    /// `None` where it is an object of more members than can be written in `max_bytes`.
    fn new(container: Value<'a, 'd>, max_bytes: usize) -> Option<Self> {
        let (rest, end): (Box<dyn Iterator<Item = _> + 'd>, _) = if container.is_object() {
            let members = container.merged_members(max_bytes)?.into_iter();
            (
                Box::new(members.map(|(name, value)| (Some(name), value))),
                b'}',
            )
        } else {
            (
                Box::new(container.inside().map(|value| (None, value))),
                b']',
            )
        };
        let comma = b"";
        Some(Self { rest, comma, end })
    }

    /// Writes what stands in front of the next value, and returns that; behind the last one,
    /// writes the end.
    fn next(&mut self, out: &mut Vec<u8>) -> Option<Value<'a, 'd>> {
        let Some((name, value)) = self.rest.next() else {
            out.push(self.end);
            return None;
        };
        out.extend_from_slice(core::mem::replace(&mut self.comma, b","));
        if let Some(name) = name {
            push_string(out, &*name);
            out.push(b':');
        }
        Some(value)
    }
}

fn push_number(out: &mut Vec<u8>, text: &str) {
    let is_float = text.contains(['.', 'e', 'E']);
    match is_float.then(|| python::float(text)).flatten() {
        Some(x) => out.extend_from_slice(python::float_repr(x).as_bytes()),
        _ if text == "-0" => out.push(b'0'),
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

/// What the inside of a string literal stands for. The scanner has checked it.
fn unescape(inside: &str) -> String {
    let mut text = String::with_capacity(inside.len());
    let mut rest = inside.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match rest.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => unescape_unit(&mut rest),
            Some(itself) => itself,
            None => break,
        });
    }
    text
}

/// The character of a `\u` escape, or of two that are a surrogate pair, behind the `u`.
fn unescape_unit(rest: &mut core::str::Chars<'_>) -> char {
    fn unit(chars: &mut core::str::Chars<'_>) -> u32 {
        let digits = chars.by_ref().take(4);
        digits.fold(0, |unit, c| unit << 4 | c.to_digit(16).unwrap_or_default())
    }
    let first = unit(rest);
    let code = if (0xd800..0xdc00).contains(&first) {
        rest.next(); // `\`
        rest.next(); // `u`
        0x1_0000 + ((first - 0xd800) << 10) + unit(rest).wrapping_sub(0xdc00)
    } else {
        first
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}
