//! Who the client is, seen through trusted proxies. Pure.

use crate::config::settings::ForwardingField;
use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};
use vestibule_plugin::ClientAddress;

/// Most entries of a forwarding field that are looked at, from the right.
const MAX_ENTRIES: usize = 32;

/// `x-forwarded-for`
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `x-forwarded-proto`
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `x-forwarded-host`
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `x-real-ip`
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Which peers are believed, and what they write.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Networks of the load balancers.
    pub proxies: Vec<IpNet>,
    /// The field they write.
    pub field: ForwardingField,
    /// Bits of an IPv6 address that count.
    pub ipv6_prefix: u8,
}

/// Where a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client, in full.
    pub client: IpAddr,
    /// Trusted hops between client and peer, in the order they were passed, the peer last; empty when the client is
    /// the peer.
    pub hops: Vec<IpAddr>,
}

impl Trust {
    /// Whether `address` is one of the load balancers.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(&address))
    }

    /// Finds the client behind `peer`.
    pub fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> Origin {
        let peer = peer.to_canonical();
        if !self.holds(peer) {
            return Origin { client: peer, hops: Vec::new() };
        }
        let mut client = peer;
        let mut passed = Vec::new();
        for entry in self.entries(headers).take(MAX_ENTRIES) {
            // What does not parse ends the walk at the last good hop; nothing left of it is ever used.
            let Some(address) = entry else { break };
            passed.push(client);
            client = address;
            if !self.holds(address) {
                break;
            }
        }
        passed.reverse();
        Origin { client, hops: passed }
    }

    /// The addresses the field names, rightmost first; `None` for an entry that is no address.
    fn entries<'a>(&self, headers: &'a HeaderMap) -> Box<dyn Iterator<Item = Option<IpAddr>> + 'a> {
        match self.field {
            ForwardingField::XForwardedFor => {
                Box::new(elements(headers, &X_FORWARDED_FOR).map(|text| text.and_then(parse_node)))
            }
            ForwardingField::Forwarded => Box::new(
                elements(headers, &FORWARDED)
                    .map(|text| text.and_then(|t| parameter(t, "for")).and_then(|t| parse_node(&t))),
            ),
        }
    }

    /// `http` or `https` as the trusted peer's rightmost hop said it.
    pub fn scheme(&self, headers: &HeaderMap) -> Option<&'static str> {
        let said = match self.field {
            ForwardingField::XForwardedFor => elements(headers, &X_FORWARDED_PROTO).next()??.to_owned(),
            ForwardingField::Forwarded => parameter(elements(headers, &FORWARDED).next()??, "proto")?,
        };
        ["http", "https"].into_iter().find(|scheme| said.eq_ignore_ascii_case(scheme))
    }

    /// The host as the trusted peer's rightmost hop said it.
    pub fn host(&self, headers: &HeaderMap) -> Option<String> {
        match self.field {
            ForwardingField::XForwardedFor => Some(elements(headers, &X_FORWARDED_HOST).next()??.to_owned()),
            ForwardingField::Forwarded => parameter(elements(headers, &FORWARDED).next()??, "host"),
        }
        .filter(|host| super::rules::is_host(host.as_bytes()))
    }

    /// The address as far as it counts when it is a key.
    pub fn key(&self, client: IpAddr) -> ClientAddress {
        match client.to_canonical() {
            ip @ IpAddr::V4(_) => ClientAddress::Ip { ip, prefix: 32 },
            IpAddr::V6(ip) => {
                let bits = u128::from(ip) & u128::MAX.checked_shl(128 - u32::from(self.ipv6_prefix)).unwrap_or(0);
                ClientAddress::Ip { ip: IpAddr::V6(Ipv6Addr::from(bits)), prefix: self.ipv6_prefix }
            }
        }
    }
}

/// List elements of all lines of `name`, rightmost first; empty ones are skipped, `None` for one that is not ASCII.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    headers.get_all(name).iter().rev().flat_map(|line| {
        let mut parts: Vec<Option<&str>> = match line.to_str() {
            Ok(text) => split_outside_quotes(text, ',').into_iter().rev().take(MAX_ENTRIES + 1).map(Some).collect(),
            Err(_) => vec![None],
        };
        parts.retain(|part| part.is_none_or(|text| !text.trim().is_empty()));
        parts.into_iter().map(|part| part.map(str::trim))
    })
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// The value of a parameter of a Forwarded element (RFC 7239 section 4), unquoted.
fn parameter(element: &str, name: &str) -> Option<String> {
    split_outside_quotes(element, ';').into_iter().find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        if !key.trim().eq_ignore_ascii_case(name) {
            return None;
        }
        let value = value.trim();
        match value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
            Some(quoted) => Some(quoted.replace('\\', "")),
            None => Some(value.to_owned()),
        }
    })
}

