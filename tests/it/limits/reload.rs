//! A reload changes limits and forgives nothing.

use super::{HERE, TEN, gets, left, member, proxy, statuses};
use vestibule_testkit::Origin;

/// RL-20: from 10 to 100 a minute and back, with the quota used up.
#[tokio::test]
async fn no_unit_is_gained_by_a_reload() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    assert_eq!(statuses(&proxy, "/", 11).await[10], 429);

    proxy.rewrite(&TEN.replace("10/min", "100/min"));
    assert_eq!(proxy.reload().await.status, 200);
    let answer = proxy.get("/").await;
    assert_eq!(answer.field("ratelimit-policy"), "\"p\";q=100;w=60");
    // Everything was used, so nothing is left of the larger quota either, but for what has come back since.
    assert!(member(&answer).r <= 10, "{:?}", member(&answer));

    proxy.rewrite(TEN);
    assert_eq!(proxy.reload().await.status, 200);
    assert!(left(&proxy, "p", HERE).await <= 1);
    let back = gets(&proxy, "/", 3).await;
    assert_eq!(back[0].field("ratelimit-policy"), "\"p\";q=10;w=60");
    assert_eq!(back[2].status, 429);
    assert!(back.iter().all(|answer| answer.status < 500));
}

#[tokio::test]
async fn a_policy_that_is_removed_stops_at_once() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, TEN).await;
    assert_eq!(statuses(&proxy, "/", 11).await[10], 429);
    proxy.rewrite("");
    assert_eq!(proxy.reload().await.status, 200);
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.fields.has("ratelimit")), (200, false));
    assert_eq!(proxy.admin("GET", "/rate-limit/p").await.status, 404);
}
