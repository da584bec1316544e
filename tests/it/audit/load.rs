//! Many at once: few fsyncs, and nothing lost.

use super::*;
use std::time::{Duration, Instant};
use vestibule_testkit::Origin;

const CONNECTIONS: usize = 16;

/// AUD-22, as short as a test may be: the bench has the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_share_few_fsyncs_and_none_is_lost() {
    for mode in ["open", "closed"] {
        let trail = Trail::new();
        let origin = Origin::returning(200, "ok");
        let proxy = trail.proxy(&origin, &format!("on_error = \"{mode}\"\n[log]\naccess = false\n")).await;
        let began = Instant::now();
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (mut raw, request) = (proxy.connect().await, proxy.post("/orders/1"));
            clients.spawn(async move {
                let mut sent = 0;
                while began.elapsed() < Duration::from_secs(1) {
                    assert_eq!(request.clone().on(&mut raw).await.status, 200);
                    sent += 1;
                }
                sent
            });
        }
        let sent: usize = clients.join_all().await.into_iter().sum();
        let log = trail.wait("all of them", |log| log.count("request.finished") == sent).await;
        let took = began.elapsed().as_secs_f64();
        assert!(log.by_request().values().all(|phases| *phases == ["started", "finished"]));
        assert_eq!((log.by_request().len(), log.count("audit.gap")), (sent, 0));
        let fsyncs = proxy.metrics().await.value("vestibule_audit_write_duration_seconds_count", &[]);
        assert!(fsyncs / took <= 200.0 + 5.0, "{mode}: {fsyncs} fsyncs in {took} s for {sent} requests");
        assert!(sent > 100, "{mode}: {sent} requests");
    }
}
