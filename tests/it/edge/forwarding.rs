//! Section 4: forwarding fields are always rebuilt.

use super::{blocked, blocked_since, once, proxy};
use vestibule_testkit::{Origin, Proxy, Received, Reply};

const TRUSTING: &str = "[server]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
const TRUSTING_FORWARDED: &str =
    "[server]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\nforwarding_field = \"forwarded\"\n";

/// What the application is told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    chain: String,
    client: String,
    proto: String,
    host: String,
    forwarded: String,
}

impl Told {
    fn by(received: &Received) -> Self {
        let one = |name: &str| {
            assert_eq!(received.fields.count(name), 1, "{name} in {:?}", received.fields);
            received.field(name).to_owned()
        };
        Self {
            chain: one("x-forwarded-for"),
            client: one("x-real-ip"),
            proto: one("x-forwarded-proto"),
            host: one("x-forwarded-host"),
            forwarded: one("forwarded"),
        }
    }
}

async fn told(proxy: &Proxy, origin: &Origin, fields: &[(&str, &str)]) -> Told {
    let request = fields.iter().fold(proxy.get("/"), |request, (name, value)| request.header(name, *value));
    assert_eq!(request.header("host", "shop.example").await.status, 200);
    Told::by(&origin.last())
}

/// A load balancer that nobody trusts makes all its clients one; somebody should learn of it.
#[tokio::test]
async fn a_peer_inside_that_forwards_and_is_not_trusted_is_warned_of() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let warned = |line: &serde_json::Value| line["target"] == "edge";
    proxy.get("/").await;
    for _ in 0..3 {
        proxy.get("/").header("x-forwarded-for", "203.0.113.7").await;
    }
    let line = proxy.wait_log("the warning", warned).await;
    assert_eq!((&line["level"], &line["network"]), (&"WARN".into(), &"127.0.0.0/24".into()));
    proxy.wait_access(4).await;
    assert_eq!(proxy.logs().iter().filter(|line| warned(line)).count(), 1, "once a minute");
}

/// Through a real list: what the client wrote in front changes nothing of what the load balancer wrote behind it.
#[tokio::test]
async fn garbage_in_front_does_not_hide_the_client() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TRUSTING).await;
    let told = told(&proxy, &origin, &[("x-forwarded-for", "\", 203.0.113.7")]).await;
    assert_eq!((told.client.as_str(), told.chain.as_str()), ("203.0.113.7", "203.0.113.7, 127.0.0.1"));
}

/// SEC-09, SEC-10: a stranger is itself; whatever it says about its way here is dropped.
#[tokio::test]
async fn a_stranger_says_nothing_about_its_way() {
    let origin = Origin::returning(200, "ok");
    for field in ["x-forwarded-for", "forwarded"] {
        let proxy = proxy(&origin, &format!("[server]\nforwarding_field = \"{field}\"\n")).await;
        const CLAIMS: [(&str, &str); 13] = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.test"),
            ("x-real-ip", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4;proto=https;host=evil.test"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/admin"),
            ("x-forwarded-server", "evil"),
            ("x-original-url", "/admin"),
            ("x-rewrite-url", "/admin"),
            ("x-original-host", "evil.test"),
            ("true-client-ip", "1.2.3.4"),
            ("cf-connecting-ip", "1.2.3.4"),
        ];
        let expected = Told {
            chain: "127.0.0.1".into(),
            client: "127.0.0.1".into(),
            proto: "http".into(),
            host: "shop.example".into(),
            forwarded: "for=127.0.0.1;host=\"shop.example\";proto=http".into(),
        };
        assert_eq!(told(&proxy, &origin, &CLAIMS).await, expected);
        for (name, _) in &CLAIMS[5..] {
            assert!(!origin.last().fields.has(name), "{name}");
        }
        assert_eq!(told(&proxy, &origin, &[]).await, expected);
    }
}

