//! Writing JSON as Python's `json.dumps(ensure_ascii=False, separators=(",", ":"))` does.

use alloc::vec::Vec;

/// Appends `text` as a JSON string. Escaped are only `"`, `\` and what is below U+0020.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
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
pub(super) fn special_at(text: &[u8]) -> Option<usize> {
    let is_special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // Eight bytes at a time, as one number: most text has nothing to escape. A byte below
    // `n` borrows from its top bit when `n` is taken off.
    const ONES: u64 = u64::MAX / 0xff;
    const TOPS: u64 = ONES << 7;
    let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word & TOPS;
    let has_one = |eight: &[u8; 8]| {
        let word = u64::from_ne_bytes(*eight);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        below(word, 0x20) | quote | backslash != 0
    };
    let (eights, rest) = text.as_chunks();
    let clean = eights.iter().take_while(|eight| !has_one(eight)).count();
    // The last eight bytes, some of them a second time, are faster than the rest alone.
    if clean == eights.len() && (rest.is_empty() || text.last_chunk().is_some_and(|l| !has_one(l))) {
        return None;
    }
    let at = clean * 8;
    let rest = text.get(at..)?;
    Some(at + rest.iter().position(|&byte| is_special(byte))?)
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
