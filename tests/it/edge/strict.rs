//! SEC-01: one strict reading of HTTP/1. Every row of the rules, at the start of a connection and behind a request, whole
//! and byte by byte: its answer, its kind, an access line, a closed connection, and nobody behind who saw it.

use super::{blocked, blocked_since, once, proxy};
use crate::observe::line_of;
use vestibule_testkit::{Answer, Certs, Origin, Proxy, Raw, Setup};

/// Text of a head, or of a body behind [`CHUNKED`], and what its refusal is counted as. `{}` is [`START`].
type Row = (&'static str, &'static str);

const START: &str = "POST /row HTTP/1.1\r\nhost: localhost\r\n";
const CHUNKED: &str = "POST /row HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";

const BAD_REQUESTS: &[Row] = &[
    // Lines and fields.
    ("{}x: y\n\r\n", "framing"),
    ("POST /row HTTP/1.1\nhost: a\n\n", "framing"),
    ("{}x: y\r\n\n", "framing"),
    ("{}x: a\rb\r\n\r\n", "framing"),
    ("{}x: a\0b\r\n\r\n", "framing"),
    ("{}x: a\x1bb\r\n\r\n", "framing"),
    ("{}x: a\x7f\r\n\r\n", "framing"),
    ("{}x: a\r\n folded\r\n\r\n", "framing"),
    ("{}\tx: a\r\n\r\n", "framing"),
    ("{}x : y\r\n\r\n", "framing"),
    ("{}content-length : 1\r\n\r\n", "framing"),
    ("{}(x): y\r\n\r\n", "framing"),
    ("{}no colon\r\n\r\n", "framing"),
    ("{}: y\r\n\r\n", "framing"),
    ("\r\n\r\n{}\r\n", "framing"),
    // The request line.
    ("GET /\r\n\r\n", "framing"),
    ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", "framing"),
    ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", "framing"),
    ("GET /a\tb HTTP/1.1\r\nhost: a\r\n\r\n", "framing"),
    ("GET /a\0b HTTP/1.1\r\nhost: a\r\n\r\n", "framing"),
    ("GET /a\x7fb HTTP/1.1\r\nhost: a\r\n\r\n", "framing"),
    ("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", "framing"),
    ("GET / HTTP/1.2\r\nhost: a\r\n\r\n", "framing"),
    ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", "framing"),
    ("GET / http/1.1\r\nhost: a\r\n\r\n", "framing"),
    ("GET / HTTP/1.1 \r\nhost: a\r\n\r\n", "framing"),
    ("G(T / HTTP/1.1\r\nhost: a\r\n\r\n", "framing"),
    ("\x16\x03\x01\x02\0\x01\0", "framing"),
    // Lengths.
    ("{}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "smuggling"),
    ("{}transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", "smuggling"),
    ("{}content-length: 1\r\ncontent-length: 1\r\n\r\n", "smuggling"),
    ("{}content-length: 1\r\ncontent-length: 2\r\n\r\n", "smuggling"),
    ("{}content-length: 1, 1\r\n\r\n", "smuggling"),
    ("{}content-length: 010\r\n\r\n", "smuggling"),
    ("{}content-length: +3\r\n\r\n", "smuggling"),
    ("{}content-length: 0x1\r\n\r\n", "smuggling"),
    ("{}content-length:\r\n\r\n", "smuggling"),
    ("{}content-length: 1000000000000000000\r\n\r\n", "smuggling"),
    ("{}transfer-encoding: gzip\r\n\r\n", "smuggling"),
    ("{}transfer-encoding: chunked, gzip\r\n\r\n", "smuggling"),
    ("{}transfer-encoding: chunked, chunked\r\n\r\n", "smuggling"),
    ("{}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", "smuggling"),
    ("{}transfer-encoding: xchunked\r\n\r\n", "smuggling"),
    ("{}transfer-encoding: chunked;x\r\n\r\n", "smuggling"),
    ("POST /row HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", "smuggling"),
    ("{}content_length: 1\r\n\r\n", "smuggling"),
    ("{}Transfer_Encoding: chunked\r\n\r\n", "smuggling"),
    ("{}HOST_: x\r\nconnection_: x\r\n_host: x\r\nContent_length: 1\r\n\r\n", "smuggling"),
];

/// Bodies that are no chunked coding.
const BAD_CHUNKS: &[&str] = &[
    "\r\n",
    "zz\r\n",
    "-1\r\nx\r\n0\r\n\r\n",
    "+1\r\nx\r\n0\r\n\r\n",
    "0x1\r\nx\r\n0\r\n\r\n",
    "00000000000000001\r\nx\r\n0\r\n\r\n",
    "1 \r\nx\r\n0\r\n\r\n",
    " 1\r\nx\r\n0\r\n\r\n",
    "1\nx\r\n0\r\n\r\n",
    "1\r\nx\n0\r\n\r\n",
    "1\r\nxx\r\n0\r\n\r\n",
    "1\r\nx\r\n\r\n",
    "1;\r\nx\r\n0\r\n\r\n",
    "1; a\r\nx\r\n0\r\n\r\n",
    "1;a=\"b\r\nx\r\n0\r\n\r\n",
    "1;a=\x01\r\nx\r\n0\r\n\r\n",
    "1;a\nx\r\n0\r\n\r\n",
    "0\n\n",
    "0\r\nx\r\n\r\n",
    "0\r\nx: y\n\r\n",
    "0\r\n folded\r\n\r\n",
    "0\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
];

/// How a row comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Whole,
    ByteByByte,
    BehindARequest,
}

