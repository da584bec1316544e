//! Entity tags through the whole program: what the plugin's own tests cannot show.

mod reads;
mod writes;

use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vestibule_testkit::{
    Alpn, BodyEnd, Certs, H2Client, H2Origin, H2Reply, H2Request, Origin, Over, Proxy, Raw, Reply, within,
};

const ON: &str = "[etag]\n";
const MIB: usize = 1 << 20;

async fn proxy(origin: &Origin) -> Proxy {
    Proxy::before(crate::bin(), &origin.url(), ON).await
}

fn json(body: impl Into<Bytes>) -> Reply {
    Reply::ok(body).field("content-type", "application/json")
}

/// ET-01, ET-02, ET-03: the tag, the 304, and that a change ends it; on one connection, whose framing must be right.
#[tokio::test]
async fn a_304_saves_the_body_until_it_changes() {
    let origin = Origin::replying(|request| json(if request.number < 4 { "{\"v\":1}" } else { "{\"v\":2}" }));
    let proxy = proxy(&origin).await;
    let mut raw = proxy.connect().await;
    let first = proxy.get("/").on(&mut raw).await;
    let tag = first.field("etag").to_owned();
    assert!(tag.starts_with("W/\"vst1-") && tag.len() == 31, "{tag}");
    assert_eq!((first.status, first.text(), first.field("content-length")), (200, "{\"v\":1}".to_owned(), "7"));

    for hits in [2, 3] {
        let again = proxy.get("/").header("if-none-match", &tag).on(&mut raw).await;
        assert_eq!((again.status, again.body.len(), again.field("etag")), (304, 0, tag.as_str()));
        assert!(!again.fields.has("content-type") && !again.fields.has("content-length"));
        assert_eq!(origin.hits(), hits, "the application is asked each time");
        assert!(!origin.last().fields.has("if-none-match"), "it never learns of a tag it did not mint");
    }

    let changed = proxy.get("/").header("if-none-match", &tag).on(&mut raw).await;
    assert_eq!((changed.status, changed.text()), (200, "{\"v\":2}".to_owned()));
    assert_ne!(changed.field("etag"), tag);
    let outcome = |outcome: &'static str| [("outcome", outcome)];
    let scrape =
        proxy.wait_metrics("four counted replies", |s| s.value("vestibule_etag_responses_total", &[]) == 4.0).await;
    assert_eq!(scrape.value("vestibule_etag_responses_total", &outcome("minted")), 2.0);
    assert_eq!(scrape.value("vestibule_etag_responses_total", &outcome("not_modified")), 2.0);
}

/// ET-02 over HTTP/2: the stream ends with its head, and the connection goes on.
#[tokio::test]
async fn a_304_over_http2_is_one_head() {
    let certs = Certs::new();
    let origin = Origin::replying(|_| json("{\"v\":1}"));
    let toml = format!("[server]\ntls = {}\n{ON}", certs.tls_toml());
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    let tag = client.get("/").await.field("etag").to_owned();
    for _ in 0..3 {
        let answer = client.send(H2Request::new("GET", "/").header("if-none-match", &tag)).await;
        assert_eq!((answer.status, answer.body.len(), answer.body_end), (304, 0, BodyEnd::Complete));
        assert_eq!(answer.field("etag"), tag);
    }
    let mut raw = Raw::connect_tls(proxy.address(), &certs, &[Alpn::Http11]).await;
    let answer = proxy.get("/").header("if-none-match", &tag).on(&mut raw).await;
    assert_eq!(answer.status, 304, "one tag for both versions");
}

/// ET-04.
#[tokio::test]
async fn two_proxies_and_a_restarted_one_mint_the_same_tag() {
    let origin = Origin::replying(|_| json("{\"same\":true}"));
    let mut tags = Vec::new();
    for _ in 0..2 {
        let (one, two) = (proxy(&origin).await, proxy(&origin).await);
        tags.push(one.get("/a").await.field("etag").to_owned());
        tags.push(two.get("/b?other").header("host", "other.test").await.field("etag").to_owned());
        // Both are killed here; the next round starts anew.
    }
    assert!(tags[0].starts_with("W/\"vst1-"));
    assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
}

