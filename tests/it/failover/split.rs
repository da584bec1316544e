//! A master that the sentinels have given up, and that does not know it.

use super::ALONE;
use super::sentinels::toml;
use super::traffic::{RECOVERY, Seen, Traffic};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use vestibule_testkit::{Fault, RedisSentinels};

/// Traffic for so long, and after two seconds `change`, which gives when another master was named.
async fn under_traffic(
    sentinels: &RedisSentinels,
    replicas: u32,
    lasts: Duration,
    change: impl Future<Output = Instant>,
) -> (Seen, Instant) {
    let traffic = Traffic::start(2, &toml(&sentinels.url(), replicas)).await;
    let changing = async {
        sleep(Duration::from_secs(2)).await;
        change.await
    };
    tokio::join!(traffic.run(lasts), changing)
}

/// Nothing is executed twice that waits for replicas, and else only what was sent around the change; and all is as before
/// soon after another master was named.
fn hold(what: &str, replicas: u32, (seen, named): &(Seen, Instant)) {
    seen.hold(&format!("{what}, wait_replicas {replicas}"), *named);
    assert!(seen.twice().is_empty() || replicas == 0 && seen.twice_around(*named), "{:?}", seen.twice());
    assert!(replicas > 0 || seen.recovered_after(*named) < RECOVERY, "{:?}", seen.recovered_after(*named));
}

/// Its replicas and sentinels cannot reach it, and all proxies can. It answers as ever, until it is found again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_cut_off_and_answers_is_left() {
    let _alone = ALONE.lock().await;
    for replicas in [0, 1] {
        let sentinels = RedisSentinels::that_can_part(2, 3, 2).await;
        let cutting = async {
            let relay = sentinels.cut_off_master().await;
            let named = Instant::now();
            sleep(Duration::from_secs(4)).await;
            relay.set(Fault::None).await;
            named
        };
        hold("cut off", replicas, &under_traffic(&sentinels, replicas, Duration::from_secs(10), cutting).await);
    }
}

/// Replicas have what they were not heard to have, and not what undid it; and nobody names another master for longer than
/// what was written is usually remembered. Whoever was refused was not executed, and is in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_from_a_master_that_is_cut_off_is_taken_back_for_good() {
    let _alone = ALONE.lock().await;
    let sentinels = RedisSentinels::that_can_part(2, 3, 2).await;
    let cutting = async {
        let relay = sentinels.cut_off_unheard(Duration::from_millis(800), Duration::from_secs(7)).await;
        let named = Instant::now();
        sleep(Duration::from_secs(2)).await;
        relay.set(Fault::None).await;
        named
    };
    hold("unheard, and then cut off", 1, &under_traffic(&sentinels, 1, Duration::from_secs(8), cutting).await);
}

/// It stands still for so long that another one is elected, and goes on as a master until the sentinels tell it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_stood_still_is_not_written_to_when_it_goes_on() {
    let _alone = ALONE.lock().await;
    for replicas in [0, 1] {
        let sentinels = RedisSentinels::of(2, 3, 2).await;
        let freezing = async {
            let frozen = sentinels.freeze_master().await;
            let named = Instant::now();
            sleep(Duration::from_secs(1)).await;
            frozen.resume();
            named
        };
        hold("frozen", replicas, &under_traffic(&sentinels, replicas, Duration::from_secs(8), freezing).await);
    }
}
