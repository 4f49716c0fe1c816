//! Which names the listener answers to.
//!
//! A web page can have a browser ask this listener under a name of the page's own, which its
//! owner lets resolve to the listener's address (DNS rebinding); to the browser, the answer is
//! then the page's to read. Such a request gives itself away by its host.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Uri, Version, header};

use super::problem::Problem;

/// Characters of a name, at most.
const MAX_NAME: usize = 253;

/// A name that the listener answers to, in small letters and without a dot at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(Box<str>);

impl FromStr for HostName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Host::parse(text) {
            Some(Host::Name(name)) if !text.contains(':') => Ok(Self(name.into())),
            _ => Err("it must be a host name such as tenantry-1, without scheme and port"),
        }
    }
}

/// Whom a request says it is for.
#[derive(Debug, PartialEq, Eq)]
enum Host<'a> {
    /// An address: no name, so nobody can have let it resolve to another one.
    Address,
    /// A name, in small letters and without a dot at its end.
    Name(Cow<'a, str>),
}

impl<'a> Host<'a> {
    /// Reads a host with or without a port; nothing where it is neither.
    fn parse(text: &'a str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let _: Ipv6Addr = address.parse().ok()?;
                (None, port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (host, port) = text.split_at_checked(end)?;
                (Some(host), port)
            }
        };
        if let Some(port) = port.strip_prefix(':') {
            let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
            let is_port = port.is_empty() || port.parse::<u16>().is_ok();
            if !(is_number && is_port) {
                return None;
            }
        } else if !port.is_empty() {
            return None;
        }
        let Some(host) = host else {
            return Some(Self::Address);
        };
        // The root of all names may be written.
        let name = host.strip_suffix('.').unwrap_or(host);
        if name.parse::<Ipv4Addr>().is_ok() {
            return Some(Self::Address);
        }
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let mut labels = name.split('.');
        let is_name = labels.all(|label| !label.is_empty() && label.bytes().all(is_letter));
        if !is_name || name.len() > MAX_NAME {
            return None;
        }
        Some(Self::Name(
            match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                true => name.to_ascii_lowercase().into(),
                false => name.into(),
            },
        ))
    }
}

/// Lets a request through that is for this listener.
pub(super) async fn check(
    State(names): State<Arc<[HostName]>>,
    request: Request,
    next: Next,
) -> Response {
    let judged = judge(request.version(), request.uri(), request.headers(), &names);
    match judged {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn judge(
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
    names: &[HostName],
) -> Result<(), Problem> {
    let mut given = headers.get_all(header::HOST).iter();
    let host = given.next();
    if given.next().is_some() {
        return Err(Problem::header("a request has one header host"));
    }
    if host.is_none() && version >= Version::HTTP_11 {
        return Err(Problem::header("a request of HTTP/1.1 has a header host"));
    }
    let wrong = || Problem::header("host must be a name or an address, with or without a port");
    let host = host.map(|host| host.to_str().map_err(|_| wrong()));
    let host = host.transpose()?;
    // A whole URL as the target counts more; each must be good.
    let authority = uri.authority().map(http::uri::Authority::as_str);
    for host in [host, authority].into_iter().flatten() {
        match Host::parse(host).ok_or_else(wrong)? {
            Host::Address => {}
            Host::Name(name) if name == "localhost" => {}
            Host::Name(name) if names.iter().any(|known| *known.0 == *name) => {}
            Host::Name(name) => return Err(Problem::misdirected(&name)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read() {
        let name = |name: &'static str| Some(Host::Name(name.into()));
        for (text, host) in [
            ("127.0.0.1", Some(Host::Address)),
            ("127.0.0.1.", Some(Host::Address)),
            ("10.1.2.3:9001", Some(Host::Address)),
            ("[::1]", Some(Host::Address)),
            ("[::1]:9001", Some(Host::Address)),
            ("[::1]:", Some(Host::Address)),
            ("[FE80::1]", Some(Host::Address)),
            ("localhost", name("localhost")),
            ("LocalHost.:9001", name("localhost")),
            ("tenantry-1.example_2.com", name("tenantry-1.example_2.com")),
            // What only a resolver takes for an address is a name.
            ("127.1", name("127.1")),
            ("0x7f000001", name("0x7f000001")),
            ("", None),
            (":9001", None),
            (".", None),
            ("localhost..", None),
            ("a..b", None),
            ("localhost:x", None),
            ("localhost:65536", None),
            ("localhost:+1", None),
            ("localhost:1:2", None),
            ("me@localhost", None),
            ("localhost@evil.example", None),
            ("localhost/", None),
            ("local host", None),
            ("local%68ost", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[fe80::1%25eth0]", None),
            ("[localhost]", None),
            ("b\u{fc}cher", None),
        ] {
            assert_eq!(Host::parse(text), host, "{text}");
        }
        assert_eq!(Host::parse(&"a".repeat(254)), None);
    }

    #[test]
    fn names_of_the_flag_have_no_port_and_no_address() {
        for (text, is_name) in [
            ("tenantry-1", true),
            ("Tenantry.Example.", true),
            ("tenantry-1:9001", false),
            ("http://tenantry-1", false),
            ("10.0.0.1", false),
            ("[::1]", false),
            ("*", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<HostName>().is_ok(), is_name, "{text}");
        }
    }
}
