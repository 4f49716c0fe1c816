//! What the address of a request says behind its path, and pages of long answers.

use data_encoding::BASE64URL_NOPAD;
use http::Uri;

use super::problem::{Issue, Problem};

/// Items of a page, where nothing is said about it, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// The parameters of an address, and what is wrong with them.
pub(super) struct Query {
    given: Vec<(String, String)>,
    errors: Vec<Issue>,
}

impl Query {
    /// Reads the parameters. Each is one of `known`, and given once.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Self {
        let text = uri.query().unwrap_or_default();
        let mut query = Self {
            given: Vec::new(),
            errors: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let detail = if !known.contains(&&*name) {
                match known {
                    [] => "unknown; there is none here".to_owned(),
                    known => format!("unknown; there are: {}", known.join(", ")),
                }
            } else if query.text(&name).is_some() {
                "given more than once".to_owned()
            } else {
                query.given.push((name.into_owned(), value.into_owned()));
                continue;
            };
            query.errors.push(Issue::parameter(&name, detail));
        }
        query
    }

    /// Says that there are no parameters.
    ///
    /// # Errors
    /// There are some.
    pub(super) fn none(uri: &Uri) -> Result<(), Problem> {
        Self::of(uri, &[]).finish()
    }

    /// What a parameter says.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut given = self.given.iter();
        let (_, value) = given.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// What a parameter says, as `read` understands it. `right` is what it must be.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        right: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = read(text);
        if value.is_none() {
            self.wrong(name, format!("{text:?} is not right; it must be {right}"));
        }
        value
    }

    /// Says what is wrong with a parameter.
    pub(super) fn wrong(&mut self, name: &str, detail: impl Into<String>) {
        let detail: String = detail.into();
        self.errors.push(Issue::parameter(name, detail));
    }

    /// The parameter `limit`: how many items are wanted.
    pub(super) fn limit(&mut self) -> usize {
        let right = format!("a whole number from 1 to {MAX_LIMIT}");
        let limit = self.read("limit", &right, |text| {
            let limit = text.parse().ok()?;
            (1..=MAX_LIMIT).contains(&limit).then_some(limit)
        });
        limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// The parameter `cursor`: what an answer of this kind gave as its `next`.
    pub(super) fn cursor<T>(
        &mut self,
        kind: char,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.read("cursor", "what an answer has given as next", |text| {
            let text = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
            let text = std::str::from_utf8(&text).ok()?;
            read(text.strip_prefix(kind)?)
        })
    }

    /// Says that everything is right.
    ///
    /// # Errors
    /// Names everything that is not.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::parameters(self.errors))
        }
    }
}

/// A cursor that [`Query::cursor`] reads.
pub(super) fn cursor(kind: char, place: impl std::fmt::Display) -> String {
    BASE64URL_NOPAD.encode(format!("{kind}{place}").as_bytes())
}

/// Cuts a list of up to `limit + 1` items to a page. Returns the cursor of the next one, if
/// there is more.
pub(super) fn cut<T>(
    items: &mut Vec<T>,
    limit: usize,
    next: impl FnOnce(&T) -> String,
) -> Option<String> {
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(next)
}
