//! Heads on their way: what a hop keeps for itself, what is added, and that both lanes do it alike.

use super::lane::{Client, Lane};
use vestibule_testkit::{Certs, H2Origin, H2Reply, Origin, Over, Received, Reply, Setup};

/// Nothing that differs from one request to the next.
const PLAIN: &str = "[trace]\nenabled = false\n";

const FROM_CLIENT: &[(&str, &str)] = &[
    ("Host", "app.test:8080"),
    ("X-Mixed-Case", "Kept As Written"),
    ("x-twice", "1"),
    ("x-twice", "2"),
    ("accept", "*/*"),
    ("cookie", "a=b; c=d"),
    ("Connection", "keep-alive, X-For-This-Hop"),
    ("X-For-This-Hop", "1"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("Proxy-Authorization", "Basic YTpi"),
    ("TE", "trailers, deflate"),
    ("Trailer", "x-sum"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("Forwarded", "for=203.0.113.9"),
    ("X-Real-IP", "203.0.113.9"),
    ("Via", "1.0 before"),
    ("x-empty", ""),
];

const GONE: [&str; 11] = [
    "connection",
    "x-for-this-hop",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "transfer-encoding",
    "content-length",
];

fn sorted(received: &Received) -> Vec<(String, String)> {
    let mut fields: Vec<_> = received.fields.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    fields.sort();
    fields
}

/// What reaches the origin in each lane for the same request.
async fn received(url: &str, last: impl Fn() -> Received) -> [Received; 2] {
    let mut both = Vec::new();
    for lane in Lane::BOTH {
        let proxy = lane.before(url, PLAIN).await;
        let request = FROM_CLIENT.iter().fold(proxy.get("/a//b/../c?x=%20"), |r, (n, v)| r.header(n, *v));
        assert_eq!(request.await.status, 200, "{lane:?}");
        both.push(last());
    }
    both.try_into().expect("two lanes")
}

#[tokio::test]
async fn both_lanes_send_the_same_head_to_an_http1_upstream() {
    let origin = Origin::returning(200, "hello");
    let [stream, held] = received(&origin.url(), || origin.last()).await;
    assert_eq!(sorted(&stream), sorted(&held));
    assert_eq!((&stream.target, &stream.version), (&held.target, &held.version));
    for name in GONE {
        assert!(!stream.fields.has(name), "{name} is for one hop: {:?}", stream.fields);
    }
    let all = |name| stream.fields.all(name).collect::<Vec<_>>();
    assert_eq!(stream.target, "/a//b/../c?x=%20", "the target goes on as it was sent");
    assert_eq!(all("host"), ["app.test:8080"]);
    assert_eq!(all("x-mixed-case"), ["Kept As Written"]);
    assert_eq!(all("x-twice"), ["1", "2"]);
    assert_eq!(all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(all("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(all("x-forwarded-proto"), ["http"]);
    assert_eq!(all("x-forwarded-host"), ["app.test:8080"]);
    assert_eq!(all("forwarded"), ["for=127.0.0.1;host=\"app.test:8080\";proto=http"]);
    assert_eq!(all("via").join(", "), "1.0 before, 1.1 vestibule");
    assert_eq!(all("x-empty"), [""]);
}

#[tokio::test]
async fn both_lanes_send_the_same_head_to_an_http2_upstream() {
    let origin = H2Origin::replying(Over::Cleartext, |_| H2Reply::ok("hello"));
    let [stream, held] = received(&origin.url(), || origin.last()).await;
    assert_eq!(sorted(&stream), sorted(&held));
    assert_eq!((&stream.target, &stream.authority), (&held.target, &held.authority));
    assert_eq!((stream.authority.as_str(), stream.fields.has("host")), ("app.test:8080", false));
    for name in GONE {
        assert!(!stream.fields.has(name), "{name} is for one hop: {:?}", stream.fields);
    }
}

/// an HTTP/2 client's cookies are joined, its authority is the Host, Via says 2.0.
#[tokio::test]
async fn an_http2_client_reads_like_any_other_to_an_http1_upstream() {
    let certs = Certs::new();
    for lane in Lane::BOTH {
        let origin = Origin::returning(200, "hello");
        let proxy = lane.before_tls(&origin.url(), &certs, PLAIN).await;
        let client = vestibule_testkit::H2Client::connect_tls(proxy.address(), &certs).await;
        let request = vestibule_testkit::H2Request::new("GET", "/").header("cookie", "a=b").header("cookie", "c=d");
        assert_eq!(client.send(request).await.status, 200);
        let last = origin.last();
        assert_eq!(last.version, "HTTP/1.1", "{lane:?}");
        assert_eq!(last.fields.all("host").collect::<Vec<_>>(), ["localhost"], "{lane:?}");
        assert_eq!(last.fields.all("cookie").collect::<Vec<_>>(), ["a=b; c=d"], "{lane:?}");
        assert_eq!((last.field("via"), last.field("x-forwarded-proto")), ("2.0 vestibule", "https"), "{lane:?}");
        assert!(!last.fields.has("content-length") && !last.fields.has("transfer-encoding"), "{lane:?}");
    }
}

#[tokio::test]
async fn both_lanes_give_the_client_the_same_head() {
    let certs = Certs::new();
    let origin = Origin::replying(|_| {
        Reply::ok("hello")
            .field("Connection", "X-For-This-Hop, content-type")
            .field("X-For-This-Hop", "1")
            .field("Keep-Alive", "timeout=5")
            .field("Proxy-Authenticate", "Basic")
            .field("Upgrade", "h2c")
            .field("TE", "x")
            .field("Trailer", "x-sum")
            .field("Proxy-Connection", "x")
            .field("X-Kept", "One")
            .field("X-Kept", "Two")
            .field("Content-Type", "text/plain")
            .field("Server", "app")
            .field("ETag", "\"theirs\"")
    });
    for client in Client::BOTH {
        let mut heads = Vec::new();
        for lane in Lane::BOTH {
            let proxy = lane.before_tls(&origin.url(), &certs, PLAIN).await;
            let answer = client.ask(&proxy, &certs, &[("GET", "/")]).await.remove(0);
            // The proxy says when, as the application does not.
            let fields = answer.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
            let mut fields: Vec<_> = fields.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            fields.sort();
            heads.push(fields);
        }
        assert_eq!(heads[0], heads[1], "{client:?}");
        let mut names: Vec<_> = heads[0].iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let expected = ["content-length", "content-type", "etag", "server", "x-kept", "x-kept"];
        names.sort();
        assert_eq!(names, expected, "{client:?}");
    }
}

/// What passes as it came has its place and its spelling, from HTTP/1 to HTTP/1, and what the proxy adds stands behind it.
#[tokio::test]
async fn lines_keep_their_order_and_their_names_the_spelling() {
    let reply = "HTTP/1.1 200 OK\r\nX-ZULU: 1\r\nX-alpha: 2\r\nx-zulu: 3\r\nContent-Length: 2\r\nDATE: now\r\n\r\nok";
    let origin = Origin::replying(move |_| Reply::raw(reply));
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml("[trace]\n").start().await;

    let mut raw = proxy.connect().await;
    raw.write("GET / HTTP/1.1\r\nHost: localhost\r\nX-bravo:1\r\nX-ALPHA:  2 \r\nx-Bravo: 3\r\nAccept: */*\r\n\r\n")
        .await;
    let answer = raw.answer().await;
    let sent = origin.last();

    let own = |fields: &vestibule_testkit::Fields, of: &[&str]| -> Vec<String> {
        let names = fields.iter().filter(|(name, _)| of.iter().any(|one| one.eq_ignore_ascii_case(name)));
        names.map(|(name, value)| format!("{name}: {value}")).collect()
    };
    let wanted = ["X-bravo: 1", "X-ALPHA: 2", "x-Bravo: 3", "Accept: */*"];
    assert_eq!(own(&sent.fields, &["x-bravo", "x-alpha", "accept"]), wanted);
    assert!(sent.fields.iter().last().is_some_and(|(name, _)| name == "Traceparent"), "{:?}", sent.fields);
    let wanted = ["X-ZULU: 1", "X-alpha: 2", "x-zulu: 3", "Content-Length: 2", "DATE: now"];
    assert_eq!(own(&answer.fields, &["x-zulu", "x-alpha", "content-length", "date"]), wanted);
}
