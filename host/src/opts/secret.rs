//! Values that may have a password: where one is refused, nothing of it is shown that could be
//! a part of the password.

use clap::CommandFactory as _;

use super::Cli;

/// What a flag's value means that may have a password. Not a value parser: the message of those
/// repeats the value.
pub(super) fn with_secret<T>(
    text: &str,
    flag: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, clap::Error> {
    let parsed = match misread(text) {
        Some(what) => Err(what.to_owned()),
        None => parse(text).map_err(|error| match text.split_once("://") {
            Some(_) if !is_harmless(text) && !error.contains("%40") => {
                format!("{error}; {ENCODE}")
            }
            _ => error,
        }),
    };
    parsed.map_err(|error| {
        let message = format!("invalid value '{}' for '{flag}': {error}", shown(text));
        Cli::command().error(clap::error::ErrorKind::ValueValidation, message)
    })
}

const ENCODE: &str = "if user or password have characters such as @ : / ? # %, write them \
     percent-encoded: %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #, %25 for %";

/// Schemes whose URLs have a user and a password.
const SCHEMES: [&str; 4] = ["postgres", "postgresql", "redis", "rediss"];

/// Why a URL would be read in another way than it was meant: a character of the password ends
/// the part that the password is in. It would then be sought, and shown, as a host or a name.
fn misread(text: &str) -> Option<&'static str> {
    let (scheme, rest) = text.split_once("://")?;
    if !SCHEMES.contains(&scheme) {
        return None;
    }
    const MISREAD: &str = "a character of it ends the user, the password or the host too \
         early: write such characters percent-encoded: %40 for @, %3A for :, %2F for /, %3F for \
         ?, %23 for #, %25 for %";
    if rest.contains('#') {
        return Some(MISREAD);
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (_, behind) = rest.split_at(authority.len());
    if behind.contains('@') {
        return Some(MISREAD);
    }
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let is_encoded = |part: &str| {
        let digits = part.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    (!user.split('%').skip(1).all(is_encoded)).then_some(MISREAD)
}

/// Whether a text can hold no password: a word, a path, or a host with its port.
fn is_harmless(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (name, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-/ ".contains(letter);
    name.chars().all(is_plain) && port.chars().all(|digit| digit.is_ascii_digit())
}

/// As much of a value as may be shown.
fn shown(text: &str) -> String {
    let is_url = text
        .split_once("://")
        .is_some_and(|(scheme, _)| SCHEMES.contains(&scheme));
    let is_path = text.starts_with("sqlite:");
    if is_path || (!is_url && is_harmless(text)) {
        return text.to_owned();
    }
    match text.split_once(":/") {
        Some((scheme, _)) if scheme.chars().all(|letter| letter.is_ascii_alphanumeric()) => {
            format!("{scheme}://***")
        }
        _ => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_would_be_read_in_another_way_is_refused() {
        for text in [
            "postgres://me:hu#sh@h/db",
            "postgres://me:12#34@h/db",
            "postgres://me:12/34@h/db",
            "postgres://me:12?34@h/db",
            "postgresql://me:a%zz@h/db",
            "postgres://me:100%@h/db",
            "redis://me:12#34@h",
            "redis://me:12/34@h/0",
        ] {
            assert!(misread(text).is_some(), "{text}");
        }
        for text in [
            "postgres://me:p%40ss%2F@h:5432/db?sslmode=require",
            "postgres://me:p@ss@h/db",
            "postgres:///db?host=/run/postgresql",
            "postgres://h",
            "redis://:hush@h:6379/0",
            "sqlite:/a#b@c.db",
            "http://a#b@c",
        ] {
            assert_eq!(misread(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_is_shown_that_may_be_a_part_of_a_password() {
        for (text, expected) in [
            ("postgres://me:hush@h:port/db", "postgres://***"),
            ("postgres://me:hush", "postgres://***"),
            ("postgres://me:p@hush", "postgres://***"),
            ("postgres:/me:hush@h/db", "postgres://***"),
            ("mysql://me:hush@h", "mysql://***"),
            ("me:hush@h", "***"),
            ("host=h password=hush", "***"),
            ("redis://:hush@h:port/0", "redis://***"),
            ("mysql://a", "mysql://a"),
            ("localhost:6380", "localhost:6380"),
            ("sqlite:", "sqlite:"),
            ("memroy", "memroy"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
