//! The JSON scanner against the same rules written down in the plainest way: a recursive
//! reader of characters that follows CPython's C code function by function.

use proptest::prelude::*;
use tenantry_core::json::{Document, Error};

/// What CPython's `json.loads` says of a text: an error and its position.
fn oracle(text: &str) -> Result<(), (&'static str, usize)> {
    let text: Vec<char> = text.chars().collect();
    let start = blanks(&text, 0);
    let end = value(&text, start)?;
    let end = blanks(&text, end);
    if end == text.len() {
        Ok(())
    } else {
        Err(("Extra data", end))
    }
}

type Read = Result<usize, (&'static str, usize)>;

fn blanks(text: &[char], mut at: usize) -> usize {
    while matches!(text.get(at), Some(' ' | '\t' | '\n' | '\r')) {
        at += 1;
    }
    at
}

fn value(text: &[char], at: usize) -> Read {
    match text.get(at) {
        Some('"') => string(text, at),
        Some('{') => object(text, at + 1),
        Some('[') => array(text, at + 1),
        _ => {
            for word in ["null", "true", "false", "NaN", "Infinity", "-Infinity"] {
                let word: Vec<char> = word.chars().collect();
                if text[at..].starts_with(&word) {
                    return Ok(at + word.len());
                }
            }
            number(text, at)
        }
    }
}

fn object(text: &[char], at: usize) -> Read {
    let mut at = blanks(text, at);
    if text.get(at) == Some(&'}') {
        return Ok(at + 1);
    }
    loop {
        if text.get(at) != Some(&'"') {
            return Err(("Expecting property name enclosed in double quotes", at));
        }
        at = blanks(text, string(text, at)?);
        if text.get(at) != Some(&':') {
            return Err(("Expecting ':' delimiter", at));
        }
        at = value(text, blanks(text, at + 1))?;
        at = blanks(text, at);
        match text.get(at) {
            Some('}') => return Ok(at + 1),
            Some(',') => at = blanks(text, at + 1),
            _ => return Err(("Expecting ',' delimiter", at)),
        }
    }
}

fn array(text: &[char], at: usize) -> Read {
    let mut at = blanks(text, at);
    if text.get(at) == Some(&']') {
        return Ok(at + 1);
    }
    loop {
        at = blanks(text, value(text, at)?);
        match text.get(at) {
            Some(']') => return Ok(at + 1),
            Some(',') => at = blanks(text, at + 1),
            _ => return Err(("Expecting ',' delimiter", at)),
        }
    }
}

fn string(text: &[char], begin: usize) -> Read {
    let mut at = begin + 1;
    loop {
        match text.get(at) {
            None => return Err(("Unterminated string starting at", begin)),
            Some('"') => return Ok(at + 1),
            Some('\\') => match text.get(at + 1) {
                None => return Err(("Unterminated string starting at", begin)),
                Some('u') => {
                    let digits = text.get(at + 2..at + 7).map(|five| &five[..4]);
                    let hex = |four: &[char]| four.iter().all(char::is_ascii_hexdigit);
                    if !digits.is_some_and(hex) {
                        return Err(("Invalid \\uXXXX escape", at + 1));
                    }
                    at += 6;
                }
                Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => at += 2,
                Some(_) => return Err(("Invalid \\escape", at)),
            },
            Some(c) if *c < ' ' => return Err(("Invalid control character at", at)),
            Some(_) => at += 1,
        }
    }
}

fn number(text: &[char], start: usize) -> Read {
    let digit = |at: usize| text.get(at).is_some_and(char::is_ascii_digit);
    let digits = |mut at: usize| {
        while digit(at) {
            at += 1;
        }
        at
    };
    let mut at = start + usize::from(text.get(start) == Some(&'-'));
    if !digit(at) {
        return Err(("Expecting value", start));
    }
    at = if text[at] == '0' { at + 1 } else { digits(at) };
    if text.get(at) == Some(&'.') && digit(at + 1) {
        at = digits(at + 1);
    }
    if matches!(text.get(at), Some('e' | 'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some('-' | '+')));
        if digit(at + 1 + sign) {
            at = digits(at + 1 + sign);
        }
    }
    Ok(at)
}

/// Whether what stands there is what Python takes and JSON does not know: half a surrogate
/// pair, a number that is none, or one that overflows.
fn is_pythons_alone(text: &str, message: &str, position: usize) -> bool {
    let rest: String = text.chars().skip(position).collect();
    if message == "Invalid \\uXXXX escape" {
        return rest.starts_with("ud83d") || rest.starts_with("ude00");
    }
    let chars: Vec<char> = rest.chars().collect();
    let no_number = ["NaN", "Infinity", "-Infinity"];
    let overflows = || {
        let end = number(&chars, 0).expect("a number");
        let digits: String = chars[..end].iter().collect();
        digits.parse::<f64>().expect("a number").is_infinite()
    };
    message == "Expecting value"
        && (no_number.iter().any(|word| rest.starts_with(word)) || overflows())
}

/// Pieces that make and break JSON.
fn almost_json() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"a\":",
        "\\",
        "\\u",
        "\\u00e9",
        "\\ud83d",
        "\\ude00",
        "\\n",
        "\\x",
        "0",
        "1",
        "-",
        "12",
        ".5",
        "e3",
        "E+",
        "null",
        "true",
        "false",
        "nul",
        "NaN",
        "Infinity",
        "-Infinity",
        " ",
        "\n",
        "\u{b}",
        "\t",
        "é",
        "😀",
        "\u{1}",
        "/",
        "[1,",
        "{\"k\":[",
        "\"\"",
        "1e999",
        "1e312",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn errors_and_their_positions_are_cpythons(text in almost_json()) {
        match (Document::parse(&text), oracle(&text)) {
            (Ok(_), Ok(())) => {
                // What serde_json takes, except that it cannot hold everything.
                let parsed: Result<serde_json::Value, _> = serde_json::from_str(&text);
                prop_assert!(parsed.is_ok(), "{text:?}");
            }
            (Err(Error::Syntax { message, position }), Err(error)) => {
                prop_assert_eq!((message, position), error, "{:?}", text);
            }
            (Err(Error::Syntax { message, position }), Ok(())) => {
                prop_assert!(is_pythons_alone(&text, message, position), "{text:?}: {message}");
            }
            (ours, theirs) => prop_assert!(false, "{text:?}: {ours:?}, {theirs:?}"),
        }
    }

    #[test]
    fn an_echo_means_what_was_sent(json in prop_oneof![
        "[ \\[\\]{}:,\"a-c0-9.eE+-]{0,12}",
        r"-?[1-9]\.?[0-9]{0,17}(e[+-]?[12]?[0-9]{1,2})?",
    ]) {
        if let Ok(document) = Document::parse(&json) {
            let echo = document.root().echo(1000).expect("short enough");
            let again = std::str::from_utf8(&echo).expect("UTF-8");
            let sent: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            prop_assert!(means_the_same(&sent, &serde_json::from_str(again).expect("JSON")));
            let twice = Document::parse(again).expect("JSON").root().echo(1000);
            prop_assert_eq!(twice.as_deref(), Some(&echo[..]));
        }
    }
}

/// Whether two values are the same, where an integer of minus zero is zero.
fn means_the_same(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(one), Number(other)) => one.as_f64() == other.as_f64(),
        (Array(one), Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| means_the_same(a, b))
        }
        (Object(one), Object(other)) => {
            one.keys().eq(other.keys())
                && one
                    .values()
                    .zip(other.values())
                    .all(|(a, b)| means_the_same(a, b))
        }
        _ => one == other,
    }
}

