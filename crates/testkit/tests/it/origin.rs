//! The scripted origin, seen by the raw client.

use std::time::Duration;
use vestibule_testkit::origin::{Cut, Then};
use vestibule_testkit::{Alpn, BodyEnd, Certs, Gate, Origin, Raw, Reply, Request};

fn get(origin: &Origin, target: &str) -> Request {
    Request::new(origin.address(), "GET", target)
}

fn post(origin: &Origin, target: &str) -> Request {
    Request::new(origin.address(), "POST", target)
}

#[tokio::test]
async fn it_answers_and_remembers_in_order() {
    let origin = Origin::returning(201, "made");
    let mut raw = Raw::connect(origin.address()).await;
    let first = post(&origin, "/a?b").header("X-Case", "Kept").body("hello").on(&mut raw).await;
    let second = post(&origin, "/c").chunked(["he", "llo"]).on(&mut raw).await;
    assert_eq!((first.status, first.text(), second.status), (201, "made".into(), 201));

    let requests = origin.requests();
    assert_eq!((origin.hits(), origin.connections()), (2, 1));
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("POST", "/a?b"));
    assert_eq!(requests[0].fields.iter().nth(1), Some(("X-Case", "Kept")));
    assert!(requests[0].raw_head.starts_with(b"POST /a?b HTTP/1.1\r\nhost: localhost\r\nX-Case: Kept\r\n"));
    assert_eq!((requests[0].text(), requests[1].text()), ("hello".into(), "hello".into()));
    assert_eq!((requests[1].number, requests[1].nth_on_connection), (2, 2));
}

#[tokio::test]
async fn head_and_304_have_no_body() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/unchanged" => Reply::new(304).field("etag", "\"1\""),
        _ => Reply::ok("body"),
    });
    let mut raw = Raw::connect(origin.address()).await;
    let head = Request::new(origin.address(), "HEAD", "/").on(&mut raw).await;
    assert_eq!((head.field("content-length"), head.text().as_str()), ("4", ""));
    assert_eq!(get(&origin, "/unchanged").on(&mut raw).await.status, 304);
    assert_eq!(get(&origin, "/").on(&mut raw).await.text(), "body");
}

#[tokio::test]
async fn chunks_trailers_and_interim_responses_arrive() {
    let origin = Origin::replying(|_| {
        Reply::new(200)
            .interim(103, &[("link", "</style.css>")])
            .chunks_of(3, Duration::from_millis(1), "abcdefgh")
            .trailer("x-sum", "8")
    });
    let answer = get(&origin, "/").await;
    assert_eq!(answer.text(), "abcdefgh");
    assert_eq!(answer.trailers.get("x-sum"), Some("8"));
    assert_eq!(answer.interim[0].0, 103);
    assert_eq!(answer.interim[0].1.get("link"), Some("</style.css>"));
}

#[tokio::test]
async fn it_dies_at_each_point() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/before" => Reply::dying(),
        "/before-reset" => Reply::dying().then(Then::Reset),
        "/head" => Reply::ok("hello").cut(Cut::Head(10)),
        "/after-head" => Reply::ok("hello").cut(Cut::Body(0)),
        _ => Reply::ok("hello").cut(Cut::Body(3)),
    });
    for target in ["/before", "/before-reset", "/head"] {
        assert!(get(&origin, target).try_send().await.is_err(), "{target}");
    }
    let cut = get(&origin, "/after-head").await;
    assert_eq!((cut.status, cut.text(), cut.body_end), (200, String::new(), BodyEnd::CutOff));
    let cut = get(&origin, "/body").await;
    assert_eq!((cut.text(), cut.body_end), ("hel".into(), BodyEnd::CutOff));
    assert_eq!(origin.hits(), 5);
}

#[tokio::test]
async fn a_reused_connection_can_be_closed_under_a_request() {
    let origin =
        Origin::replying(|request| if request.nth_on_connection > 1 { Reply::dying() } else { Reply::ok("first") });
    let mut raw = Raw::connect(origin.address()).await;
    assert_eq!(get(&origin, "/").on(&mut raw).await.text(), "first");
    raw.write(get(&origin, "/").encoded()).await;
    assert!(raw.try_answer_to("GET").await.is_err());
    assert_eq!((origin.hits(), origin.connections()), (2, 1));
}

#[tokio::test]
async fn close_is_announced_and_until_close_ends_there() {
    let origin = Origin::replying(|request| match request.target.as_str() {
        "/close" => Reply::ok("x").then(Then::Close),
        _ => Reply::new(200).until_close("all of it"),
    });
    let mut raw = Raw::connect(origin.address()).await;
    assert_eq!(get(&origin, "/close").on(&mut raw).await.field("connection"), "close");
    assert!(raw.closed().await.is_empty());
    let answer = get(&origin, "/").await;
    assert_eq!((answer.text(), answer.body_end), ("all of it".into(), BodyEnd::Complete));
}

