//! How records lie in Redis.

use super::*;
use vestibule_testkit::Resp;

/// What a record may take beside its payload.
const OVERHEAD_BYTES: i64 = 512;

async fn ttl_ms(redis: &Server, hold: &Hold) -> i64 {
    redis.command(&["PTTL", &key(hold)]).await.int()
}

#[tokio::test]
async fn a_record_takes_little_more_than_its_payload() {
    let redis = Server::start().await;
    let records = records(&redis.url());
    for length in [0_i64, 100, 1000, 1024, 10_000, 65_536, 1 << 20] {
        let claimed = claim();
        assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
        let claim_bytes = redis.command(&["MEMORY", "USAGE", &key(&claimed.hold)]).await.int();
        assert!(claim_bytes <= OVERHEAD_BYTES, "a claim takes {claim_bytes}");
        assert_eq!(
            complete(&records, claimed.hold, done(usize::try_from(length).expect("small"))).await,
            Ok(Completed::Ok)
        );
        let bytes = redis.command(&["MEMORY", "USAGE", &key(&claimed.hold)]).await.int();
        // Its allocator has four sizes between powers of two, which is felt by what is large.
        let rounding = if length <= 1024 { 0 } else { length / 4 };
        assert!(bytes <= OVERHEAD_BYTES + length + rounding, "{length} take {bytes}");
    }
}

#[tokio::test]
async fn every_record_expires_when_it_should() {
    let redis = Server::start().await;
    let records = records(&redis.url());
    let within_a_second_of = |time: Duration, found: i64| {
        let time = i64::try_from(time.as_millis()).expect("short");
        assert!((time - 1000..=time).contains(&found), "{found} of {time}");
    };
    let claimed = claim();
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    within_a_second_of(LEASE + TTL, ttl_ms(&redis, &claimed.hold).await);
    assert_eq!(records.renew(claimed.hold, LEASE * 2, TTL).get().await, Ok(Renewed::Ok));
    within_a_second_of(LEASE * 2 + TTL, ttl_ms(&redis, &claimed.hold).await);
    assert_eq!(complete(&records, claimed.hold, done(1)).await, Ok(Completed::Ok));
    within_a_second_of(TTL, ttl_ms(&redis, &claimed.hold).await);
    // Abandoned at once, and found so.
    let dead = Claim { lease: Duration::from_millis(1), ..claim() };
    assert_eq!(begin(&records, dead).await, Ok(Begun::Acquired));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let finder = Claim { hold: Hold { owner: Owner::draw(), ..dead.hold }, ttl: TTL / 2, ..dead };
    assert!(matches!(begin(&records, finder).await, Ok(Begun::Uncertain { .. })));
    within_a_second_of(TTL / 2, ttl_ms(&redis, &dead.hold).await);
}

#[tokio::test]
async fn the_longest_times_are_taken() {
    let redis = Server::start().await;
    let records = records(&redis.url());
    let claimed = Claim { lease: Duration::MAX, ttl: Duration::MAX, ..claim() };
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    assert_eq!(
        begin(&records, Claim { hold: Hold { owner: Owner::draw(), ..claimed.hold }, ..claimed }).await,
        Ok(Begun::Busy { trace_id: claimed.hold.trace_id })
    );
}

/// One key an operation, and none but those of the namespace.
#[tokio::test]
async fn two_records_never_share_a_key() {
    let redis = Server::start().await;
    let records = records(&redis.url());
    let claims: Vec<_> = (0..200).map(|_| claim()).collect();
    for claimed in &claims {
        assert_eq!(begin(&records, *claimed).await, Ok(Begun::Acquired));
    }
    let mut expected: Vec<_> = claims.iter().map(|claimed| key(&claimed.hold)).collect();
    let mut found: Vec<_> = redis.command(&["KEYS", "*"]).await.parts().iter().map(Resp::text).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

/// ID-36, as far as it is the store's.
#[tokio::test]
async fn an_operation_is_one_question() {
    let redis = Server::start().await;
    let records = records(&redis.url());
    assert_eq!(begin(&records, claim()).await, Ok(Begun::Acquired));
    let monitor = redis.monitor().await;
    let claimed = claim();
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    assert_eq!(begin(&records, claimed).await, Ok(Begun::Acquired));
    redis.command(&["ECHO", "the end"]).await;
    let lines = monitor.wait("the end", |lines| lines.iter().any(|line| line.contains("the end"))).await;
    let asked: Vec<_> = lines.iter().filter(|line| !line.contains(" lua]") && line.contains("EVAL")).collect();
    assert_eq!(asked.len(), 2, "{lines:?}");
    // What the scripts themselves touch is that key.
    let of_scripts: Vec<_> = lines.iter().filter(|line| line.contains(" lua]") && !line.contains("TIME")).collect();
    assert!(!of_scripts.is_empty() && of_scripts.iter().all(|line| line.contains(&key(&claimed.hold))), "{lines:?}");
}
