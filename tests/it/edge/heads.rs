//! Request heads: syntax, Host, method, size, and what comes behind them.

use super::{blocked, blocked_since, once, proxy};
use vestibule_testkit::Origin;

/// A head, its status, the slug of its problem (none when the answer may be empty), and what is counted.
type Case = (&'static str, &'static [u8], u16, &'static str, &'static str);

const REFUSED: &[Case] = &[
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400, "bad-host", "bad_host"),
    ("an empty Host", b"GET / HTTP/1.1\r\nhost:\r\n\r\n", 400, "bad-host", "bad_host"),
    ("a Host with a space", b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "bad-host", "bad_host"),
    ("a Host with a bad port", b"GET / HTTP/1.1\r\nhost: a:b\r\n\r\n", 400, "bad-host", "bad_host"),
    ("PRI", b"PRI / HTTP/1.1\r\nhost: a\r\n\r\n", 405, "method-not-allowed", "method"),
    (
        "a method in mixed case",
        b"Post / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        405,
        "method-not-allowed",
        "method",
    ),
    (
        "a long method",
        b"AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDD / HTTP/1.1\r\nhost: a\r\n\r\n",
        405,
        "method-not-allowed",
        "method",
    ),
    ("`*` for HEAD", b"POST * HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", 400, "bad-target", "bad_target"),
    ("a Host with a list", b"GET / HTTP/1.1\r\nhost: a,b\r\n\r\n", 400, "bad-host", "bad_host"),
    ("two Hosts", b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400, "bad-host", "bad_host"),
    ("a Host with an escape", b"GET / HTTP/1.1\r\nhost: %61.test\r\n\r\n", 400, "bad-host", "bad_host"),
    ("a Host with a sign that begins none", b"GET / HTTP/1.1\r\nhost: a%zz\r\n\r\n", 400, "bad-host", "bad_host"),
    ("a Host with userinfo", b"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", 400, "bad-host", "bad_host"),
    ("another authority", b"GET http://a/ HTTP/1.1\r\nhost: b\r\n\r\n", 400, "bad-target", "bad_target"),
    ("userinfo in the target", b"GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400, "bad-target", "bad_target"),
    ("TRACE", b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", 405, "method-not-allowed", "method"),
    ("a method in lower case", b"get / HTTP/1.1\r\nhost: a\r\n\r\n", 405, "method-not-allowed", "method"),
    ("an unknown method", b"BREW / HTTP/1.1\r\nhost: a\r\n\r\n", 405, "method-not-allowed", "method"),
    ("an empty expectation", b"GET / HTTP/1.1\r\nhost: a\r\nexpect:\r\n\r\n", 417, "expectation-failed", ""),
    ("an unknown expectation", b"GET / HTTP/1.1\r\nhost: a\r\nexpect: 200-ok\r\n\r\n", 417, "expectation-failed", ""),
    (
        "a second expectation",
        b"GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nexpect: foo\r\n\r\n",
        417,
        "expectation-failed",
        "",
    ),
    ("a target of another scheme", b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400, "bad-target", "bad_target"),
    ("`*` for GET", b"GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400, "bad-target", "bad_target"),
];

/// Section 2: each refusal has its answer, counts once under its kind, and ends the connection.
#[tokio::test]
async fn a_head_that_breaks_a_rule_is_answered_counted_and_closed() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for (what, head, status, slug, kind) in REFUSED {
        let before = blocked(&proxy).await;
        let mut raw = proxy.connect().await;
        raw.write(head).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.problem().as_str()), (*status, *slug), "{what}");
        assert!(raw.closed().await.is_empty(), "{what}");
        assert_eq!(blocked_since(&proxy, &before).await, once(kind), "{what}");
    }
    assert_eq!(origin.hits(), 0);
}

