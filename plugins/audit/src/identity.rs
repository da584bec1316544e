//! Who did it and from where, as events name them.

use crate::config::Subject;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use vestibule_chain::{Digest, canonical};
use vestibule_plugin::{ClientAddress, Principal, PrincipalKind, Secret};

/// Longest subject that is written as it is, in bytes.
const MAX_SUBJECT: usize = 128;
/// Bits of an address that stay readable.
const PREFIX: (u8, u8) = (24, 48);
/// Clients whose names are remembered: naming one costs as much as the rest of its event, and most ask more than once.
const REMEMBERED: usize = 256;

/// Makes names of people and machines under one secret.
pub(crate) struct Identities {
    keyed: Hmac<Sha256>,
    subject: Subject,
    /// The last client of each place; which place is an address's own.
    remembered: Box<[Mutex<Option<Named>>]>,
    places: RandomState,
}

/// A client and its name.
struct Named {
    address: ClientAddress,
    client: Client,
}

/// Who did it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Actor<'a> {
    kind: &'static str,
    id: Option<Cow<'a, str>>,
}

impl Default for Actor<'_> {
    fn default() -> Self {
        Self::ANONYMOUS
    }
}

impl Actor<'_> {
    /// Nobody known.
    pub(crate) const ANONYMOUS: Self = Self { kind: "anonymous", id: None };
    /// Whoever reaches the admin listener.
    pub(crate) const ADMIN: Self = Self { kind: "admin", id: None };
    /// The proxy.
    pub(crate) const SYSTEM: Self = Self { kind: "system", id: None };

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        match &self.id {
            Some(id) => canonical::string(out, id),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"type\":\"");
        out.extend_from_slice(self.kind.as_bytes());
        out.extend_from_slice(b"\"}");
    }
}

/// Where it came from: a network, and a hash that is equal for equal clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Client {
    /// As it stands in events: one allocation, and nothing to escape.
    json: Arc<str>,
}

impl Client {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.json.as_bytes());
    }
}

impl Identities {
    pub(crate) fn new(secret: &Secret, subject: Subject) -> Self {
        // A key of HMAC-SHA256 may have any length up to its block of 64 bytes; the secret has 32.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..32].copy_from_slice(secret.bytes());
        let remembered = (0..REMEMBERED).map(|_| Mutex::new(None)).collect();
        Self { keyed: <Hmac<Sha256> as KeyInit>::new(&block), subject, remembered, places: RandomState::new() }
    }

    fn hash(&self, text: &str, digits: usize) -> String {
        let mut mac = self.keyed.clone();
        mac.update(text.as_bytes());
        let hex = Digest(mac.finalize().into_bytes().into()).hex();
        hex.iter().take(digits).copied().map(char::from).collect()
    }

