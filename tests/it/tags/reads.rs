//! Reads that say with `If-Match` what content they are about.

use super::{ON, json, proxy};
use std::time::Duration;
use vestibule_testkit::{Answer, Certs, H2Client, H2Request, Origin, Proxy, Received, Reply};

const OTHERS: &str = "W/\"vst1-AAAAAAAAAAAAAAAAAAAAAA\"";

fn document(request: &Received) -> Reply {
    // It never made the tags of the proxy, and takes ranges.
    if request.fields.has("if-match") || request.fields.has("if-unmodified-since") {
        return Reply::new(412);
    }
    if request.fields.has("range") {
        return Reply::new(206).field("content-range", "bytes 4-7/8").body("rest");
    }
    match request.target.as_str() {
        "/gone" => Reply::new(404),
        "/tagged" => json("its own").field("etag", "\"v1\""),
        "/slow" => Reply::new(200).field("content-type", "application/json").chunks_of(
            4,
            Duration::from_millis(200),
            "it takes",
        ),
        _ => json("{\"v\":1}"),
    }
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status, answer.problem())
}

fn failed() -> (u16, String) {
    (412, "precondition-failed".into())
}

async fn counts(proxy: &Proxy, count: f64) {
    let labels = [("outcome", "precondition_failed")];
    let counted = |s: &vestibule_testkit::Scrape| s.value("vestibule_etag_responses_total", &labels) == count;
    proxy.wait_metrics("the refused reads", counted).await;
}

/// A tag that was just given is that of the content, whatever the application thinks of it.
#[tokio::test]
async fn an_if_match_on_a_tag_of_ours_is_judged_here() {
    for table in [ON, "[etag]\nstrength = \"strong\"\n"] {
        let origin = Origin::replying(document);
        let proxy = Proxy::before(crate::bin(), &origin.url(), table).await;
        let mut raw = proxy.connect().await;
        let tag = proxy.get("/").on(&mut raw).await.field("etag").to_owned();

        for lists in [&[tag.as_str()][..], &[OTHERS, &tag], &["\"v1\", \"v2\",", &tag], &[&format!("\"a,b\",{tag}")]] {
            let request = lists.iter().fold(proxy.get("/"), |request, list| request.header("if-match", *list));
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            let answer = request.header("if-unmodified-since", date).on(&mut raw).await;
            assert_eq!((answer.status, answer.field("etag")), (200, tag.as_str()), "{lists:?}");
            let seen = origin.last();
            assert!(!seen.fields.has("if-match") && !seen.fields.has("if-unmodified-since"), "{:?}", seen.fields);
        }

        for list in [OTHERS, &format!("{OTHERS}, \"v1\""), &tag[tag.len() - 28..]] {
            let hits = origin.hits();
            let answer = proxy.get("/").header("if-match", list).on(&mut raw).await;
            assert_eq!(refused(&answer), failed(), "{list}");
            assert_eq!(answer.field("etag"), tag, "which content there is");
            assert_eq!(origin.hits(), hits + 1);
            assert!(!origin.last().fields.has("if-match"), "{list}");
        }
        counts(&proxy, 3.0).await;
    }
}

/// A download that is taken up again gets all of it, as a part of it has no tag that could be compared.
#[tokio::test]
async fn a_range_of_content_with_a_tag_of_ours_is_the_whole() {
    let origin = Origin::replying(document);
    let proxy = proxy(&origin).await;
    let tag = proxy.get("/").await.field("etag").to_owned();
    let resumed = proxy.get("/").header("if-match", &tag).header("range", "bytes=4-").await;
    assert_eq!((resumed.status, resumed.text(), resumed.field("etag")), (200, "{\"v\":1}".into(), tag.as_str()));
    let changed = proxy.get("/").header("if-match", OTHERS).header("range", "bytes=4-").await;
    assert_eq!(refused(&changed), failed());
    let slow = proxy.get("/slow").header("if-match", OTHERS).await;
    let its_tag = slow.field("etag").to_owned();
    assert!(its_tag.starts_with("W/\"vst1-"), "it is waited for: {its_tag}");
    assert_eq!(proxy.get("/slow").header("if-match", &its_tag).await.status, 200);
}

/// What comes first in RFC 9110 section 13.2.2 is judged first, and other statuses win over all of it.
#[tokio::test]
async fn an_if_match_comes_before_everything_else() {
    let origin = Origin::replying(document);
    let proxy = proxy(&origin).await;
    let tag = proxy.get("/").await.field("etag").to_owned();
    let both =
        |matches: &str, none: &str| proxy.get("/").header("if-match", matches).header("if-none-match", none).send();
    assert_eq!(both(&tag, &tag).await.status, 304);
    assert_eq!(both(&tag, OTHERS).await.status, 200);
    assert_eq!(refused(&both(OTHERS, &tag).await), failed());
    assert_eq!(proxy.get("/gone").header("if-match", OTHERS).await.status, 404);

    // The application has tags of its own by now.
    let own = |list: String| proxy.get("/tagged").header("if-match", &list).send();
    assert_eq!(own(format!("{OTHERS}, \"v1\"")).await.status, 200);
    assert_eq!(refused(&own(OTHERS.into()).await), failed());
    // What is none of ours is the application's to judge.
    for list in ["\"v1\"", "*", "\"vst1-short\""] {
        assert_eq!(proxy.get("/").header("if-match", list).await.status, 412);
        assert_eq!(origin.last().fields.get("if-match"), Some(list));
    }
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(proxy.get("/").header("if-unmodified-since", date).await.problem(), "");
}

/// HEAD says what GET would say; what it shows has no tag, so the content is looked at first.
#[tokio::test]
async fn a_head_is_judged_by_what_a_get_shows() {
    let certs = Certs::new();
    let origin = Origin::replying(document);
    let toml = format!("[server]\ntls = {}\n{ON}", certs.tls_toml());
    let proxy = Proxy::before(crate::bin(), &origin.url(), &toml).await;
    let client = H2Client::connect_tls(proxy.address(), &certs).await;
    let tag = client.get("/").await.field("etag").to_owned();
    let head = |target: &str, list: &str| client.send(H2Request::new("HEAD", target).header("if-match", list));
    assert_eq!(head("/", &tag).await.status, 200);
    assert_eq!((origin.last().method.as_str(), origin.last().fields.has("if-match")), ("HEAD", false));
    let hits = origin.hits();
    assert_eq!(head("/", OTHERS).await.status, 412);
    assert_eq!((origin.hits(), origin.last().method.as_str()), (hits + 1, "GET"));
    assert_eq!(head("/gone", OTHERS).await.status, 404);
    assert_eq!(head("/tagged", &format!("\"v1\", {OTHERS}")).await.status, 200);
}
