//! The form that nearly all bodies have: an object of strings without escapes.
//!
//! What such an object says can be told in one look, and nothing has to be kept of it. It is
//! a part of what [`Document`](super::Document) takes, and read as it reads it; of all else
//! nothing is said here, not even whether it is JSON.

use super::special_at;

/// The values of these members; `None` where `text` is not of that form, or lacks one of
/// them. Of a member that stands twice, the last value.
pub(crate) fn strings<'a, const N: usize>(
    text: &'a str,
    names: &[&str; N],
) -> Option<[&'a str; N]> {
    let mut reader = Reader { text, at: 0 };
    let mut values = [None; N];
    reader.take(b'{').then_some(())?;
    loop {
        let name = reader.string()?;
        reader.take(b':').then_some(())?;
        let value = reader.string()?;
        let known = names.iter().position(|known| *known == name);
        if let Some(place) = known.and_then(|place| values.get_mut(place)) {
            *place = Some(value);
        }
        if !reader.take(b',') {
            break;
        }
    }
    reader.take(b'}').then_some(())?;
    reader.skip_blanks();
    if reader.at != text.len() || values.contains(&None) {
        return None;
    }
    Some(values.map(Option::unwrap_or_default))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn skip_blanks(&mut self) {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes the next character that is no blank, if it is `byte`.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"').then_some(())?;
        let rest = self.text.get(self.at..)?;
        let end = special_at(rest.as_bytes())?;
        let string = rest.get(..end)?;
        self.at += end;
        // An escape, or what may not stand in a string at all, is not a quote.
        let is_quote = rest.as_bytes().get(end) == Some(&b'"');
        self.at += 1;
        is_quote.then_some(string)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};

    use proptest::prelude::*;

    use super::{super::Document, *};

    const NAMES: [&str; 2] = ["a", "b"];

    #[test]
    fn objects_of_plain_strings_are_read() {
        for (text, a, b) in [
            (r#"{"a":"x","b":"y"}"#, "x", "y"),
            (" {\t\"b\" : \"y\" ,\r\n\"a\":\"\" } ", "", "y"),
            (r#"{"a":"1","c":"z","a":"2","b":"é😀"}"#, "2", "é😀"),
        ] {
            assert_eq!(strings(text, &NAMES), Some([a, b]), "{text}");
        }
    }

    #[test]
    fn all_else_is_left_to_the_document() {
        for text in [
            "",
            "{}",
            "{",
            "[]",
            "null",
            r#"{"a":"x"}"#,
            r#"{"a":"x","b":1}"#,
            r#"{"a":"x","b":"y",}"#,
            r#"{"a":"x","b":"y"}x"#,
            r#"{"a":"x","b":"y"#,
            r#"{"a":"\n","b":"y"}"#,
            r#"{"\u0061":"x","b":"y"}"#,
            "{\"a\":\"\n\",\"b\":\"y\"}",
            r#"{"a":"x" "b":"y"}"#,
            r#"{"a","b"}"#,
            r#"{"a":"x","b":"y","c":null}"#,
        ] {
            assert_eq!(strings(text, &NAMES), None, "{text}");
        }
    }

    /// Texts that are nearly of that form.
    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            4 => prop::sample::select(
                &[
                    "{", "}", ":", ",", " ", "\"a\"", "\"b\"", "\"\"", "\"x\\u0061\"", "\"\\\"\"",
                    "1", "\"", "\\", "\n", "\u{1}", "[", "]", "\u{feff}", "é", "null",
                ][..]
            ).prop_map(String::from),
            1 => any::<String>().prop_map(|text| format!("\"{text}\"")),
        ];
        let member = ("[ab]", any::<String>()).prop_map(|(name, value)| {
            format!(
                "\"{name}\":{}",
                serde_json::to_string(&value).expect("a string")
            )
        });
        let object = prop::collection::vec(member, 0..5)
            .prop_map(|members| format!("{{{}}}", members.join(",")));
        let any = prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat());
        prop_oneof![object, any]
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_the_document_says(text in texts()) {
            if let Some(values) = strings(&text, &NAMES) {
                let document = Document::parse(&text).expect("it is JSON");
                let members: Vec<_> = NAMES
                    .iter()
                    .map(|name| document.root().member(name).and_then(|value| value.as_str()))
                    .collect();
                for (value, member) in values.iter().zip(members) {
                    prop_assert_eq!(Some(*value), member.as_deref());
                }
            }
        }
    }
}
