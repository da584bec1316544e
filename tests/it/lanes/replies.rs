//! Every shape of a reply, to HTTP/1.1 and HTTP/2 clients, on a connection that goes on afterwards.

use super::lane::{Client, Lane};
use std::time::Duration;
use vestibule_testkit::{BodyEnd, Certs, Gate, H2Client, H2Request, Origin, Received, Reply};

fn reply(request: &Received) -> Reply {
    match request.target.as_str() {
        "/length" => Reply::ok("hello"),
        "/chunked" => Reply::new(200).chunk("he").chunk("llo"),
        "/bytewise" => Reply::new(200).chunks_of(1, Duration::ZERO, "hello"),
        "/close" => Reply::new(200).until_close("hello"),
        "/http10" => Reply::raw("HTTP/1.0 200 OK\r\n\r\nhello").then(vestibule_testkit::origin::Then::HangUp),
        "/empty" => Reply::new(200),
        "/empty-chunked" => Reply::new(200).chunks_of(1, Duration::ZERO, ""),
        "/empty-close" => Reply::new(200).until_close(""),
        "/204" => Reply::new(204),
        "/204-length" => Reply::raw("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n"),
        "/304" => Reply::new(304).field("etag", "\"v1\""),
        "/304-length" => Reply::new(304).field("etag", "\"v1\"").field("content-length", "5"),
        "/404" => Reply::new(404).body("hello"),
        "/redirect" => Reply::new(302).field("location", "/elsewhere").body("hello"),
        "/odd-status" => Reply::new(299).body("hello"),
        other => panic!("no script for {other}"),
    }
}

/// Target, status, body of a GET.
const SHAPES: [(&str, u16, &str); 15] = [
    ("/length", 200, "hello"),
    ("/chunked", 200, "hello"),
    ("/bytewise", 200, "hello"),
    ("/close", 200, "hello"),
    ("/http10", 200, "hello"),
    ("/empty", 200, ""),
    ("/empty-chunked", 200, ""),
    ("/empty-close", 200, ""),
    ("/204", 204, ""),
    ("/204-length", 204, ""),
    ("/304", 304, ""),
    ("/304-length", 304, ""),
    ("/404", 404, "hello"),
    ("/redirect", 302, "hello"),
    ("/odd-status", 299, "hello"),
];

#[tokio::test]
async fn replies_of_every_shape_pass_and_the_connection_goes_on() {
    let certs = Certs::new();
    for lane in Lane::BOTH {
        let origin = Origin::replying(reply);
        let proxy = lane.before_tls(&origin.url(), &certs, "").await;
        for client in Client::BOTH {
            for method in ["GET", "HEAD"] {
                for (target, status, body) in SHAPES {
                    let case = format!("{lane:?}, {client:?}, {method} {target}");
                    // The second request proves that the first reply ended where the client thought.
                    let asked = [(method, target), ("GET", "/length")];
                    let answers = client.ask(&proxy, &certs, &asked).await;
                    let body = if method == "HEAD" { "" } else { body };
                    assert_eq!((answers[0].status, answers[0].text().as_str()), (status, body), "{case}");
                    assert_eq!(answers[0].body_end, BodyEnd::Complete, "{case}");
                    assert!(status != 204 || !answers[0].fields.has("content-length"), "{case}");
                    assert_eq!((answers[1].status, answers[1].text().as_str()), (200, "hello"), "{case}: next");
                }
            }
        }
    }
}

/// RFC 9110 section 8.6: a length is the length of what a GET would bring, or is not sent.
#[tokio::test]
async fn lengths_are_right_or_absent() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(reply);
        let proxy = lane.before(&origin.url(), "").await;
        for (method, target, lengths) in [
            ("GET", "/length", &["5"][..]),
            ("GET", "/empty", &["0"]),
            ("HEAD", "/length", &["5"]),
            ("HEAD", "/empty", &["0"]),
            ("GET", "/204", &[]),
            ("HEAD", "/chunked", &[]),
            ("GET", "/304", &[]),
            ("GET", "/404", &["5"]),
        ] {
            let answer = proxy.request(method, target).await;
            let sent: Vec<_> = answer.fields.all("content-length").collect();
            assert_eq!(sent, lengths, "{lane:?}, {method} {target}: {:?}", answer.fields);
        }
        let chunked = proxy.get("/chunked").await;
        match lane {
            Lane::Stream => assert_eq!(chunked.field("transfer-encoding"), "chunked"),
            // a held reply goes out with its length.
            Lane::Held => {
                assert_eq!((chunked.field("content-length"), chunked.fields.count("transfer-encoding")), ("5", 0));
            }
        }
    }
}

/// RFC 9110 section 15.2: interim responses are forwarded, in order, before the final one.
#[tokio::test]
async fn interim_responses_come_in_order_before_the_final_one() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| {
            Reply::ok("hello")
                .interim(103, &[("link", "</a>")])
                .interim(103, &[("link", "</b>"), ("connection", "x"), ("content-length", "5")])
        });
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = proxy.connect().await;
        for _ in 0..2 {
            let answer = proxy.get("/").on(&mut raw).await;
            let links: Vec<_> = answer.interim.iter().map(|(status, fields)| (*status, fields.get("link"))).collect();
            assert_eq!(links, [(103, Some("</a>")), (103, Some("</b>"))], "{lane:?}");
            for gone in ["connection", "content-length"] {
                assert!(!answer.interim[1].1.has(gone), "{lane:?}: what was meant for one hop stays there: {gone}");
            }
            assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()), "{lane:?}");
        }
    }
}

