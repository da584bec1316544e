//! A process that dies in the middle.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::service::Place;

/// UP-24: killed during 200 writes, the database holds every change that was answered and no half of any.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_during_writes_leaves_no_half_change() {
    let place = Place::new();
    let mut service = place.serve();
    let path = service.public.created("counted").await;
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (client, answered, path) = (service.public.clone(), answered.clone(), path.clone());
            tokio::spawn(async move {
                for number in 0..25 {
                    let text = format!("{writer}-{number}");
                    let new = json!({"name": text, "slug": format!("p-{text}"), "description": text}).to_string();
                    let headers = [("content-type", "application/json")];
                    let Some(created) = client.try_send("POST", "/api/v1/projects", &headers, new).await else {
                        return;
                    };
                    let edit = json!({"name": text, "description": text}).to_string();
                    let Some(edited) = client.try_send("PATCH", &path, &headers, edit).await else { return };
                    if answered.send((created.value(), edited.value())).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    drop(answered);
    let mut confirmed = Vec::new();
    while confirmed.len() < 60 {
        confirmed.push(answers.recv().await.expect("the writers go on"));
    }
    service.kill();
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    while let Ok(more) = answers.try_recv() {
        confirmed.push(more);
    }
    assert!(confirmed.len() < 200, "killed in the middle");

    let service = place.serve();
    let mut stored: HashMap<String, Value> = HashMap::new();
    for page in 1..=3 {
        let list = service.public.get(&format!("/api/v1/projects?page_size=100&page={page}")).await.value();
        for item in list["items"].as_array().expect("items") {
            stored.insert(item["id"].as_str().expect("an id").to_owned(), item.clone());
        }
    }
    for (created, _) in &confirmed {
        assert_eq!(stored.get(created["id"].as_str().expect("an id")), Some(created), "what was answered is durable");
    }
    for item in stored.values().filter(|item| item["slug"] != "counted") {
        assert_eq!(item["name"], item["description"]);
        // The row and the claim of its slug are one change.
        let again = json!({"name": "again", "slug": item["slug"]});
        service.public.create(&again).await.problem(409, "slug-taken");
    }
    let counted = service.public.get(&path).await.value();
    assert_eq!(counted["name"], counted["description"]);
    let newest = confirmed.iter().filter_map(|(_, edited)| edited["version"].as_i64()).max().expect("edits");
    assert!(counted["version"].as_i64().expect("a version") >= newest);
    // A slug that was claimed has its row: what was never stored is still free.
    for slug in (0..8).flat_map(|writer| (0..25).map(move |number| format!("p-{writer}-{number}"))) {
        let taken = stored.values().any(|item| item["slug"] == slug.as_str());
        let status = service.public.create(&json!({"name": "later", "slug": slug})).await.status;
        assert_eq!(status.as_u16(), if taken { 409 } else { 201 }, "{slug}");
    }
}