/// An IP address with or without port, brackets and zone.
fn parse_node(text: &str) -> Option<IpAddr> {
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, port) = bracketed.split_once(']')?;
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return None;
        }
        inside
    } else {
        match text.split_once(':') {
            Some((v4, port)) if is_port(port) => v4,
            _ => text,
        }
    };
    let without_zone = address.split('%').next().unwrap_or(address);
    without_zone.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trust(field: ForwardingField) -> Trust {
        Trust { proxies: vec!["10.0.0.0/8".parse().expect("cidr")], field, ipv6_prefix: 64 }
    }

    fn walk(peer: &str, lines: &[&str]) -> (String, usize) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().expect("value"));
        }
        let origin = trust(ForwardingField::XForwardedFor).origin(peer.parse().expect("ip"), &headers);
        (origin.client.to_string(), origin.hops.len())
    }

    /// RL-15, SEC-09: who is believed, and how far.
    #[test]
    fn the_first_untrusted_address_from_the_right_is_the_client() {
        assert_eq!(walk("192.0.2.9", &["1.2.3.4"]), ("192.0.2.9".into(), 0));
        assert_eq!(walk("10.0.0.1", &["6.6.6.6, 203.0.113.7"]), ("203.0.113.7".into(), 1));
        assert_eq!(walk("10.0.0.1", &["6.6.6.6", "203.0.113.7"]), ("203.0.113.7".into(), 1));
        assert_eq!(walk("10.0.0.1", &["203.0.113.7:4711, 10.0.0.2"]), ("203.0.113.7".into(), 2));
        assert_eq!(walk("10.0.0.1", &["[2001:db8::1]:80, ,10.0.0.2,"]), ("2001:db8::1".into(), 2));
        assert_eq!(walk("10.0.0.1", &["fe80::1%eth0"]), ("fe80::1".into(), 1));
        assert_eq!(walk("10.0.0.1", &["::ffff:192.0.2.1"]), ("192.0.2.1".into(), 1));
        assert_eq!(walk("10.0.0.1", &["203.0.113.7, unknown"]), ("10.0.0.1".into(), 0));
        assert_eq!(walk("10.0.0.1", &["203.0.113.7, _hidden, 10.0.0.2"]), ("10.0.0.2".into(), 1));
        assert_eq!(walk("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), ("10.0.0.3".into(), 2));
        assert_eq!(walk("10.0.0.1", &[]), ("10.0.0.1".into(), 0));
    }

    #[test]
    fn forwarded_is_read_when_it_is_the_field_and_only_then() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, "6.6.6.6".parse().expect("value"));
        headers.append(
            FORWARDED,
            "for=\"[2001:db8::7]:80\";proto=https, for=10.2.2.2;host=\"a,b\"".parse().expect("value"),
        );
        let trust = trust(ForwardingField::Forwarded);
        assert_eq!(trust.origin("10.0.0.1".parse().expect("ip"), &headers).client.to_string(), "2001:db8::7");
        assert_eq!(trust.scheme(&headers), None);
        assert_eq!(trust.host(&headers), None);
    }

    /// RL-16: one /64 is one client, and a mapped IPv4 address is that address.
    #[test]
    fn an_ipv6_client_is_its_prefix() {
        let trust = trust(ForwardingField::XForwardedFor);
        let key = |ip: &str| trust.key(ip.parse().expect("ip")).to_string();
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
    }

    proptest! {
        #[test]
        fn no_field_value_panics_or_names_somebody_left_of_garbage(value in "[ -~]{0,200}") {
            let (client, hops) = walk("10.0.0.1", &[&format!("6.6.6.6, !, {}", value.replace(',', ""))]);
            prop_assert!(hops <= MAX_ENTRIES);
            prop_assert_ne!(client, "6.6.6.6");
        }
    }
}
