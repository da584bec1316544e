//! When a reply becomes a 304, and what is left of it.

use super::drive::{Reply, Request, get, head, ok, proxy, reply};
use vestibule_plugin::WhyFlowing;

const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

fn status(request: Request, reply: Reply) -> u16 {
    let sent = proxy().send(request, reply);
    let not_modified = sent.status == 304;
    assert_eq!(sent.body.is_none(), not_modified, "a 304 has no body, and nothing else loses its own");
    assert_eq!(sent.outcome == "not_modified", not_modified);
    sent.status.as_u16()
}

/// ET-02: the client has it already.
#[test]
fn content_the_client_has_is_not_sent_again() {
    let proxy = proxy();
    let first = proxy.send(get(), ok("x"));
    let tag = first.etag().expect("a tag");
    let again = proxy.send(get().with("if-none-match", tag), ok("x"));
    assert_eq!((again.status.as_u16(), again.etag(), &again.body), (304, Some(tag), &None));
    assert_eq!((proxy.counted("minted"), proxy.counted("not_modified")), (1, 1), "each reply is counted once");
}

/// ET-03: changed content is sent with its new tag.
#[test]
fn changed_content_is_sent() {
    let proxy = proxy();
    let first = proxy.send(get(), ok("x"));
    let second = proxy.send(get().with("if-none-match", first.etag().expect("a tag")), ok("y"));
    assert_eq!((second.status.as_u16(), second.outcome.as_str()), (200, "minted"));
    assert_ne!(first.etag(), second.etag());
}