/// ET-05: with a length, in one-byte chunks, until the connection closes, from HTTP/2, to HTTP/2.
#[tokio::test]
async fn a_tag_does_not_depend_on_how_the_body_came_or_leaves() {
    let certs = Certs::new();
    let body = "0123456789".repeat(30);
    let whole = body.clone();
    let origin = Origin::replying(move |request| match request.target.as_str() {
        "/length" => json(whole.clone()),
        "/bytes" => {
            Reply::new(200).field("content-type", "application/json").chunks_of(1, Duration::ZERO, whole.clone())
        }
        "/odd" => Reply::new(200).field("content-type", "application/json").chunks_of(7, Duration::ZERO, whole.clone()),
        _ => Reply::new(200).field("content-type", "application/json").until_close(whole.clone()),
    });
    let tls = format!("[server]\ntls = {}\n{ON}", certs.tls_toml());
    let proxy = Proxy::before(crate::bin(), &origin.url(), &tls).await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    let mut raw = Raw::connect_tls(proxy.address(), &certs, &[Alpn::Http11]).await;
    let expected = proxy.get("/length").on(&mut raw).await.field("etag").to_owned();
    assert!(expected.starts_with("W/\"vst1-"));
    for target in ["/length", "/bytes", "/odd", "/close"] {
        let one = proxy.get(target).on(&mut raw).await;
        let two = client.get(target).await;
        assert_eq!((one.field("etag"), one.text()), (expected.as_str(), body.clone()), "{target}, HTTP/1.1");
        assert_eq!((two.field("etag"), two.text()), (expected.as_str(), body.clone()), "{target}, HTTP/2");
    }

    let text = body.clone();
    let origin = H2Origin::replying(Over::Cleartext, move |_| {
        H2Reply::ok(text.clone()).field("content-type", "application/json")
    });
    let proxy = Proxy::before(crate::bin(), &origin.url(), ON).await;
    assert_eq!(proxy.get("/").await.field("etag"), expected, "from an HTTP/2 application");
}

/// ET-13 on the wire: what stays and what goes, and a connection that is still in step.
#[tokio::test]
async fn a_304_keeps_what_describes_the_resource_and_drops_what_describes_the_body() {
    let kept = [
        ("cache-control", "max-age=1"),
        ("expires", "0"),
        ("vary", "accept"),
        ("content-location", "/x"),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("access-control-allow-origin", "*"),
        ("content-security-policy", "default-src 'self'"),
    ];
    let gone = [("content-type", "text/plain"), ("content-encoding", "identity"), ("content-language", "en")];
    let origin = Origin::replying(move |_| {
        kept.iter().chain(&gone).fold(Reply::ok("hello").field("etag", "\"v1\""), |r, (n, v)| r.field(n, *v))
    });
    let proxy = proxy(&origin).await;
    let mut raw = proxy.connect().await;
    let answer = proxy.get("/").header("if-none-match", "\"v1\"").on(&mut raw).await;
    assert_eq!((answer.status, answer.field("etag")), (304, "\"v1\""));
    for (name, value) in kept {
        assert_eq!(answer.field(name), value, "{name}");
    }
    assert!(answer.fields.has("date"));
    for (name, _) in gone.iter().chain(&[("content-length", "")]) {
        assert!(!answer.fields.has(name), "{name}: {:?}", answer.fields);
    }
    assert_eq!(proxy.get("/").on(&mut raw).await.text(), "hello");
}

/// ET-18: HEAD stays HEAD.
#[tokio::test]
async fn head_is_forwarded_as_head_and_judged_by_the_applications_tag_only() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/tagged" => Reply::ok("hello").field("etag", "\"v1\""),
        _ => Reply::ok("hello"),
    });
    let proxy = proxy(&origin).await;
    let mut raw = proxy.connect().await;
    let plain = proxy.request("HEAD", "/").on(&mut raw).await;
    assert_eq!((plain.status, plain.field("content-length"), plain.fields.has("etag")), (200, "5", false));
    assert_eq!((origin.hits(), origin.last().method.as_str()), (1, "HEAD"));
    let tagged = proxy.request("HEAD", "/tagged").header("if-none-match", "W/\"v1\"").on(&mut raw).await;
    assert_eq!((tagged.status, tagged.field("etag")), (304, "\"v1\""));
    assert_eq!(proxy.get("/").on(&mut raw).await.text(), "hello");
}

