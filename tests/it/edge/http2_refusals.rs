//! HTTP/2 requests that are malformed, or must not be served: each costs its stream and nothing else.

use super::http2::{open, proxy};
use vestibule_testkit::frames::{self, Kind};
use vestibule_testkit::{Certs, Gate, Origin, Proxy, Reply};

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    /// With a response.
    Answered,
    /// With RST_STREAM and PROTOCOL_ERROR.
    Reset,
    /// With its connection.
    ConnectionGone,
}

/// Sends a head, and DATA behind it, on a connection of its own; how its stream ended.
async fn end_of(proxy: &Proxy, certs: &Certs, fields: &[(&str, &str)], data: Option<&[u8]>) -> StreamEnd {
    let mut raw = open(proxy, certs).await;
    let ends = if data.is_some() { 0 } else { frames::END_STREAM };
    raw.write(frames::headers(1, ends, fields)).await;
    if let Some(data) = data {
        raw.write(frames::frame(Kind::Data, frames::END_STREAM, 1, data)).await;
    }
    let end = loop {
        match raw.frame().await {
            None => return StreamEnd::ConnectionGone,
            Some(frame) if frame.is(Kind::GoAway) => return StreamEnd::ConnectionGone,
            Some(frame) if frame.stream == 1 && frame.is(Kind::Headers) => break StreamEnd::Answered,
            Some(frame) if frame.stream == 1 && frame.is(Kind::RstStream) => {
                assert_eq!(&frame.payload[..], [0, 0, 0, 1], "PROTOCOL_ERROR");
                break StreamEnd::Reset;
            }
            Some(_) => {}
        }
    };
    // The connection serves on.
    raw.write(frames::headers(3, frames::END_STREAM, &GET)).await;
    loop {
        let Some(frame) = raw.frame().await else { return StreamEnd::ConnectionGone };
        if frame.stream == 3 && frame.is(Kind::Headers) {
            return end;
        }
    }
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":path", "/other"), (":scheme", "https"), (":authority", "localhost")];

/// SEC-05: a malformed request ends its stream, and the connection lives.
#[tokio::test]
async fn a_malformed_request_ends_its_stream_alone() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "").await;
    let base = |more: &[(&'static str, &'static str)]| [&GET[..], more].concat();
    let with = |at: usize, value: &'static str| {
        let mut fields = GET.to_vec();
        fields[at].1 = value;
        fields
    };
    let without = |at: usize| {
        let mut fields = GET.to_vec();
        fields.remove(at);
        fields
    };
    for (what, fields, data) in [
        ("connection", base(&[("connection", "close")]), None),
        ("transfer-encoding", base(&[("transfer-encoding", "chunked")]), None),
        ("keep-alive", base(&[("keep-alive", "timeout=5")]), None),
        ("te", base(&[("te", "gzip")]), None),
        ("two paths", base(&[(":path", "/")]), None),
        ("a pseudo-header behind a field", [&[("x", "y")][..], &GET].concat(), None),
        ("no method", without(0), None),
        ("no path", without(1), None),
        ("no scheme", without(2), None),
        (":status", [&[(":status", "200")][..], &GET].concat(), None),
        ("an empty path", with(1, ""), None),
        ("a length that is none", base(&[("content-length", "x")]), Some(&b"x"[..])),
        ("two lengths", base(&[("content-length", "1"), ("content-length", "2")]), Some(b"x")),
        ("more than declared", base(&[("content-length", "1")]), Some(b"xy")),
        ("less than declared", base(&[("content-length", "3")]), Some(b"xy")),
    ] {
        let end = end_of(&proxy, &certs, &fields, data).await;
        assert_eq!(end, StreamEnd::Reset, "{what}");
    }
    let reached = origin.requests().iter().filter(|request| request.target == "/" || request.text() == "xy").count();
    assert_eq!(reached, 0, "{:?}", origin.requests());
}

/// SEC-05: a body that is declared empty and is not never becomes a request of the upstream.
#[tokio::test]
async fn bytes_behind_an_empty_length_reach_nobody() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "").await;
    let post =
        [(":method", "POST"), (":path", "/empty"), (":scheme", "https"), (":authority", "a"), ("content-length", "0")];
    assert_eq!(end_of(&proxy, &certs, &post, Some(b"smuggled")).await, StreamEnd::Reset);
    assert_eq!(end_of(&proxy, &certs, &post, Some(b"")).await, StreamEnd::Answered);
    assert_eq!(end_of(&proxy, &certs, &post, None).await, StreamEnd::Answered);
    let posts: Vec<_> = origin.requests().into_iter().filter(|request| request.target == "/empty").collect();
    assert_eq!(posts.len(), 2, "{posts:?}");
    assert!(posts.iter().all(|post| post.field("content-length") == "0" && post.text().is_empty()));
}

