//! The access line: exactly one a request, with every field, whatever the client sends.

use super::{line_of, proxy, trace_id};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::task::JoinSet;
use vestibule_testkit::h2::Reason;
use vestibule_testkit::{Certs, Gate, H2Client, H2Request, Origin, Proxy, Reply, Setup};

/// Fields of every access line here; those of plugins that are off are absent.
const FIELDS: [&str; 30] = [
    "ts",
    "level",
    "target",
    "msg",
    "trace_id",
    "span_id",
    "trace_flags",
    "route",
    "method",
    "path",
    "status",
    "protocol",
    "tls",
    "duration_ms",
    "first_byte_ms",
    "upstream_ms",
    "attempts",
    "request_bytes",
    "response_bytes",
    "client",
    "subject",
    "tier",
    "rate_limit",
    "etag",
    "answered_by",
    "problem",
    "end",
    "user_agent",
    "generation",
    "level",
];

#[tokio::test]
async fn a_line_says_what_happened() {
    let origin = Origin::returning(201, "created");
    let toml = "[[routes]]\nname = \"orders\"\npath = \"/orders/{id}\"\n";
    let proxy = proxy(&origin, toml).await;
    let request = proxy.post("/orders/%37?token=secret").header("user-agent", "tests/1").body("four");
    let line = line_of(&proxy, &trace_id(&request.await)).await;
    for (name, expected) in [
        ("level", Value::from("INFO")),
        ("target", "access".into()),
        ("route", "orders".into()),
        ("method", "POST".into()),
        ("path", "/orders/7".into()),
        ("status", 201.into()),
        ("protocol", "HTTP/1.1".into()),
        ("tls", false.into()),
        ("attempts", 1.into()),
        ("request_bytes", 4.into()),
        ("response_bytes", 7.into()),
        ("subject", Value::Null),
        ("answered_by", "upstream".into()),
        ("problem", Value::Null),
        ("end", "ok".into()),
        ("user_agent", "tests/1".into()),
        ("generation", 1.into()),
    ] {
        assert_eq!(line[name], expected, "{name}");
    }
    let number = |name: &str| line[name].as_f64().unwrap_or_else(|| panic!("{name}: {}", line[name]));
    assert!(number("duration_ms") >= number("first_byte_ms") && number("first_byte_ms") > 0.0);
    assert!(number("duration_ms") >= number("upstream_ms") && number("upstream_ms") > 0.0);
    let client = line["client"].as_str().expect("a client");
    assert!(client.len() == 16 && client.bytes().all(|b| b.is_ascii_hexdigit()), "{client}");
    let ts = line["ts"].as_str().expect("a time");
    assert!(ts.len() == "2026-01-02T03:04:05.000000Z".len() && ts.ends_with('Z') && &ts[10..11] == "T", "{ts}");
}

#[tokio::test]
async fn the_client_is_shown_as_configured() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[log]\nclient = \"address\"\n").await;
    assert_eq!(line_of(&proxy, &trace_id(&proxy.get("/").await)).await["client"], "127.0.0.1");
}

/// OBS-17: what a client writes cannot break a line, forge a second one, or make it long.
#[tokio::test]
async fn a_hostile_request_is_one_short_line_of_json() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let agent = format!("a\u{2028}b\u{85}c\u{202e}d\t\"e\\{}", "x".repeat(10_000));
    let path = format!("/%0a%0d%1b[31m{}", "p".repeat(10_000));
    let before = proxy.stderr().lines().count();
    let id = trace_id(&proxy.get(&path).header("user-agent", &*agent).await);
    let line = line_of(&proxy, &id).await;
    assert_eq!(proxy.stderr().lines().count(), before + 1);
    assert_eq!(line["path"].as_str().map(str::len), Some(512));
    let written = line["user_agent"].as_str().expect("a user agent");
    assert!(written.starts_with("a\u{2028}b\u{85}c\u{202e}d\t\"e\\xx") && written.len() <= 200, "{written:?}");
    let raw = proxy.stderr().lines().last().expect("a line").to_owned();
    assert!(raw.contains("a\\u2028b\\u0085c\\u202ed"), "{raw}");
    assert!(raw.len() < 8 << 10 && raw.chars().all(|c| !c.is_control()), "{raw}");
}

#[tokio::test]
async fn access_lines_can_be_turned_off() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[log]\naccess = false\n").await;
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(proxy.request("PURGE", "/").await.status, 405);
    proxy.sighup();
    // Lines keep their order, so the absence of earlier ones is known once this one is there.
    proxy.wait_log("the reload", |line| line["msg"] == "configuration reloaded").await;
    assert!(proxy.access().is_empty(), "{:?}", proxy.access());
}