/// ET-07: weak comparison, both ways round.
#[test]
fn upstream_tags_are_compared_weakly() {
    assert_eq!(status(get().with("if-none-match", r#""v1""#), ok("x").with("etag", r#"W/"v1""#)), 304);
    assert_eq!(status(get().with("if-none-match", r#"W/"v1""#), ok("x").with("etag", r#""v1""#)), 304);
    assert_eq!(status(get().with("if-none-match", r#""v2""#), ok("x").with("etag", r#""v1""#)), 200);
}

/// ET-08: first, middle and last member, and over two lines.
#[test]
fn any_member_matches() {
    for tag in [r#""a""#, r#""v1""#, r#""c""#] {
        assert_eq!(status(get().with("if-none-match", r#""a", W/"v1" ,"c""#), ok("x").with("etag", tag)), 304);
        let two_lines = get().with("if-none-match", r#""a", W/"v1""#).with("if-none-match", r#""c""#);
        assert_eq!(status(two_lines, ok("x").with("etag", tag)), 304);
    }
}

/// ET-09: `*` is any content, and only a 200 has some.
#[test]
fn a_star_matches_a_200_with_a_tag() {
    assert_eq!(status(get().with("if-none-match", "*"), ok("x")), 304);
    assert_eq!(status(get().with("if-none-match", "*"), ok("x").with("etag", r#""v1""#)), 304);
    assert_eq!(status(get().with("if-none-match", "*"), reply(404, "x")), 404);
    assert_eq!(status(get().with("if-none-match", "*"), ok("x").trailers()), 200, "no tag, no match");
}

/// ET-10: If-None-Match overrules the date, even when it cannot be read.
#[test]
fn a_date_beside_tags_is_not_looked_at() {
    for field in [r#""v2""#, "nonsense", r#"*, "v1""#, ""] {
        let request = get().with("if-none-match", field).with("if-modified-since", LATER);
        assert_eq!(status(request, ok("x").with("etag", r#""v1""#).with("last-modified", THEN)), 200, "{field}");
    }
}

/// ET-11: a date alone is judged by Last-Modified.
#[test]
fn a_date_alone_is_judged() {
    let modified = || ok("x").with("last-modified", THEN);
    assert_eq!(status(get().with("if-modified-since", LATER), modified()), 304);
    assert_eq!(status(get().with("if-modified-since", EARLIER), modified()), 200);
    assert_eq!(status(get().with("if-modified-since", THEN), modified()), 304);
    assert_eq!(status(get().with("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT"), modified()), 304);
    assert_eq!(status(get().with("if-modified-since", "Sun Nov  6 08:49:37 1994"), modified()), 304);
    assert_eq!(status(get().with("if-modified-since", LATER), ok("x")), 200, "never modified, as far as is known");
    assert_eq!(status(get().with("if-modified-since", "yesterday"), modified()), 200);
    assert_eq!(status(get().with("if-modified-since", LATER).with("if-modified-since", LATER), modified()), 200);
    assert_eq!(status(get().with("if-modified-since", LATER), modified().with("last-modified", THEN)), 200);
    assert_eq!(status(get().with("if-modified-since", LATER), reply(404, "x").with("last-modified", THEN)), 404);
}

/// What has no sound tag of its own is passed as it is.
#[test]
fn a_date_does_not_convert_a_reply_whose_tag_is_unsound() {
    let modified = || ok("x").with("last-modified", THEN);
    for tags in [&["v1"][..], &[r#""v1""#, r#""v2""#]] {
        let reply = tags.iter().fold(modified(), |reply, tag| reply.with("etag", tag));
        assert_eq!(status(get().with("if-modified-since", LATER), reply), 200, "{tags:?}");
    }
    assert_eq!(status(get().with("if-modified-since", LATER), modified().with("etag", r#""v1""#)), 304);
}

/// A date needs no tag: it is judged on a body that flows, too.
#[test]
fn a_flowing_body_can_become_a_304() {
    let slow = || ok("x").flowing(WhyFlowing::TooSlow);
    assert_eq!(status(get().with("if-modified-since", LATER), slow().with("last-modified", THEN)), 304);
    assert_eq!(status(get().with("if-none-match", r#""v1""#), slow().with("etag", r#""v1""#)), 304);
    assert_eq!(status(get().with("if-none-match", "*"), slow()), 200);
}

/// ET-12: the application's own 304 and 412 are its own.
#[test]
fn a_304_of_the_application_passes() {
    let sent = proxy().send(
        get().with("if-none-match", r#""v1""#),
        reply(304, "").with("etag", r#""v1""#).with("content-type", "text/plain"),
    );
    assert_eq!((sent.status.as_u16(), sent.outcome.as_str()), (304, "upstream_tag"));
    assert_eq!(sent.fields.text("content-type"), Some("text/plain"));
    assert_eq!(status(get().with("if-none-match", "*"), reply(412, "x").with("etag", r#""v1""#)), 412);
}

/// ET-13: what describes the body goes, everything else stays.
#[test]
fn a_304_keeps_what_does_not_describe_a_body() {
    let kept = [
        ("cache-control", "max-age=60"),
        ("expires", LATER),
        ("vary", "accept"),
        ("content-location", "/orders/7.json"),
        ("last-modified", THEN),
        ("access-control-allow-origin", "*"),
        ("content-security-policy", "default-src 'none'"),
        ("strict-transport-security", "max-age=1"),
        ("date", LATER),
        ("x-own", "1"),
    ];
    let gone = [
        ("content-type", "text/plain"),
        ("content-length", "1"),
        ("content-encoding", "unknown"),
        ("content-language", "en"),
        ("content-disposition", "inline"),
        ("content-md5", "x"),
        ("digest", "x"),
        ("content-digest", "x"),
        ("repr-digest", "x"),
        ("accept-ranges", "bytes"),
        ("transfer-encoding", "chunked"),
    ];
    let full = || kept.iter().chain(&gone).fold(ok("x"), |reply, (name, value)| reply.with(name, value));
    let first = proxy().send(get(), full());
    let again = proxy().send(get().with("if-none-match", first.etag().expect("a tag")), full());
    assert_eq!(again.status, 304);
    for (name, value) in kept {
        assert_eq!(again.fields.text(name), Some(value), "{name}");
    }
    assert_eq!(again.fields.len(), kept.len() + 1, "those and the tag: {:?}", again.fields);
    assert_eq!(again.etag(), first.etag());

    // These two rule out a minted tag, but not one of the application.
    let own = ok("x").with("etag", r#""v1""#).with("content-range", "bytes 0-0/1").with("trailer", "x-sum");
    let again = proxy().send(get().with("if-none-match", r#""v1""#), own);
    assert_eq!((again.status.as_u16(), again.fields.len()), (304, 1));
}

/// ET-14, ET-16: what must not be stored, or brings a cookie, is always sent.
#[test]
fn no_store_and_cookies_are_always_sent() {
    let tag = proxy().send(get(), ok("x")).etag().expect("a tag").to_owned();
    for (name, value) in [("cache-control", "no-store"), ("set-cookie", "a=b")] {
        assert_eq!(status(get().with("if-none-match", &tag), ok("x").with(name, value)), 200, "{name}");
        let own = ok("x").with("etag", r#""v1""#).with(name, value);
        assert_eq!(status(get().with("if-none-match", r#""v1""#), own.clone()), 200, "{name}");
        assert_eq!(status(get().with("if-modified-since", LATER), own.with("last-modified", THEN)), 200, "{name}");
    }
}

/// ET-18: of HEAD only the application's tag is judged.
#[test]
fn head_is_judged_by_the_upstreams_tag() {
    assert_eq!(status(head().with("if-none-match", r#""v1""#), ok("").with("etag", r#""v1""#)), 304);
    assert_eq!(status(head().with("if-none-match", r#""v2""#), ok("").with("etag", r#""v1""#)), 200);
    assert_eq!(status(head().with("if-modified-since", LATER), ok("").with("last-modified", THEN)), 304);
    let tag = proxy().send(get(), ok("x")).etag().expect("a tag").to_owned();
    assert_eq!(status(head().with("if-none-match", &tag), ok("").with("content-length", "1")), 200);
}

/// A tag that is none, or two of them, is passed and never converted.
#[test]
fn an_invalid_upstream_tag_matches_nothing() {
    assert_eq!(status(get().with("if-none-match", "v1"), ok("x").with("etag", "v1")), 200);
    assert_eq!(status(get().with("if-none-match", "*"), ok("x").with("etag", "v1")), 200);
    let two = ok("x").with("etag", r#""v1""#).with("etag", r#""v1""#);
    assert_eq!(status(get().with("if-none-match", r#""v1""#), two), 200);
}