/// Every spelling in which an application could be told where a request came from.
const ALIASES: [(&str, &str); 21] = [
    ("x-forwarded-ssl", "on"),
    ("x-forwarded-scheme", "https"),
    ("x-forwarded-protocol", "ssl"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-user", "root"),
    ("x-url-scheme", "https"),
    ("front-end-https", "on"),
    ("client-ip", "1.2.3.4"),
    ("x-client-ip", "1.2.3.4"),
    ("x-cluster-client-ip", "1.2.3.4"),
    ("fastly-client-ip", "1.2.3.4"),
    ("true-client-ip", "1.2.3.4"),
    ("cf-connecting-ip", "1.2.3.4"),
    ("x-original-for", "1.2.3.4"),
    ("x-original-proto", "https"),
    ("x-original-url", "/admin"),
    ("x-original-uri", "/admin"),
    ("x-original-host", "evil.test"),
    ("x-original-method", "DELETE"),
    ("x-original-forwarded-for", "1.2.3.4"),
    ("x-rewrite-url", "/admin"),
];

/// What gunicorn does with fields about the scheme that contradict each other (its `secure_scheme_headers`).
fn as_gunicorn(received: &Received) -> Reply {
    const SECURE: [(&str, &str); 3] =
        [("x-forwarded-protocol", "ssl"), ("x-forwarded-proto", "https"), ("x-forwarded-ssl", "on")];
    let said = SECURE.iter().filter(|(name, _)| received.fields.has(name));
    let mut secure: Vec<bool> = said.map(|(name, value)| received.field(name) == *value).collect();
    secure.dedup();
    if secure.len() > 1 { Reply::new(400).body("Contradictory scheme headers") } else { Reply::ok("ok") }
}

/// DI-13: an alias from a stranger is removed and counted, in every spelling, one by one and all together.
#[tokio::test]
async fn an_alias_from_a_stranger_is_gone() {
    let origin = Origin::replying(as_gunicorn);
    let proxy = proxy(&origin, "").await;
    for (name, value) in ALIASES {
        for spelling in [name.to_owned(), name.replace('-', "_")] {
            let before = blocked(&proxy).await;
            assert_eq!(proxy.get("/").header(&spelling, value).await.status, 200, "{spelling}");
            assert!(!origin.last().fields.has(&spelling), "{spelling}");
            assert_eq!(blocked_since(&proxy, &before).await, once("spoofed_header"), "{spelling}");
        }
    }
    let before = blocked(&proxy).await;
    let all = ALIASES.iter().fold(proxy.get("/"), |request, (name, value)| request.header(name, *value));
    assert_eq!(all.header("x-forwarded-proto", "https").await.status, 200);
    let received = origin.last();
    assert!(ALIASES.iter().all(|(name, _)| !received.fields.has(name)), "{:?}", received.fields);
    assert_eq!(received.field("x-forwarded-proto"), "http");
    assert_eq!(blocked_since(&proxy, &before).await, once("spoofed_header"), "once a request");
}

/// DI-13: from a trusted peer an alias passes when it says the same as the field that is read.
#[tokio::test]
async fn an_alias_from_a_trusted_peer_must_agree() {
    let origin = Origin::replying(as_gunicorn);
    let proxy = proxy(&origin, TRUSTING).await;
    let base = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https")];
    for (name, value, passes) in [
        ("x-forwarded-ssl", "on", true),
        ("x-forwarded-ssl", "off", false),
        ("front-end-https", "on", true),
        ("x-url-scheme", "http", false),
        ("true-client-ip", "203.0.113.7", true),
        ("true-client-ip", "::ffff:203.0.113.7", true),
        ("cf-connecting-ip", "6.6.6.6", false),
        ("client-ip", "203.0.113.7, 6.6.6.6", false),
        ("x-original-url", "/before", true),
        ("x-forwarded-prefix", "/shop", true),
        ("x_forwarded_prefix", "/shop", false),
        ("true_client_ip", "203.0.113.7", false),
    ] {
        let request = base.iter().fold(proxy.get("/"), |request, (name, value)| request.header(name, *value));
        assert_eq!(request.header(name, value).await.status, 200, "{name}: {value}");
        assert_eq!(origin.last().fields.has(name), passes, "{name}: {value}");
    }
}

/// The warning about a load balancer that nobody trusts says what else is lost.
#[tokio::test]
async fn a_scheme_that_is_not_believed_is_warned_of() {
    let origin = Origin::returning(200, "ok");
    for (fields, words) in [
        (&[("x-forwarded-proto", "https")][..], "the application is told http"),
        (
            &[("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.7")],
            "count as one, and the application is told http",
        ),
    ] {
        let proxy = proxy(&origin, "").await;
        fields.iter().fold(proxy.get("/"), |request, (name, value)| request.header(name, *value)).await;
        let line = proxy.wait_log("the warning", |line| line["target"] == "edge").await;
        assert!(line["msg"].as_str().is_some_and(|text| text.contains(words)), "{line}");
    }
}

/// A peer's mapped IPv4 address is its IPv4 address, in what is trusted, too.
#[tokio::test]
async fn a_mapped_network_is_trusted_as_the_network_it_maps() {
    let origin = Origin::returning(200, "ok");
    for trusted in ["::ffff:127.0.0.0/104", "::ffff:127.0.0.1"] {
        let proxy = proxy(&origin, &format!("[server]\ntrusted_proxies = [\"{trusted}\"]\n")).await;
        let told = told(&proxy, &origin, &[("x-forwarded-for", "::ffff:203.0.113.7")]).await;
        assert_eq!(told.client, "203.0.113.7", "{trusted}");
    }
}

/// SEC-09: who the client is, seen through a trusted peer.
#[tokio::test]
async fn a_trusted_peer_is_followed_to_the_first_stranger() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TRUSTING).await;
    for (lines, client, chain) in [
        (&["6.6.6.6, 203.0.113.7"][..], "203.0.113.7", "203.0.113.7, 127.0.0.1"),
        (&["6.6.6.6", "203.0.113.7"], "203.0.113.7", "203.0.113.7, 127.0.0.1"),
        (&["6.6.6.6, 203.0.113.7:4711, 10.0.0.2"], "203.0.113.7", "203.0.113.7, 10.0.0.2, 127.0.0.1"),
        (&["203.0.113.7, garbage"], "127.0.0.1", "127.0.0.1"),
        (&["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2", "10.0.0.2, 127.0.0.1"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3", "10.0.0.3, 10.0.0.2, 127.0.0.1"),
        (&["[2001:db8::1]:80, , 10.0.0.2"], "2001:db8::1", "2001:db8::1, 10.0.0.2, 127.0.0.1"),
        (&["::ffff:192.0.2.1"], "192.0.2.1", "192.0.2.1, 127.0.0.1"),
        (&[], "127.0.0.1", "127.0.0.1"),
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let told = told(&proxy, &origin, &fields).await;
        assert_eq!((told.client.as_str(), told.chain.as_str()), (client, chain), "{lines:?}");
        // `Forwarded` says the same, in its own spelling.
        let nodes: Vec<String> = chain
            .split(", ")
            .map(|node| if node.contains(':') { format!("for=\"[{node}]\"") } else { format!("for={node}") })
            .collect();
        assert_eq!(told.forwarded, format!("{};host=\"shop.example\";proto=http", nodes.join(", ")), "{lines:?}");
    }
}

/// SEC-10: only the field that the load balancer writes is read; both are rebuilt from it.
#[tokio::test]
async fn of_two_fields_that_differ_the_configured_one_counts() {
    let origin = Origin::returning(200, "ok");
    let both = [
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "x.example:8443"),
        ("forwarded", "for=\"[2001:db8::2]:443\";proto=http;host=f.example"),
    ];
    let by_xff = proxy(&origin, TRUSTING).await;
    let expected = Told {
        chain: "203.0.113.1, 127.0.0.1".into(),
        client: "203.0.113.1".into(),
        proto: "https".into(),
        host: "x.example:8443".into(),
        forwarded: "for=203.0.113.1, for=127.0.0.1;host=\"x.example:8443\";proto=https".into(),
    };
    assert_eq!(told(&by_xff, &origin, &both).await, expected);

    let by_forwarded = proxy(&origin, TRUSTING_FORWARDED).await;
    let expected = Told {
        chain: "2001:db8::2, 127.0.0.1".into(),
        client: "2001:db8::2".into(),
        proto: "http".into(),
        host: "f.example".into(),
        forwarded: "for=\"[2001:db8::2]\", for=127.0.0.1;host=\"f.example\";proto=http".into(),
    };
    assert_eq!(told(&by_forwarded, &origin, &both).await, expected);
    // The other field alone says nothing.
    assert_eq!(told(&by_forwarded, &origin, &both[..3]).await.client, "127.0.0.1");
    assert_eq!(told(&by_xff, &origin, &both[3..]).await.client, "127.0.0.1");
}

#[tokio::test]
async fn what_a_trusted_peer_adds_passes_and_nonsense_falls_back() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TRUSTING).await;
    let fields = [
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a@b"),
        ("x-forwarded-port", "8443"),
        ("x-real-ip", "6.6.6.6"),
        ("cf-connecting-ip", "203.0.113.1"),
    ];
    let told = told(&proxy, &origin, &fields).await;
    assert_eq!(
        (told.proto.as_str(), told.host.as_str(), told.client.as_str()),
        ("http", "shop.example", "203.0.113.1")
    );
    let received = origin.last();
    assert_eq!((received.field("x-forwarded-port"), received.field("cf-connecting-ip")), ("8443", "203.0.113.1"));
}

/// The right-hand end is the peer's own word; what stands left of it came from further away.
#[tokio::test]
async fn the_rightmost_scheme_counts() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TRUSTING).await;
    let fields = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-proto", "http, https")];
    assert_eq!(told(&proxy, &origin, &fields).await.proto, "https");
}
