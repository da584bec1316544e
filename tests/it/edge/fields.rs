//! Section 4: Connection, hop-by-hop fields, Via, and names spelt with underscores.

use super::{blocked, blocked_since, once, proxy};
use vestibule_testkit::{Origin, Reply};

/// SEC-07: nobody drops a field that the proxy relies on by naming it in Connection.
#[tokio::test]
async fn connection_must_not_name_what_the_proxy_relies_on() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for named in [
        "authorization",
        "cookie",
        "idempotency-key",
        "traceparent",
        "tracestate",
        "x-auth-subject",
        "host",
        "x-api-key",
        "content-length",
        "content-type",
        "X-Forwarded-For",
        "forwarded",
        "x-real-ip",
        "via",
        "if-none-match",
        "range",
        "origin",
        "accept-encoding",
        "expect",
        "baggage",
        "b3",
        "x-b3-traceid",
        "x-request-id",
        ":authority",
        "a, b, c, d, e, f, g, h, i, j",
    ] {
        let before = blocked(&proxy).await;
        let mut raw = proxy.connect().await;
        let answer = proxy.get("/").header("connection", named).on(&mut raw).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "connection-nomination"), "{named}");
        assert!(raw.closed().await.is_empty(), "{named}");
        assert_eq!(blocked_since(&proxy, &before).await, once("connection_nomination"), "{named}");
    }
    for no_token in ["\"close\"", "a b", "x@y"] {
        let before = blocked(&proxy).await;
        let answer = proxy.get("/").header("connection", no_token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"), "{no_token}");
        assert_eq!(blocked_since(&proxy, &before).await, once("framing"), "{no_token}");
    }
    assert_eq!(origin.hits(), 0);
}

/// SEC-07: nor by naming what a plugin goes by.
#[tokio::test]
async fn connection_must_not_name_the_key_of_a_policy() {
    let origin = Origin::returning(200, "ok");
    let toml = "[rate_limit.policies.tenant]\nlimit = \"1/h\"\nkey = [\"header:X-Tenant\", \"address\"]\n\
                [rate_limit.tiers]\nanonymous = [\"tenant\"]\n";
    let proxy = proxy(&origin, toml).await;
    let ask = |connection: &'static str| proxy.get("/").header("x-tenant", "a").header("connection", connection);
    assert_eq!(ask("x-other").await.status, 200);
    let refused = ask("x-tenant").await;
    assert_eq!((refused.status, refused.problem().as_str()), (400, "connection-nomination"));
    assert_eq!(ask("x-other").await.status, 429);
}

/// SEC-07: any other field that Connection names is for this hop.
#[tokio::test]
async fn other_fields_that_connection_names_are_removed() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let request = proxy.get("/").header("connection", "x-foo, X-Bar, close").header("X-Foo", "1").header("x-bar", "2");
    assert_eq!(request.header("x-baz", "3").await.status, 200);
    let received = origin.last();
    assert_eq!(
        (received.fields.has("x-foo"), received.fields.has("x-bar"), received.field("x-baz")),
        (false, false, "3")
    );
    assert!(!received.fields.lists("connection", "x-foo"));
}

