//! HTTP/2 end to end: trailers, gRPC, streams of messages.

use super::lane::Lane;
use vestibule_testkit::{Certs, Gate, H2Client, H2Origin, H2Reply, H2Request, Over, Proxy};

async fn before(lane: Lane, origin: &H2Origin, certs: &Certs) -> (Proxy, H2Client) {
    let toml = if origin.url().starts_with("https") {
        format!("[upstream]\nca_file = {:?}\nserver_name = \"localhost\"\n", certs.ca_file())
    } else {
        String::new()
    };
    let proxy = lane.before_tls(&origin.url(), certs, &toml).await;
    let client = H2Client::connect_tls(proxy.address(), certs).await;
    (proxy, client)
}

fn call(path: &str) -> H2Request {
    H2Request::new("POST", path).header("content-type", "application/grpc").header("te", "trailers")
}

#[tokio::test]
async fn a_grpc_call_brings_its_status_in_trailers() {
    let certs = Certs::new();
    for lane in Lane::BOTH {
        for over in [Over::Tls(&certs), Over::Cleartext] {
            let origin = H2Origin::replying(over, |_| H2Reply::grpc(b"pong", 5));
            let (_proxy, client) = before(lane, &origin, &certs).await;
            let answer = client.send(call("/s/m").body("\0\0\0\0\x04ping")).await;
            assert_eq!((answer.status, &answer.body[..]), (200, &b"\0\0\0\0\x04pong"[..]), "{lane:?}, {over:?}");
            assert_eq!(answer.trailers.get("grpc-status"), Some("5"), "{lane:?}, {over:?}");
            let last = origin.last();
            assert_eq!(last.field("te"), "trailers", "{lane:?}, {over:?}");
            assert_eq!(&last.body[..], b"\0\0\0\0\x04ping", "{lane:?}, {over:?}");
        }
    }
}

#[tokio::test]
async fn a_trailers_only_reply_stays_one() {
    let certs = Certs::new();
    let origin = H2Origin::replying(Over::Cleartext, |_| {
        H2Reply::new(200).field("content-type", "application/grpc").field("grpc-status", "12")
    });
    for lane in Lane::BOTH {
        let (_proxy, client) = before(lane, &origin, &certs).await;
        let answer = client.send(call("/s/m").body("\0\0\0\0\0")).await;
        assert_eq!((answer.field("grpc-status"), answer.body.len()), ("12", 0), "{lane:?}");
    }
}

/// trailers pass, and their reply has no tag.
#[tokio::test]
async fn trailers_of_a_get_pass_in_both_lanes() {
    let certs = Certs::new();
    let origin = H2Origin::replying(Over::Cleartext, |_| H2Reply::ok("hello").trailer("x-sum", "42"));
    for lane in Lane::BOTH {
        let (_proxy, client) = before(lane, &origin, &certs).await;
        for _ in 0..2 {
            let answer = client.get("/").await;
            assert_eq!((answer.text(), answer.trailers.get("x-sum")), ("hello".to_owned(), Some("42")), "{lane:?}");
            assert!(!answer.fields.has("etag"), "{lane:?}");
        }
    }
}

#[tokio::test]
async fn messages_flow_both_ways_before_either_side_ends() {
    let certs = Certs::new();
    let gate = Gate::closed();
    for lane in Lane::BOTH {
        let held = gate.clone();
        let origin = H2Origin::at_head(Over::Cleartext, move |_| {
            H2Reply::ok("one").field("content-type", "application/grpc").once(&held).trailer("grpc-status", "0")
        });
        let (_proxy, client) = before(lane, &origin, &certs).await;
        let mut stream = client.open_upload(call("/s/bidi")).await.expect("a stream");
        for piece in 1..=3_u64 {
            stream.data("12345678").expect("an open stream");
            origin.wait("a piece of the upload", |counts| counts.body_bytes == 8 * piece).await;
        }
        gate.open();
        stream.finish().expect("an open stream");
        let answer = stream.answer().await.expect("a response");
        assert_eq!((answer.text(), answer.trailers.get("grpc-status")), ("one".to_owned(), Some("0")), "{lane:?}");
    }
}

/// A gRPC client reads a failed upstream as a status (gRPC over HTTP/2, `UNAVAILABLE` is 14).
#[tokio::test]
async fn a_grpc_call_to_a_dead_upstream_is_a_grpc_error() {
    let certs = Certs::new();
    let origin =
        H2Origin::replying(Over::Cleartext, |_| H2Reply::resetting(vestibule_testkit::h2::Reason::INTERNAL_ERROR));
    for lane in Lane::BOTH {
        let (_proxy, client) = before(lane, &origin, &certs).await;
        let answer = client.send(call("/s/m").body("\0\0\0\0\0")).await;
        assert_eq!((answer.status, answer.field("grpc-status")), (200, "14"), "{lane:?}: {answer:?}");
    }
}