/// The status of the answer to a head, its problem, and what was counted.
async fn refusal(proxy: &Proxy, certs: &Certs, fields: &[(&str, &str)]) -> (String, String, Vec<(String, u64)>) {
    let before = super::blocked(proxy).await;
    let mut raw = open(proxy, certs).await;
    raw.write(frames::headers(1, frames::END_STREAM, fields)).await;
    let (mut status, mut body) = (String::new(), Vec::new());
    loop {
        let frame = raw.frame().await.expect("the connection lives");
        assert!(!frame.is(Kind::GoAway), "{fields:?}");
        if frame.stream != 1 {
            continue;
        }
        if frame.is(Kind::RstStream) {
            status = "reset".into();
            break;
        }
        if frame.is(Kind::Headers) {
            // RFC 7541 appendix A: 12 is 400; other statuses are literals with the name of index 8.
            status = match frame.payload[0] {
                0x8c => "400".into(),
                _ => "other".into(),
            };
        }
        if frame.is(Kind::Data) {
            body.extend_from_slice(&frame.payload);
        }
        if frame.flags & frames::END_STREAM != 0 {
            break;
        }
    }
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let slug = problem["type"].as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default().to_owned();
    (status, slug, super::blocked_since(proxy, &before).await)
}

/// SEC-01: an application that reads `_` as `-` would read a length or a coding that nobody else did.
#[tokio::test]
async fn a_framing_field_spelt_with_an_underscore_is_refused() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "").await;
    for name in ["content_length", "transfer_encoding"] {
        let head = [&GET[..], &[(name, "7")]].concat();
        let expected = ("400".to_owned(), "bad-request".to_owned(), super::once("smuggling"));
        assert_eq!(refusal(&proxy, &certs, &head).await, expected, "{name}");
    }
    assert_eq!(origin.hits(), 0);
}

/// DI-17: bytes that the library lets through and the engine's text cannot carry.
#[tokio::test]
async fn targets_that_are_not_ascii_reach_the_application_encoded() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "").await;
    for (sent, received) in [("/a\"b", "/a%22b"), ("/café", "/caf%C3%A9"), ("/a?café", "/a?caf%C3%A9")] {
        let head = [(":method", "GET"), (":path", sent), (":scheme", "https"), (":authority", "localhost")];
        assert_eq!(end_of(&proxy, &certs, &head, None).await, StreamEnd::Answered, "{sent}");
        let requests = origin.requests();
        let found = requests.iter().rfind(|request| request.target != "/other").expect("a request");
        assert_eq!((found.target.as_str(), found.field("host")), (received, "localhost"), "{sent}");
    }
}

/// SEC-05: what can be read and must not be served is refused by name.
#[tokio::test]
async fn an_authority_or_a_target_that_is_none_is_refused() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&certs, &origin, "").await;
    let head = |method, path, scheme, authority: Option<&'static str>, host: Option<&'static str>| {
        let mut fields = vec![(":method", method), (":path", path), (":scheme", scheme)];
        fields.extend(authority.map(|authority| (":authority", authority)));
        fields.extend(host.map(|host| ("host", host)));
        fields
    };
    let mut differ = Vec::new();
    for (fields, status, slug, kind) in [
        (head("GET", "/", "https", Some("a.test"), Some("b.test")), "400", "bad-host", "bad_host"),
        (head("GET", "/", "https", None, None), "400", "bad-host", "bad_host"),
        (head("GET", "/", "https", None, Some("a,b")), "400", "bad-host", "bad_host"),
        (head("GET", "/", "https", Some("a,b"), None), "400", "bad-host", "bad_host"),
        // What the protocol cannot even write down ends the stream.
        (head("GET", "/", "https", Some("a:b:c"), None), "reset", "", ""),
        (head("GET", "*", "https", Some("a"), None), "400", "bad-target", "bad_target"),
        (head("GET", "/", "ftp", Some("a"), None), "400", "bad-target", "bad_target"),
        (head("GET", "x", "https", Some("a"), None), "reset", "", ""),
        (vec![(":method", "CONNECT"), (":authority", "a:80")], "other", "method-not-allowed", "method"),
    ] {
        let got = refusal(&proxy, &certs, &fields).await;
        let expected = (status.to_owned(), slug.to_owned(), super::once(kind));
        if got != expected {
            differ.push((fields, got, expected));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
    assert_eq!(origin.hits(), 0);
    for host in [None, Some("a.test"), Some("a.TEST:443")] {
        let spelt = head("GET", "/", "https", Some("A.test:443"), host);
        assert_eq!(end_of(&proxy, &certs, &spelt, None).await, StreamEnd::Answered, "{host:?}");
        assert_eq!(origin.hits() % 2, 0, "it and the one behind it are served");
    }
}

/// What one client of a load balancer sends costs the others on its connection nothing, however often it is sent.
#[tokio::test]
async fn refused_authorities_leave_other_streams_alone() {
    let certs = Certs::new();
    let gate = Gate::closed();
    let open_gate = gate.clone();
    let origin = Origin::replying(move |request| match request.target.as_str() {
        "/slow" => Reply::ok("slow").once(&gate),
        _ => Reply::ok("ok"),
    });
    let proxy = proxy(&certs, &origin, "").await;
    let mut raw = open(&proxy, &certs).await;
    let slow = [(":method", "GET"), (":path", "/slow"), (":scheme", "https"), (":authority", "a.test")];
    raw.write(frames::headers(1, frames::END_STREAM, &slow)).await;
    for number in 0..200 {
        let id = 3 + 2 * number;
        raw.write(frames::headers(id, frames::END_STREAM, &[&GET[..], &[("host", "b.test")]].concat())).await;
        while !raw.frame().await.is_some_and(|frame| frame.stream == id && frame.is(Kind::Headers)) {}
    }
    open_gate.open();
    loop {
        let frame = raw.frame().await.expect("the connection lives");
        if frame.stream == 1 && frame.is(Kind::Headers) {
            assert_eq!(frame.payload[0], 0x88, "200");
            return;
        }
    }
}
