//! Deadlines towards the upstream.

use super::lane::Lane;
use std::time::{Duration, Instant};
use vestibule_testkit::{BodyEnd, Fault, Origin, Relay, Reply};

const SHORT: &str = "[upstream]\nconnect_timeout = \"300ms\"\nread_timeout = \"300ms\"\n";
/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_504() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| Reply::never());
        let proxy = lane.before(&origin.url(), SHORT).await;
        for method in ["GET", "POST"] {
            let began = Instant::now();
            let answer = proxy.request(method, "/").await;
            assert_eq!((answer.status, answer.problem().as_str()), (504, "upstream-timeout"), "{lane:?}, {method}");
            assert!(began.elapsed() >= Duration::from_millis(300), "{lane:?}, {method}: not before its time");
        }
        assert_eq!(origin.hits(), 2, "{lane:?}: nothing is sent again after a deadline");
        origin.wait("the end of the abandoned calls", |counts| counts.aborted == 2).await;
    }
}

/// TLS belongs to connecting: a handshake that never ends is a connection that was never made.
#[tokio::test]
async fn a_connection_that_is_never_made_is_504() {
    let origin = Origin::returning(200, "");
    let relay = Relay::to(origin.address());
    relay.set(Fault::Stall).await;
    for lane in Lane::BOTH {
        let url = format!("https://{}", relay.address());
        let proxy = lane.before(&url, &format!("{SHORT}server_name = \"localhost\"\n")).await;
        let answer = proxy.get("/").await;
        assert_eq!((answer.status, answer.problem().as_str()), (504, "upstream-timeout"), "{lane:?}");
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_does_not_end_well() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| Reply::new(200).chunk("hello").chunk_after(NEVER, "more"));
        let proxy = lane.before(&origin.url(), SHORT).await;
        let answer = proxy.get("/").await;
        assert_eq!((answer.status, answer.body_end), (200, BodyEnd::CutOff), "{lane:?}");
        origin.wait("the end of the abandoned call", |counts| counts.aborted == 1).await;

        let origin = Origin::replying(|_| Reply::ok("hel").field("content-length", "5"));
        let proxy = lane.before(&origin.url(), SHORT).await;
        let answer = proxy.get("/").await;
        match lane {
            Lane::Stream => assert_eq!((answer.status, answer.body_end), (200, BodyEnd::CutOff)),
            Lane::Held => assert_eq!((answer.status, answer.problem().as_str()), (504, "upstream-timeout")),
        }
    }
}

/// `read_timeout` is between bytes: a reply that takes longer in all but never pauses that long is whole.
#[tokio::test]
async fn a_slow_reply_that_never_pauses_is_whole() {
    for lane in Lane::BOTH {
        let origin = Origin::replying(|_| Reply::new(200).chunks_of(1, Duration::from_millis(100), "0123456789"));
        let proxy = lane.before(&origin.url(), SHORT).await;
        let answer = proxy.get("/").await;
        assert_eq!((answer.text(), answer.body_end), ("0123456789".to_owned(), BodyEnd::Complete), "{lane:?}");
    }
}