const WAYS: [Way; 3] = [Way::Whole, Way::ByteByByte, Way::BehindARequest];

/// Sends `bytes`, and a request behind them that nobody may serve.
async fn send(proxy: &Proxy, raw: &mut Raw, bytes: &[u8], way: Way) {
    match way {
        Way::ByteByByte => {
            for byte in bytes {
                // Whoever has been refused already may be gone.
                let _ = raw.try_write([*byte]).await;
            }
        }
        Way::Whole => raw.write([bytes, &proxy.get("/behind").encoded()].concat()).await,
        Way::BehindARequest => {
            assert_eq!(proxy.get("/before").on(raw).await.status, 200);
            raw.write(bytes).await;
        }
    }
}

/// The answer is our own, and the connection ends with it.
async fn is_refused(proxy: &Proxy, raw: &mut Raw, row: &str) -> Answer {
    let answer = raw.answer().await;
    assert_eq!(answer.field("connection"), "close", "{row:?}");
    assert!(!answer.field("date").is_empty() && !answer.field("server").contains("ingora"), "{row:?}");
    assert!(raw.closed().await.is_empty(), "{row:?}");
    let line = line_of(proxy, answer.field("x-trace-id")).await;
    assert_eq!(line["status"], answer.status, "{row:?}: {line}");
    answer
}

/// SEC-01, DI-26.
#[tokio::test]
async fn every_head_that_breaks_a_rule_is_an_exchange_that_ends_there() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut before_it = 0;
    for (row, kind) in BAD_REQUESTS {
        for way in WAYS {
            let before = blocked(&proxy).await;
            let mut raw = proxy.connect().await;
            send(&proxy, &mut raw, row.replace("{}", START).as_bytes(), way).await;
            before_it += usize::from(matches!(way, Way::BehindARequest));

            let answer = is_refused(&proxy, &mut raw, row).await;
            assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"), "{row:?} {way:?}");
            let line = line_of(&proxy, answer.field("x-trace-id")).await;
            assert_eq!(line["end"], "refused", "{row:?} {way:?}");
            assert_eq!(blocked_since(&proxy, &before).await, once(kind), "{row:?} {way:?}");
        }
    }
    assert_eq!(origin.hits(), before_it, "nothing behind a refused head is served");
}

/// SEC-01: a coding that could be undone, but not here.
#[tokio::test]
async fn another_coding_below_chunked_is_not_implemented() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let before = blocked(&proxy).await;
    let mut raw = proxy.connect().await;
    raw.write(format!("{START}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n")).await;
    let answer = is_refused(&proxy, &mut raw, "gzip, chunked").await;
    assert_eq!((answer.status, answer.problem().as_str()), (501, "not-implemented"));
    assert_eq!(blocked_since(&proxy, &before).await, once("smuggling"));
    assert_eq!(origin.hits(), 0);
}

