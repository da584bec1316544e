use super::*;
use crate::records::conformance::{Rig, conformance};
use crate::records::{Abandoned, Account, Fingerprint, Owner, Payer, Unknown};
use std::time::SystemTime;

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;
const KEEP: Keeping = Keeping { ttl: Duration::from_secs(10), replicas: 0 };

#[derive(Default)]
struct FakeClock(AtomicU64);

impl FakeClock {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).expect("a short time"), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Monotonic {
        Monotonic(self.0.load(Ordering::SeqCst))
    }
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

fn store(max_bytes: u64) -> (MemoryRecords, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    (MemoryRecords::new(Arc::clone(&clock) as Arc<dyn Clock>, max_bytes), clock)
}

macro_rules! rig {
    ($case:path) => {{
        let (records, clock) = store(16 * MIB);
        let pass = |time| -> futures::future::BoxFuture<'_, ()> {
            clock.pass(time);
            Box::pin(std::future::ready(()))
        };
        $case(&Rig { records: &records, pass: &pass }).await;
    }};
}

conformance!(rig);

fn hold(number: u64) -> Hold {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&number.to_le_bytes());
    Hold {
        name: Name(name),
        fingerprint: Fingerprint([1; 32]),
        owner: Owner([number as u8; 16]),
        trace_id: 1,
        payer: Payer::default(),
    }
}

fn account(number: u64) -> Option<Account> {
    Some(Account::of(number.to_be_bytes()))
}

/// Paid for by this principal at this address.
fn paid(number: u64, principal: u64, address: u64) -> Hold {
    Hold { payer: Payer { principal: account(principal), address: account(address) }, ..hold(number) }
}

fn begin(records: &MemoryRecords, hold: Hold) -> Result<Begun, Outage> {
    let claim = Claim { hold, lease: SECOND, ttl: SECOND * 10, abandoned: Abandoned::Respect, replicas: 0 };
    now(records.begin(claim))
}

fn complete(records: &MemoryRecords, hold: Hold, length: usize) -> Completed {
    let reply = Bytes::from(vec![7; length]);
    now(records.complete(hold, Outcome::Done { status: 200, reply }, KEEP)).expect("there is room for a tombstone")
}

fn now<T>(soon: Soon<'_, T>) -> T {
    match soon {
        Soon::Now(value) => value,
        Soon::Later(_) => unreachable!("memory answers at once"),
    }
}

/// What a gauge says that was given just now, once what expired is gone.
fn shown(records: &MemoryRecords) -> i64 {
    records.sweep();
    let gauge = Gauge::default();
    records.show(gauge.clone());
    gauge.get()
}

fn held_bytes(records: &MemoryRecords) -> u64 {
    records.bytes.load(Ordering::Relaxed)
}

#[test]
fn what_is_alive_is_never_given_up_for_a_new_claim() {
    let (records, clock) = store(100 * RECORD_BYTES);
    for number in 0..100 {
        assert_eq!(begin(&records, hold(number)), Ok(Begun::Acquired));
    }
    assert_eq!(begin(&records, hold(100)), Err(Outage::Full(Bound::Store)));
    // Those that are known are still served, and ended.
    assert_eq!(begin(&records, hold(7)), Ok(Begun::Acquired), "the same owner");
    assert_eq!(complete(&records, hold(7), 0), Completed::Ok);
    assert!(matches!(begin(&records, hold(7)), Ok(Begun::Replay { .. })));
    assert_eq!(now(records.release(hold(8))), Ok(Released::Ok));
    assert_eq!(begin(&records, hold(100)), Ok(Begun::Acquired), "in the room of the one released");
    assert_eq!(begin(&records, hold(101)), Err(Outage::Full(Bound::Store)));
    clock.pass(SECOND * 11);
    assert_eq!(begin(&records, hold(101)), Ok(Begun::Acquired), "in the room of those that expired");
    assert_eq!(shown(&records), 1);
}

/// A reply without room becomes a tombstone, which lies in the room of the claim.
#[test]
fn a_reply_that_does_not_fit_leaves_a_tombstone() {
    let (records, _clock) = store(2 * RECORD_BYTES + 1000);
    assert_eq!(begin(&records, hold(1)), Ok(Begun::Acquired));
    assert_eq!(begin(&records, hold(2)), Ok(Begun::Acquired));
    assert_eq!(complete(&records, hold(1), 1001), Completed::Full);
    let gone = Begun::Gone { status: 200, why: NotKept::StoreFull, trace_id: 1 };
    assert_eq!(begin(&records, hold(1)), Ok(gone));
    assert_eq!(complete(&records, hold(2), 1000), Completed::Ok, "to the last byte");
    assert_eq!(held_bytes(&records), 2 * RECORD_BYTES + 1000);
    assert_eq!(complete(&records, hold(1), 1), Completed::Ok, "it is final already");
}

