//! Each fault of the relay, seen from both sides.

use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use vestibule_testkit::{BodyEnd, Fault, Origin, Raw, Relay, Request};

async fn relayed() -> (Origin, Relay) {
    let origin = Origin::returning(200, "0123456789");
    let relay = Relay::to(origin.address());
    (origin, relay)
}

fn get(relay: &Relay) -> Request {
    Request::new(relay.address(), "GET", "/")
}

#[tokio::test]
async fn without_a_fault_bytes_pass() {
    let (origin, relay) = relayed().await;
    assert_eq!(get(&relay).await.text(), "0123456789");
    assert_eq!((origin.hits(), relay.connections()), (1, 1));
}

#[tokio::test]
async fn a_delay_is_at_least_that_long() {
    let (_origin, relay) = relayed().await;
    relay.set(Fault::Delay(Duration::from_millis(30))).await;
    let began = Instant::now();
    assert_eq!(get(&relay).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(60), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stall_keeps_bytes_back_until_it_is_lifted() {
    let (origin, relay) = relayed().await;
    relay.set(Fault::Stall).await;
    let mut raw = Raw::connect(relay.address()).await;
    raw.write(get(&relay).encoded()).await;
    origin.wait("the relay's connection", |counts| counts.connections == 1).await;
    assert_eq!(origin.hits(), 0);
    relay.set(Fault::None).await;
    assert_eq!(raw.answer().await.status, 200);
}

#[tokio::test]
async fn a_cut_lets_exactly_so_many_bytes_pass() {
    let (origin, relay) = relayed().await;
    relay.set(Fault::CutRequest(5)).await;
    assert!(get(&relay).try_send().await.is_err());
    origin.wait("the end of the cut connection", |counts| counts.connections == 1 && counts.open == 0).await;
    assert_eq!(origin.hits(), 0);

    relay.set(Fault::CutResponse(10)).await;
    assert!(get(&relay).try_send().await.is_err());
    assert_eq!(origin.hits(), 1);

    // Of the 49 bytes of the whole response the last 10 are its body.
    relay.set(Fault::CutResponse(43)).await;
    match get(&relay).try_send().await {
        Ok(answer) => assert_eq!(answer.body_end, BodyEnd::CutOff),
        // A reset may overtake bytes that were sent before it.
        Err(_) => assert_eq!(origin.hits(), 2),
    }
}

#[tokio::test]
async fn a_reset_ends_open_connections_and_new_ones() {
    let (_origin, relay) = relayed().await;
    let mut raw = Raw::connect(relay.address()).await;
    assert_eq!(get(&relay).on(&mut raw).await.status, 200);
    relay.set(Fault::Reset).await;
    assert!(raw.closed().await.is_empty());
    assert!(get(&relay).try_send().await.is_err());
}

#[tokio::test]
async fn a_refusal_comes_from_the_system_and_can_be_lifted() {
    let (_origin, relay) = relayed().await;
    relay.set(Fault::Refuse).await;
    let refused = TcpStream::connect(relay.address()).await.expect_err("a refused connection");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    relay.set(Fault::None).await;
    assert_eq!(get(&relay).await.status, 200);
}

#[tokio::test]
async fn a_trickle_passes_everything_slowly() {
    let (origin, relay) = relayed().await;
    relay.set(Fault::Trickle(Duration::from_millis(1))).await;
    let began = Instant::now();
    assert_eq!(get(&relay).await.text(), "0123456789");
    // Request and response have some 90 bytes between them.
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
    assert_eq!(origin.hits(), 1);
}

#[tokio::test]
async fn a_black_hole_takes_bytes_and_gives_none() {
    let (origin, relay) = relayed().await;
    relay.set(Fault::Blackhole).await;
    let mut raw = Raw::connect(relay.address()).await;
    raw.write(get(&relay).encoded()).await;
    origin.wait("the relay's connection", |counts| counts.connections == 1).await;
    // What was taken does not come back when the fault is lifted.
    relay.set(Fault::None).await;
    raw.write("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(raw.answer().await.status, 200);
    assert!(origin.hits() <= 2);
}

#[tokio::test]
async fn one_swallowed_answer_is_missing_and_the_next_one_passes() {
    let (origin, relay) = relayed().await;
    relay.set(Fault::SwallowResponse).await;
    let mut raw = Raw::connect(relay.address()).await;
    raw.write(get(&relay).encoded()).await;
    origin.wait_hits(1).await;
    // The answer to the first is gone; that to the second passes.
    let second = get(&relay).on(&mut raw).await;
    assert_eq!((second.status, origin.hits()), (200, 2));
}