#[tokio::test]
async fn connect_is_refused_whatever_its_target() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for head in ["CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", "CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let before = blocked(&proxy).await;
        let mut raw = proxy.connect().await;
        raw.write(head).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.problem().as_str()), (405, "method-not-allowed"), "{head:?}");
        assert!(!answer.field("allow").is_empty());
        raw.closed().await;
        let line = crate::observe::line_of(&proxy, answer.field("x-trace-id")).await;
        assert_eq!((&line["method"], &line["end"]), (&"CONNECT".into(), &"refused".into()));
        assert_eq!(blocked_since(&proxy, &before).await, once("method"), "{head:?}");
    }
    assert_eq!(origin.hits(), 0);
}

#[tokio::test]
async fn a_405_lists_the_methods_that_are_served() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nmethods = [\"GET\", \"PURGE\"]\n").await;
    assert_eq!(proxy.request("PURGE", "/").await.status, 200);
    let refused = proxy.post("/").body("x").await;
    assert_eq!((refused.status, refused.field("allow")), (405, "GET, PURGE"));
}

/// SEC-01: a target for somebody else is refused by name, whichever part differs.
#[tokio::test]
async fn a_target_of_another_authority_is_refused() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for (target, host) in [
        ("http://a/", "b"),
        ("http://a:8080/", "a"),
        ("https://a:80/", "a"),
        ("http://u@a/", "a"),
        ("http://a.test/", "a.test."),
    ] {
        let before = blocked(&proxy).await;
        let mut raw = proxy.connect().await;
        raw.write(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(raw.answer().await.status, 400, "{target} {host}");
        raw.closed().await;
        assert_eq!(blocked_since(&proxy, &before).await, once("bad_target"), "{target} {host}");
    }
    assert_eq!(origin.hits(), 0);
}

/// DI-18: spellings of one authority are one, and the application reads the Host as it was sent.
#[tokio::test]
async fn an_authority_has_many_spellings() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for (target, host) in [
        ("/", "a.test:"),
        ("/", "A.Test:80"),
        ("http://A.test:80/", "a.test"),
        ("HTTP://a.test/", "A.TEST:"),
        ("http://a.test:/", "a.test:80"),
        ("http://[0:0::1]/", "[::1]:80"),
        ("https://a.test/", "a.test:443"),
    ] {
        let mut raw = proxy.connect().await;
        raw.write(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(raw.answer().await.status, 200, "{target} {host}");
        let received = origin.last();
        assert_eq!((received.target.as_str(), received.field("host")), ("/", host), "{target}");
    }
}

/// DI-18: `close` counts on whichever line it stands.
#[tokio::test]
async fn a_list_goes_on_over_its_lines() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for fields in [
        "connection: keep-alive\r\nconnection: close",
        "connection: close\r\nconnection: keep-alive",
        "connection: keep-alive, , Close",
        "connection: x-hop\r\nconnection: \r\nx-hop: 1\r\nconnection: ,close",
    ] {
        let mut raw = proxy.connect().await;
        raw.write(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n")).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, answer.field("connection")), (200, "close"), "{fields}");
        assert!(raw.closed().await.is_empty(), "{fields}");
        assert!(!origin.last().fields.has("x-hop"), "{fields}");
    }
}

/// DI-09: an entry for GET is one for HEAD, and no spelling of a method walks around it.
#[tokio::test]
async fn an_entry_for_get_takes_head() {
    let origin = Origin::returning(200, "ok");
    let toml = "[[routes]]\nname = \"admin\"\npath = \"/admin\"\nmethods = [\"GET\"]\n";
    let proxy = proxy(&origin, toml).await;
    for (method, status, route) in
        [("GET", 200, "admin"), ("HEAD", 200, "admin"), ("POST", 200, "unmatched"), ("get", 405, "unmatched")]
    {
        let mut raw = proxy.connect().await;
        raw.write(proxy.request(method, "/admin").header("content-length", "0").encoded()).await;
        let answer = raw.try_answer_to(method).await.expect("an answer");
        assert_eq!(answer.status, status, "{method}");
        let line = crate::observe::line_of(&proxy, answer.field("x-trace-id")).await;
        assert_eq!(line["route"], route, "{method}");
    }
}