/// SEC-01: the first row of the table counts.
#[tokio::test]
async fn where_two_rules_are_broken_the_first_counts() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for (head, status, kind) in [
        ("GET / HTTP/1.1\r\ncontent-length: 1, 1\r\nx: a\0\r\n\r\n", 400, "framing"),
        ("GET / HTTP/1.1\r\ncontent-length: 1, 1\r\n\r\n", 400, "smuggling"),
        ("CONNECT a@b HTTP/1.1\r\ncontent_length: 1\r\n\r\n", 400, "smuggling"),
        ("TRACE http://b/ HTTP/1.1\r\nhost: a\r\n\r\n", 400, "bad_target"),
        ("TRACE / HTTP/1.1\r\nhost: a b\r\n\r\n", 400, "bad_host"),
        ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\nexpect: x\r\n\r\n", 405, "method"),
        ("CONNECT a:80 HTTP/1.1\r\n\r\n", 400, "bad_host"),
    ] {
        let before = blocked(&proxy).await;
        let mut raw = proxy.connect().await;
        raw.write(head).await;
        assert_eq!(is_refused(&proxy, &mut raw, head).await.status, status, "{head:?}");
        assert_eq!(blocked_since(&proxy, &before).await, once(kind), "{head:?}");
    }
    assert_eq!(origin.hits(), 0);
}

/// SEC-01: nothing of the request before is left in it, however small the bound that it exceeds.
#[tokio::test]
async fn a_refusal_is_that_of_its_own_request() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nmax_header_bytes = \"1KiB\"\n").await;
    let mut raw = proxy.connect().await;
    raw.write("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(raw.answer_to("HEAD").await.status, 200);

    let long = format!("/{}", "x".repeat(1_500));
    raw.write(format!("PUT {long} HTTP/1.1\r\nhost: a\r\nuser-agent: me\r\n\r\n")).await;
    let answer = is_refused(&proxy, &mut raw, "a long target").await;
    assert_eq!((answer.status, answer.problem().as_str()), (431, "header-too-large"));
    let line = line_of(&proxy, answer.field("x-trace-id")).await;
    assert_eq!([&line["method"], &line["user_agent"]], ["PUT", "me"]);
    assert!(line["path"].as_str().is_some_and(|path| path.starts_with("/xxx")), "{line}");
}

/// SEC-01: the answer is told in the client's form, within its trace, and says what was read.
#[tokio::test]
async fn a_refusal_keeps_what_was_readable() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut raw = proxy.connect().await;
    raw.write(format!(
        "PUT /seen?secret HTTP/1.1\r\nhost: a\r\naccept: text/html\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\
         user-agent: me\r\nx: \0\r\n\r\n"
    ))
    .await;
    let answer = is_refused(&proxy, &mut raw, "html").await;
    assert!(answer.field("content-type").starts_with("text/html"), "{:?}", answer.fields);
    assert_eq!(answer.field("x-trace-id"), trace);
    let line = line_of(&proxy, trace).await;
    assert_eq!(
        [&line["method"], &line["path"], &line["protocol"], &line["user_agent"], &line["problem"]],
        ["PUT", "/seen", "HTTP/1.1", "me", "bad-request"]
    );

    let mut raw = proxy.connect().await;
    raw.write("POST /g HTTP/1.1\r\ncontent-type: application/grpc\r\nx: \0\r\n\r\n").await;
    let answer = is_refused(&proxy, &mut raw, "grpc").await;
    assert_eq!((answer.status, answer.field("grpc-status")), (200, "3"));

    let mut raw = proxy.connect().await;
    raw.write("{}\r\n\r\n").await;
    let answer = is_refused(&proxy, &mut raw, "nothing").await;
    let line = line_of(&proxy, answer.field("x-trace-id")).await;
    for name in ["method", "path", "protocol"] {
        assert!(line[name].is_null(), "{name}: {line}");
    }
    let scrape = proxy.metrics().await;
    assert_eq!(
        scrape.matching("http_server_request_duration_seconds_count", &[("http_request_method", "_OTHER")]).count(),
        1
    );
}