#[tokio::test]
async fn a_reply_waits_for_its_gate_and_a_leaving_client_is_counted() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |request| match request.target.as_str() {
        "/held" => Reply::ok("now").once(&held),
        _ => Reply::never(),
    });
    let mut raw = Raw::connect(origin.address()).await;
    raw.write(get(&origin, "/held").encoded()).await;
    origin.wait_hits(1).await;
    gate.open();
    assert_eq!(raw.answer().await.text(), "now");

    raw.write(get(&origin, "/never").encoded()).await;
    origin.wait_hits(2).await;
    drop(raw);
    let counts = origin.wait("the abandoned exchange", |counts| counts.aborted == 1 && counts.open == 0).await;
    assert_eq!(counts.complete, 2);
}

#[tokio::test]
async fn a_reply_at_the_head_comes_before_the_body() {
    let origin = Origin::at_head(|request| match request.target.as_str() {
        "/unread" => Reply::new(413).leaving_the_upload(),
        _ => Reply::ok("early"),
    });
    let mut raw = Raw::connect(origin.address()).await;
    raw.write("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n").await;
    assert_eq!(raw.answer().await.text(), "early");
    assert_eq!(origin.counts().complete, 0);
    raw.write("hello").await;
    origin.wait("the late body", |counts| counts.complete == 1).await;
    assert_eq!(origin.last().text(), "hello");

    raw.write("POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello").await;
    assert_eq!(raw.answer().await.status, 413);
    assert_eq!(origin.last().body_end, BodyEnd::Unread);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_remembered_as_such() {
    let origin = Origin::returning(200, "");
    let mut raw = Raw::connect(origin.address()).await;
    raw.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe").await;
    drop(raw);
    origin.wait("the end of the connection", |counts| counts.hits == 1 && counts.open == 0).await;
    assert_eq!((origin.last().text(), origin.last().body_end), ("he".into(), BodyEnd::CutOff));
    assert_eq!((origin.counts().complete, origin.counts().body_bytes), (0, 2));
}

#[tokio::test]
async fn expectations_are_met_before_the_body() {
    let origin = Origin::returning(200, "thanks");
    let mut raw = Raw::connect(origin.address()).await;
    raw.write("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await;
    raw.until("100 Continue\r\n\r\n").await;
    raw.write("hi").await;
    assert_eq!(raw.answer().await.text(), "thanks");
}

#[tokio::test]
async fn events_flow_until_told_to_stop() {
    let stop = Gate::closed();
    let told = stop.clone();
    let origin = Origin::replying(move |_| Reply::events(Duration::from_millis(2), &told));
    let mut raw = Raw::connect(origin.address()).await;
    raw.write(get(&origin, "/").encoded()).await;
    assert_eq!(raw.head_of_answer().await.field("content-type"), "text/event-stream");
    raw.until("data: 2\n\n").await;
    stop.open();
    raw.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_switched_connection_echoes() {
    let origin = Origin::replying(|_| Reply::switching("websocket"));
    let mut raw = Raw::connect(origin.address()).await;
    raw.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly").await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.field("upgrade")), (101, "websocket"));
    raw.until("early").await;
    raw.write("late").await;
    raw.until("late").await;
}

#[tokio::test]
async fn raw_bytes_go_out_verbatim() {
    let origin = Origin::replying(|_| Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc"));
    let mut raw = Raw::connect(origin.address()).await;
    assert_eq!(get(&origin, "/").on(&mut raw).await.text(), "a");
    assert_eq!(&raw.some().await[..], b"bc");
}

#[tokio::test]
async fn it_speaks_tls_to_those_who_trust_it() {
    let certs = Certs::new();
    let origin = Origin::tls(&certs, |_| Reply::ok("secret"));
    let mut raw = Raw::connect_tls(origin.address(), &certs, &[Alpn::Http11]).await;
    assert_eq!(get(&origin, "/").on(&mut raw).await.text(), "secret");
    assert!(Raw::try_connect_tls(origin.address(), &Certs::new(), &[]).await.is_err());
}

#[tokio::test]
async fn it_serves_on_a_unix_socket() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let origin = Origin::unix(|_| Reply::ok("local").then(Then::Close));
    let url = origin.url();
    let path = url.strip_prefix("unix:").expect("a Unix socket's URL");
    let mut stream = tokio::net::UnixStream::connect(path).await.expect("a listening socket");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("an open connection");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an orderly end");
    assert!(text.ends_with("\r\n\r\nlocal"), "{text}");
    assert_eq!(origin.hits(), 1);
}
