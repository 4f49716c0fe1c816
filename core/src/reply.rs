//! What the mock model says. Pure text in, pure text out.

use alloc::vec::Vec;

use crate::{
    python,
    tenant::{ReplyStyle, Tenant},
};

/// What the tenant answers to `message`, which is stripped of blanks at its ends and put
/// in as it is. UTF-8.
pub(crate) fn reply(tenant: &Tenant<'_>, message: &str) -> Vec<u8> {
    let Tenant { welcome, reply, .. } = *tenant;
    let tag = reply.tag;
    let said = python::strip(message);
    // The longest reply says the message twice; capitals are seldom longer than their
    // letters.
    let mut reply = Vec::with_capacity(welcome.len() + tag.len() + 2 * said.len() + 64);
    let push = |reply: &mut Vec<u8>, parts: &[&str]| {
        for part in parts {
            reply.extend_from_slice(part.as_bytes());
        }
    };
    push(&mut reply, &[welcome, " [", tag, "] "]);
    match tenant.reply.style {
        ReplyStyle::Reverse => {
            push(
                &mut reply,
                &["You said: '", said, "'. Here's it reversed: '"],
            );
            push_reversed(&mut reply, said);
            reply.push(b'\'');
        }
        ReplyStyle::Upper => {
            push(&mut reply, &["Echo: ", &said.to_uppercase()]);
        }
        ReplyStyle::Ack => {
            push(
                &mut reply,
                &["Got it. '", said, "'. (pretend-smart summary)."],
            );
        }
    }
    reply
}

/// Appends the code points of `text` in reverse order.
fn push_reversed(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        // Eight at a time, as a sandbox has nothing that would turn more of them around.
        let (rest, words) = text.as_bytes().as_rchunks();
        for word in words.iter().rev() {
            out.extend_from_slice(&u64::from_le_bytes(*word).swap_bytes().to_le_bytes());
        }
        out.extend(rest.iter().rev());
        return;
    }
    for c in text.chars().rev() {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use proptest::prelude::*;

    use super::*;
    use crate::tenant::Reply;

    fn said(style: ReplyStyle, message: &str) -> String {
        let tenant = Tenant {
            id: "t",
            name: "N",
            welcome: "W",
            model: "m",
            reply: Reply { style, tag: "T" },
            suspended: false,
        };
        String::from_utf8(reply(&tenant, message)).expect("UTF-8")
    }

    #[test]
    fn each_style_has_its_form() {
        assert_eq!(
            said(ReplyStyle::Reverse, " ab "),
            "W [T] You said: 'ab'. Here's it reversed: 'ba'"
        );
        assert_eq!(
            said(ReplyStyle::Upper, "straße ﬁ ŉ"),
            "W [T] Echo: STRASSE FI ʼN"
        );
        assert_eq!(
            said(ReplyStyle::Ack, "it's"),
            "W [T] Got it. 'it's'. (pretend-smart summary)."
        );
    }

    #[test]
    fn text_is_reversed_by_code_point() {
        assert!(said(ReplyStyle::Reverse, "e\u{301}\r\na").ends_with("'a\n\r\u{301}e'"));
    }

    #[test]
    fn an_empty_or_blank_message_is_answered() {
        for message in ["", " \u{1f}\u{3000}"] {
            assert_eq!(said(ReplyStyle::Upper, message), "W [T] Echo: ");
        }
    }

    proptest! {
        #[test]
        fn capitals_do_not_depend_on_what_stands_around(message: String) {
            let alone: String = python::strip(&message).chars().flat_map(char::to_uppercase).collect();
            prop_assert_eq!(said(ReplyStyle::Upper, &message), format!("W [T] Echo: {alone}"));
        }

        #[test]
        fn reversing_twice_is_the_stripped_message(message in "[ -~]{0,40}|\\PC*") {
            let reply = said(ReplyStyle::Reverse, &message);
            let stripped = python::strip(&message);
            let length = stripped.chars().count();
            let tail: Vec<char> = reply.chars().rev().skip(1).take(length).collect();
            prop_assert_eq!(tail.into_iter().collect::<String>(), stripped);
        }
    }
}
