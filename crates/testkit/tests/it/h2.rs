//! The HTTP/2 origin, seen by the HTTP/2 client and by hand-written frames.

use std::time::Duration;
use vestibule_testkit::frames::{self, END_STREAM, Kind};
use vestibule_testkit::h2::Reason;
use vestibule_testkit::{BodyEnd, Certs, Gate, H2Client, H2Origin, H2Reply, H2Request, Over, Raw};

#[tokio::test]
async fn requests_and_replies_pass_in_clear() {
    let origin = H2Origin::replying(Over::Cleartext, |request| H2Reply::ok(request.body.clone()).field("x-a", "b"));
    let client = H2Client::connect(origin.address()).await;
    let answer = client.send(H2Request::new("POST", "/p?q").body("hello").trailer("x-t", "1")).await;
    assert_eq!((answer.status, answer.text(), answer.field("x-a")), (200, "hello".into(), "b"));
    let last = origin.last();
    assert_eq!(
        (last.target.as_str(), last.authority.as_str(), last.trailers.get("x-t")),
        ("/p?q", "localhost", Some("1"))
    );
    assert!(origin.url().starts_with("h2c://127.0.0.1:"));
}

#[tokio::test]
async fn grpc_trailers_pass_over_tls() {
    let certs = Certs::new();
    let origin = H2Origin::replying(Over::Tls(&certs), |_| H2Reply::grpc(b"pong", 5));
    let client = H2Client::connect_tls(origin.address(), &certs).await;
    let answer = client.send(H2Request::new("POST", "/s/m").header("te", "trailers").body("ping")).await;
    assert_eq!(&answer.body[..], b"\0\0\0\0\x04pong");
    assert_eq!(answer.trailers.get("grpc-status"), Some("5"));
}

#[tokio::test]
async fn many_streams_share_a_connection() {
    let origin = H2Origin::replying(Over::Cleartext, |request| H2Reply::ok(request.target.clone()));
    let client = H2Client::connect(origin.address()).await;
    let mut streams = Vec::new();
    for n in 0..200 {
        streams.push(client.open(H2Request::new("GET", &format!("/{n}"))).await.expect("a stream"));
    }
    for (n, stream) in streams.into_iter().enumerate() {
        assert_eq!(stream.answer().await.expect("a response").text(), format!("/{n}"));
    }
    assert_eq!((origin.hits(), origin.counts().connections), (200, 1));
}

#[tokio::test]
async fn a_stream_can_be_refused_and_reset() {
    let origin = H2Origin::at_head(Over::Cleartext, |request| match request.target.as_str() {
        "/refused" => H2Reply::refused(),
        _ => H2Reply::ok("part").then_reset(Reason::INTERNAL_ERROR),
    });
    let client = H2Client::connect(origin.address()).await;
    let refused = client.try_send(H2Request::new("GET", "/refused")).await.expect_err("a refused stream");
    assert_eq!(refused.reason(), Some(Reason::REFUSED_STREAM));
    let cut = client.get("/cut").await;
    assert_eq!((cut.text(), cut.body_end), ("part".into(), BodyEnd::CutOff));
}

#[tokio::test]
async fn a_connection_can_go_away_with_and_without_the_stream() {
    let origin = H2Origin::going_away(Over::Cleartext, 1, |_| H2Reply::ok("served").going_away());
    let mut client = H2Client::connect(origin.address()).await;
    let error = client.try_send(H2Request::new("GET", "/")).await.expect_err("a stream above the last");
    assert!(error.is_go_away() && error.is_remote(), "{error}");
    let _ = client.closed().await;
    assert_eq!(origin.last().method, "");

    let mut client = H2Client::connect(origin.address()).await;
    assert_eq!(client.get("/").await.text(), "served");
    client.closed().await.expect("an orderly end");
    assert_eq!(origin.hits(), 2);
}

#[tokio::test]
async fn a_reset_by_the_client_is_counted() {
    let origin = H2Origin::replying(Over::Cleartext, |_| H2Reply::never());
    let client = H2Client::connect(origin.address()).await;
    let stream = client.open(H2Request::new("GET", "/")).await.expect("a stream");
    origin.wait_hits(1).await;
    stream.reset(Reason::CANCEL);
    origin.wait("the reset stream", |counts| counts.aborted == 1).await;
}

#[tokio::test]
async fn a_body_can_be_sent_in_pieces_while_the_reply_waits() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = H2Origin::at_head(Over::Cleartext, move |_| {
        H2Reply::ok("a").once(&held).chunk_after(Duration::from_millis(1), "b")
    });
    let client = H2Client::connect(origin.address()).await;
    let mut stream = client.open_upload(H2Request::new("POST", "/")).await.expect("a stream");
    stream.data("12").expect("an open stream");
    origin.wait("the first piece", |counts| counts.body_bytes == 2).await;
    stream.finish_with(&[("x-sum", "2")]).expect("an open stream");
    origin.wait("the whole request", |counts| counts.complete == 1).await;
    gate.open();
    assert_eq!(stream.answer().await.expect("a response").text(), "ab");
}

#[tokio::test]
async fn frames_written_by_hand_are_understood() {
    let origin = H2Origin::replying(Over::Cleartext, |_| H2Reply::new(204));
    let mut raw = Raw::connect(origin.address()).await;
    raw.write([frames::PREFACE, &frames::settings()].concat()).await;
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/raw"), (":authority", "a")];
    raw.write(frames::headers(1, END_STREAM, &fields)).await;
    let head = loop {
        let frame = raw.frame().await.expect("a frame");
        if frame.is(Kind::Headers) {
            break frame;
        }
    };
    assert_eq!((head.stream, head.flags & END_STREAM), (1, END_STREAM));
    assert_eq!(origin.last().target, "/raw");
}