    /// Who a verified principal is. An unverified credential names nobody.
    pub(crate) fn actor<'a>(&self, principal: Option<&'a Principal>) -> Actor<'a> {
        let Some(principal) = principal else { return Actor::ANONYMOUS };
        match (&principal.subject, principal.kind, &principal.api_key) {
            (Some(subject), ..) => Actor { kind: "user", id: Some(self.named(subject)) },
            (None, PrincipalKind::ApiKey, Some(id)) => Actor { kind: "api_key", id: Some(Cow::Borrowed(id)) },
            (None, ..) => Actor { kind: "user", id: None },
        }
    }

    fn named<'a>(&self, subject: &'a str) -> Cow<'a, str> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:|-".contains(&byte);
        match self.subject {
            Subject::Clear if subject.len() <= MAX_SUBJECT && subject.bytes().all(plain) => Cow::Borrowed(subject),
            Subject::Clear | Subject::Hash => Cow::Owned(format!("h:{}", self.hash(subject, 32))),
        }
    }

    /// Where a request came from. The hash is that of the access line, so that one leads to the other.
    pub(crate) fn client(&self, address: ClientAddress) -> Client {
        let place = self.places.hash_one(address) as usize % REMEMBERED;
        let mut place = self.remembered[place].lock();
        match &*place {
            Some(named) if named.address == address => named.client.clone(),
            _ => place.insert(Named { address, client: self.named_client(address) }).client.clone(),
        }
    }

    fn named_client(&self, address: ClientAddress) -> Client {
        let (hash, prefix) = (self.hash(&address.to_string(), 16), network(address));
        Client { json: format!(r#"{{"hash":"{hash}","prefix":"{prefix}"}}"#).into() }
    }
}

/// The network of an address, `local` for a Unix socket.
fn network(address: ClientAddress) -> String {
    match address {
        ClientAddress::Ip { ip: IpAddr::V4(ip), .. } => {
            let [a, b, c, _] = ip.octets();
            format!("{}/{}", Ipv4Addr::new(a, b, c, 0), PREFIX.0)
        }
        ClientAddress::Ip { ip: IpAddr::V6(ip), .. } => {
            let [a, b, c, ..] = ip.segments();
            format!("{}/{}", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), PREFIX.1)
        }
        ClientAddress::Local => "local".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities(subject: Subject) -> Identities {
        Identities::new(&Secret::new([7; 32]), subject)
    }

    fn of_subject(subject: &str) -> Principal {
        Principal { subject: Some(subject.into()), ..Principal::of_api_key("k1") }
    }

    /// AUD-09: a subject stands in clear only where it says nothing more than itself.
    #[test]
    fn a_subject_that_may_be_an_address_is_hashed() {
        let clear = identities(Subject::Clear);
        for plain in ["alice", "auth0|5f7", "01900000-0000-7000-8000-000000000001"] {
            assert_eq!(clear.named(plain), plain);
        }
        let long = "a".repeat(129);
        for hidden in ["eve@example.com", "a b", "é", &long] {
            let name = clear.named(hidden);
            assert!(name.starts_with("h:") && name.len() == 34, "{name}");
        }
        let hashed = identities(Subject::Hash);
        assert_eq!(hashed.named("alice"), hashed.named("alice"));
        assert_ne!(hashed.named("alice"), hashed.named("bob"));
        assert!(hashed.named("alice").starts_with("h:"));
    }

    #[test]
    fn an_actor_is_a_user_a_key_or_nobody() {
        let all = identities(Subject::Clear);
        let kind = |principal: Option<&Principal>| {
            let actor = all.actor(principal);
            (actor.kind, actor.id.map(Cow::into_owned))
        };
        assert_eq!(kind(None), ("anonymous", None));
        assert_eq!(kind(Some(&Principal::of_api_key("k1"))), ("api_key", Some("k1".to_owned())));
        assert_eq!(kind(Some(&of_subject("alice"))), ("user", Some("alice".to_owned())));
    }

    #[test]
    fn a_client_is_a_network_and_a_hash() {
        let all = identities(Subject::Clear);
        let of = |ip: &str| all.client(ClientAddress::of(ip.parse().expect("address"), 64));
        let member = |ip: &str, name: &str| {
            let client: serde_json::Value = serde_json::from_str(&of(ip).json).expect("JSON");
            client[name].as_str().expect("text").to_owned()
        };
        assert_eq!(member("203.0.113.7", "prefix"), "203.0.113.0/24");
        assert_eq!(member("2001:db8:1:2::3", "prefix"), "2001:db8:1::/48");
        assert_ne!(member("203.0.113.7", "hash"), member("203.0.113.8", "hash"));
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2::4"), "one /64 is one client");
        assert_eq!(member("203.0.113.7", "hash").len(), 16);
    }

    #[test]
    fn what_is_remembered_is_the_clients_own() {
        let all = identities(Subject::Clear);
        let addresses = (0..4 * REMEMBERED as u32).map(|n| ClientAddress::of(IpAddr::V4(n.into()), 64));
        for address in addresses.clone().chain(addresses) {
            assert_eq!(all.client(address), all.named_client(address));
            assert_eq!(all.client(address), all.named_client(address));
        }
    }
}
