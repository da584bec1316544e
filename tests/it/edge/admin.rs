//! SEC-20: who may talk to the admin listener.

use super::proxy;
use vestibule_testkit::{Origin, Setup};

const PATHS: [&str; 5] = ["/livez", "/readyz", "/metrics", "/status", "/config"];

#[tokio::test]
async fn a_page_that_rebinds_its_name_gets_nothing() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for path in ["/livez", "/readyz", "/metrics", "/status", "/config", "/rate-limit/p"] {
        assert_eq!(proxy.admin("GET", path).header("host", "evil.test").await.status, 403, "{path}");
    }
    assert_eq!(proxy.admin("POST", "/reload").header("host", "evil.test:9901").await.status, 403);
    let own = proxy.admin_address().to_string();
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:9901", &own] {
        assert_eq!(proxy.admin("GET", "/status").header("host", host).await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_page_may_not_change_anything() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for (name, value) in [
        ("origin", "http://localhost"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(proxy.admin("POST", "/reload").header(name, value).await.status, 403, "{name}: {value}");
        let answer = proxy.admin("GET", "/status").header(name, value).await;
        assert_eq!(answer.status, 200, "{name}: {value}");
        assert!(!answer.fields.iter().any(|(name, _)| name.to_lowercase().starts_with("access-control")));
    }
    assert_eq!(proxy.admin("GET", "/status").await.json()["generation"], 1);
    for value in ["none", "same-origin"] {
        assert_eq!(proxy.admin("POST", "/reload").header("sec-fetch-site", value).await.status, 200, "{value}");
    }
}

#[tokio::test]
async fn with_a_token_every_path_but_the_probes_needs_it() {
    let origin = Origin::returning(200, "ok");
    let toml = "[server]\nadmin_token_file = \"token\"\n";
    let setup = Setup::new(crate::bin()).toml(toml).file("token", "s3cret-admin-token\n").upstream(origin.url());
    let proxy = setup.start().await;
    for path in PATHS {
        let open = matches!(path, "/livez" | "/readyz");
        let without = proxy.admin("GET", path).await;
        assert_eq!(without.status, if open { 200 } else { 401 }, "{path}");
        if !open {
            assert!(without.field("www-authenticate").starts_with("Bearer"), "{path}");
        }
        let with = proxy.admin("GET", path).header("authorization", "Bearer s3cret-admin-token");
        // A token says who asks; then the name does not matter.
        assert_eq!(with.header("host", "vestibule.internal").await.status, 200, "{path}");
    }
    for wrong in
        ["Bearer s3cret-admin-toke", "Bearer s3cret-admin-token2", "Basic s3cret-admin-token", "s3cret-admin-token", ""]
    {
        assert_eq!(proxy.admin("POST", "/reload").header("authorization", wrong).await.status, 401, "{wrong:?}");
    }
    let line = proxy.wait_log("the refusal", |line| line["target"] == "admin").await;
    assert_eq!(line["level"], "WARN");
    assert!(!proxy.stderr().contains("s3cret"), "{}", proxy.stderr());
    // The file is read again at a reload.
    std::fs::write(proxy.dir().join("token"), "another-admin-token").expect("a writable file");
    let reload = proxy.admin("POST", "/reload").header("authorization", "Bearer s3cret-admin-token").await;
    assert_eq!(reload.status, 200, "{}", reload.text());
    let status = |token: &str| proxy.admin("GET", "/status").header("authorization", format!("Bearer {token}"));
    assert_eq!(status("another-admin-token").await.status, 200);
    assert_eq!(status("s3cret-admin-token").await.status, 401);
}

#[tokio::test]
async fn wrong_methods_paths_and_sizes_have_their_answers() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    for path in PATHS {
        let wrong = proxy.admin("POST", path).await;
        assert_eq!((wrong.status, wrong.field("allow")), (405, "GET, HEAD"), "{path}");
        let head = proxy.admin("HEAD", path).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    let wrong = proxy.admin("GET", "/reload").await;
    assert_eq!((wrong.status, wrong.field("allow")), (405, "POST"));
    for path in ["/", "/nothing", "/metrics/", "/rate-limit/p", "/etag"] {
        assert_eq!(proxy.admin("GET", path).await.status, 404, "{path}");
    }
    let bare = proxy.admin("POST", "/reload").body(vec![b'x'; 64 << 10]).await;
    assert_eq!(bare.status, 200);
    let large = proxy.admin("POST", "/reload").body(vec![b'x'; (64 << 10) + 1]).await;
    assert_eq!(large.status, 413);
    assert_eq!(proxy.admin("GET", "/status").await.json()["generation"], 2);
}

/// What cannot be read to its end is not carried out.
#[tokio::test]
async fn a_broken_body_reloads_nothing() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "").await;
    let mut raw = vestibule_testkit::Raw::connect(proxy.admin_address()).await;
    raw.write("POST /reload HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n")
        .await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.problem().as_str()), (400, "bad-request"));
    raw.closed().await;
    assert_eq!(proxy.admin("GET", "/status").await.json()["generation"], 1);
}

/// RFC 9110 section 8.6, and the methods that a path of a plugin takes.
#[tokio::test]
async fn a_reset_has_no_length_and_a_wrong_method_its_list() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[rate_limit]\n").await;
    let reset = proxy.admin("DELETE", "/rate-limit/anonymous/addr%3D192.0.2.1").await;
    assert_eq!(reset.status, 204);
    assert!(!reset.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")), "{:?}", reset.fields);
    for (path, allowed) in
        [("/rate-limit/anonymous", "GET, HEAD"), ("/rate-limit/anonymous/addr%3D192.0.2.1", "GET, HEAD, DELETE")]
    {
        let wrong = proxy.admin("PUT", path).await;
        assert_eq!(
            (wrong.status, wrong.field("allow"), wrong.problem().as_str()),
            (405, allowed, "method-not-allowed")
        );
        assert_eq!(wrong.json()["detail"], format!("this path takes {allowed}"));
    }
    assert_eq!(proxy.admin("GET", "/rate-limit/anonymous/192.0.2.1").await.status, 400);
}

/// Requests to the admin listener are no traffic.
#[tokio::test]
async fn the_admin_listener_can_be_off_and_is_not_on_the_proxys_port() {
    let origin = Origin::returning(200, "application");
    let proxy = proxy(&origin, "[server]\nadmin = \"off\"\n").await;
    for path in PATHS {
        assert_eq!(proxy.get(path).await.text(), "application", "{path}");
    }
    assert_eq!(origin.hits(), PATHS.len());
}

/// SEC-13 holds here, too: a silent client does not keep one of the few places.
#[tokio::test]
async fn a_slow_client_does_not_keep_its_place() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, "[server]\nheader_timeout = \"1s\"\n").await;
    let mut crowd = Vec::new();
    for _ in 0..64 {
        let mut raw = vestibule_testkit::Raw::connect(proxy.admin_address()).await;
        raw.write("GET /livez HT").await;
        crowd.push(raw);
    }
    for mut raw in crowd {
        assert_eq!(raw.answer().await.status, 408);
    }
    assert_eq!(proxy.admin("GET", "/livez").await.status, 200);
}
