//! CPython's JSON scanner (`Modules/_json.c` of CPython 3.11), as rules: which text is
//! JSON, and which error stands where when it is not.
//!
//! Two differences are wanted. What CPython lets through and JSON does not know (NaN,
//! Infinity, a number that overflows, half a surrogate pair) is an error here, reported
//! only where CPython finds nothing else to complain about. And nesting has a fixed
//! limit instead of one that depends on the stack.

use alloc::vec::Vec;

use super::{MAX_DEPTH, MAX_INTEGER_DIGITS, special_at};
use crate::python;

/// Why a text is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not JSON.
    #[error("{message}: character {position}")]
    Syntax {
        /// What is wrong, in CPython's words.
        message: &'static str,
        /// Where, in code points from the start of the text, from 0.
        position: usize,
    },
    /// More than [`MAX_DEPTH`] containers stand inside each other.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// An integer has more than [`MAX_INTEGER_DIGITS`] digits.
    #[error("an integer of more than {MAX_INTEGER_DIGITS} digits")]
    LongInteger,
}

const EXPECTING_VALUE: &str = "Expecting value";
const EXPECTING_NAME: &str = "Expecting property name enclosed in double quotes";
const EXPECTING_COLON: &str = "Expecting ':' delimiter";
const EXPECTING_COMMA: &str = "Expecting ',' delimiter";
const EXTRA_DATA: &str = "Extra data";
const UNTERMINATED: &str = "Unterminated string starting at";
const CONTROL_CHARACTER: &str = "Invalid control character at";
const BAD_ESCAPE: &str = "Invalid \\escape";
const BAD_UNICODE_ESCAPE: &str = "Invalid \\uXXXX escape";

/// One value (or member name) of a scanned text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Offset of its first byte.
    pub(super) start: u32,
    /// Of a string, number or word: the offset behind its last byte. Of a container: the
    /// index of the first node that is not inside it (and while it is being read, the
    /// index of the container that it is in).
    pub(super) end: u32,
    /// It is a string with escape sequences.
    pub(super) has_escapes: bool,
}

/// Scans `text`, which is at most `u32::MAX` bytes long, into nodes in the order of the
/// text: a container stands before what it holds, a name before its value.
pub(super) fn scan(text: &str) -> Result<Vec<Node>, Error> {
    let mut scanner = Scanner {
        text: text.as_bytes(),
        at: 0,
        // Enough for a request.
        nodes: Vec::with_capacity(16),
        open: 0,
        depth: 0,
        not_json: None,
    };
    match (scanner.document(), scanner.not_json) {
        (Ok(()), None) => Ok(scanner.nodes),
        (Err(Stop::TooDeep), _) => Err(Error::TooDeep),
        (Err(Stop::LongInteger), _) => Err(Error::LongInteger),
        (Err(Stop::Syntax(fault)), _) | (Ok(()), Some(fault)) => Err(Error::Syntax {
            message: fault.message,
            position: code_points(&scanner.text[..fault.at]),
        }),
    }
}

/// The number of code points in a prefix of UTF-8 text.
fn code_points(utf8: &[u8]) -> usize {
    utf8.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}

/// A complaint and the offset that it is about.
#[derive(Clone, Copy)]
struct Fault {
    message: &'static str,
    at: usize,
}

enum Stop {
    Syntax(Fault),
    TooDeep,
    LongInteger,
}