#[test]
fn every_byte_is_given_back() {
    let (records, clock) = store(16 * MIB);
    for number in 0..1000 {
        assert_eq!(begin(&records, hold(number)), Ok(Begun::Acquired));
        match number % 4 {
            0 => assert_eq!(complete(&records, hold(number), 1024), Completed::Ok),
            1 => assert_eq!(now(records.release(hold(number))), Ok(Released::Ok)),
            2 => assert_eq!(now(records.forget(hold(number).name, Live::Forget)), Ok(Forgotten::Deleted)),
            _ => {}
        }
    }
    assert_eq!(held_bytes(&records), 500 * RECORD_BYTES + 250 * 1024);
    assert_eq!(shown(&records), 500);
    clock.pass(SECOND * 12);
    records.sweep();
    assert_eq!((held_bytes(&records), shown(&records)), (0, 0));
    let shards = records.shards.iter().map(|shard| shard.lock());
    assert!(shards.into_iter().all(|shard| shard.by_expiry.is_empty() && shard.records.capacity() == 0));
}

#[test]
fn the_newest_gauge_follows_every_change() {
    let (records, clock) = store(16 * MIB);
    let (first, second) = (Gauge::default(), Gauge::default());
    assert_eq!(begin(&records, hold(1)), Ok(Begun::Acquired));
    records.show(first.clone());
    assert_eq!(first.get(), 1, "what was there before");
    assert_eq!(begin(&records, hold(2)), Ok(Begun::Acquired));
    assert_eq!(complete(&records, hold(2), 10), Completed::Ok);
    assert_eq!(first.get(), 2);
    records.show(second.clone());
    records.show(second.clone());
    assert_eq!((first.get(), second.get()), (0, 2));
    assert_eq!(now(records.release(hold(1))), Ok(Released::Ok));
    assert_eq!(second.get(), 1);
    clock.pass(SECOND * 12);
    assert_eq!(begin(&records, hold(258)), Ok(Begun::Acquired), "in the shard of one that expired");
    assert_eq!(second.get(), 1);
    clock.pass(SECOND * 12);
    records.sweep();
    assert_eq!((first.get(), second.get()), (0, 0));
}

#[test]
fn a_smaller_bound_takes_nothing_away() {
    let (records, _clock) = store(16 * MIB);
    assert_eq!(begin(&records, hold(1)), Ok(Begun::Acquired));
    records.bound(0);
    assert_eq!(begin(&records, hold(2)), Err(Outage::Full(Bound::Store)));
    assert_eq!(complete(&records, hold(1), 10), Completed::Full);
    let uncertain = Outcome::Uncertain(Unknown::Upstream);
    assert_eq!(
        now(records.complete(hold(3), uncertain, KEEP)),
        Err(Outage::Full(Bound::Store)),
        "a lost claim has no room"
    );
}

/// The overhead that is counted covers what a record takes of the heap, maps half empty included.
#[test]
fn the_overhead_that_is_counted_covers_a_record() {
    // A hash map doubles at 7/8: at worst a little over half is empty.
    let of_map = |entry: usize| (entry + 1) * 16 / 7;
    let in_map = of_map(size_of::<(Name, Box<Record>)>());
    // An allocator rounds up.
    let record = size_of::<Record>() + 16;
    // A node of the tree has room for 11 and is half full at worst.
    let in_order = size_of::<(Monotonic, Name)>() * 11 / 5 + 24;
    let in_accounts = 2 * of_map(size_of::<(Account, u64)>());
    let all = in_map + record + in_order + in_accounts;
    assert!(all as u64 <= RECORD_BYTES, "{in_map} + {record} + {in_order} + {in_accounts}");
}

