//! A master that the sentinels have given up, and that does not know it.

use super::ALONE;
use super::sentinels::toml;
use super::traffic::{RECOVERY, Traffic};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use vestibule_testkit::{Fault, RedisSentinels};

/// Its replicas and sentinels cannot reach it, and all proxies can. It answers as ever, until it is found again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_cut_off_and_answers_is_left() {
    let _alone = ALONE.lock().await;
    for replicas in [0, 1] {
        let sentinels = RedisSentinels::that_can_part(2, 3, 2).await;
        let traffic = Traffic::start(2, &toml(&sentinels.url(), replicas)).await;
        let cutting = async {
            sleep(Duration::from_secs(2)).await;
            let relay = sentinels.cut_off_master().await;
            let named = Instant::now();
            sleep(Duration::from_secs(4)).await;
            relay.set(Fault::None).await;
            named
        };
        let (seen, named) = tokio::join!(traffic.run(Duration::from_secs(10)), cutting);
        seen.hold(&format!("cut off, wait_replicas {replicas}"), named);
        assert!(seen.twice().is_empty() || replicas == 0 && seen.twice_around(named), "{:?}", seen.twice());
        assert!(replicas > 0 || seen.recovered_after(named) < RECOVERY, "{:?}", seen.recovered_after(named));
    }
}

/// Replicas have what they were not heard to have, and not what undid it; and nobody names another master for longer than
/// what was written is usually remembered. Whoever was refused was not executed, and is in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_from_a_master_that_is_cut_off_is_taken_back_for_good() {
    let _alone = ALONE.lock().await;
    let sentinels = RedisSentinels::that_can_part(2, 3, 2).await;
    let traffic = Traffic::start(2, &toml(&sentinels.url(), 1)).await;
    let cutting = async {
        sleep(Duration::from_secs(2)).await;
        let relay = sentinels.cut_off_unheard(Duration::from_millis(800), Duration::from_secs(7)).await;
        let named = Instant::now();
        sleep(Duration::from_secs(2)).await;
        relay.set(Fault::None).await;
        named
    };
    let (seen, named) = tokio::join!(traffic.run(Duration::from_secs(8)), cutting);
    seen.hold("unheard, and then cut off", named);
    assert_eq!(seen.twice().len(), 0);
}

/// It stands still for so long that another one is elected, and goes on as a master until the sentinels tell it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_stood_still_is_not_written_to_when_it_goes_on() {
    let _alone = ALONE.lock().await;
    for replicas in [0, 1] {
        let sentinels = RedisSentinels::of(2, 3, 2).await;
        let traffic = Traffic::start(2, &toml(&sentinels.url(), replicas)).await;
        let freezing = async {
            sleep(Duration::from_secs(2)).await;
            let frozen = sentinels.freeze_master().await;
            let named = Instant::now();
            sleep(Duration::from_secs(1)).await;
            frozen.resume();
            named
        };
        let (seen, named) = tokio::join!(traffic.run(Duration::from_secs(8)), freezing);
        seen.hold(&format!("frozen, wait_replicas {replicas}"), named);
        assert!(seen.twice().is_empty() || replicas == 0 && seen.twice_around(named), "{:?}", seen.twice());
        assert!(replicas > 0 || seen.recovered_after(named) < RECOVERY, "{:?}", seen.recovered_after(named));
    }
}
