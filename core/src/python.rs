//! The few places where the contract asks for Python's semantics and Rust's differ.
//!
//! The service that this one re-makes was written in Python; its answers are kept to
//! the byte. Each item names the rule that it follows. (Upper-casing is not among them:
//! both are the full, context-free mapping of the Unicode standard, of the version that
//! the toolchain has. Reversing is by code
//! point in both. Members of an object keep the place of their first occurrence and the
//! value of their last: `json::document` does that where it writes an object.)

use alloc::{format, string::String};

use lexical_parse_float::FromLexical as _;

/// Whether `str.strip()` removes this character: Python's `str.isspace()`.
///
/// Rule: bidirectional type WS, B or S, or category Zs (`Objects/unicodectype.c`). That
/// is Unicode's `White_Space`, which Rust follows, and the four separators U+001C-001F.
#[must_use]
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.strip()`: the text without [spaces](is_space) at its ends.
#[must_use]
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `float(str)` of a number as JSON has them: the nearest one, and of two that are equally
/// near the even one (`Python/dtoa.c`). Beyond the largest it is infinite.
pub(crate) fn float(text: &str) -> Option<f64> {
    f64::from_lexical(text.as_bytes()).ok()
}

/// `repr(float)` of a finite number, as JSON written by Python shows it.
///
/// Rule: the shortest digits that read back as the same number (`float_repr_style`
/// "short"), and where two such are equally near, the even one (`Python/dtoa.c`, mode 0);
/// positional where 1e-4 <= |x| < 1e16, with at least one digit after the point; otherwise
/// with an exponent of at least two digits (`Python/pystrtod.c`).
#[must_use]
pub fn float_repr(x: f64) -> String {
    let shortest = shortest(x);
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&power) {
        // Rust writes `1.5e300` and `1e-7`, Python `1.5e+300` and `1e-07`.
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", power.unsigned_abs());
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(positive) => ("-", positive),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    // Digits in front of the point.
    match usize::try_from(power + 1) {
        Ok(whole) if whole > 0 => {
            let (front, back) = digits.split_at(whole.min(digits.len()));
            let back = if back.is_empty() { "0" } else { back };
            format!("{sign}{front:0<whole$}.{back}")
        }
        _ => {
            let zeros = "0".repeat(power.unsigned_abs() as usize - 1);
            format!("{sign}0.{zeros}{digits}")
        }
    }
}

/// Rust's shortest form of `x` with an exponent, or, where another one of this length is
/// equally near, the one that ends in an even digit: Rust takes the greater one.
fn shortest(x: f64) -> String {
    let shortest = format!("{x:e}");
    let decimals = shortest.split_once('.').map_or(0, |(_, decimals)| {
        decimals.bytes().take_while(u8::is_ascii_digit).count()
    });
    // Given a length, Rust rounds half to even. Next to a power of two, that can be nearer
    // to the number below.
    let rounded = format!("{x:.decimals$e}");
    if float(&rounded) == Some(x) {
        rounded
    } else {
        shortest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (x, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (1e5, "100000.0"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1e22, "1e+22"),
            (1e100, "1e+100"),
            (-1.5e300, "-1.5e+300"),
            (1e-4, "0.0001"),
            (0.000_123_4, "0.0001234"),
            (9.999e-5, "9.999e-05"),
            (1e-5, "1e-05"),
            (5e-324, "5e-324"),
            (-0.001_25, "-0.00125"),
            (120.5, "120.5"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.1 + 0.2, "0.30000000000000004"),
            (12_345_678_901_234_567.0, "1.2345678901234568e+16"),
        ] {
            assert_eq!(float_repr(x), expected);
        }
    }

    #[test]
    fn the_nearest_float_is_read() {
        let halfway = "9007199254740993";
        let texts = [
            "0.0",
            "-0.0",
            "1E5",
            "-1e-7",
            "0.1",
            "1e22",
            "1e23",
            "1e400",
            "-1e400",
            "1e-400",
            "123456789012345678901234567890e-10",
            "2.2250738585072014e-308",
            "5e-324",
            "2.4703282292062327e-324",
            "2.4703282292062328e-324",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "0e99999999999999999999",
        ];
        let long = [
            format!("{halfway}.0"),
            format!("{halfway}.{}1", "0".repeat(2_000)),
            format!("{halfway}e{:0400}", 3),
            format!("0.{}1e500", "0".repeat(499)),
            format!("{}e-1000", "7".repeat(1_300)),
        ];
        for text in texts.into_iter().chain(long.iter().map(String::as_str)) {
            let expected: f64 = text.parse().expect(text);
            let read = float(text).map(f64::to_bits);
            assert_eq!(read, Some(expected.to_bits()), "{text}");
        }
    }

    #[test]
    fn strip_removes_what_python_removes() {
        let spaces = "\t\n\u{b}\u{c}\r\u{1c}\u{1d}\u{1e}\u{1f} \u{85}\u{a0}\u{1680}\u{2000}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}";
        assert!(spaces.chars().all(is_space));
        let inside = format!("a{spaces}b");
        assert_eq!(strip(&format!("{spaces}{inside}{spaces}")), inside);
        for kept in ['\0', '\u{180e}', '\u{200b}', '\u{2060}', '\u{feff}'] {
            assert!(!is_space(kept), "{kept:?}");
        }
    }
}
