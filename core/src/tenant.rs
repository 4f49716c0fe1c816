//! A tenant, as the code that answers for it knows it.

use alloc::{boxed::Box, string::String};

/// One customer: who it is and how it sounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// What requests call it, compared exactly: neither trimmed nor case-folded.
    pub id: Box<str>,
    /// Its name for people.
    pub name: Box<str>,
    /// What every reply starts with.
    pub welcome: Box<str>,
    /// The model that answers. Default is [`Tenant::DEFAULT_MODEL`].
    pub model: Box<str>,
    /// How the mock model answers. Default depends on the id: [`Reply::default_for`].
    pub reply: Reply,
}

impl Tenant {
    /// The model of a tenant whose row names none.
    pub const DEFAULT_MODEL: &'static str = "mock";
}

/// How the mock model answers one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it does with the message.
    pub style: ReplyStyle,
    /// What stands in brackets between welcome and answer.
    pub tag: Box<str>,
}

impl Reply {
    /// What a row without `reply` gets: the tutorial's three tenants each have a voice of
    /// their own, and everybody else shares the third's.
    #[must_use]
    pub fn default_for(tenant_id: &str) -> Self {
        let (style, tag) = match tenant_id {
            "acme" => (ReplyStyle::Reverse, "ACME MOCK"),
            "globex" => (ReplyStyle::Upper, "GLOBEX MOCK"),
            _ => (ReplyStyle::Ack, "INITECH MOCK"),
        };
        Self {
            style,
            tag: tag.into(),
        }
    }

    /// What a tenant with this `welcome` answers to `message`.
    #[must_use]
    pub fn to(&self, welcome: &str, message: &str) -> String {
        crate::reply::reply(self.style, &self.tag, welcome, message)
    }
}

/// What the mock model does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyStyle {
    /// Repeats it, and repeats it backwards.
    Reverse,
    /// Repeats it in capitals.
    Upper,
    /// Acknowledges it.
    Ack,
}

impl ReplyStyle {
    /// Every style and its name in a row.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("reverse", Self::Reverse),
        ("upper", Self::Upper),
        ("ack", Self::Ack),
    ];
}