/// OBS-18: whatever ends a request, it has exactly one line, with all its fields.
#[tokio::test]
async fn every_request_has_exactly_one_line() {
    const EACH: usize = 40;
    let certs = Certs::new();
    let never = Gate::closed();
    let held = never.clone();
    let origin = Origin::replying(move |request| match request.target.as_str() {
        "/ws" => Reply::switching("websocket"),
        "/held" => Reply::ok("late").once(&held),
        "/dies" => Reply::dying(),
        _ => Reply::ok("ok"),
    });
    let rest = "\
[etag]
[rate_limit.policies.p]
limit = \"100000/h\"
key = \"address\"
[rate_limit.tiers]
anonymous = [\"p\"]
[[routes]]
name = \"ws\"
path = \"/ws\"
upgrade = true
";
    let plain = proxy(&origin, rest).await;
    let toml = format!("[server]\ntls = {}\n{rest}", certs.tls_toml());
    let tls = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;

    let mut expected = 0;
    // HTTP/1: served, refused by the edge, dead upstream, tunnels, and clients that leave.
    for n in 0..EACH {
        let mut raw = plain.connect().await;
        assert_eq!(plain.get("/a").on(&mut raw).await.status, 200);
        assert_eq!(plain.request("PURGE", "/a").on(&mut raw).await.status, 405);
        assert_eq!(plain.get("/dies").await.status, 502);
        let (mut socket, answer) = crate::limits::upgrade(&plain, "/ws").await;
        assert_eq!(answer.status, 101);
        socket.write("x").await;
        socket.until("x").await;
        drop(socket);
        let hits = origin.hits();
        let mut gone = plain.connect().await;
        gone.write(plain.get("/held").encoded()).await;
        origin.wait_hits(hits + 1).await;
        if n % 2 == 0 {
            gone.reset();
        } else {
            drop(gone);
        }
        expected += 5;
    }
    plain.wait_access(expected).await;
    check(&plain, expected, &trace_id(&plain.get("/last").await)).await;

    // HTTP/2: served, and streams that are reset while the upstream thinks.
    let client = Arc::new(H2Client::connect_tls(tls.address(), &certs).await);
    let mut served = JoinSet::new();
    for _ in 0..2 * EACH {
        let client = Arc::clone(&client);
        served.spawn(async move { client.get("/a").await.status });
    }
    assert_eq!(served.join_all().await, vec![200; 2 * EACH]);
    let hits = origin.hits();
    let mut streams = Vec::new();
    for _ in 0..EACH {
        streams.push(client.open(H2Request::new("GET", "/held")).await.expect("a stream"));
    }
    origin.wait_hits(hits + EACH).await;
    streams.into_iter().for_each(|stream| stream.reset(Reason::CANCEL));
    tls.wait_access(3 * EACH).await;
    check(&tls, 3 * EACH, &trace_id(&client.get("/last").await)).await;
    never.open();
}

/// Exactly `expected` lines and one more, of the trace `last`, each with all fields and a trace of its own. That last
/// request was sent when all others had ended: had one of them two lines, there would be more by now.
async fn check(proxy: &Proxy, expected: usize, last: &str) {
    line_of(proxy, last).await;
    let lines = proxy.access();
    assert_eq!(lines.len(), expected + 1);
    for line in &lines {
        let members = line.as_object().expect("an object");
        for field in FIELDS {
            assert!(members.contains_key(field) || left_out(line, field), "no `{field}` in {line}");
        }
        if line["status"].is_null() {
            assert_eq!(line["end"], "client_gone", "{line}");
        }
    }
    let ids: HashSet<&str> = lines.iter().filter_map(|line| line["trace_id"].as_str()).collect();
    assert_eq!(ids.len(), lines.len(), "each id once");
}

/// What plugins say only when they were asked: a request that the edge refused never met them.
fn left_out(line: &Value, field: &str) -> bool {
    match field {
        "rate_limit" | "etag" => line["answered_by"] == "edge" || line["status"].is_null() || line["status"] == 101,
        _ => false,
    }
}

/// `access` says whether there are access lines, `level` what else there is.
#[tokio::test]
async fn access_lines_are_written_whatever_the_level() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    proxy.rewrite("[log]\nlevel = \"error\"\n");
    assert_eq!(proxy.reload().await.status, 200);
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(proxy.wait_access(1).await.len(), 1);
}