fn fault(message: &'static str, at: usize) -> Stop {
    Stop::Syntax(Fault { message, at })
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The innermost container that is not closed yet.
    open: u32,
    /// Containers that are not closed yet.
    depth: usize,
    /// The first thing that CPython accepts and JSON does not.
    not_json: Option<Fault>,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes the next character if it is `byte`.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn document(&mut self) -> Result<(), Stop> {
        self.skip_blanks();
        loop {
            // At a value. A container that is not empty leads straight to its first one.
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    self.open()?;
                    if !self.close(bracket == b'{') {
                        if bracket == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                _ => self.scalar()?,
            }
            // Behind a value: the end, the end of a container, or the next value.
            loop {
                self.skip_blanks();
                if self.depth == 0 {
                    return match self.peek() {
                        None => Ok(()),
                        Some(_) => Err(fault(EXTRA_DATA, self.at)),
                    };
                }
                let is_object = self.is_in_object();
                if self.close(is_object) {
                    continue;
                }
                if !self.take(b',') {
                    return Err(fault(EXPECTING_COMMA, self.at));
                }
                self.skip_blanks();
                if is_object {
                    self.name()?;
                }
                break;
            }
        }
    }

    fn push_node(&mut self, start: usize, end: usize, has_escapes: bool) {
        // `Document::parse` has made sure that offsets fit.
        self.nodes.push(Node {
            start: start as u32,
            end: end as u32,
            has_escapes,
        });
    }

    /// Takes an opening bracket, and the blanks behind it.
    fn open(&mut self) -> Result<(), Stop> {
        if self.depth == MAX_DEPTH {
            return Err(Stop::TooDeep);
        }
        let node = self.nodes.len() as u32;
        self.push_node(self.at, self.open as usize, false);
        self.open = node;
        self.depth += 1;
        self.at += 1;
        self.skip_blanks();
        Ok(())
    }

    /// Takes the closing bracket of the innermost container, if it is next.
    fn close(&mut self, is_object: bool) -> bool {
        if !self.take(if is_object { b'}' } else { b']' }) {
            return false;
        }
        let end = self.nodes.len() as u32;
        if let Some(node) = self.nodes.get_mut(self.open as usize) {
            self.open = core::mem::replace(&mut node.end, end);
        }
        self.depth -= 1;
        true
    }

    fn is_in_object(&self) -> bool {
        let node = self.nodes.get(self.open as usize);
        let bracket = node.and_then(|node| self.text.get(node.start as usize));
        bracket == Some(&b'{')
    }

    /// A member's name, and on to its value.
    fn name(&mut self) -> Result<(), Stop> {
        if self.peek() != Some(b'"') {
            return Err(fault(EXPECTING_NAME, self.at));
        }
        self.string()?;
        self.skip_blanks();
        if !self.take(b':') {
            return Err(fault(EXPECTING_COLON, self.at));
        }
        self.skip_blanks();
        Ok(())
    }

    fn string(&mut self) -> Result<(), Stop> {
        let start = self.at;
        let mut has_escapes = false;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let special = special_at(rest).ok_or_else(|| fault(UNTERMINATED, start))?;
            self.at += special;
            match rest[special] {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    self.escape(start)?;
                }
                _ => return Err(fault(CONTROL_CHARACTER, self.at)),
            }
        }
        self.at += 1;
        self.push_node(start, self.at, has_escapes);
        Ok(())
    }

    /// An escape sequence, from its backslash, in the string that starts at `string`.
    fn escape(&mut self, string: usize) -> Result<(), Stop> {
        let backslash = self.at;
        self.at += 1;
        match self.peek() {
            None => Err(fault(UNTERMINATED, string)),
            Some(b'u') => {
                let u = self.at;
                match self.code_unit()? {
                    0xd800..=0xdbff if self.text[self.at..].starts_with(b"\\u") => {
                        let second = self.at;
                        self.at += 1;
                        if !(0xdc00..=0xdfff).contains(&self.code_unit()?) {
                            // Not its other half: an escape of its own, read again.
                            self.at = second;
                            self.note(BAD_UNICODE_ESCAPE, u);
                        }
                    }
                    0xd800..=0xdfff => self.note(BAD_UNICODE_ESCAPE, u),
                    _ => {}
                }
                Ok(())
            }
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(fault(BAD_ESCAPE, backslash)),
        }
    }

    /// The four hexadecimal digits behind a `u`, from that `u`.
    fn code_unit(&mut self) -> Result<u16, Stop> {
        let u = self.at;
        // CPython wants one more character behind the digits: the closing quote at least.
        let digits = match self.text.get(u + 1..u + 6) {
            Some(five) => &five[..4],
            None => return Err(fault(BAD_UNICODE_ESCAPE, u)),
        };
        let mut unit = 0;
        for &digit in digits {
            let value = char::from(digit).to_digit(16);
            let value = value.ok_or_else(|| fault(BAD_UNICODE_ESCAPE, u))?;
            unit = unit << 4 | value as u16;
        }
        self.at = u + 5;
        Ok(unit)
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Result<(), Stop> {
        let start = self.at;
        let rest = &self.text[start..];
        for word in ["null", "true", "false"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                self.push_node(start, self.at, false);
                return Ok(());
            }
        }
        for word in ["NaN", "Infinity", "-Infinity"] {
            if rest.starts_with(word.as_bytes()) {
                self.note(EXPECTING_VALUE, start);
                self.at += word.len();
                self.push_node(start, self.at, false);
                return Ok(());
            }
        }
        self.number()
    }

    fn number(&mut self) -> Result<(), Stop> {
        let start = self.at;
        self.take(b'-');
        let first_digit = self.at;
        if !self.take(b'0') {
            self.digits();
        }
        if self.at == first_digit {
            return Err(fault(EXPECTING_VALUE, start));
        }
        let integer_digits = self.at - first_digit;
        // A point or an exponent without digits does not belong to the number.
        let is_float = self.fraction() | self.exponent();
        if is_float {
            let text = core::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
            if !python::float(text).is_some_and(f64::is_finite) {
                self.note(EXPECTING_VALUE, start);
            }
        } else if integer_digits > MAX_INTEGER_DIGITS {
            return Err(Stop::LongInteger);
        }
        self.push_node(start, self.at, false);
        Ok(())
    }

    fn fraction(&mut self) -> bool {
        let start = self.at;
        if self.take(b'.') && self.digits() {
            return true;
        }
        self.at = start;
        false
    }

    fn exponent(&mut self) -> bool {
        let start = self.at;
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'-') {
                self.take(b'+');
            }
            if self.digits() {
                return true;
            }
        }
        self.at = start;
        false
    }

    /// Takes all digits that follow; whether there were any.
    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    fn note(&mut self, message: &'static str, at: usize) {
        self.not_json.get_or_insert(Fault { message, at });
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::*;

    fn error(text: &str) -> Error {
        scan(text).expect_err(text)
    }

    fn syntax(message: &'static str, position: usize) -> Error {
        Error::Syntax { message, position }
    }

    #[test]
    fn what_json_does_not_know_is_reported_only_where_nothing_else_is_wrong() {
        for (text, message, position) in [
            ("NaN", EXPECTING_VALUE, 0),
            (" [1,-Infinity]", EXPECTING_VALUE, 4),
            ("[1e400,NaN]", EXPECTING_VALUE, 1),
            ("{\"a\":-1e999}", EXPECTING_VALUE, 5),
            (r#""\ud800""#, BAD_UNICODE_ESCAPE, 2),
            (r#""\udc00\ud800""#, BAD_UNICODE_ESCAPE, 2),
            (r#""\ud800\ud800\udc00""#, BAD_UNICODE_ESCAPE, 2),
            (r#""\ud83d\u0041""#, BAD_UNICODE_ESCAPE, 2),
            ("[NaN,}", EXPECTING_VALUE, 5),
            (r#"["\ud800",NaN"#, EXPECTING_COMMA, 13),
            (r#""\ud800\uzzzz""#, BAD_UNICODE_ESCAPE, 8),
            (r#""\ud83d\ude00"#, BAD_UNICODE_ESCAPE, 8),
        ] {
            assert_eq!(error(text), syntax(message, position), "{text}");
        }
        assert!(scan(r#""\ud83d\ude00""#).is_ok());
    }

    #[test]
    fn positions_are_code_points() {
        assert_eq!(error("\"é😀\" x"), syntax(EXTRA_DATA, 5));
        assert_eq!(error("{\"é\":😀}"), syntax(EXPECTING_VALUE, 5));
    }

    #[test]
    fn nesting_is_limited_before_anything_behind_it_is_read() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(scan(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(error(&nested(MAX_DEPTH + 1)), Error::TooDeep);
        assert_eq!(error(&format!("{} x", "[".repeat(200))), Error::TooDeep);
        assert_eq!(error(&"{\"a\":".repeat(200)), Error::TooDeep);
        assert_eq!(error("[x"), syntax(EXPECTING_VALUE, 1));
    }

    #[test]
    fn integers_are_limited_and_floats_are_not() {
        let digits = |n: usize| "1".repeat(n);
        assert!(scan(&digits(MAX_INTEGER_DIGITS)).is_ok());
        assert!(scan(&format!("-{}", digits(MAX_INTEGER_DIGITS))).is_ok());
        assert_eq!(error(&digits(MAX_INTEGER_DIGITS + 1)), Error::LongInteger);
        assert!(scan(&format!("0.{}", digits(100_000))).is_ok());
        let long: String = digits(MAX_INTEGER_DIGITS + 1);
        assert_eq!(error(&format!("[{long}")), Error::LongInteger);
        assert_eq!(error(&format!("[x,{long}]")), syntax(EXPECTING_VALUE, 1));
    }
}