/// SEC-01, chunks: 400 where no response has begun, and the upstream connection is not used again.
#[tokio::test]
async fn every_body_that_is_no_chunked_coding_is_refused() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for body in BAD_CHUNKS {
        for way in WAYS {
            let before = blocked(&proxy).await;
            let mut raw = proxy.connect().await;
            send(&proxy, &mut raw, format!("{CHUNKED}{body}").as_bytes(), way).await;
            let answer = is_refused(&proxy, &mut raw, body).await;
            assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"), "{body:?} {way:?}");
            assert_eq!(blocked_since(&proxy, &before).await, once("framing"), "{body:?} {way:?}");
        }
    }
    let requests = origin.requests();
    assert_eq!(origin.counts().complete, BAD_CHUNKS.len(), "those before them");
    for bad in requests.iter().filter(|request| request.target == "/row") {
        let later = requests.iter().any(|r| r.connection == bad.connection && r.number > bad.number);
        assert!(!later, "a connection was used again after a broken body");
    }
}

/// SEC-01: a body that ends before its end.
#[tokio::test]
async fn a_body_that_is_cut_off_is_refused() {
    let origin = Origin::returning(200, "ok");
    for lane in ["", "[etag]\n"] {
        let proxy = proxy(&origin, lane).await;
        for request in [format!("{CHUNKED}5\r\nhel"), format!("{START}content-length: 5\r\n\r\nhel")] {
            let before = blocked(&proxy).await;
            let mut raw = proxy.connect().await;
            raw.write(&request).await;
            raw.finish_writing().await;
            let answer = raw.answer().await;
            assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"), "{request:?}");
            assert_eq!(blocked_since(&proxy, &before).await, once("framing"), "{request:?}");
        }
    }
    assert_eq!(origin.counts().complete, 0);
}

/// SEC-01 over TLS, where a record may end anywhere, and behind many fields.
#[tokio::test]
async fn a_rule_holds_however_the_head_is_wrapped() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let toml = format!("[server]\nmax_header_bytes = \"128KiB\"\ntls = {}\n", certs.tls_toml());
    let proxy = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;
    let fields = format!("x: {}\r\n", "y".repeat(995)).repeat(66);
    for fields in ["", fields.as_str()] {
        let head = format!("{START}{fields}content-length: 1\r\ncontent-length: 1\r\n\r\n");
        for cut in [1, START.len() - 1, head.len() - 20, head.len() - 1] {
            let before = blocked(&proxy).await;
            let mut raw = proxy.connect_tls(&certs, &[]).await;
            raw.write(&head[..cut]).await;
            raw.write(&head[cut..]).await;
            assert_eq!(is_refused(&proxy, &mut raw, "tls").await.status, 400, "{cut}");
            assert_eq!(blocked_since(&proxy, &before).await, once("smuggling"), "{cut}");
        }
    }
    assert_eq!(origin.hits(), 0);
}

/// What is odd and has one reading only passes as it came.
#[tokio::test]
async fn what_has_one_reading_passes() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for (head, field, value) in [
        ("\r\nGET /x HTTP/1.1\r\nhost: a\r\nx: \t y z \t\r\n\r\n", "x", "y z"),
        ("GET /x HTTP/1.1\r\nhost: a\r\nx_y: \r\n!#$%&'*+-.^_`|~: \u{e9}\r\n\r\n", "x_y", ""),
        ("GET /x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", "host", "a"),
        ("GET /x HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "host", "a"),
    ] {
        let mut raw = proxy.connect().await;
        raw.write(head).await;
        assert_eq!(raw.answer().await.status, 200, "{head:?}");
        assert_eq!((origin.last().target.as_str(), origin.last().field(field)), ("/x", value), "{head:?}");
        assert_eq!(proxy.get("/y").on(&mut raw).await.status, 200, "{head:?}: the connection goes on");
    }
}