#[tokio::test]
async fn hop_by_hop_fields_go_no_further_either_way() {
    let origin = Origin::replying(|_| {
        Reply::ok("ok")
            .field("connection", "x-hop")
            .field("x-hop", "1")
            .field("keep-alive", "timeout=5")
            .field("proxy-connection", "keep-alive")
            .field("proxy-authenticate", "Basic")
            .field("upgrade", "h2c")
            .field("trailer", "x-sum")
            .field("x-kept", "1")
    });
    let proxy = proxy(&origin, "").await;
    const REQUEST: [(&str, &str); 7] = [
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eDp5"),
        ("te", "gzip"),
        ("trailer", "x-sum"),
        ("upgrade", "websocket"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
    ];
    // Both lanes: without a body and with one.
    for request in [proxy.get("/"), proxy.post("/").body("x")] {
        let request = REQUEST.iter().fold(request, |request, (name, value)| request.header(name, *value));
        let answer = request.header("x-kept", "1").await;
        let received = origin.last();
        for (name, _) in REQUEST {
            assert!(!received.fields.has(name), "{name} upward: {:?}", received.fields);
        }
        for name in ["x-hop", "proxy-connection", "proxy-authenticate", "upgrade", "trailer"] {
            assert!(!answer.fields.has(name), "{name} downward: {:?}", answer.fields);
        }
        assert!(answer.field("keep-alive") != "timeout=5");
        assert_eq!((received.field("x-kept"), answer.field("x-kept")), ("1", "1"));
    }
}

#[tokio::test]
async fn via_is_appended_and_none_goes_back() {
    let origin = Origin::replying(|_| Reply::ok("ok").field("x", "y"));
    let named = proxy(&origin, "[server]\nvia = \"edge-1\"\n").await;
    let answer = named.get("/").header("via", "1.1 cdn").await;
    assert_eq!(origin.last().fields.all("via").collect::<Vec<_>>().join(", "), "1.1 cdn, 1.1 edge-1");
    assert!(!answer.fields.has("via"));
    let silent = proxy(&origin, "[server]\nvia = \"\"\n").await;
    silent.get("/").header("via", "1.1 cdn").await;
    assert_eq!(origin.last().fields.all("via").collect::<Vec<_>>(), ["1.1 cdn"]);
}

/// A request that has passed here eight times is going in circles.
#[tokio::test]
async fn a_loop_is_broken() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let passed = |times: usize| {
        let mut request = proxy.get("/").header("via", "1.1 other");
        for _ in 0..times {
            request = request.header("via", "1.1 vestibule");
        }
        request
    };
    assert_eq!(passed(7).await.status, 200);
    let looping = passed(8).await;
    assert_eq!((looping.status, looping.problem().as_str()), (508, "loop"));
    assert_eq!(origin.hits(), 1);
}

/// An upstream that is the proxy itself ends after eight rounds, not when sockets run out.
#[tokio::test]
async fn a_proxy_before_itself_stops() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let relay_to = taken.local_addr().expect("a bound socket");
    drop(taken);
    let relay = vestibule_testkit::Relay::to(relay_to);
    let toml = format!("[server]\nlisten = \"{relay_to}\"\n");
    let url = format!("http://{}", relay.address());
    let proxy = vestibule_testkit::Proxy::before(crate::bin(), &url, &toml).await;
    assert_eq!(proxy.get("/").await.status, 508);
    assert_eq!(relay.connections(), 8);
}

/// A name with `_` that a lenient application reads as the field with `-` is removed and counted once a request.
#[tokio::test]
async fn underscore_twins_do_not_pass() {
    let origin = Origin::returning(200, "ok");
    for trusted in ["", "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n"] {
        let proxy = proxy(&origin, trusted).await;
        let twins = [
            "X_Forwarded_For",
            "x-forwarded_proto",
            "X_Real_IP",
            "X_Auth_Subject",
            "x_api_key",
            "IDEMPOTENCY_KEY",
            "true_client_ip",
        ];
        for name in twins {
            let before = blocked(&proxy).await;
            assert_eq!(proxy.get("/").header(name, "spoof").await.status, 200, "{name}");
            assert!(!origin.last().fields.has(name), "{name}");
            assert_eq!(blocked_since(&proxy, &before).await, once("spoofed_header"), "{name}");
        }
        let before = blocked(&proxy).await;
        let all = twins.iter().fold(proxy.get("/"), |request, name| request.header(name, "spoof"));
        assert_eq!(all.header("my_field", "kept").await.status, 200);
        assert_eq!(origin.last().field("my_field"), "kept");
        assert_eq!(blocked_since(&proxy, &before).await, once("spoofed_header"), "once a request");
    }
}
