use super::*;
use http::{HeaderValue, Method, Version};
use proptest::prelude::*;
use vestibule_plugin::{Claims, ClientAddress, Fields, RouteId, TraceContext};

fn of_subject(subject: &str) -> Principal {
    Principal { subject: Some(subject.into()), ..Principal::of_token(Claims::default()) }
}

fn facts(ip: &str, prefix: u8, principal: Option<Principal>) -> Facts {
    let trace = TraceContext { trace_id: 1, span_id: 1, flags: 0 };
    let address = ClientAddress::Ip { ip: ip.parse().expect("an address"), prefix };
    let mut facts = Facts::new(RouteId::UNMATCHED, address, trace);
    if let Some(principal) = principal {
        facts.set_principal(principal.into());
    }
    facts
}

fn text(words: &[&str], fields: &mut Fields, facts: &Facts) -> String {
    let key = match words {
        [word] => Key::One((*word).into()),
        words => Key::Many(words.iter().map(|word| (*word).to_owned()).collect()),
    };
    let request = RequestHead {
        method: &Method::GET,
        target: "/",
        path: "/",
        authority: "example.com",
        scheme: "http",
        version: Version::HTTP_11,
        body_length: None,
        fields,
    };
    let mut text = String::new();
    KeySpec::parse(&key).expect("a key").write(&mut text, &request, facts);
    text
}

#[test]
fn every_kind_of_key_has_its_text() {
    let alice = || Some(of_subject("alice"));
    let robot = || Some(Principal::of_api_key("ci 1"));
    let nobody = facts("203.0.113.7", 32, None);
    let (alice, robot) = (facts("203.0.113.7", 32, alice()), facts("2001:db8:1:2::", 64, robot()));
    let mut fields = Fields::new();
    fields.append(HeaderName::from_static("x-tenant"), HeaderValue::from_static("  a b "));
    fields.append(HeaderName::from_static("x-tenant"), HeaderValue::from_static("c"));
    for (words, facts, expected) in [
        (&["client"][..], &nobody, "addr=203.0.113.7"),
        (&["client"], &alice, "sub=alice"),
        (&["client"], &robot, "key=ci%201"),
        (&["address"], &alice, "addr=203.0.113.7"),
        (&["address"], &robot, "addr=2001:db8:1:2::/64"),
        (&["subject"], &alice, "sub=alice"),
        (&["subject"], &nobody, "sub,addr=203.0.113.7"),
        (&["subject"], &robot, "sub,addr=2001:db8:1:2::/64"),
        (&["global"], &alice, "global"),
        (&["header:X-Tenant"], &nobody, "header:x-tenant=a%20b%2C%20c"),
        (&["header:x-other"], &nobody, "header:x-other,addr=203.0.113.7"),
        (&["address", "header:x-tenant"], &nobody, "addr=203.0.113.7;header:x-tenant=a%20b%2C%20c"),
        (&["subject", "global"], &nobody, "sub,addr=203.0.113.7;global"),
    ] {
        assert_eq!(text(words, &mut fields, facts), expected, "{words:?}");
    }
}

/// RL-16, the part after the host: an IPv6 client is its prefix.
#[test]
fn a_unix_socket_and_a_prefix_are_addresses_too() {
    let trace = TraceContext { trace_id: 1, span_id: 1, flags: 0 };
    let local = Facts::new(RouteId::UNMATCHED, ClientAddress::Local, trace);
    assert_eq!(text(&["client"], &mut Fields::new(), &local), "addr=local");
}

#[test]
fn what_is_no_key_is_told() {
    for (key, element) in [
        (Key::One("adress".into()), None),
        (Key::One("header:".into()), None),
        (Key::One("header:a b".into()), None),
        (Key::Many(vec!["client".into(), "ip".into()]), Some(1)),
        (Key::Many(Vec::new()), None),
    ] {
        assert_eq!(KeySpec::parse(&key).expect_err("no key").element, element);
    }
}

proptest! {
    /// A bucket cannot be reached by inventing a value that looks like another key.
    #[test]
    fn different_identities_never_share_a_text(a in "\\PC{0,12}", b in "\\PC{0,12}") {
        let of = |subject: &str| {
            let facts = facts("203.0.113.7", 32, Some(of_subject(subject)));
            text(&["subject", "address"], &mut Fields::new(), &facts)
        };
        prop_assert_eq!(of(&a) == of(&b), a == b);
        prop_assert_ne!(of(&a), "sub,addr=203.0.113.7;addr=203.0.113.7");
        prop_assert!(of(&a).bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