/// Each expectation is `json.dumps(json.loads(text))` of CPython 3.11.
#[test]
fn numbers_are_echoed_as_python_writes_them() {
    for (text, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("1e-400", "0.0"),
        ("7", "7"),
        ("1E2", "100.0"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("0.1e1", "1.0"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("9999999999999999.0", "1e+16"),
        ("9999999999999998.0", "9999999999999998.0"),
        ("1e16", "1e+16"),
        ("0.0001", "0.0001"),
        ("0.00009999999999999999", "9.999999999999999e-05"),
        ("2.4703282292062328e-324", "5e-324"),
        ("1.7976931348623158e308", "1.7976931348623157e+308"),
        // Halfway between two that are equally short.
        ("923106052313891.25", "923106052313891.2"),
        ("-582520502234522.75", "-582520502234522.8"),
        ("1348597885595321.25", "1348597885595321.2"),
        ("1348597885595321.75", "1348597885595321.8"),
        ("571735196494113.25", "571735196494113.2"),
        ("562949953421312.125", "562949953421312.1"),
        ("5.6843418860808015e-14", "5.684341886080802e-14"),
        ("5.9604644775390625e-8", "5.960464477539063e-08"),
        ("9.5367431640625e-7", "9.5367431640625e-07"),
        ("4.8828125e-4", "0.00048828125"),
        ("2251799813685248.5", "2251799813685248.5"),
        ("2251799813685249.5", "2251799813685249.5"),
        ("90071992547409925", "90071992547409925"),
        ("9007199254740992.5e1", "9.007199254740992e+16"),
    ] {
        let document = Document::parse(text).expect(text);
        let echo = document.root().echo(100).expect("short enough");
        assert_eq!(String::from_utf8(echo).expect("UTF-8"), expected, "{text}");
    }
}

#[test]
fn members_keep_the_first_place_and_the_last_value() {
    let text = r#"{"a":1,"b":{"x":1,"y":2,"x":3},"a":[4],"\u0061":5}"#;
    let document = Document::parse(text).expect("JSON");
    let echo = document.root().echo(100).expect("short enough");
    assert_eq!(echo, br#"{"a":5,"b":{"x":3,"y":2}}"#);
    assert_eq!(document.root().member("a").map(|a| a.text()), Some("5"));
    assert!(document.root().member("c").is_none());
}
