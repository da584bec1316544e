use super::*;
use crate::records::MemoryRecords;
use crate::redis::{RedisRecords, RedisUrl, Settings};
use vestibule_plugin::SystemClock;
use vestibule_testkit::{Redis, within};

const NAME: Name = Name([7; 16]);
const LEASE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(10);

fn memory() -> Arc<dyn Records> {
    Arc::new(MemoryRecords::new(Arc::new(SystemClock::default()), 1 << 20))
}

fn redis(url: &str) -> Arc<dyn Records> {
    let url = RedisUrl::parse(url).expect("an address");
    let timeout = Duration::from_secs(5);
    let settings = Settings::new(url, "test", timeout);
    Arc::new(RedisRecords::new(settings).expect("no authorities"))
}

async fn take(locks: &Locks, patience: Duration) -> Result<Lock, NotHad> {
    locks.take(NAME, 1, LEASE, patience).await
}

/// As two processes: each has its own line.
async fn one_has_it_and_the_other_waits(records: Arc<dyn Records>) {
    let (here, there) = (Locks::new(Arc::clone(&records)), Locks::new(records));
    let lock = take(&here, PATIENCE).await.expect("nobody has it");
    assert!(lock.is_held());
    for locks in [&here, &there] {
        assert_eq!(take(locks, Duration::from_millis(50)).await.err(), Some(NotHad::Busy));
    }
    let (freed, taken) = tokio::join!(
        async {
            sleep(Duration::from_millis(50)).await;
            lock.free().await;
        },
        take(&there, PATIENCE)
    );
    let ((), lock) = (freed, taken.expect("it was freed"));
    drop(lock);
    within("the dropped lock to be free", async { take(&here, PATIENCE).await }).await.expect("nobody has it");
    assert!(here.lines.lock().is_empty() && there.lines.lock().is_empty(), "nobody waits any more");
}

#[tokio::test]
async fn in_memory_one_has_it_and_the_other_waits() {
    one_has_it_and_the_other_waits(memory()).await;
}

#[tokio::test]
async fn in_redis_one_has_it_and_the_other_waits() {
    let server = Redis::start().await;
    one_has_it_and_the_other_waits(redis(&server.url())).await;
}

/// Both processes count up without any other care.
async fn no_two_have_it_at_once(records: Arc<dyn Records>) {
    let count = Arc::new(AtomicBool::new(false));
    let all = (0..4).map(|_| {
        let (locks, count) = (Arc::new(Locks::new(Arc::clone(&records))), Arc::clone(&count));
        futures::future::join_all((0..5).map(move |_| {
            let (locks, count) = (Arc::clone(&locks), Arc::clone(&count));
            async move {
                let lock = take(&locks, PATIENCE).await.expect("each in its turn");
                assert!(!count.swap(true, Ordering::SeqCst), "somebody else has it");
                sleep(Duration::from_millis(1)).await;
                count.store(false, Ordering::SeqCst);
                lock.free().await;
            }
        }))
    });
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn in_memory_no_two_have_it_at_once() {
    no_two_have_it_at_once(memory()).await;
}

#[tokio::test]
async fn in_redis_no_two_have_it_at_once() {
    let server = Redis::start().await;
    no_two_have_it_at_once(redis(&server.url())).await;
}

#[tokio::test]
async fn it_outlives_its_lease_while_it_is_held_and_not_its_holder() {
    let records = memory();
    let (here, there) = (Locks::new(Arc::clone(&records)), Locks::new(records));
    let lease = Duration::from_millis(90);
    let lock = here.take(NAME, 1, lease, PATIENCE).await.expect("nobody has it");
    assert_eq!(take(&there, 3 * lease).await.err(), Some(NotHad::Busy), "it is renewed");
    // As a process that dies.
    lock.renewal.as_ref().expect("a runtime").abort();
    take(&there, PATIENCE).await.expect("free after its lease");
    std::mem::forget(lock);
}

#[tokio::test]
async fn whoever_lost_it_knows() {
    let server = Redis::start().await;
    let locks = Locks::new(redis(&server.url()));
    let lock = locks.take(NAME, 1, Duration::from_millis(90), PATIENCE).await.expect("nobody has it");
    server.command(&["FLUSHALL"]).await;
    within("the loss to be seen", async {
        while lock.is_held() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_store_that_fails_gives_no_lock() {
    let server = Redis::start().await;
    let url = server.url();
    drop(server);
    assert!(matches!(take(&Locks::new(redis(&url)), PATIENCE).await, Err(NotHad::Outage(_))));
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_no_trace() {
    let locks = Locks::new(memory());
    let lock = take(&locks, PATIENCE).await.expect("nobody has it");
    let waiting = take(&locks, PATIENCE);
    assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
    lock.free().await;
    assert!(locks.lines.lock().is_empty());
}
