//! Section 8: what must never be written anywhere, and what cannot be forged.

use super::proxy;
use crate::observe::{line_of, trace_id};
use vestibule_testkit::{Certs, H2Client, H2Request, Origin, Proxy, Reply, Setup};

/// Every planted secret begins with it.
const PLANTED: &str = "hunter2";

/// Counts secrets, so that one that is found tells where it was planted.
struct Plants(usize);

impl Plants {
    fn next(&mut self) -> String {
        self.0 += 1;
        format!("{PLANTED}n{:02}", self.0)
    }
}

fn found_in(text: &str) -> Vec<&str> {
    text.match_indices(PLANTED).map(|(at, _)| &text[at..text.len().min(at + 10)]).collect()
}

/// SEC-18: through every kind of end, at the most talkative level, no secret is in a log line, a metric, the shown
/// configuration or a problem.
#[tokio::test]
async fn no_secret_is_written_anywhere() {
    let origin = Origin::replying(|request| match request.target.split('?').next() {
        Some("/missing") => Reply::new(404),
        Some("/dies") => Reply::dying(),
        Some("/invalid") => Reply::raw("HTTP/1.1 hunter2n99 oops\r\n\r\n"),
        Some("/odd") => Reply::raw("hunter2n98: not a response\r\n\r\n"),
        _ => Reply::ok("ok"),
    });
    let toml = "\
[server]
max_body_bytes = \"1KiB\"
[log]
level = \"trace\"
[store]
secret = \"hunter2n97-hunter2n97-hunter2n97-hunter2n97\"
[etag]
[audit]
dir = \"audit\"
sinks = [\"http://127.0.0.1:1/in?token=hunter2n95\"]
[csp]
policy = \"default-src 'self'\"
reports = true
sinks = [\"http://127.0.0.1:1/in?token=hunter2n93\"]
[rate_limit.policies.p]
limit = \"1/h\"
key = \"header:x-tenant\"
[rate_limit.tiers]
anonymous = []
[[routes]]
name = \"limited\"
path = \"/limited\"
rate_limit = [\"p\"]
";
    let proxy = proxy(&origin, toml).await;
    let mut plants = Plants(0);
    let mut answers = String::new();
    for (method, path, statuses) in [
        ("GET", "/", &[200][..]),
        ("POST", "/", &[200]),
        ("POST", "/missing", &[404]),
        ("GET", "/dies", &[502]),
        ("POST", "/dies", &[502]),
        ("GET", "/invalid", &[502]),
        ("GET", "/odd", &[502]),
        ("PURGE", "/", &[405]),
        ("GET", "/%zz", &[400]),
        ("GET", "/limited", &[200, 429]),
        ("GET", "/limited", &[200, 429]),
    ] {
        let mut request = proxy.request(method, &format!("{path}?token={}", plants.next()));
        for (name, prefix) in [
            ("authorization", "Bearer "),
            ("cookie", "session="),
            ("x-api-key", ""),
            ("idempotency-key", ""),
            ("proxy-authorization", "Basic "),
            ("x-custom", ""),
            ("referer", "http://a/?"),
            ("baggage", "user="),
        ] {
            request = request.header(name, format!("{prefix}{}", plants.next()));
        }
        if path == "/limited" {
            request = request.header("x-tenant", "hunter2n96");
        }
        if method == "POST" {
            request = request.json(&serde_json::json!({ "password": plants.next() }));
        }
        let answer = request.await;
        assert!(statuses.contains(&answer.status), "{method} {path}: {}", answer.status);
        answers.push_str(&answer.text());
    }
    // Heads that nobody can read, bodies that are no bodies.
    for bytes in [
        "GET /?token=X HTTP/9.9\r\nhost: a\r\n\r\n",
        "GET /?token=X\r\nauthorization: X\r\n\r\n",
        "GET / HTTP/1.1\r\nauthorization : Bearer X\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nauthorization: X\0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: u:X@a\r\n\r\n",
        "GET http://u:X@a/?X HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: authorization, X\r\nauthorization: X\r\n\r\n",
        "POST /?X HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nX\r\n",
        "POST /?X HTTP/1.1\r\nhost: a\r\nexpect: X\r\n\r\n",
    ] {
        let mut raw = proxy.connect().await;
        raw.write(bytes.replace('X', &plants.next())).await;
        answers.push_str(&String::from_utf8_lossy(&raw.closed().await));
    }
    // A client that leaves in the middle.
    let mut raw = proxy.connect().await;
    raw.write(format!("POST /?{} HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{}", plants.next(), "x")).await;
    raw.reset();
    assert!(plants.0 > 100);

    line_of(&proxy, &trace_id(&proxy.get("/last").await)).await;
    assert_eq!(found_in(&answers), Vec::<&str>::new(), "in answers");
    assert_eq!(found_in(&proxy.stderr()), Vec::<&str>::new(), "in the log:\n{}", proxy.stderr());
    for path in ["/metrics", "/config", "/status", "/readyz", "/rate-limit/p"] {
        assert_eq!(found_in(&proxy.admin("GET", path).await.text()), Vec::<&str>::new(), "in {path}");
    }
    assert!(proxy.stdout().is_empty());
}

/// SEC-18 over TLS and HTTP/2, whose library can log every header.
#[tokio::test]
async fn no_secret_of_an_http2_request_is_logged() {
    let certs = Certs::new();
    let origin = Origin::returning(200, "ok");
    let toml = format!("[server]\ntls = {}\n[log]\nlevel = \"trace\"\n", certs.tls_toml());
    let proxy = Setup::new(crate::bin()).toml(toml).upstream(origin.url()).start().await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    for path in ["/?token=hunter2", "/%zz?hunter2"] {
        let request =
            H2Request::new("POST", path).header("authorization", "Bearer hunter2").header("cookie", "a=hunter2");
        client.send(request.body("hunter2")).await;
    }
    proxy.wait_access(2).await;
    assert_eq!(found_in(&proxy.stderr()), Vec::<&str>::new(), "{}", proxy.stderr());
}

/// A path is logged, so it is no place for secrets; what stands behind `?` is not.
#[tokio::test]
async fn a_path_is_logged_without_its_query() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let id = trace_id(&proxy.get("/a/b?token=hunter2").await);
    assert_eq!(line_of(&proxy, &id).await["path"], "/a/b");
    assert_eq!(origin.last().target, "/a/b?token=hunter2");
}

/// SEC-22: in both formats one request is one line, and what a terminal would obey is escaped.
#[tokio::test]
async fn no_request_forges_a_line() {
    let origin = Origin::returning(200, "ok");
    for format in ["json", "text"] {
        // The start is awaited by a JSON line, so text comes with a reload.
        let proxy = proxy(&origin, "").await;
        proxy.rewrite(&format!("[log]\nformat = \"{format}\"\n"));
        assert_eq!(proxy.reload().await.status, 200);
        until_logged(&proxy, "configuration reloaded").await;
        for (path, agent) in [
            ("/a%0d%0a%7b%22level%22%3a%22ERROR%22%7d", "plain"),
            ("/%1b%5b2J%1b%5bH", "\u{85}level=ERROR"),
            ("/%e2%80%a8x", "\u{2028}{\"msg\":\"request\"}\u{2029}"),
            ("/x", "a\" msg=\"request\" status=500 \u{202e}"),
            ("/y=z msg".split(' ').next().expect("a path"), "\u{9b}31m\u{feff}"),
        ] {
            let before = lines(&proxy).len();
            let answer = proxy.get(path).header("user-agent", agent).await;
            assert_eq!(answer.status, 200, "{path}");
            let id = trace_id(&answer);
            let more = until_logged(&proxy, &id).await;
            assert_eq!(more.len(), before + 1, "{format}: {path}");
            let line = &more[before];
            let forbidden = |c: char| {
                c.is_control()
                    || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert!(!line.contains(forbidden), "{format}: {line:?}");
            if format == "text" {
                assert_eq!(line.matches(" status=").count() - line.matches("\\\" status=").count(), 1, "{line}");
            }
        }
    }
}

fn lines(proxy: &Proxy) -> Vec<String> {
    proxy.stderr().lines().map(str::to_owned).collect()
}

/// The lines once the last of them has this text, in whatever format.
async fn until_logged(proxy: &Proxy, text: &str) -> Vec<String> {
    vestibule_testkit::within("the line of a request", async {
        loop {
            let lines = lines(proxy);
            if lines.last().is_some_and(|line| line.contains(text)) {
                return lines;
            }
            // The text format is not awaited by the testkit.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
}
