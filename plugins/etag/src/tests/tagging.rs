//! Which replies get a tag, and whose it is.

use super::drive::{end, facts, from_toml, get, head, ok, proxy, reply};
use super::gzip;
use http::Method;
use std::time::Duration;
use vestibule_plugin::{Fields, Keep, RouteId, WhyFlowing};

/// ET-01: a reply without a validator gets one.
#[test]
fn a_reply_without_a_tag_gets_one() {
    let proxy = proxy();
    let sent =
        proxy.send(get(), ok(r#"{"id":7}"#).with("content-type", "application/json").with("content-length", "8"));
    assert_eq!(sent.status, 200);
    assert_eq!(sent.etag(), Some(r#"W/"vst1-Tf02EDqsCve23Mow6uXldw""#));
    assert_eq!(sent.body.as_deref(), Some(&br#"{"id":7}"#[..]));
    assert_eq!(sent.fields.text("content-length"), Some("8"));
    assert_eq!(sent.outcome, "minted");
    assert_eq!(proxy.counted("minted"), 1);
}

/// ET-04: another proxy, or this one after a restart, mints the same tag.
#[test]
fn two_proxies_mint_one_tag() {
    let (one, other) = (proxy().send(get(), ok("x")), proxy().send(get(), ok("x")));
    assert!(one.etag().is_some());
    assert_eq!(one.etag(), other.etag());
}

/// ET-05: whether the length was declared does not matter.
#[test]
fn a_body_of_unknown_length_has_the_same_tag() {
    let proxy = proxy();
    let (declared, unknown) = (proxy.send(get(), ok("x").with("content-length", "1")), proxy.send(get(), ok("x")));
    assert_eq!(declared.etag(), unknown.etag());
    let keep = Keep::Whole { max: 1 << 20, within: Some(Duration::from_millis(100)) };
    assert_eq!((declared.keep, unknown.keep), (keep, keep));
}

/// ET-06: the application's tag is its own, whatever its form.
#[test]
fn an_upstream_tag_is_left_alone() {
    let proxy = proxy();
    for tag in [r#""v1""#, r#"W/"v1""#, "v1", "", r#""vst1-Tf02EDqsCve23Mow6uXldw""#] {
        let sent = proxy.send(get(), ok("x").with("etag", tag));
        assert_eq!(sent.keep, Keep::Nothing, "its body is not needed");
        assert_eq!((sent.etag(), sent.outcome.as_str()), (Some(tag), "upstream_tag"));
        assert!(sent.body.is_some());
    }
    assert_eq!(proxy.counted("upstream_tag"), 5);
}

/// ET-14, ET-16, ET-19, ET-21: what is private to one reply, a part or a stream is not tagged.
#[test]
fn some_heads_forbid_a_tag() {
    for (name, value) in [
        ("set-cookie", "a=b"),
        ("content-range", "bytes 0-0/9"),
        ("trailer", "x-sum"),
        ("cache-control", "no-store"),
        ("cache-control", "private, No-Store"),
        ("cache-control", "max-age=0,no-store=\"x\""),
        ("content-type", "text/event-stream"),
        ("content-type", "Text/Event-Stream; charset=utf-8"),
        ("content-type", "multipart/x-mixed-replace; boundary=x"),
        ("content-type", "application/grpc"),
        ("content-type", "application/grpc-web+proto"),
        ("x-accel-buffering", "No"),
        ("content-length", "1048577"),
        ("content-length", "0"),
        ("content-length", "nonsense"),
    ] {
        let sent = proxy().send(get(), ok("x").with(name, value));
        assert_eq!((sent.keep, sent.etag()), (Keep::Nothing, None), "{name}: {value}");
        assert_eq!((sent.status.as_u16(), sent.outcome.as_str()), (200, "skipped"), "{name}: {value}");
        // Even when the body is there because another plugin wanted it.
        assert_eq!(proxy().send(get(), ok("x").with(name, value).held_for_another()).etag(), None, "{name}: {value}");
    }
}

/// ET-15: what only limits who may keep a reply does not prevent a tag.
#[test]
fn private_content_gets_a_tag() {
    for directive in ["private", "no-cache", "private, max-age=0", "x=\"no-store\""] {
        let sent = proxy().send(get().with("authorization", "Bearer x"), ok("x").with("cache-control", directive));
        assert_eq!(sent.outcome, "minted", "{directive}");
    }
    assert_eq!(proxy().send(get(), ok("x").with("x-accel-buffering", "yes")).outcome, "minted");
}

/// ET-17: only a 200 with content gets a tag.
#[test]
fn only_a_200_with_content_gets_a_tag() {
    for status in [201, 202, 203, 204, 206, 301, 304, 404, 500] {
        let sent = proxy().send(get(), reply(status, "x"));
        assert_eq!((sent.keep, sent.etag(), sent.outcome.as_str()), (Keep::Nothing, None, "skipped"), "{status}");
    }
    assert_eq!(proxy().send(get(), ok("")).etag(), None);
}

/// ET-18: a reply to HEAD has no content to make a tag from.
#[test]
fn head_is_never_minted() {
    let sent = proxy().send(head(), ok("").with("content-length", "5"));
    assert_eq!((sent.keep, sent.etag(), sent.outcome.as_str()), (Keep::Nothing, None, "skipped"));
    assert_eq!(sent.fields.text("content-length"), Some("5"));
}

#[test]
fn trailers_prevent_a_tag() {
    let sent = proxy().send(get(), ok("x").trailers());
    assert_eq!((sent.etag(), sent.outcome.as_str()), (None, "skipped"));
    assert!(sent.body.is_some());
}

/// ET-22: a body up to the bound gets a tag, one byte more does not.
#[test]
fn the_bound_on_the_body_is_exact() {
    let proxy = from_toml("max_body = \"64KiB\"");
    let (fits, over) = (vec![7; 64 << 10], vec![7; (64 << 10) + 1]);
    assert_eq!(proxy.send(get(), ok(fits)).outcome, "minted");
    assert_eq!(proxy.send(get(), ok(over.clone())).outcome, "skipped");
    assert_eq!(proxy.send(get(), ok(over).held_for_another()).outcome, "skipped", "held by another plugin");
}

/// ET-21, ET-22: what flows has no tag.
#[test]
fn a_slow_or_large_body_flows_without_a_tag() {
    for why in [WhyFlowing::TooSlow, WhyFlowing::TooLarge] {
        let sent = proxy().send(get(), ok("x").flowing(why));
        assert_eq!((sent.etag(), sent.outcome.as_str()), (None, "skipped"));
        assert!(sent.body.is_some());
    }
}

/// ET-23: however one content was compressed, its tag is one.
#[test]
fn codings_of_one_content_have_one_tag() {
    let content = b"entity tags spare bytes; ".repeat(40);
    let plain = proxy().send(get(), ok(content.clone()).with("vary", "accept-encoding"));
    for level in [1, 9] {
        let coded = ok(gzip(&content, level)).with("content-encoding", "gzip").with("vary", "accept-encoding");
        let sent = proxy().send(get().with("accept-encoding", "gzip"), coded.clone());
        assert_eq!(sent.etag(), plain.etag());
        assert_eq!(sent.fields.text("vary"), Some("accept-encoding"));
        let again = proxy().send(get().with("if-none-match", plain.etag().expect("a tag")), coded);
        assert_eq!(again.status, 304);
    }
}

/// ET-25: variants with different content have different tags.
#[test]
fn languages_have_different_tags() {
    let english = proxy().send(get(), ok("hello").with("vary", "accept-language"));
    let german = proxy().send(get(), ok("hallo").with("vary", "accept-language"));
    assert_ne!(english.etag(), german.etag());
    let again = proxy()
        .send(get().with("if-none-match", german.etag().expect("a tag")), ok("hallo").with("vary", "accept-language"));
    assert_eq!((again.status.as_u16(), again.fields.text("vary")), (304, Some("accept-language")));
}

#[test]
fn strong_tags_are_strong() {
    let sent = from_toml("strength = \"strong\"").send(get(), ok("x"));
    assert_eq!(sent.etag(), Some(r#""vst1-EWZcbTR5idRVIEThQNiL1Q""#));
}

/// A refusal further out, an upstream that failed: there was no reply to count.
#[test]
fn an_exchange_without_a_reply_is_not_counted() {
    let proxy = proxy();
    let mut hooks = proxy.attach(&Method::GET, RouteId(1), &mut Fields::new()).expect("attached");
    assert!(end(&mut *hooks, &Method::GET, &facts()).fields().is_empty());
    for outcome in ["minted", "not_modified", "upstream_tag", "skipped"] {
        assert_eq!(proxy.counted(outcome), 0);
    }
}
