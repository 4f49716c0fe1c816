//! Who has sent a request: the other end of its connection, or, where that is a proxy that is
//! trusted, whom the proxy says it got it from.

use std::{net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses of proxies that are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrustedProxy(IpNet);

/// A text that is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be an address or a range of them, as in 10.0.0.0/8, 192.0.2.7 or fd00::/8")]
#[non_exhaustive]
pub struct TrustedProxyError;

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, TrustedProxyError> {
        let text = text.trim();
        let range = match text.parse() {
            Ok(range) => range,
            Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| TrustedProxyError)?),
        };
        Ok(Self(range.trunc()))
    }
}

/// Who has sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Whether the connection is that of a proxy that is trusted.
    pub(super) is_by_proxy: bool,
}

impl Client {
    /// The sender of a request with these headers, on a connection from `peer`.
    pub(super) fn of(peer: IpAddr, trusted: &[TrustedProxy], headers: &HeaderMap) -> Self {
        let peer = peer.to_canonical();
        let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.0.contains(&address));
        // In the usual case nothing is asked of the headers.
        if trusted.is_empty() || !is_trusted(peer) {
            return Self {
                address: peer,
                is_by_proxy: false,
            };
        }
        let last_untrusted = |hops: Vec<Option<IpAddr>>| {
            let mut nearest = peer;
            for hop in hops.into_iter().rev() {
                // What stands before something that is no address was said by nobody known.
                let Some(address) = hop else { break };
                nearest = address;
                if !is_trusted(address) {
                    break;
                }
            }
            nearest
        };
        let plain = hops(headers, &X_FORWARDED_FOR, |hop| address(hop.trim()));
        let standard = hops(headers, &header::FORWARDED, forwarded_for);
        let address = match (plain, standard) {
            (None, None) => peer,
            (Some(hops), None) | (None, Some(hops)) => last_untrusted(hops),
            // A proxy writes one of them, and may let the client's own other one through.
            (Some(plain), Some(standard)) => {
                let (plain, standard) = (last_untrusted(plain), last_untrusted(standard));
                if plain == standard { plain } else { peer }
            }
        };
        Self {
            address,
            is_by_proxy: true,
        }
    }
}

/// What the headers of a name say of the way that a request has taken, from the client on; none
/// where there is no such header.
fn hops(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&str) -> Option<IpAddr>,
) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = None;
    for value in headers.get_all(name) {
        let hops = hops.get_or_insert_with(Vec::new);
        match value.to_str() {
            Ok(text) => hops.extend(elements(text, ',').map(&read)),
            Err(_) => hops.push(None),
        }
    }
    hops
}

/// The parts of a text between separators that do not stand in quotes.
fn elements(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |c| {
        if is_escaped {
            is_escaped = false;
        } else if c == '"' {
            is_quoted = !is_quoted;
        } else if c == '\\' && is_quoted {
            is_escaped = true;
        } else {
            return c == separator && !is_quoted;
        }
        false
    })
}

/// The address in an element of `forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut nodes = elements(element, ';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| value.trim())
    });
    let node = nodes.next()?;
    if nodes.next().is_some() {
        return None;
    }
    match node.strip_prefix('"') {
        Some(quoted) => address(quoted.strip_suffix('"')?),
        None => address(node),
    }
}

/// An address, with or without a port; one of IPv6 with a port stands in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
            return None;
        }
        IpAddr::V6(address.parse().ok()?)
    } else if let Ok(address) = text.parse() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(address.parse().ok()?)
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The address that is taken for the client's where 10.0.0.0/8 and fd00::/8 are trusted.
    fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted: Vec<TrustedProxy> = ["10.0.0.0/8", "fd00::/8"]
            .iter()
            .map(|range| range.parse().expect("a range"))
            .collect();
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            (HeaderName::from_static(name), value)
        });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        let peer = peer.parse().expect("an address");
        Client::of(peer, &trusted, &map).address.to_string()
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_clients() {
        for (said, address) in [
            ("203.0.113.9", "203.0.113.9"),
            ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
            ("1.1.1.1, 203.0.113.9, 10.1.1.1", "203.0.113.9"),
            ("10.9.9.9, 10.1.1.1", "10.9.9.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            // Nothing in front of what is malformed is believed.
            ("203.0.113.9, nonsense", "10.0.0.1"),
            ("203.0.113.9, nonsense, 10.2.2.2", "10.2.2.2"),
            ("203.0.113.9, ", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("203.0.113.9:port", "10.0.0.1"),
            ("[203.0.113.9]", "10.0.0.1"),
            ("203.0.113.9\u{e4}", "10.0.0.1"),
        ] {
            assert_eq!(
                client("10.0.0.1", &[("x-forwarded-for", said)]),
                address,
                "{said}"
            );
        }
        let lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "203.0.113.9"),
        ];
        assert_eq!(client("10.0.0.1", &lines), "203.0.113.9");
        assert_eq!(client("::ffff:10.0.0.1", &lines), "203.0.113.9");
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotes_and_parameters() {
        for (said, address) in [
            ("for=203.0.113.9", "203.0.113.9"),
            (
                "For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.2",
                "2001:db8::1",
            ),
            ("by=1.1.1.1 ; for=203.0.113.9", "203.0.113.9"),
            (
                "for=1.1.1.1, for=203.0.113.9;host=\"a,b;for=9.9.9.9\"",
                "203.0.113.9",
            ),
            ("for=203.0.113.9;host=\"\\\",for=9.9.9.9\"", "203.0.113.9"),
            ("for=203.0.113.9, for=10.1.1.1", "203.0.113.9"),
            ("for=_hidden", "10.0.0.1"),
            ("for=unknown, for=10.3.3.3", "10.3.3.3"),
            ("for=203.0.113.9;for=1.1.1.1", "10.0.0.1"),
            ("for=\"203.0.113.9", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(
                client("fd00::1", &[("forwarded", said)]).replace("fd00::1", "10.0.0.1"),
                address,
                "{said}"
            );
        }
    }

    #[test]
    fn headers_of_a_stranger_and_headers_that_disagree_are_not_believed() {
        let said = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(client("203.0.113.9", &said), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &said), "1.1.1.1");
        let said = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=2.2.2.2")];
        assert_eq!(client("10.0.0.1", &said), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_range_is_an_address_or_a_network() {
        for range in ["10.0.0.0/8", " 10.1.2.3/8", "192.0.2.7", "fd00::/8", "::1"] {
            assert!(range.parse::<TrustedProxy>().is_ok(), "{range}");
        }
        for range in ["", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.0/-1"] {
            assert_eq!(range.parse::<TrustedProxy>(), Err(TrustedProxyError));
        }
    }
}
