//! A proxy that dies at each step of an execution, and what the next one makes of it.

use super::stage::{On, Stage, is_replay, order};
use std::time::Duration;
use vestibule_testkit::{Origin, Setup};

/// What a repetition gets when the lease of the one that died is over, and how often the application ran.
async fn after_dying_at(point: &str, status: u16, problem: &str, hits: usize) {
    let store = On::Redis.open().await;
    let origin = Origin::replying(order);
    let dying = Setup::new(crate::bin())
        .upstream(origin.url())
        .toml(store.toml(""))
        .env("VESTIBULE_FAIL_POINT", point)
        .start()
        .await;
    let mut stage = Stage { origin, proxy: dying, store };
    assert!(stage.order("k").try_send().await.is_err(), "{point}: it died before it answered");
    stage.proxy.wait_exit().await;
    stage.proxy = stage.another_proxy("").await;
    let at_once = stage.order("k").await;
    if status == 201 {
        assert!(is_replay(&at_once), "{point}");
    } else {
        assert_eq!((at_once.status, at_once.problem()), (409, "idempotency-in-progress".into()), "{point}");
        tokio::time::sleep(Duration::from_millis(2500)).await;
    }
    let again = stage.order("k").await;
    assert_eq!((again.status, again.problem().as_str()), (status, problem), "{point}");
    assert_eq!(stage.hits(), hits, "{point}");
}

#[tokio::test]
async fn before_it_sends_anything() {
    after_dying_at("claimed", 409, "idempotency-outcome-unknown", 0).await;
    after_dying_at("sending", 409, "idempotency-outcome-unknown", 0).await;
}

#[tokio::test]
async fn between_the_reply_and_its_storing() {
    after_dying_at("replied", 409, "idempotency-outcome-unknown", 1).await;
}

#[tokio::test]
async fn between_storing_and_the_first_byte_to_the_client() {
    after_dying_at("stored", 201, "", 1).await;
}
