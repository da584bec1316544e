//! An exchange ends under the configuration it began with.

use vestibule_testkit::{Gate, Origin, Proxy, Raw, Reply};

#[tokio::test]
async fn a_request_under_way_ends_under_the_rules_it_began_with() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::replying(move |_| Reply::ok("late").once(&held));
    let proxy = Proxy::before(crate::bin(), &origin.url(), "[trace]\nresponse_header = \"x-old\"\n").await;
    let mut slow = proxy.connect().await;
    slow.write(proxy.post("/slow").body("0123456789").encoded()).await;
    origin.wait_hits(1).await;

    // It would now be refused: by its method, and by the size of its body.
    proxy.rewrite("[server]\nmethods = [\"GET\"]\nmax_body_bytes = \"1B\"\n[trace]\nresponse_header = \"x-new\"\n");
    assert_eq!(proxy.reload().await.status, 200);
    assert_eq!(proxy.post("/").body("0123456789").await.status, 405);
    gate.open();

    let answer = slow.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "late"));
    assert_eq!(answer.field("x-old").len(), 32);
    assert!(!answer.fields.has("x-new"));
    let lines = proxy.wait_access(2).await;
    let generation_of =
        |path: &str| lines.iter().find(|line| line["path"] == path).map(|line| line["generation"].clone());
    assert_eq!((generation_of("/slow"), generation_of("/")), (Some(1.into()), Some(2.into())));

    // The next request on the same connection meets the new rules.
    assert_eq!(proxy.post("/").body("0").on(&mut slow).await.status, 405);
}

#[tokio::test]
async fn a_body_that_streams_in_keeps_the_limit_it_began_with() {
    let origin = Origin::returning(200, "taken");
    let proxy = Proxy::before(crate::bin(), &origin.url(), "").await;
    let mut upload = Raw::connect(proxy.address()).await;
    upload.write("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n01234").await;
    origin.wait_hits(1).await;
    proxy.rewrite("[server]\nmax_body_bytes = \"5B\"\n");
    assert_eq!(proxy.reload().await.status, 200);
    upload.write("56789").await;
    assert_eq!(upload.answer().await.status, 200);
    assert_eq!(origin.last().text(), "0123456789");
    assert_eq!(proxy.post("/").body("0123456789").await.status, 413);
}
