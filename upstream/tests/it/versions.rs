//! Items: their states, their versions and what may be done to which of them.

use std::collections::HashMap;

use axum::body::Body;
use serde_json::json;

use crate::service::Place;

/// UP-04: created without status and with `unknown`, found by it, and no way back to it.
#[tokio::test]
async fn unknown_is_where_a_project_may_begin_and_cannot_return_to() {
    let place = Place::new();
    let service = place.serve();
    let left_out = service.public.create(&json!({"name": "a", "slug": "a"})).await;
    let given = service.public.create(&json!({"name": "b", "slug": "b", "status": "unknown"})).await;
    for answer in [&left_out, &given] {
        assert_eq!((answer.status.as_u16(), &answer.value()["status"]), (201, &json!("unknown")));
    }
    assert_eq!(service.public.get("/api/v1/projects?status=unknown").await.value()["total"], 2);

    let path = left_out.header("location");
    assert_eq!(service.public.patch(path, &[], &json!({"status": "unknown"})).await.value()["version"], 1);
    assert_eq!(service.public.patch(path, &[], &json!({"status": "active"})).await.status, 200);
    let back = service.public.patch(path, &[], &json!({"status": "unknown"})).await;
    assert_eq!(back.problem(422, "invalid-transition")["errors"][0]["pointer"], "/status");
    let whole = json!({"name": "a", "slug": "a", "description": "", "status": "unknown"});
    service.public.json("PUT", path, &[], &whole).await.problem(422, "invalid-transition");
    assert_eq!(service.public.get(path).await.value()["version"], 2);
}

/// UP-05: PATCH with the right, a stale, a weak tag, `*`, none.
#[tokio::test]
async fn a_patch_needs_the_tag_it_names() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    let patch = async |tag: Option<&str>, name: &str| {
        let headers: Vec<_> = tag.iter().map(|tag| ("if-match", *tag)).collect();
        service.public.patch(&path, &headers, &json!({"name": name})).await
    };
    let right = patch(Some("\"1.1\""), "right").await;
    assert_eq!((right.status.as_u16(), right.header("etag")), (200, "\"1.2\""));
    for refused in ["\"1.1\"", "W/\"1.2\"", "1.2", "\"2.2\"", ""] {
        let answer = patch(Some(refused), "refused").await;
        let problem = answer.problem(412, "version-conflict");
        assert_eq!(answer.header("etag"), "\"1.2\"", "{refused}");
        assert_eq!(problem["current"], right.value(), "{refused}");
    }
    assert_eq!(patch(Some("*"), "any").await.status, 200);
    assert_eq!(patch(None, "none").await.status, 200);
    assert_eq!(patch(Some("\"9.9\", \"1.4\""), "list").await.header("etag"), "\"1.5\"");
}

/// UP-06: of 50 at once with one tag, one wins.
#[tokio::test(flavor = "multi_thread")]
async fn of_50_patches_with_one_tag_exactly_one_succeeds() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    let calls: Vec<_> = (0..50)
        .map(|number| {
            let (client, path) = (service.public.clone(), path.clone());
            tokio::spawn(async move {
                let body = json!({"name": format!("name {number}")});
                client.patch(&path, &[("if-match", "\"1.1\"")], &body).await.status.as_u16()
            })
        })
        .collect();
    let mut statuses = HashMap::new();
    for call in calls {
        *statuses.entry(call.await.expect("an answer")).or_insert(0) += 1;
    }
    assert_eq!(statuses, HashMap::from([(200, 1), (412, 49)]));
    assert_eq!(service.public.get(&path).await.value()["version"], 2);
}

#[tokio::test]
async fn a_change_that_changes_nothing_keeps_version_and_time() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    let before = service.public.get(&path).await;
    for body in [json!({}), json!({"name": "Project a"}), json!({"slug": "a", "status": "unknown"})] {
        let answer = service.public.patch(&path, &[], &body).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &before.body));
    }
}

#[tokio::test]
async fn a_tag_the_sender_has_gives_304() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    for value in ["\"1.1\"", "W/\"1.1\"", "*", "\"x\", \"1.1\""] {
        let answer = service.public.send("GET", &path, &[("if-none-match", value)], Body::empty()).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{value}");
        assert_eq!(answer.header("etag"), "\"1.1\"");
        assert_eq!((answer.header("cache-control"), answer.header("vary")), ("private, no-cache", "authorization"));
    }
    let stale = service.public.send("GET", &path, &[("if-none-match", "\"1.0\"")], Body::empty()).await;
    assert_eq!((stale.status.as_u16(), stale.header("etag")), (200, "\"1.1\""));
    let whole = json!({"name": "a", "slug": "a", "description": "", "status": "unknown"});
    service.public.json("PUT", &path, &[("if-none-match", "*")], &whole).await.problem(412, "version-conflict");
}

#[tokio::test]
async fn put_replaces_every_writable_field() {
    let place = Place::new();
    let service = place.serve();
    let path = service.public.created("a").await;
    let whole = json!({"name": "n", "slug": "s", "description": "d", "status": "paused"});
    let answer = service.public.json("PUT", &path, &[("if-match", "\"1.1\"")], &whole).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"1.2\""));
    let item = answer.value();
    for field in ["name", "slug", "description", "status"] {
        assert_eq!(item[field], whole[field]);
    }
    assert_eq!(service.public.get(&path).await.body, answer.body);
}

#[tokio::test]
async fn what_is_deleted_stays_taken_and_absent() {
    let place = Place::new();
    let service = place.serve();
    let id = "01a20000-0000-7000-8000-00000000abcd";
    let body = json!({"id": id.to_uppercase(), "name": "a", "slug": "a"});
    let created = service.public.create(&body).await;
    let path = created.header("location").to_owned();
    assert_eq!((created.status.as_u16(), path.as_str()), (201, format!("/api/v1/projects/{id}").as_str()));
    service.public.create(&json!({"id": id, "name": "b", "slug": "b"})).await.problem(409, "id-taken");

    service.public.delete(&path, &[("if-match", "\"1.7\"")]).await.problem(412, "version-conflict");
    let deleted = service.public.delete(&path, &[("if-match", "\"1.1\"")]).await;
    assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));

    service.public.get(&path).await.problem(404, "not-found");
    for tag in ["*", "\"1.1\"", "junk"] {
        service.public.delete(&path, &[("if-match", tag)]).await.problem(404, "not-found");
        service.public.patch(&path, &[("if-match", tag)], &json!({})).await.problem(404, "not-found");
    }
    service.public.create(&body).await.problem(409, "id-taken");
    service.public.create(&json!({"name": "b", "slug": "a"})).await.problem(409, "slug-taken");
}

#[tokio::test]
async fn a_slug_that_was_given_up_is_free_for_its_project_only() {
    let place = Place::new();
    let service = place.serve();
    let (one, two) = (service.public.created("a").await, service.public.created("b").await);
    assert_eq!(service.public.patch(&one, &[], &json!({"slug": "a-2"})).await.status, 200);
    service.public.patch(&two, &[], &json!({"slug": "a"})).await.problem(409, "slug-taken");
    service.public.create(&json!({"name": "c", "slug": "a"})).await.problem(409, "slug-taken");
    assert_eq!(service.public.patch(&one, &[], &json!({"slug": "a"})).await.value()["version"], 3);
    // A refused change leaves nothing behind, not even its slug.
    service
        .public
        .patch(&one, &[("if-match", "\"1.1\"")], &json!({"slug": "free"}))
        .await
        .problem(412, "version-conflict");
    assert_eq!(service.public.patch(&two, &[], &json!({"slug": "free"})).await.status, 200);
}
