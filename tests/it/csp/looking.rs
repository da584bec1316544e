//! `GET /csp`.

use super::*;

/// CSP-21
#[tokio::test]
async fn the_list_is_filtered_and_sorted() {
    let stage = Stage::collecting("").await;
    let mut batch = vec![image("/a"); 3];
    batch.extend(vec![report("font-src", "data", "https://app.example.com/b"); 5]);
    let mut enforced = report("script-src-elem", "inline", "https://app.example.com/c");
    enforced["body"]["disposition"] = json!("enforce");
    batch.push(enforced);
    let mut aged = image("/d");
    aged["age"] = json!(3_600_000);
    batch.push(aged);
    stage.takes(&json!(batch)).await;

    let listed = stage.listed("").await;
    // Among equal counts the one seen last comes first.
    let documents: Vec<&str> =
        listed["violations"].as_array().expect("a list").iter().filter_map(|one| one["document"].as_str()).collect();
    let path = |letter: &str| format!("https://app.example.com/{letter}");
    assert_eq!(documents, [path("b"), path("a"), path("c"), path("d")]);
    assert_eq!(counts(&listed), [5, 3, 1, 1]);
    assert_eq!((&listed["window"], &listed["keys"]), (&json!("60s"), &json!(4)));
    assert_eq!(counts(&stage.listed("?limit=2").await), [5, 3]);
    assert_eq!(counts(&stage.listed("?directive=img-src").await), [3, 1]);
    assert_eq!(counts(&stage.listed("?disposition=enforce").await), [1]);
    assert_eq!(counts(&stage.listed("?disposition=report&directive=font-src").await), [5]);
    // What was seen an hour ago was seen before the process began to collect.
    let since = listed["since"].as_str().expect("a time");
    let recent = stage.listed(&format!("?since={since}")).await;
    assert_eq!(counts(&recent), [5, 3, 1], "{recent}");
    assert_eq!(counts(&stage.listed("?since=2999-01-01T00:00:00Z").await), [] as [u64; 0]);
    for query in
        ["?limit=x", "?limit=-1", "?since=yesterday", "?disposition=x", "?directive=x", "?page=2", "?limit=1&limit=2"]
    {
        let answer = stage.proxy.admin("GET", &format!("/csp{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(stage.proxy.admin("GET", "/csp?limit=5000").await.status, 200);
    assert_eq!(stage.proxy.admin("DELETE", "/csp").await.status, 405);
    assert_eq!(stage.proxy.admin("GET", "/csp/x").await.status, 404);

    let violation = &listed["violations"][1];
    let members: Vec<&String> = violation.as_object().expect("an object").keys().collect();
    let expected = [
        "directive",
        "disposition",
        "blocked",
        "document",
        "source",
        "line",
        "column",
        "status",
        "policy",
        "count",
        "first_seen",
        "last_seen",
        "overflow",
        "allow",
    ];
    assert_eq!(members, expected);
    assert_eq!(violation["policy"], json!("a7ab0d8ee3af2462"));
}