/// ET-21: one event a second.
#[tokio::test]
async fn the_first_event_comes_at_once_and_carries_no_tag() {
    let origin = Origin::replying(|_| Reply::events(Duration::from_secs(1), &vestibule_testkit::Gate::closed()));
    let proxy = proxy(&origin).await;
    proxy.request("HEAD", "/").await;
    let mut raw = proxy.connect().await;
    let began = std::time::Instant::now();
    raw.write(proxy.get("/").encoded()).await;
    let head = raw.head_of_answer().await;
    raw.until("data: 0\n\n").await;
    // 200 ms is the figure; the rest is what a busy machine may add. The second event comes after a second.
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
    assert!(!head.fields.has("etag"));
}

/// ET-22: exactly the bound, one byte more, and far more in flat memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_exactly_the_bound_is_tagged_and_a_larger_one_streams_in_flat_memory() {
    let block = Bytes::from(vec![b'.'; 100 * MIB]);
    let origin = Origin::replying(move |request| {
        let length: usize = request.target.trim_start_matches('/').parse().expect("a length");
        Reply::ok(block.slice(..length))
    });
    let proxy = proxy(&origin).await;
    let at = proxy.get(&format!("/{MIB}")).await;
    assert_eq!((at.body.len(), at.field("etag").starts_with("W/\"vst1-")), (MIB, true));
    let over = proxy.get(&format!("/{}", MIB + 1)).await;
    assert_eq!((over.body.len(), over.fields.has("etag")), (MIB + 1, false));

    let before = proxy.peak_rss_bytes();
    let mut raw = proxy.connect().await;
    raw.write(proxy.get(&format!("/{}", 100 * MIB)).encoded()).await;
    assert!(!raw.head_of_answer().await.fields.has("etag"));
    let mut read = 0;
    while read < 100 * MIB {
        let piece = raw.some().await;
        assert!(!piece.is_empty(), "the connection ended after {read} bytes");
        read += piece.len();
    }
    let after = proxy.peak_rss_bytes();
    assert!(after < before + (32 << 20), "{before} to {after} bytes");
}

/// ET-26: without the table, and with `etag = false`, both directions are those of a plain pass-through.
#[tokio::test]
async fn switched_off_nothing_is_added_or_taken_away() {
    let off = "[etag]\n[[routes]]\nname = \"all\"\npath = \"/{*rest}\"\netag = false\n";
    for toml in ["", off] {
        let origin = Origin::replying(|_| Reply::new(200).chunk("hel").chunk("lo"));
        let proxy = Proxy::before(crate::bin(), &origin.url(), toml).await;
        let ours = "W/\"vst1-AAAAAAAAAAAAAAAAAAAAAA\"";
        let since = "Sun, 06 Nov 1994 08:49:37 GMT";
        let answer = proxy
            .get("/x")
            .header("if-none-match", ours)
            .header("if-modified-since", since)
            .header("if-range", ours)
            .header("range", "bytes=0-1")
            .await;
        assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()), "{toml:?}");
        assert!(!answer.fields.has("etag") && answer.fields.has("transfer-encoding"), "{toml:?}");
        let last = origin.last();
        for (name, value) in
            [("if-none-match", ours), ("if-modified-since", since), ("if-range", ours), ("range", "bytes=0-1")]
        {
            assert_eq!(last.field(name), value, "{toml:?}: {name}");
        }
        let scrape = proxy.metrics().await;
        assert_eq!(scrape.value("vestibule_etag_responses_total", &[]), 0.0, "{toml:?}");
    }
}

/// Section 6: what is left of a body that nobody needs is read up to the bound, so that the connection goes on.
#[tokio::test]
async fn the_body_behind_a_304_does_not_cost_the_upstreams_connection() {
    let origin = Origin::replying(|_| Reply::ok(vec![b'.'; 300_000]).field("etag", "\"v1\""));
    let proxy = proxy(&origin).await;
    let mut raw = proxy.connect().await;
    for _ in 0..5 {
        let answer = proxy.get("/").header("if-none-match", "\"v1\"").on(&mut raw).await;
        assert_eq!(answer.status, 304);
    }
    // The rest is read in the background, so a request that comes at once may find the connection still busy.
    assert!(origin.connections() < 5, "{} connections for five requests", origin.connections());
}

