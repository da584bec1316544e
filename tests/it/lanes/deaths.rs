//! The upstream dies, or talks nonsense: an honest error or a broken connection, never a reply that looks whole.

use super::lane::{Client, Lane};
use bytes::Bytes;
use vestibule_testkit::origin::{Cut, Then};
use vestibule_testkit::{BodyEnd, Certs, H2Origin, H2Reply, Origin, Over, Received, Reply};

/// More than the held lane keeps.
const LARGE: usize = 2 << 20;

fn dying(request: &Received) -> Reply {
    let (way, place) = request.target.trim_start_matches('/').split_once('/').expect("a way and a place");
    let declared = Reply::ok("hello, world");
    let chunked = Reply::new(200).chunk("hello").chunk(", world");
    let large = Bytes::from(vec![b'.'; LARGE]);
    let reply = match place {
        "before-any-byte" => Reply::dying(),
        "inside-the-head" => declared.cut(Cut::Head(10)),
        "behind-the-head" => declared.cut(Cut::Body(0)),
        "inside-a-declared-body" => declared.cut(Cut::Body(5)),
        "behind-a-chunked-head" => chunked.cut(Cut::Body(0)),
        "inside-a-chunk" => chunked.cut(Cut::Body(6)),
        "between-chunks" => chunked.cut(Cut::Body(10)),
        "before-the-last-chunk" => chunked.cut(Cut::Body(22)),
        "inside-a-large-body" => Reply::ok(large).cut(Cut::Body(LARGE - 100)),
        "inside-a-large-chunked-body" => {
            Reply::new(200).chunks_of(4096, std::time::Duration::ZERO, large).cut(Cut::Body(LARGE - 100))
        }
        other => panic!("no script for {other}"),
    };
    reply.then(if way == "reset" { Then::Reset } else { Then::HangUp })
}

/// Where, and whether the stream lane still has the head in its hands then.
const PLACES: [(&str, bool); 10] = [
    ("before-any-byte", true),
    ("inside-the-head", true),
    ("behind-the-head", false),
    ("inside-a-declared-body", false),
    ("behind-a-chunked-head", false),
    ("inside-a-chunk", false),
    ("between-chunks", false),
    ("before-the-last-chunk", false),
    ("inside-a-large-body", false),
    ("inside-a-large-chunked-body", false),
];

#[tokio::test]
async fn an_upstream_that_dies_is_never_taken_for_one_that_finished() {
    let certs = Certs::new();
    for lane in Lane::BOTH {
        let origin = Origin::replying(dying);
        let proxy = lane.before_tls(&origin.url(), &certs, "").await;
        for client in Client::BOTH {
            for way in ["close", "reset"] {
                for (place, before_the_head) in PLACES {
                    let case = format!("{lane:?}, {client:?}, {way} {place}");
                    let target = format!("/{way}/{place}");
                    let answer = client.ask(&proxy, &certs, &[("GET", &target)]).await.remove(0);
                    // A reset may overtake the head it follows.
                    let must_be_502 = before_the_head || (lane == Lane::Held && !place.contains("large"));
                    if must_be_502 || answer.status == 502 {
                        assert_eq!(answer.status, 502, "{case}");
                        assert!(
                            ["upstream-unreachable", "upstream-invalid"].contains(&answer.problem().as_str()),
                            "{case}: {}",
                            answer.text()
                        );
                        // A close behind the head cannot be mistaken for an application that is not there.
                        if !before_the_head && way == "close" {
                            assert_eq!(answer.problem(), "upstream-invalid", "{case}");
                        }
                    } else {
                        assert_eq!((answer.status, answer.body_end), (200, BodyEnd::CutOff), "{case}");
                    }
                }
            }
        }
    }
}

