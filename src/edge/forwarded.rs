//! Who the client is, seen through trusted proxies. Pure.

use crate::config::settings::ForwardingField;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;
use std::net::IpAddr;
use vestibule_plugin::{ClientAddress, Fields, is_authority};

/// Most entries of a forwarding field that are looked at, from the right.
pub const MAX_ENTRIES: usize = 32;

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
    pub fn origin(&self, peer: IpAddr, fields: &Fields) -> Origin {
        let peer = peer.to_canonical();
        if !self.holds(peer) {
            return Origin { client: peer, hops: Vec::new() };
        }
        let mut client = peer;
        let mut passed = Vec::new();
        for entry in self.entries(fields).take(MAX_ENTRIES) {
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
    fn entries<'a>(&self, fields: &'a Fields) -> Box<dyn Iterator<Item = Option<IpAddr>> + 'a> {
        match self.field {
            ForwardingField::XForwardedFor => {
                Box::new(elements(fields, &X_FORWARDED_FOR, Quotes::AreOrdinary).map(|text| text.and_then(address_of)))
            }
            ForwardingField::Forwarded => Box::new(
                elements(fields, &FORWARDED, Quotes::Count)
                    .map(|text| text.and_then(|t| parameter(t, "for")).and_then(|t| address_of(&t))),
            ),
        }
    }

    /// `http` or `https` as the trusted peer's rightmost hop said it.
    pub fn scheme(&self, fields: &Fields) -> Option<&'static str> {
        let said = match self.field {
            ForwardingField::XForwardedFor => {
                elements(fields, &X_FORWARDED_PROTO, Quotes::AreOrdinary).next()??.to_owned()
            }
            ForwardingField::Forwarded => parameter(elements(fields, &FORWARDED, Quotes::Count).next()??, "proto")?,
        };
        ["http", "https"].into_iter().find(|scheme| said.eq_ignore_ascii_case(scheme))
    }

    /// The host as the trusted peer's rightmost hop said it.
    pub fn host(&self, fields: &Fields) -> Option<String> {
        match self.field {
            ForwardingField::XForwardedFor => {
                Some(elements(fields, &X_FORWARDED_HOST, Quotes::AreOrdinary).next()??.to_owned())
            }
            ForwardingField::Forwarded => parameter(elements(fields, &FORWARDED, Quotes::Count).next()??, "host"),
        }
        .filter(|host| is_authority(host.as_bytes()))
    }

    /// The address as far as it counts when it is a key.
    pub fn key(&self, client: IpAddr) -> ClientAddress {
        ClientAddress::of(client, self.ipv6_prefix)
    }
}

/// Whether a comma inside double quotes belongs to its element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Count,
    AreOrdinary,
}

/// List elements of all lines of `name`, rightmost first; empty ones are skipped, `None` for one that is not UTF-8.
///
/// Read from the right, so that what a client wrote to the left of a trusted hop's element, an open quote or a byte that
/// is no text, cannot take that element with it.
fn elements<'a>(
    fields: &'a Fields,
    name: &HeaderName,
    quotes: Quotes,
) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    let lines = fields.lines(name).rev();
    lines.flat_map(move |line| FromRight { rest: Some(line), quotes }).filter(|text| *text != Some(""))
}

struct FromRight<'a> {
    rest: Option<&'a [u8]>,
    quotes: Quotes,
}

impl<'a> Iterator for FromRight<'a> {
    type Item = Option<&'a str>;

    fn next(&mut self) -> Option<Option<&'a str>> {
        let rest = self.rest?;
        let element = match self.last_comma(rest) {
            Some(at) => {
                self.rest = Some(&rest[..at]);
                &rest[at + 1..]
            }
            None => {
                self.rest = None;
                rest
            }
        };
        Some(std::str::from_utf8(element).ok().map(str::trim))
    }
}

impl FromRight<'_> {
    fn last_comma(&self, text: &[u8]) -> Option<usize> {
        let mut quoted = false;
        for (at, byte) in text.iter().enumerate().rev() {
            match byte {
                b'"' if self.quotes == Quotes::Count && !is_escaped(&text[..at]) => quoted = !quoted,
                b',' if !quoted => return Some(at),
                _ => {}
            }
        }
        None
    }
}

