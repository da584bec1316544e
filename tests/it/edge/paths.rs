//! Section 5: which route a path is, in every spelling.

use super::{blocked, blocked_since, once, proxy};
use vestibule_testkit::{Origin, Proxy};

const SPELLINGS: [&str; 5] = ["/static/..%2fadmin", "//admin", "/x/../admin", "/admin;a=b", "/%61dmin"];

/// Sends a target byte for byte and gives status and problem.
async fn ask(proxy: &Proxy, target: &str) -> (u16, String) {
    let answer = proxy.get(target).await;
    (answer.status, answer.problem())
}

/// SEC-12: a path that means one thing here and another behind is refused where that matters.
#[tokio::test]
async fn an_ambiguous_path_is_refused_where_it_meets_an_entry() {
    let origin = Origin::returning(200, "ok");
    let toml =
        "[[routes]]\nname = \"admin\"\npath = \"/admin\"\n[[routes]]\nname = \"static\"\npath = \"/static/{*rest}\"\n";
    let proxy = proxy(&origin, toml).await;
    for target in SPELLINGS {
        let before = blocked(&proxy).await;
        assert_eq!(ask(&proxy, target).await, (400, "bad-target".to_owned()), "{target}");
        assert_eq!(blocked_since(&proxy, &before).await, once("bad_target"), "{target}");
    }
    assert_eq!(origin.hits(), 0);
    let detail = proxy.get("/admin;a=b").await.json()["detail"].to_string();
    assert!(detail.contains("/admin;a=b") && detail.contains("`/admin`"), "the readings are named: {detail}");
    let detail = proxy.get("//admin").await.json()["detail"].to_string();
    assert!(detail.contains("`//admin` or `/admin`"), "each once: {detail}");
    assert!(detail.contains("because of `//` at byte 1"), "{detail}");

    let met = |line: &serde_json::Value| line["cause"] == "its readings meet the routes static, admin";
    proxy.wait_log("the routes", met).await;

    // One trailing slash is the same path, and goes on as it was sent.
    assert_eq!(ask(&proxy, "/admin/").await.0, 200);
    assert_eq!(origin.last().target, "/admin/");
    assert_eq!(proxy.wait_access(8).await.last().map(|line| line["route"].clone()), Some("admin".into()));
    let paths: Vec<_> = proxy.access().iter().map(|line| line["path"].clone()).collect();
    // Lines of different workers may pass each other.
    let normalised = paths.iter().filter(|path| *path == "/admin").count();
    assert_eq!(normalised, 4, "what was refused is logged normalised, too: {paths:?}");
}

/// Bytes that are not ASCII count as their encodings, for routes and the application alike.
#[tokio::test]
async fn raw_bytes_are_their_encodings() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[[routes]]\nname = \"cafe\"\npath = \"/cafe/{x}\"\n").await;
    for (target, received, route) in [
        (&b"/cafe/\xc3\xa9"[..], "/cafe/%C3%A9", "cafe"),
        (b"/cafe/%c3%A9", "/cafe/%c3%A9", "cafe"),
        (b"/x\xc3\xbf?\xc3\xa4=1", "/x%C3%BF?%C3%A4=1", "unmatched"),
    ] {
        let mut raw = proxy.connect().await;
        raw.write([b"GET ", target, b" HTTP/1.1\r\nhost: a\r\n\r\n"].concat()).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, origin.last().target.as_str()), (200, received));
        let line = crate::observe::line_of(&proxy, answer.field("x-trace-id")).await;
        assert_eq!(line["route"], route, "{received}");
    }
}

/// SEC-12: where no entry is concerned, every byte goes on as it was sent.
#[tokio::test]
async fn odd_paths_go_on_byte_for_byte() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let others = ["/admin/", "/a%2Fb%2fc?x=%2F&y=../z", "/%E2%82%AC/%7e~", "/a//b/./c/..?q", "/?", "/a\\b|c"];
    for target in SPELLINGS.into_iter().chain(others) {
        assert_eq!(ask(&proxy, target).await.0, 200, "{target}");
        assert_eq!(origin.last().target, target);
    }
}

#[tokio::test]
async fn a_broken_escape_in_the_path_is_refused_and_in_the_query_is_none_of_ours() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for target in ["/%", "/%4", "/%zz", "/a%00b", "/%%41"] {
        let before = blocked(&proxy).await;
        assert_eq!(ask(&proxy, target).await, (400, "bad-target".to_owned()), "{target}");
        assert_eq!(blocked_since(&proxy, &before).await, once("bad_target"), "{target}");
    }
    assert_eq!(origin.hits(), 0);
    assert_eq!(ask(&proxy, "/a?%zz=%00&%").await.0, 200);
    assert_eq!(origin.last().target, "/a?%zz=%00&%");
}

#[tokio::test]
async fn letters_are_folded_where_the_application_folds_them() {
    let origin = Origin::returning(200, "ok");
    let route = "[[routes]]\nname = \"login\"\npath = \"/api/login\"\n";
    let strict = proxy(&origin, route).await;
    let folding = proxy(&origin, &format!("[server]\npath_case = \"insensitive\"\n{route}")).await;
    for (proxy, expected) in [(&strict, "unmatched"), (&folding, "login")] {
        assert_eq!(ask(proxy, "/API/Login").await.0, 200);
        assert_eq!(origin.last().target, "/API/Login");
        assert_eq!(proxy.wait_access(1).await[0]["route"], expected);
    }
}
