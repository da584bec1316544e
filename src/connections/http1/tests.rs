use super::super::upload::{Replay, upload};
use super::*;
use crate::memory_budget::MemoryBudget;
use pingora::protocols::l4::stream::Stream as L4;
use std::borrow::Cow;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use vestibule_plugin::ClientAddress;

/// A connection whose other end reads nothing, and has no room left.
async fn full() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (ours, theirs) = (ours.expect("connect"), theirs.expect("accept").0);
    while timeout(Duration::from_millis(200), ours.writable()).await.is_ok() {
        let _ = ours.try_write(&[0; 64 * 1024]);
    }
    (ours, theirs)
}

#[tokio::test]
async fn a_client_that_sends_on_puts_no_deadline_off() {
    let (ours, _silent) = full().await;
    let timeouts = Timeouts { read: None, write: Some(Duration::from_millis(400)) };
    let mut http1 = Http1::new(Box::new(L4::from(ours)), timeouts);
    let (sender, body) = upload(MemoryBudget::for_tests(0).nothing_yet(ClientAddress::Local));
    let from = body.reader(Replay::Dropped).expect("nothing was sent");
    let head = RequestHead {
        method: &Method::POST,
        fields: Fields::new(),
        target: b"/",
        authority: Cow::Borrowed(b"a"),
        scheme: "http",
        switch: Switch::NotAsked,
    };
    http1.send(&head, RequestBody::Streamed { from, length: None });

    let drips = async {
        loop {
            poll_fn(|cx| sender.poll_wanted(cx)).await;
            sender.send(Bytes::from_static(b"x"));
            sleep(Duration::from_millis(50)).await;
        }
    };
    let mut seen = |_: &Bytes| {};
    let answered = tokio::select! {
        answered = timeout(Duration::from_secs(5), http1.read_head(USUAL_HEAD, &mut seen)) => answered.expect("a deadline"),
        () = drips => unreachable!("it has no end"),
    };
    assert_eq!(answered.expect_err("nothing was read").etype, ErrorType::WriteTimedout);
}
