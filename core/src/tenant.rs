//! A tenant, as the code that answers for it knows it.

use alloc::{boxed::Box, string::String};

/// One customer: who it is and how it sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenant<'a> {
    /// What requests call it, compared exactly: neither trimmed nor case-folded.
    pub id: &'a str,
    /// Its name for people.
    pub name: &'a str,
    /// What every reply starts with.
    pub welcome: &'a str,
    /// The model that answers. Default is [`Tenant::DEFAULT_MODEL`].
    pub model: &'a str,
    /// How the mock model answers. Default depends on the id: [`Reply::default_for`].
    pub reply: Reply<'a>,
    /// Whether it may not be used for now: its sessions and chats are answered with 403.
    /// Default is false; no row says so, only who runs the service.
    pub suspended: bool,
}

impl Tenant<'_> {
    /// The model of a tenant whose row names none.
    pub const DEFAULT_MODEL: &'static str = "mock";
}

/// How the mock model answers one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What it does with the message.
    pub style: ReplyStyle,
    /// What stands in brackets between welcome and answer.
    pub tag: &'a str,
}

impl Reply<'static> {
    /// What a row without `reply` gets: the tutorial's three tenants each have a voice of
    /// their own, and everybody else shares the third's.
    #[must_use]
    pub fn default_for(tenant_id: &str) -> Self {
        let (style, tag) = match tenant_id {
            "acme" => (ReplyStyle::Reverse, "ACME MOCK"),
            "globex" => (ReplyStyle::Upper, "GLOBEX MOCK"),
            _ => (ReplyStyle::Ack, "INITECH MOCK"),
        };
        Self { style, tag }
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

/// A [`Tenant`] that owns its texts, in one piece of memory. A sandbox is given it in this
/// form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedTenant {
    texts: Box<str>,
    ends: TextEnds,
    style: ReplyStyle,
    suspended: bool,
}

/// Where each text of a [`PackedTenant`] ends: id, name, welcome, model, reply tag.
pub type TextEnds = [u32; 5];

impl PackedTenant {
    /// Packs a tenant, whose texts together are shorter than 4 GiB.
    #[must_use]
    pub fn new(tenant: &Tenant<'_>) -> Self {
        let mut texts = String::new();
        let ends = [
            tenant.id,
            tenant.name,
            tenant.welcome,
            tenant.model,
            tenant.reply.tag,
        ]
        .map(|text| {
            texts.push_str(text);
            texts.len() as u32
        });
        Self {
            texts: texts.into(),
            ends,
            style: tenant.reply.style,
            suspended: tenant.suspended,
        }
    }

    /// The same tenant, suspended or not.
    #[must_use]
    pub fn suspended(mut self, suspended: bool) -> Self {
        self.suspended = suspended;
        self
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> Tenant<'_> {
        unpacked(&self.texts, self.ends, self.style, self.suspended)
    }

    /// Its texts, one behind the other.
    #[must_use]
    pub fn texts(&self) -> &str {
        &self.texts
    }

    /// Where each text ends.
    #[must_use]
    pub fn ends(&self) -> TextEnds {
        self.ends
    }

    /// What the mock model does for it.
    #[must_use]
    pub fn style(&self) -> ReplyStyle {
        self.style
    }

    /// Whether it may not be used for now.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }
}

/// The tenant that was packed as these. What is outside `texts` is read as empty.
#[must_use]
pub fn unpacked(texts: &str, ends: TextEnds, style: ReplyStyle, suspended: bool) -> Tenant<'_> {
    let mut start = 0;
    let [id, name, welcome, model, tag] = ends.map(|end| {
        let end = end as usize;
        let text = texts.get(start..end).unwrap_or_default();
        start = end;
        text
    });
    Tenant {
        id,
        name,
        welcome,
        model,
        reply: Reply { style, tag },
        suspended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_tenant_is_the_same_tenant() {
        let tenant = Tenant {
            id: "é",
            name: "",
            welcome: "Hi",
            model: "m",
            reply: Reply::default_for("acme"),
            suspended: true,
        };
        let packed = PackedTenant::new(&tenant);
        assert_eq!(packed.tenant(), tenant);
        assert_eq!(packed.texts(), "éHimACME MOCK");
        assert_eq!(packed.ends(), [2, 2, 4, 5, 14]);
    }

    #[test]
    fn ends_that_fit_no_text_are_harmless() {
        for ends in [[9, 1, 1, 1, 1], [1, 0, 2, 1, 3], [u32::MAX; 5]] {
            let tenant = unpacked("éa", ends, ReplyStyle::Ack, false);
            assert!(tenant.id.len() <= 3);
        }
    }
}
