//! Writing JSON as Python's `json.dumps(ensure_ascii=False, separators=(",", ":"))` does.

use alloc::vec::Vec;

/// Appends UTF-8 `text` as a JSON string. Escaped are only `"`, `\` and what is below
/// U+0020.
pub(crate) fn push_string(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_ref();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    while let Some(at) = special_at(rest) {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        rest = &rest[at + 1..];
        let short = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            b'"' | b'\\' => byte,
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte is that cannot stand in a JSON string as it is: a quote, a
/// backslash or a control character.
#[inline]
pub(super) fn special_at(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = text.get(at..).and_then(<[u8]>::first_chunk) {
        if let Some(special) = special_in(eight) {
            return Some(at + special);
        }
        at += 8;
    }
    match text.last_chunk() {
        // Some of these are looked at a second time, which is faster than the rest alone.
        Some(eight) => Some(text.len() - 8 + special_in(eight)?),
        None => {
            let is_special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
            text.iter().position(is_special)
        }
    }
}

/// The same for eight bytes, looked at all at once.
#[inline]
fn special_in(eight: &[u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    const TOPS: u64 = ONES << 7;
    // The top bit of each byte that is below `n`. The borrow of such a byte can mark the
    // one above it, too, but the lowest mark is always right.
    let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word & TOPS;
    let word = u64::from_le_bytes(*eight);
    let quotes = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslashes = below(word ^ (ONES * u64::from(b'\\')), 1);
    let marks = below(word, 0x20) | quotes | backslashes;
    (marks != 0).then(|| (marks.trailing_zeros() / 8) as usize)
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text);
        String::from_utf8(out).expect("UTF-8 in, UTF-8 out")
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        assert_eq!(
            written("\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{80}\u{2028}é😀"),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\u{80}\u{2028}é😀\""
        );
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_json_writes_them(text: String) {
            prop_assert_eq!(written(&text), serde_json::to_string(&text).expect("a string"));
        }
    }
}
