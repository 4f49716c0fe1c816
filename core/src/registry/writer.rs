//! From rows to lines.

use alloc::{format, string::String, vec::Vec};

use super::Row;
use crate::{
    json::push_string,
    tenant::{Reply, ReplyStyle},
};

pub(super) fn json(row: &Row) -> String {
    let tenant = row.tenant();
    let mut json = Vec::new();
    for (start, text) in [
        (r#"{"id":"#, tenant.id),
        (r#","name":"#, tenant.name),
        (r#","welcome":"#, tenant.welcome),
        (r#","model":"#, tenant.model),
    ] {
        json.extend_from_slice(start.as_bytes());
        push_string(&mut json, text);
    }
    let limits = [
        ("chat_per_10s", row.limits.chat_per_10s),
        ("sessions", row.limits.sessions),
    ];
    let limits: Vec<_> = limits
        .iter()
        .filter_map(|(name, limit)| Some(format!(r#""{name}":{}"#, (*limit)?)))
        .collect();
    if !limits.is_empty() {
        json.extend_from_slice(format!(r#","limits":{{{}}}"#, limits.join(",")).as_bytes());
    }
    if tenant.reply != Reply::default_for(tenant.id) {
        let names = ReplyStyle::NAMES.iter();
        let name = names
            .into_iter()
            .find(|(_, style)| *style == tenant.reply.style);
        json.extend_from_slice(br#","reply":{"style":"#);
        push_string(&mut json, name.map_or("", |(name, _)| *name));
        json.extend_from_slice(br#","tag":"#);
        push_string(&mut json, tenant.reply.tag);
        json.push(b'}');
    }
    if !row.other.is_empty() {
        json.push(b',');
        json.extend_from_slice(row.other.as_bytes());
    }
    json.push(b'}');
    String::from_utf8(json).unwrap_or_default()
}