/// DI-17: browsers and people write them.
#[tokio::test]
async fn targets_with_quotes_and_braces_reach_the_application() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[etag]\n").await;
    for (sent, received) in [
        ("/?filter={\"id\":[1,2]}", "/?filter={%22id%22:[1,2]}"),
        ("/?q=up{job=\"x\"}", "/?q=up{job=%22x%22}"),
        ("/a|b^c{d}", "/a|b^c{d}"),
        ("/?a\\b|c^d`e<f>", "/?a\\b|c^d%60e%3Cf%3E"),
        ("/caf\u{e9}?\u{e9}", "/caf%C3%A9?%C3%A9"),
    ] {
        let mut raw = proxy.connect().await;
        raw.write(format!("GET {sent} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(raw.answer().await.status, 200, "{sent}");
        assert_eq!(origin.last().target, received, "{sent}");
    }
    let mut raw = proxy.connect().await;
    raw.write(b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!((raw.answer().await.status, origin.last().target.as_str()), (200, "/%FF%FE"));
}

/// SEC-03, also behind a body, and more of them than are read ahead.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut raw = proxy.connect().await;
    let fill = "y".repeat(3000);
    let mut all = Vec::new();
    for n in 0..20 {
        let head = format!("POST /{n} HTTP/1.1\r\nhost: a\r\nx: {fill}\r\ntransfer-encoding: chunked\r\n\r\n");
        all.extend_from_slice(head.as_bytes());
        all.extend_from_slice(b"3\r\nabc\r\n0\r\n\r\n");
        all.extend_from_slice(format!("GET /g{n} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
    }
    all.extend_from_slice(b"GET / HTTP/1.1\r\nhost: a\r\n bad\r\n\r\n");
    raw.write(&all).await;
    for _ in 0..40 {
        assert_eq!(raw.answer().await.status, 200);
    }
    assert_eq!(is_refused(&proxy, &mut raw, "the last").await.status, 400);
    let targets: Vec<_> = origin.requests().iter().map(|request| request.target.clone()).collect();
    let sent: Vec<_> = (0..20).flat_map(|n| [format!("/{n}"), format!("/g{n}")]).collect();
    assert_eq!(targets, sent);
    assert!(origin.requests().iter().step_by(2).all(|request| request.text() == "abc"));
}

/// A client that goes on sending can read its refusal.
#[tokio::test]
async fn a_refusal_is_readable_while_the_client_still_sends() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut raw = proxy.connect().await;
    raw.write(format!("{START}content-length: 5000000\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    raw.write(vec![b'x'; 4_000_000]).await;
    assert_eq!(is_refused(&proxy, &mut raw, "body behind").await.status, 400);
}

/// Section 15: a flood of what is no request is not a flood of lines.
#[tokio::test]
async fn refusals_beyond_a_hundred_a_second_share_a_line() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for _ in 0..400 {
        let mut raw = proxy.connect().await;
        raw.write("GET /\r\n\r\n").await;
        assert_eq!(raw.answer().await.status, 400);
    }
    let told = |proxy: &Proxy| -> (u64, u64) {
        let lines = proxy.logs();
        let shared: u64 = lines.iter().filter_map(|line| line["requests"].as_u64()).sum();
        (lines.iter().filter(|line| line["msg"] == "request").count() as u64, shared)
    };
    let all = async {
        while {
            let (own, shared) = told(&proxy);
            own + shared < 400
        } {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), all).await.expect("every refusal is accounted for");
    let (own, shared) = told(&proxy);
    assert!(own + shared == 400 && shared > 0 && own >= 100, "{own} and {shared}");
    assert_eq!(blocked(&proxy).await["framing"], 400);
}

/// SEC-24: paths and methods of refused heads make no series.
#[tokio::test]
async fn refused_heads_make_no_series() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let refuse = async |n: usize| {
        let mut raw = proxy.connect().await;
        raw.write(format!("M{n} /{n} HTTP/1.1\r\nhost: h{n}\r\nx: \0\r\n\r\n")).await;
        raw.answer().await
    };
    // What is counted at the end of an exchange is counted when its line is there.
    line_of(&proxy, refuse(0).await.field("x-trace-id")).await;
    let before = proxy.metrics().await.samples.len();
    for n in 1..200 {
        refuse(n).await;
    }
    assert_eq!(proxy.metrics().await.samples.len(), before);
}
