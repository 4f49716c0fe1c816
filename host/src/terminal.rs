//! Text from elsewhere, so that it can steer nothing that shows it: neither a terminal nor a
//! spreadsheet.
//!
//! What is escaped has no width, ends a line, moves the cursor, or turns the writing around:
//! controls (Cc), format characters (Cf) and separators of lines and paragraphs (Zl, Zp). So
//! an id that has one differs from one that has not.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

/// Unicode's format characters (Cf) and separators of lines (Zl) and paragraphs (Zp), in
/// order. Unicode 17.0.
const UNSEEN: [(char, char); 20] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Whether a character shows as itself and does nothing else.
fn is_plain(letter: char) -> bool {
    if letter.is_ascii() {
        return !letter.is_ascii_control();
    }
    !letter.is_control()
        && !UNSEEN
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&letter))
}

/// Whether all of it is plain and ASCII, as most is: this is quick to see.
fn is_plain_ascii(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Text as it may be shown in a line: what could do harm is written as `\u{1b}`.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, &[])
}

/// The same for text of several lines, whose ends stay.
#[must_use]
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escaped_but(text, &['\n'])
}

fn escaped_but<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let is_good = |letter: char| is_plain(letter) || kept.contains(&letter);
    if is_plain_ascii(text) || text.chars().all(is_good) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_good(letter) {
            plain.push(letter);
        } else {
            plain.extend(letter.escape_unicode());
        }
    }
    plain.into()
}

/// JSON as it may be shown, which says the same: what could do harm is written as `\u001b`
/// within strings. Between values that can be white space alone; line ends stay.
#[must_use]
pub fn escaped_json(text: &str) -> Cow<'_, str> {
    let is_good = |letter: char| is_plain(letter) || letter == '\n';
    if is_plain_ascii(text.trim_end_matches('\n')) || text.chars().all(is_good) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            letter if is_good(letter) => plain.push(letter),
            '\t' | '\r' => plain.push(' '),
            letter => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // A string takes everything.
                    let _ = write!(plain, "\\u{unit:04x}");
                }
            }
        }
    }
    plain.into()
}

/// Text as a cell of CSV, without the quotes that CSV may need. A spreadsheet would take what
/// begins with one of these signs for a formula, and a tenant names itself (OWASP: CSV
/// injection).
#[must_use]
pub fn csv_cell(text: &str) -> Cow<'_, str> {
    let text = escaped(text);
    let starts_formula = |letter| {
        let signs = [
            '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
        ];
        signs.contains(&letter)
    };
    if text.starts_with(starts_formula) {
        return format!("'{text}").into();
    }
    text
}

/// Which text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lines of text.
    Lines,
    /// JSON.
    Json,
}

/// Writes text so that it steers no terminal. Bytes that are no UTF-8 are U+FFFD.
pub(crate) struct Escaping<W> {
    out: W,
    kind: Kind,
    /// The beginning of a character whose end is still to come.
    cut: Vec<u8>,
}

impl<W: Write> Escaping<W> {
    pub(crate) fn new(out: W, kind: Kind) -> Self {
        let cut = Vec::new();
        Self { out, kind, cut }
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        let plain = match self.kind {
            Kind::Lines => escaped_lines(text),
            Kind::Json => escaped_json(text),
        };
        self.out.write_all(plain.as_bytes())
    }

    /// Writes what is still to be written, where no more comes.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.cut).is_empty() {
            self.put("\u{fffd}")?;
        }
        self.out.flush()
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cut.is_empty()
            && let Ok(text) = str::from_utf8(bytes)
        {
            self.put(text)?;
            return Ok(bytes.len());
        }
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text += chunk.valid();
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_cut(invalid) {
                self.cut = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push('\u{fffd}');
            }
        }
        self.put(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether these bytes can be the beginning of a character.
fn is_cut(bytes: &[u8]) -> bool {
    let error = str::from_utf8(bytes).err();
    error.is_some_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_steers_no_terminal() {
        for (text, plain) in [
            (
                "Acme & Söhne <b> \\ \"x\" 日本 🎉",
                "Acme & Söhne <b> \\ \"x\" 日本 🎉",
            ),
            ("a\u{1b}[31mb", r"a\u{1b}[31mb"),
            ("\u{9b}2J", r"\u{9b}2J"),
            ("\0\t\r\n\u{7f}\u{85}", r"\u{0}\u{9}\u{d}\u{a}\u{7f}\u{85}"),
            (
                "\u{202e}\u{2066}\u{61c}\u{200e}",
                r"\u{202e}\u{2066}\u{61c}\u{200e}",
            ),
            ("\u{2028}\u{2029}", r"\u{2028}\u{2029}"),
            (
                "\u{feff}\u{200b}\u{200d}\u{ad}",
                r"\u{feff}\u{200b}\u{200d}\u{ad}",
            ),
            ("\u{e0041}\u{1d173}", r"\u{e0041}\u{1d173}"),
        ] {
            assert_eq!(escaped(text), plain);
        }
        assert_eq!(escaped_lines("a\nb\r\u{2028}"), "a\nb\\u{d}\\u{2028}");
        // Every control there is, and every mark for the direction of writing.
        let harmful = (0..=0x1f).chain(0x7f..=0x9f).chain(0x200b..=0x200f);
        let harmful = harmful.chain(0x2028..=0x202e).chain(0x2066..=0x2069);
        for code in harmful {
            let letter = char::from_u32(code).expect("a character");
            assert!(!is_plain(letter), "{code:x}");
        }
    }

    #[test]
    fn json_steers_no_terminal_and_says_the_same() {
        let text = "{\"a\":\"\u{9b}2J\u{202e}\u{7f}é\u{e0041}\",\t\r\"\u{61c}\":1}\n";
        let plain = escaped_json(text);
        assert_eq!(
            plain,
            "{\"a\":\"\\u009b2J\\u202e\\u007fé\\udb40\\udc41\",  \"\\u061c\":1}\n"
        );
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&plain), read(text));
        // What is no JSON does no harm either.
        assert_eq!(escaped_json("\u{1b}[1m"), "\\u001b[1m");
    }

    #[test]
    fn a_cell_is_no_formula() {
        for (text, cell) in [
            ("acme", "acme"),
            ("a=b", "a=b"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("\t=1", "\\u{9}=1"),
            ("\r=1", "\\u{d}=1"),
            ("\u{1b}[1m", "\\u{1b}[1m"),
            ("", ""),
        ] {
            assert_eq!(csv_cell(text), cell);
        }
    }

    #[test]
    fn characters_that_come_in_pieces_are_written_whole() {
        let text = "é🎉\u{9b}\n".as_bytes();
        for size in 1..=text.len() {
            let mut out = Vec::new();
            let mut writer = Escaping::new(&mut out, Kind::Lines);
            for piece in text.chunks(size) {
                writer.write_all(piece).expect("memory");
            }
            writer.finish().expect("memory");
            assert_eq!(out, "é🎉\\u{9b}\n".as_bytes(), "{size}");
        }
        let mut out = Vec::new();
        let mut writer = Escaping::new(&mut out, Kind::Lines);
        writer.write_all(b"a\xffb\xc3(\xe2\x82").expect("memory");
        writer.finish().expect("memory");
        assert_eq!(out, "a\u{fffd}b\u{fffd}(\u{fffd}".as_bytes());
    }
}