/// at most 16 interim responses are passed, then 502.
#[tokio::test]
async fn more_than_sixteen_interim_responses_are_502() {
    for lane in Lane::BOTH {
        for (count, status) in [(16, 200), (17, 502), (2000, 502)] {
            let origin = Origin::replying(move |_| {
                (0..count).fold(Reply::ok("hello"), |reply, _| reply.interim(103, &[("link", "</a>")]))
            });
            let proxy = lane.before(&origin.url(), "").await;
            let answer = proxy.get("/").await;
            assert_eq!(answer.status, status, "{lane:?}, {count}");
            assert!(answer.interim.len() <= 16, "{lane:?}, {count}");
            if status == 502 {
                assert_eq!(answer.problem(), "upstream-invalid", "{lane:?}, {count}");
            }
        }
    }
}

/// Trailers of an HTTP/1 application reach HTTP/2 clients, without what a trailer may not say (RFC 9110 section 6.5.1).
#[tokio::test]
async fn trailers_of_an_http1_upstream_reach_http2_clients() {
    let certs = Certs::new();
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| {
            let reply = Reply::new(200).chunk("hello").trailer("x-sum", "1").trailer("content-length", "7");
            reply.trailer("connection", "close")
        });
        let proxy = lane.before_tls(&origin.url(), &certs, "").await;
        for _ in 0..2 {
            let answer = Client::Http2.ask(&proxy, &certs, &[("GET", "/")]).await.remove(0);
            assert_eq!((answer.text(), answer.trailers.get("x-sum")), ("hello".to_owned(), Some("1")), "{lane:?}");
            assert_eq!(answer.trailers.iter().count(), 1, "{lane:?}: {:?}", answer.trailers);
        }
    }
}

/// RFC 9110 section 10.1.4: they reach an HTTP/1 client that says it takes them, and harm no other.
#[tokio::test]
async fn trailers_reach_http1_clients_that_take_them() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| Reply::new(200).chunk("hello").trailer("x-sum", "1"));
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = proxy.connect().await;
        for (te, sum) in [("trailers", Some("1")), ("deflate", None), ("", None), ("Trailers;q=0.5, gzip", None)] {
            let request = proxy.get("/").header("te", te).header("connection", "te");
            let answer = request.on(&mut raw).await;
            assert_eq!((answer.text(), answer.body_end), ("hello".to_owned(), BodyEnd::Complete), "{lane:?}, {te}");
            assert_eq!(answer.trailers.get("x-sum"), sum, "{lane:?}, {te}");
        }
    }
}

/// The application knows when it made its reply; the proxy says when where it does not.
#[tokio::test]
async fn the_date_is_the_applications() {
    let certs = Certs::new();
    let theirs = "Sun, 06 Nov 1994 08:49:37 GMT";
    for lane in Lane::BOTH {
        let origin = Origin::replying(move |request| match request.target.as_str() {
            "/dated" => Reply::ok("hello").field("date", theirs),
            _ => Reply::ok("hello"),
        });
        let proxy = lane.before_tls(&origin.url(), &certs, "").await;
        for client in Client::BOTH {
            let answers = client.ask(&proxy, &certs, &[("GET", "/dated"), ("GET", "/")]).await;
            assert_eq!(answers[0].fields.all("date").collect::<Vec<_>>(), [theirs], "{lane:?}, {client:?}");
            assert_eq!(answers[1].fields.all("date").count(), 1, "{lane:?}, {client:?}");
        }
    }
}

/// RFC 9113 section 8.1: interim heads are HEADERS frames that do not end the stream.
#[tokio::test]
async fn interim_responses_reach_http2_clients() {
    let certs = Certs::new();
    for lane in Lane::BOTH {
        let hold = Gate::closed();
        let held = hold.clone();
        let origin = Origin::replying(move |_| Reply::ok("ok").interim(103, &[("link", "</a.css>")]).once(&held));
        let proxy = lane.before_tls(&origin.url(), &certs, "").await;
        let client = H2Client::connect_tls(proxy.address(), &certs).await;
        let mut stream = client.open(H2Request::new("GET", "/")).await.expect("a stream");
        let (status, fields) = stream.interim().await.expect("an interim head");
        assert_eq!((status, fields.get("link")), (103, Some("</a.css>")), "{lane:?}");
        hold.open();
        assert_eq!(stream.answer().await.expect("the final head").text(), "ok", "{lane:?}");
    }
}

/// Early hints are early: they do not wait for the response that they hint at.
#[tokio::test]
async fn interim_responses_do_not_wait_for_the_final_one() {
    for lane in Lane::BOTH {
        let gate = Gate::closed();
        let held = gate.clone();
        let origin = Origin::replying(move |_| Reply::ok("ok").interim(103, &[("link", "</a.css>")]).once(&held));
        let proxy = lane.before(&origin.url(), "").await;
        let mut raw = proxy.connect().await;
        raw.write(proxy.get("/").encoded()).await;
        raw.until("</a.css>").await;
        gate.open();
        raw.until("ok").await;
    }
}