/// Whether what follows `before` is the second half of a quoted pair (RFC 9110 section 5.6.4).
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The parameters of a Forwarded element.
fn parameters(element: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in element.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                parts.push(&element[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&element[from..]);
    parts
}

/// The value of a parameter of a Forwarded element (RFC 7239 section 4), unquoted.
fn parameter(element: &str, name: &str) -> Option<String> {
    parameters(element).into_iter().find_map(|pair| {
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

/// An IP address with or without port, brackets and zone; one that only wraps an IPv4 address is that.
pub fn address_of(text: &str) -> Option<IpAddr> {
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
    let ip = match address.split_once('%') {
        // Only an IPv6 address has a zone (RFC 4007 section 11).
        Some((v6, _zone)) => IpAddr::V6(v6.parse().ok()?),
        None => address.parse().ok()?,
    };
    Some(ip.to_canonical())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trust(field: ForwardingField) -> Trust {
        Trust { proxies: vec!["10.0.0.0/8".parse().expect("cidr")], field, ipv6_prefix: 64 }
    }

    fn walk(peer: &str, lines: &[&str]) -> (String, usize) {
        let mut fields = Fields::new();
        for line in lines {
            fields.append(X_FORWARDED_FOR, http::HeaderValue::from_str(line).expect("value"));
        }
        let origin = trust(ForwardingField::XForwardedFor).origin(peer.parse().expect("ip"), &fields);
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
        let mut fields = Fields::new();
        fields.append(X_FORWARDED_FOR, http::HeaderValue::from_str("6.6.6.6").expect("value"));
        fields.append(
            FORWARDED,
            http::HeaderValue::from_static("for=\"[2001:db8::7]:80\";proto=https, for=10.2.2.2;host=\"a,b\""),
        );
        let trust = trust(ForwardingField::Forwarded);
        assert_eq!(trust.origin("10.0.0.1".parse().expect("ip"), &fields).client.to_string(), "2001:db8::7");
        assert_eq!(trust.scheme(&fields), None);
        assert_eq!(trust.host(&fields), None);
    }

    /// RL-16: one /64 is one client, and a mapped IPv4 address is that address.
    #[test]
    fn an_ipv6_client_is_its_prefix() {
        let trust = trust(ForwardingField::XForwardedFor);
        let key = |ip: &str| trust.key(ip.parse().expect("ip")).to_string();
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
    }

    /// What a client wrote left of a trusted hop's entry does not change that entry.
    #[test]
    fn garbage_on_the_left_takes_nothing_with_it() {
        let trusting = |field, name: HeaderName, line: &[u8]| {
            let mut fields = Fields::new();
            fields.append(name, http::HeaderValue::from_bytes(line).expect("a field value"));
            trust(field).origin("10.0.0.1".parse().expect("ip"), &fields).client.to_string()
        };
        for left in [&b"\""[..], b"a=\"", b"\\\"", b"\xe4", b"\"\\", b"6.6.6.6\"", b"\",\""] {
            let line = [left, b", 203.0.113.7"].concat();
            assert_eq!(trusting(ForwardingField::XForwardedFor, X_FORWARDED_FOR, &line), "203.0.113.7", "{line:?}");
            for element in ["for=203.0.113.7", "for=\"203.0.113.7:80\";host=\"a,b\""] {
                let line = [left, b", ", element.as_bytes()].concat();
                assert_eq!(trusting(ForwardingField::Forwarded, FORWARDED, &line), "203.0.113.7", "{line:?}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_an_address_is_none() {
        for text in ["1.2.3.4:+80", "1.2.3.4%x", "1.2.3.4:", "1.2.3.4:99999", "[1.2.3.4", "1.2.3", "unknown"] {
            assert_eq!(address_of(text), None, "{text}");
        }
        assert!(address_of("fe80::1%eth0").is_some());
    }

    proptest! {
        /// Nothing that a client sends can hide the entry its load balancer wrote behind it.
        #[test]
        fn the_last_entry_survives_whatever_is_in_front(front in prop::collection::vec(0x20_u8..=0xff, 0..100)) {
            let mut front = front;
            front.retain(|byte| *byte != 0x7f);
            let line = [&front[..], b",203.0.113.7"].concat();
            let mut fields = Fields::new();
            fields.append(X_FORWARDED_FOR, http::HeaderValue::from_bytes(&line).expect("a field value"));
            let origin = trust(ForwardingField::XForwardedFor).origin("10.0.0.1".parse().expect("ip"), &fields);
            prop_assert_eq!(origin.client.to_string(), "203.0.113.7");
        }

        #[test]
        fn no_field_value_panics_or_names_somebody_left_of_garbage(value in "[ -~]{0,200}") {
            let (client, hops) = walk("10.0.0.1", &[&format!("6.6.6.6, !, {}", value.replace(',', ""))]);
            prop_assert!(hops <= MAX_ENTRIES);
            prop_assert_ne!(client, "6.6.6.6");
        }
    }
}