/// Threads claim the same names at once; each name is granted to one of them.
#[test]
fn a_name_is_granted_to_one_thread() {
    const THREADS: u64 = 4;
    const NAMES: u64 = 2_000;
    let (records, _clock) = store(16 * MIB);
    let granted: Vec<u64> = std::thread::scope(|scope| {
        let claim_all = |thread: u64| {
            let records = &records;
            move || {
                let ours = |number| Hold { owner: Owner([u8::try_from(thread).expect("few"); 16]), ..hold(number) };
                (0..NAMES).filter(|number| begin(records, ours(*number)) == Ok(Begun::Acquired)).count() as u64
            }
        };
        let threads: Vec<_> = (1..=THREADS).map(|thread| scope.spawn(claim_all(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(granted.iter().sum::<u64>(), NAMES);
    assert_eq!(held_bytes(&records), NAMES * RECORD_BYTES);
}

/// Up to the half of the store one may have all that there is; beyond it nobody more than a share.
#[test]
fn one_principal_does_not_fill_the_store_for_all() {
    let (records, clock) = store(160 * RECORD_BYTES);
    let mut claimed = 0;
    while begin(&records, paid(claimed, 1, 1)) == Ok(Begun::Acquired) {
        claimed += 1;
    }
    assert_eq!(claimed, 80, "half of the store");
    assert_eq!(begin(&records, paid(claimed, 1, 1)), Err(Outage::Full(Bound::Principal)));
    assert_eq!(begin(&records, paid(claimed, 2, 1)), Err(Outage::Full(Bound::Address)), "another at that address");

    // Somebody else has a sixteenth, and all at one address have an eighth.
    let at_two = |number, principal| begin(&records, paid(number, principal, 2));
    assert!((200..210).all(|number| at_two(number, 3) == Ok(Begun::Acquired)));
    assert_eq!(at_two(210, 3), Err(Outage::Full(Bound::Principal)));
    assert!((210..220).all(|number| at_two(number, 4) == Ok(Begun::Acquired)));
    assert_eq!(at_two(220, 5), Err(Outage::Full(Bound::Address)));

    // What is known is served, renewed and ended.
    assert_eq!(now(records.renew(paid(7, 1, 1), SECOND, SECOND * 10)), Ok(Renewed::Ok));
    assert_eq!(complete(&records, paid(7, 1, 1), 0), Completed::Ok);
    assert!(matches!(begin(&records, paid(7, 1, 1)), Ok(Begun::Replay { .. })));
    assert_eq!(complete(&records, paid(8, 1, 1), 1), Completed::Full, "a reply is room, too");

    // A place that becomes free can be taken again, by whoever has a share left.
    assert_eq!(now(records.release(paid(215, 4, 2))), Ok(Released::Ok));
    assert_eq!(at_two(220, 5), Ok(Begun::Acquired));
    clock.pass(SECOND * 12);
    assert_eq!(begin(&records, paid(300, 1, 1)), Ok(Begun::Acquired), "what expired is forgotten");
    records.sweep();
    assert_eq!((records.shares.accounts(), held_bytes(&records)), (2, RECORD_BYTES));
}

/// Callers who share their keys have the share of their addresses alone.
#[test]
fn callers_who_share_their_keys_are_told_apart_by_address() {
    let (records, _clock) = store(160 * RECORD_BYTES);
    let nobody = |number, address| Hold { payer: Payer { principal: None, address: account(address) }, ..hold(number) };
    assert!((0..80).all(|number| begin(&records, nobody(number, 1)) == Ok(Begun::Acquired)));
    assert_eq!(begin(&records, nobody(80, 1)), Err(Outage::Full(Bound::Address)));
    assert!((80..100).all(|number| begin(&records, nobody(number, 2)) == Ok(Begun::Acquired)));
    assert_eq!(begin(&records, nobody(100, 2)), Err(Outage::Full(Bound::Address)));
}

/// A record that passes to another pays from there; every account comes back to nothing.
#[test]
fn every_account_is_settled() {
    let (records, clock) = store(16 * MIB);
    let takes_over = |hold: Hold| {
        let claim = Claim { hold, lease: SECOND, ttl: SECOND * 10, abandoned: Abandoned::TakeOver, replicas: 0 };
        now(records.begin(claim))
    };
    for number in 0..100 {
        assert_eq!(begin(&records, paid(number, 1, 1)), Ok(Begun::Acquired));
    }
    clock.pass(SECOND * 2);
    for number in 0..100 {
        let other = Hold { owner: Owner([0xaa; 16]), ..paid(number, 2, 2) };
        assert_eq!(takes_over(other), Ok(Begun::Acquired));
        if number % 2 == 0 {
            assert_eq!(complete(&records, other, 100), Completed::Ok);
        }
    }
    assert_eq!(records.shares.accounts(), 2, "only those who have it now");
    for number in 0..50 {
        assert_eq!(now(records.forget(hold(number).name, Live::Forget)), Ok(Forgotten::Deleted));
    }
    clock.pass(SECOND * 12);
    records.sweep();
    assert_eq!((records.shares.accounts(), held_bytes(&records)), (0, 0));
}