/// Section 1: a body that breaks off is never a 200 with the tag of a part.
#[tokio::test]
async fn a_part_of_a_body_never_gets_a_tag() {
    use vestibule_testkit::origin::Cut;
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/small" => Reply::ok("hello, world").cut(Cut::Body(5)),
        _ => Reply::ok(vec![b'.'; 2 * MIB]).cut(Cut::Body(MIB + 100_000)),
    });
    let proxy = proxy(&origin).await;
    let small = proxy.get("/small").await;
    assert_eq!((small.status, small.fields.has("etag")), (502, false));
    let large = proxy.get("/large").await;
    assert_eq!((large.fields.has("etag"), large.body_end), (false, BodyEnd::CutOff));
}

/// ET-21: a reply that says trailers are to come has no tag, also where its sender speaks HTTP/1.
#[tokio::test]
async fn a_reply_that_announces_trailers_is_not_tagged() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/announced" => json("{}").field("trailer", "x-sum"),
        _ => json("{}"),
    });
    let proxy = proxy(&origin).await;
    let announced = proxy.get("/announced").await;
    assert_eq!((announced.status, announced.text().as_str()), (200, "{}"));
    assert!(!announced.fields.has("etag") && !announced.fields.has("trailer"), "{:?}", announced.fields);
    assert!(proxy.get("/plain").await.fields.has("etag"));
}

/// A GET with a body streams; its conditions go on as they are, and its reply is counted like any other.
#[tokio::test]
async fn a_get_with_a_body_passes_untouched() {
    let origin = Origin::replying(|_| json("{}"));
    let proxy = proxy(&origin).await;
    let tag = proxy.get("/").await.field("etag").to_owned();
    let answer = proxy.get("/").header("if-none-match", &tag).body("why not").await;
    assert_eq!((answer.status, answer.fields.has("etag")), (200, false));
    assert_eq!((origin.last().field("if-none-match"), origin.last().text().as_str()), (tag.as_str(), "why not"));
    let skipped = [("outcome", "skipped")];
    proxy.wait_metrics("one skipped", |s| s.value("vestibule_etag_responses_total", &skipped) == 1.0).await;
    assert_eq!(crate::observe::line_of(&proxy, answer.field("x-trace-id")).await["etag"], "skipped");
}

/// A real nginx with `gzip on` in front of `proxy`, on a socket file in `dir`; killed with the value.
fn nginx_before(proxy: &Proxy, dir: &std::path::Path) -> tokio::process::Child {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {}/{what};", dir.display()))
        .concat();
    let conf = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; {temporary} gzip on; gzip_types application/json; gzip_min_length 1; gzip_proxied any;\n\
         server {{ listen unix:{dir}/front.sock; location / {{ proxy_http_version 1.1; proxy_pass http://{proxy}; }} }} }}\n",
        dir = dir.display(),
        proxy = proxy.address(),
    );
    std::fs::write(dir.join("nginx.conf"), conf).expect("nginx.conf");
    // Debian keeps it where only root's PATH looks.
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    tokio::process::Command::new("nginx")
        .env("PATH", path)
        .arg("-p")
        .arg(dir)
        .arg("-c")
        .arg(dir.join("nginx.conf"))
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nginx, which `make test` installs")
}

async fn through(socket: &std::path::Path, fields: &str) -> String {
    let asked = async {
        let mut stream = loop {
            match tokio::net::UnixStream::connect(socket).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer).to_ascii_lowercase()
    };
    within("an answer through nginx", asked).await
}

/// ET-24: a compressing proxy in front keeps the tag, and the 304 reaches the client through it.
#[tokio::test]
async fn a_tag_survives_an_nginx_that_compresses() {
    let origin = Origin::replying(|_| json("{\"v\":1}".repeat(200)));
    let proxy = proxy(&origin).await;
    let dir = tempfile::tempdir().expect("a folder");
    let mut nginx = nginx_before(&proxy, dir.path());
    let socket = dir.path().join("front.sock");
    let full = through(&socket, "accept-encoding: gzip\r\n").await;
    assert!(full.starts_with("http/1.1 200") && full.contains("content-encoding: gzip"), "{full}");
    let tag = full.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    assert!(tag.starts_with("w/\"vst1-"), "{tag}");
    // The case of its letters counts.
    let tag = proxy.get("/").await.field("etag").to_owned();
    let again = through(&socket, &format!("accept-encoding: gzip\r\nif-none-match: {tag}\r\n")).await;
    assert!(again.starts_with("http/1.1 304") && again.ends_with("\r\n\r\n"), "{again}");
    nginx.kill().await.expect("nginx to end");
}