/// DI-16: what HTTP/2 says by the end of a stream is said in words to HTTP/1.1.
#[tokio::test]
async fn a_write_without_a_body_says_so() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for (method, length) in [
        ("POST", Some("0")),
        ("PUT", Some("0")),
        ("PATCH", Some("0")),
        ("DELETE", None),
        ("GET", None),
        ("OPTIONS", None),
    ] {
        assert_eq!(proxy.request(method, "/").await.status, 200, "{method}");
        let received = origin.last();
        assert_eq!(received.fields.all("content-length").next(), length, "{method}");
        assert!(!received.fields.has("transfer-encoding"), "{method}");
    }
}

/// RFC 9110 section 4.2.3: an empty path is `/`.
#[tokio::test]
async fn an_absolute_target_goes_on_as_its_path() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for (sent, received) in [("http://a/x?y", "/x?y"), ("http://a?x=1", "/?x=1"), ("http://a", "/")] {
        let mut raw = proxy.connect().await;
        raw.write(format!("GET {sent} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!((raw.answer().await.status, origin.last().target.as_str()), (200, received), "{sent}");
    }
}

/// SEC-14: a head of exactly the limit passes, one more byte does not.
#[tokio::test]
async fn a_head_is_bounded_in_bytes() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nmax_header_bytes = \"64KiB\"\n").await;
    let head = |size: usize| {
        let (start, end) = ("GET / HTTP/1.1\r\nhost: localhost\r\n", "\r\n\r\n");
        let fill = size - start.len() - end.len();
        // Several fields, since no line is longer than 8 KiB in practice.
        let mut fields = String::new();
        while fill - fields.len() > 8192 {
            fields.push_str(&format!("x: {}\r\n", "a".repeat(4091)));
        }
        let last = fill - fields.len() - "y: ".len();
        format!("{start}{fields}y: {}{end}", "b".repeat(last))
    };
    assert_eq!(head(65536).len(), 65536);
    let mut raw = proxy.connect().await;
    raw.write(head(65536)).await;
    assert_eq!(raw.answer().await.status, 200);
    let before = blocked(&proxy).await;
    let mut raw = proxy.connect().await;
    raw.write(head(65537)).await;
    let refused = raw.answer().await;
    assert_eq!((refused.status, refused.field("connection")), (431, "close"));
    assert_eq!(refused.problem(), "header-too-large");
    assert!(raw.closed().await.is_empty());
    assert_eq!(blocked_since(&proxy, &before).await, once("header_size"));
    assert_eq!(origin.hits(), 1);
}

/// SEC-14: 256 fields pass, 257 do not.
#[tokio::test]
async fn a_head_is_bounded_in_fields() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    // Host is one of them.
    let head = |fields: usize| format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(fields - 1));
    let mut raw = proxy.connect().await;
    raw.write(head(256)).await;
    assert_eq!(raw.answer().await.status, 200);
    let before = blocked(&proxy).await;
    let mut raw = proxy.connect().await;
    raw.write(head(257)).await;
    assert_eq!(raw.answer().await.status, 431);
    assert!(raw.closed().await.is_empty());
    assert_eq!(blocked_since(&proxy, &before).await, once("header_size"));
    assert_eq!(origin.hits(), 1);
}

#[tokio::test]
async fn http_1_0_without_a_host_is_served() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut raw = proxy.connect().await;
    raw.write("GET /old HTTP/1.0\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    raw.closed().await;
    // HTTP/1.1 upward needs one: the upstream's own authority.
    assert_eq!(origin.last().field("host"), origin.address().to_string());
}

#[tokio::test]
async fn the_host_a_client_sent_arrives_unchanged() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    assert_eq!(proxy.get("/").header("host", "Shop.Example:8443").await.status, 200);
    assert_eq!(origin.last().field("host"), "Shop.Example:8443");
    let mut raw = proxy.connect().await;
    raw.write("GET http://shop.example/x?y=1 HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!((origin.last().target.as_str(), origin.last().field("host")), ("/x?y=1", "shop.example"));
    let mut raw = proxy.connect().await;
    raw.write("OPTIONS * HTTP/1.1\r\nhost: shop.example\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(origin.last().target, "*");
}
