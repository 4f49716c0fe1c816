//! Everything that the world offers to a guest, tried.

use std::fmt::Write as _;

use tenantry_guest::bindings::{
    exports::tenantry::sandbox::handler::Operation,
    tenantry::sandbox::scope::{self, Admission, Opening, Ownership, SessionId},
};

/// As many tries at most, where a limit should come first.
const TRIES: u64 = 10_000;

/// The session id of 32 hexadecimal digits.
pub(crate) fn id(digits: &str) -> SessionId {
    let id = u128::from_str_radix(digits, 16).expect("hexadecimal digits");
    SessionId {
        high: (id >> 64) as u64,
        low: id as u64,
    }
}

/// One of many ids that nobody was given.
pub(crate) fn an_id(n: u64) -> SessionId {
    SessionId {
        high: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        low: !n,
    }
}

/// What became of opening a session, in a word.
pub(crate) fn opened(opening: Opening) -> &'static str {
    match opening {
        Opening::Opened => "opened",
        Opening::Exists => "exists",
        Opening::Full => "full",
        Opening::Unavailable => "unavailable",
    }
}

/// A report of all that can be learned, but for random numbers. `ids` are session ids to
/// ask about.
pub(crate) fn everything(operation: Option<&Operation>, ids: &str) -> String {
    let mut report = String::new();
    let row = operation.and_then(|operation| operation.row);
    let texts = operation.map_or("", |operation| &operation.texts);
    let row_texts = &texts[..row.map_or(0, |row| row.ends.4 as usize)];
    line(&mut report, format_args!("row: {row_texts} {row:?}"));

    for digits in ids.split(',').filter(|digits| !digits.is_empty()) {
        let (owner, opened) = (owner(id(digits)), opened(scope::open_session(id(digits))));
        line(&mut report, format_args!("given id: {owner}, {opened}"));
    }
    let strangers = (0..100).map(|n| owner(an_id(n)));
    line(
        &mut report,
        format_args!("ids nobody was given: {:?}", counted(strangers)),
    );
    for low in [0, 1, u64::MAX] {
        let owner = owner(SessionId { high: low, low });
        line(&mut report, format_args!("id {low}: {owner}"));
    }

    let tries = (0..TRIES).map(|n| opened(scope::open_session(an_id(n))));
    line(
        &mut report,
        format_args!(
            "opened: {:?}",
            counted(until(tries, |word| *word != "opened"))
        ),
    );
    let chats = (0..TRIES).map(|_| match scope::admit_chat() {
        Admission::Granted => "granted",
        Admission::Refused => "refused",
        Admission::Unavailable => "unavailable",
    });
    line(
        &mut report,
        format_args!(
            "chats: {:?}",
            counted(until(chats, |word| *word != "granted"))
        ),
    );
    report
}

fn owner(id: SessionId) -> &'static str {
    match scope::owner(id) {
        Ownership::Mine => "mine",
        Ownership::Another => "another",
        Ownership::Unknown => "unknown",
        Ownership::Unavailable => "unavailable",
    }
}

/// Items up to the first that is the last, with it.
fn until<T>(
    items: impl Iterator<Item = T>,
    is_last: impl Fn(&T) -> bool,
) -> impl Iterator<Item = T> {
    let mut ended = false;
    items.take_while(move |item| !std::mem::replace(&mut ended, is_last(item)))
}

/// How many of each word came.
fn counted<'a>(words: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for word in words {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    counts
}

fn line(report: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(report, "{line}").expect("a string takes it");
}
