//! What a hook that holds sees of the request body, and where its bound cuts.

use super::journal::Call;
use super::rig::{HOLDER, Rig, STREAM, assert_invariant};
use super::script::{Deed, SURVIVES, Script};
use bytes::Bytes;
use vestibule_plugin::Detach;
use vestibule_testkit::{Origin, Raw};

const BOUND: usize = 100_000;

fn holder(detach: Detach) -> Vec<(&'static str, Script)> {
    vec![(HOLDER, Script::holding(Some(BOUND), detach))]
}

fn body_of(length: usize) -> Bytes {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// Length and sum, as the journal notes them.
fn noted(body: &[u8]) -> String {
    format!("{} {}", body.len(), body.iter().map(|b| u64::from(*b)).sum::<u64>())
}

#[tokio::test]
async fn a_hook_and_the_origin_see_the_whole_body_however_it_came() {
    for length in [0, 1, 4095, 65_536, BOUND] {
        for pieces in [0, 1, 1000, BOUND] {
            let body = body_of(length);
            if pieces == 1 && length > 5000 {
                continue;
            }
            let origin = Origin::returning(201, "made");
            let rig = Rig::start(&origin.url(), STREAM, &holder(Detach::WithClient)).await;
            let request = rig.request("POST", "/");
            let request = match pieces {
                0 => request.body(body.clone()),
                size => request.chunked(body.chunks(size).map(Bytes::copy_from_slice)),
            };
            let answer = request.await;
            let case = format!("{length} bytes in pieces of {pieces}");
            assert_eq!(answer.status, 201, "{case}");
            let last = origin.last();
            assert_eq!(last.body, body, "{case}");
            let journal = rig.finish().await;
            assert_eq!(journal.note(HOLDER, Call::Body), noted(&body), "{case}");
            assert_invariant(&case, &journal, None);
        }
    }
}

/// RFC 9112 section 6: a request with content says how long it is; one that was chunked has become a length.
#[tokio::test]
async fn a_body_that_was_held_goes_on_with_its_length() {
    let origin = Origin::returning(200, "");
    let rig = Rig::start(&origin.url(), STREAM, &holder(SURVIVES)).await;
    rig.request("POST", "/").chunked(["ab", "c"]).await;
    let last = origin.last();
    assert_eq!((last.field("content-length"), last.fields.has("transfer-encoding")), ("3", false));
    assert_eq!(last.text(), "abc");
    rig.request("POST", "/").chunked::<Bytes>([]).await;
    assert_eq!(origin.last().field("content-length"), "0", "an empty body is still a body");
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_and_nothing_is_forwarded() {
    for chunked in [false, true] {
        let origin = Origin::returning(200, "");
        let rig = Rig::start(&origin.url(), STREAM, &holder(Detach::WithClient)).await;
        let body = body_of(BOUND + 1);
        let request = rig.request("POST", "/");
        let request = if chunked { request.chunked([body]) } else { request.body(body) };
        let answer = request.await;
        assert_eq!((answer.status, answer.problem()), (413, "content-too-large".to_owned()), "chunked: {chunked}");
        assert!(answer.json()["detail"].as_str().expect("a detail").contains(&BOUND.to_string()));
        let journal = rig.finish().await;
        assert_eq!((journal.who(Call::Body), journal.who(Call::Forward)), (vec![], vec![]));
        assert_invariant("over the bound", &journal, None);
        assert_eq!(origin.hits(), 0);
    }
}

#[tokio::test]
async fn an_answer_to_the_body_ends_the_exchange_there() {
    let origin = Origin::returning(200, "");
    let script = Script::holding(Some(BOUND), Detach::WithClient).and(Call::Body, Deed::Respond(422));
    let rig = Rig::start(&origin.url(), STREAM, &[(HOLDER, script)]).await;
    let mut raw = Raw::connect(rig.address()).await;
    for _ in 0..2 {
        // The body was read, so the connection goes on.
        let answer = rig.request("POST", "/").body("nonsense").on(&mut raw).await;
        assert_eq!((answer.status, answer.text()), (422, "by holder".to_owned()));
        rig.journal.wait_ends().await;
        let journal = rig.journal.clone();
        assert_eq!(journal.note(HOLDER, Call::End), "ok holder 422");
        assert_invariant("answered on the body", &journal, None);
        journal.clear();
    }
    assert_eq!(origin.hits(), 0);
}

/// RFC 9110 section 10.1.1: the client sends its body once it is told to, and is not told when the body is not wanted.
#[tokio::test]
async fn a_client_that_asks_first_is_told_to_continue_when_the_body_is_held() {
    let origin = Origin::returning(200, "thanks");
    let rig = Rig::start(&origin.url(), STREAM, &holder(Detach::WithClient)).await;
    let mut raw = Raw::connect(rig.address()).await;
    raw.write("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    raw.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.write("hello").await;
    assert_eq!(raw.answer().await.text(), "thanks");
    assert_eq!(origin.last().text(), "hello");

    let mut raw = Raw::connect(rig.address()).await;
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", BOUND + 1);
    raw.write(head).await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.interim.len()), (413, 0));
}
