//! PaginatedResponse: pages, filters, orders.

use std::collections::HashSet;

use serde_json::json;

use crate::service::Place;

/// UP-01: 57 projects in pages of 20.
#[tokio::test]
async fn pages_hold_what_is_left_and_the_true_total() {
    let place = Place::new();
    place.seed();
    let service = place.serve();
    for (page, items) in [(1, 20), (2, 20), (3, 17), (4, 0), (1_000_000, 0)] {
        let answer = service.public.get(&format!("/api/v1/projects?page={page}&page_size=20")).await;
        assert_eq!(answer.ids().len(), items, "page {page}");
        let list = answer.value();
        assert_eq!((&list["page"], &list["page_size"], &list["total"]), (&json!(page), &json!(20), &json!(57)));
    }
}

/// UP-02: what is not a page or a page size is named.
#[tokio::test]
async fn a_page_out_of_bounds_is_422_and_named() {
    let place = Place::new();
    let service = place.serve();
    for (parameter, values) in [
        ("page", &["0", "-1", "x", "1000001", "", "1&page=1"][..]),
        ("page_size", &["0", "101", "20&page_size=20"][..]),
    ] {
        for value in values {
            let answer = service.public.get(&format!("/api/v1/projects?{parameter}={value}")).await;
            assert_eq!(answer.pointers(), [format!("/{parameter}")], "{parameter}={value}");
        }
    }
}

/// UP-03: 200 equal values, every id once.
#[tokio::test]
async fn walking_a_list_of_equals_meets_every_item_once() {
    let place = Place::new();
    let service = place.serve();
    let mut made = HashSet::new();
    for number in 0..200 {
        let location = service.public.created(&format!("p-{number}")).await;
        made.insert(location.rsplit('/').next().expect("an id").to_owned());
    }
    for sort in ["status", "-status"] {
        let mut met = Vec::new();
        for page in 1..=29 {
            met.extend(
                service.public.get(&format!("/api/v1/projects?sort={sort}&page_size=7&page={page}")).await.ids(),
            );
        }
        assert_eq!(met.len(), 200);
        assert_eq!(met.into_iter().collect::<HashSet<_>>(), made);
    }
}

#[tokio::test]
async fn filters_hold_together() {
    let place = Place::new();
    place.seed();
    let service = place.serve();
    let total = async |query: &str| {
        let answer = service.public.get(&format!("/api/v1/projects?page_size=1&{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        answer.value()["total"].as_i64().expect("a number")
    };
    assert_eq!(total("status=unknown").await, 15);
    assert_eq!(total("status=active").await + total("status=paused,archived").await, 42);
    assert_eq!(total("owner_id=01900000-0000-7000-8000-000000000001").await, 57);
    assert_eq!(total("owner_id=01900000-0000-7000-8000-000000000002").await, 0);
    // Row n was created n minutes after the start of 2026.
    assert_eq!(total("created_from=2026-01-01T00:10:00Z").await, 47);
    assert_eq!(total("created_to=2026-01-01T00:10:00Z").await, 10);
    assert_eq!(total("created_from=2026-01-01T02:10:00%2B02:00&created_to=2026-01-01T00:11:00Z").await, 1);
    assert_eq!(total("created_from=2026-01-01T00:11:00Z&created_to=2026-01-01T00:10:00Z").await, 0);
}

#[tokio::test]
async fn a_search_ignores_ascii_case_and_knows_no_wildcards() {
    let place = Place::new();
    let service = place.serve();
    for (slug, name) in [("a", "100% Wool"), ("b", "snake_case"), ("c", "ÄRGER 1000"), ("d", "back\\slash")] {
        assert_eq!(service.public.create(&json!({"name": name, "slug": slug})).await.status, 201);
    }
    for (q, found) in
        [("%25", 1), ("_", 1), ("WOOL", 1), ("100", 2), ("%C3%84rger", 1), ("%C3%A4rger", 0), ("%5C", 1), ("", 4)]
    {
        let answer = service.public.get(&format!("/api/v1/projects?q={q}")).await;
        assert_eq!(answer.ids().len(), found, "{q}");
    }
}

#[tokio::test]
async fn names_sort_by_code_point_and_the_newest_come_first() {
    let place = Place::new();
    let service = place.serve();
    for (slug, name) in [("1", "b"), ("2", "B"), ("3", "ä"), ("4", "a"), ("5", "a")] {
        assert_eq!(service.public.create(&json!({"name": name, "slug": slug})).await.status, 201);
    }
    for (query, expected) in [
        ("", "5 4 3 2 1"),
        ("sort=created_at", "1 2 3 4 5"),
        ("sort=name", "2 4 5 1 3"),
        ("sort=-name,created_at", "3 1 4 5 2"),
    ] {
        let list = service.public.get(&format!("/api/v1/projects?{query}")).await.value();
        let slugs: Vec<_> = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["slug"].as_str().expect("a slug"))
            .collect();
        assert_eq!(slugs.join(" "), expected, "{query}");
    }
}

#[tokio::test]
async fn what_a_list_does_not_know_is_422_and_named() {
    let place = Place::new();
    let service = place.serve();
    for (query, pointers) in [
        ("x=1", vec!["/x"]),
        ("priority=low", vec!["/priority"]),
        ("sort=slug", vec!["/sort"]),
        ("sort=name,-name", vec!["/sort"]),
        ("status=open", vec!["/status"]),
        ("q=%00", vec!["/q"]),
        ("page=0&sort=x&status=&b=1&a=1", vec!["/page", "/sort", "/status", "/b", "/a"]),
    ] {
        assert_eq!(service.public.get(&format!("/api/v1/projects?{query}")).await.pointers(), pointers, "{query}");
    }
}

/// UP-07, the part of the application: equal bodies, no tag, and a change shows.
#[tokio::test]
async fn a_list_is_deterministic_and_carries_no_tag() {
    let place = Place::new();
    place.seed();
    let service = place.serve();
    let first = service.public.get("/api/v1/projects").await;
    let again = service.public.get("/api/v1/projects").await;
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("etag"), "");
    assert_eq!(first.header("cache-control"), "private, no-cache");
    assert_eq!(first.header("vary"), "authorization");
    service.public.created("one-more").await;
    assert_ne!(service.public.get("/api/v1/projects").await.body, first.body);
}