/// An answer made here leaves the client's connection usable, or says that it does not.
#[tokio::test]
async fn a_502_says_whether_the_connection_goes_on() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(dying);
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = proxy.connect().await;
        let answer = proxy.get("/close/before-any-byte").on(&mut raw).await;
        assert_eq!(answer.status, 502);
        if answer.fields.lists("connection", "close") {
            assert!(raw.closed().await.is_empty());
        } else {
            let again = proxy.get("/close/before-any-byte").on(&mut raw).await;
            assert_eq!(again.status, 502, "{lane:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_an_http2_upstream_resets_or_spoils_is_never_taken_for_whole() {
    use vestibule_testkit::h2::Reason;
    let certs = Certs::new();
    for lane in Lane::BOTH {
        let origin = H2Origin::replying(Over::Cleartext, |request| match request.target.as_str() {
            "/head" => H2Reply::resetting(Reason::INTERNAL_ERROR),
            "/nonsense" => H2Reply::ok("part").field("content-length", "five"),
            _ => H2Reply::ok("part").then_reset(Reason::INTERNAL_ERROR),
        });
        let proxy = lane.before_tls(&origin.url(), &certs, "").await;
        for client in Client::BOTH {
            let answers = client.ask(&proxy, &certs, &[("GET", "/head")]).await;
            assert_eq!(answers[0].problem(), "upstream-unreachable", "{lane:?}, {client:?}");
            let answers = client.ask(&proxy, &certs, &[("GET", "/nonsense")]).await;
            assert_eq!(answers[0].problem(), "upstream-invalid", "{lane:?}, {client:?}");
            let answers = client.ask(&proxy, &certs, &[("GET", "/body")]).await;
            match (lane, answers[0].status) {
                (Lane::Stream, 200) => assert_eq!(answers[0].body_end, BodyEnd::CutOff, "{lane:?}, {client:?}"),
                (_, status) => assert_eq!(status, 502, "{lane:?}, {client:?}"),
            }
        }
    }
}

/// SEC-04: what no HTTP parser should have to guess.
#[tokio::test]
async fn what_is_not_valid_http_is_502_upstream_invalid() {
    for lane in Lane::BOTH {
        let nonsense: [(&str, &'static str); 6] = [
            ("another protocol", "220 mail.test ESMTP ready\r\n\r\n"),
            ("bytes", "\0\x01\x02\x03\r\n\r\n"),
            ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!"),
            ("a length that is none", "HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello"),
            ("a bad name", "HTTP/1.1 200 OK\r\nx y: 1\r\ncontent-length: 0\r\n\r\n"),
            ("an unasked 101", "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
        ];
        for (what, bytes) in nonsense {
            let origin = Origin::replying(move |_| Reply::raw(bytes));
            let proxy = lane.before(&origin.url(), "").await;
            let answer = proxy.get("/").await;
            assert_eq!((answer.status, answer.problem().as_str()), (502, "upstream-invalid"), "{lane:?}, {what}");
        }
    }
}

/// SEC-04: an answer that two readers could read differently is nobody's answer, whatever their rules of precedence.
#[tokio::test]
async fn a_reply_that_can_be_read_two_ways_is_502() {
    let big = format!("x-big: {}\r\n", "x".repeat(256 * 1024));
    for (what, fields) in [
        ("both framings", "content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n"),
        ("the same length twice", "content-length: 5\r\ncontent-length: 5\r\n"),
        ("a list of equal lengths", "content-length: 5, 5\r\n"),
        ("a length with a sign", "content-length: +5\r\n"),
        ("a length with a zero before it", "content-length: 05\r\n"),
        ("a coding before chunked", "transfer-encoding: gzip, chunked\r\n"),
        ("chunked twice", "transfer-encoding: chunked, chunked\r\n"),
        ("an unknown coding", "transfer-encoding: identity\r\n"),
        ("a folded line", "x-folded: a\r\n b\r\ncontent-length: 5\r\n"),
        ("a line that ends with LF", "x-short: a\ncontent-length: 5\r\n"),
        ("a space before the colon", "content-length : 5\r\n"),
        ("a control in a value", "x-bell: \u{7}\r\ncontent-length: 5\r\n"),
        ("a head of more than 256 KiB", &big),
    ] {
        for lane in Lane::BOTH {
            let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello");
            let origin = Origin::replying(move |request: &Received| match request.target.as_str() {
                "/odd" => Reply::raw(bytes.clone()),
                _ => Reply::ok("fine"),
            });
            let proxy = lane.before(&origin.url(), "").await;
            let answer = proxy.get("/odd").await;
            assert_eq!((answer.status, answer.problem().as_str()), (502, "upstream-invalid"), "{lane:?}, {what}");
            assert_eq!(proxy.get("/").await.text(), "fine", "{lane:?}, {what}: the connection serves nobody else");
        }
    }
}

/// An upstream connection with bytes left after a complete response is closed, not reused.
#[tokio::test]
async fn bytes_behind_a_complete_reply_are_nobodys_reply() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|request: &Received| match request.nth_on_connection {
            1 => Reply::raw(
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfairHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfoul",
            ),
            _ => Reply::ok("late"),
        });
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = proxy.connect().await;
        for _ in 0..3 {
            assert_eq!(proxy.get("/").on(&mut raw).await.text(), "fair", "{lane:?}");
        }
    }
}
