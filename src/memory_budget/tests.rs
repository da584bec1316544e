use super::*;
use std::net::IpAddr;

fn client(last: u8) -> ClientAddress {
    ClientAddress::of(IpAddr::from([192, 0, 2, last]), 64)
}

/// A budget of so many steps.
fn budget(steps: usize) -> Arc<MemoryBudget> {
    MemoryBudget::for_tests(steps * STEP)
}

#[test]
fn bytes_count_in_steps_and_are_given_back() {
    let budget = budget(32);
    let mut reservation = budget.nothing_yet(client(1));
    assert_eq!(budget.in_use(), 0);
    for (more, in_use) in [(1, STEP), (STEP - 1, STEP), (1, 2 * STEP), (10 * STEP, 12 * STEP)] {
        assert!(reservation.grow(more));
        assert_eq!(budget.in_use(), in_use);
    }
    assert_eq!(budget.held.get(), (12 * STEP) as i64);
    reservation.shrink_to(STEP + 1);
    assert_eq!((budget.in_use(), reservation.bytes()), (2 * STEP, STEP + 1));
    drop(reservation);
    assert_eq!((budget.in_use(), budget.held.get()), (0, 0));
    assert!(budget.usage.lock().by_client.is_empty());
}

#[test]
fn what_finds_no_room_leaves_all_as_it_was() {
    let budget = budget(4);
    let mut first = budget.reserve(client(1), 3 * STEP).expect("room");
    assert!(!first.grow(2 * STEP));
    assert_eq!((first.bytes(), budget.in_use()), (3 * STEP, 3 * STEP));
    assert!(budget.reserve(client(2), 2 * STEP).is_none());
    assert!(budget.reserve(client(2), usize::MAX).is_none());
    drop(first);
    assert!(budget.reserve(client(2), 4 * STEP).is_some());
}

#[test]
fn over_half_of_all_one_client_has_its_share_and_others_have_theirs() {
    let budget = budget(64);
    let share = 64 / SHARE;
    let mut greedy = budget.reserve(client(1), 33 * STEP).expect("less than half was in use");
    assert!(!greedy.grow(STEP), "it is over its share");
    let mut other = budget.reserve(client(2), share * STEP).expect("its share");
    assert!(!other.grow(1));
    assert!(budget.reserve(client(2), 1).is_none(), "all its reservations count together");
    let _third = budget.reserve(client(3), share * STEP).expect("its share");
    greedy.shrink_to(20 * STEP);
    assert!(other.grow(8 * STEP), "half is free again");
}

#[test]
fn room_lives_as_long_as_the_last_copy_of_its_bytes() {
    let budget = budget(32);
    let mut reservation = budget.reserve(client(1), 0).expect("room");
    assert!(reservation.grow(5 * STEP));
    let body = reservation.bind(Bytes::from(vec![7; STEP + 1]));
    assert_eq!(budget.in_use(), 2 * STEP, "what is beyond the bytes is free");
    let mut unread = body.clone();
    let piece = unread.split_to(10);
    drop((body, unread));
    assert_eq!(budget.in_use(), 2 * STEP);
    drop(piece);
    assert_eq!(budget.in_use(), 0);
}

#[test]
fn replies_of_one_connection_have_a_bound_of_their_own() {
    let budget = budget(1024);
    let connection = ConnectionReplies::new();
    let holder = Holder::of_reply(client(1), Some(connection.clone()));
    let mut reply = budget.reserve(holder.clone(), (CONNECTION_STEPS - 1) * STEP).expect("room");
    assert!(reply.grow(STEP));
    assert!(!reply.grow(1));
    assert!(budget.reserve(holder.clone(), 1).is_none());
    assert!(budget.reserve(client(1), 1).is_some(), "a request body counts elsewhere");
    reply.shrink_to(STEP);
    assert!(budget.reserve(holder, (CONNECTION_STEPS - 1) * STEP).is_some());
    drop(reply);
    assert_eq!((budget.in_use(), connection.0.available_permits()), (0, CONNECTION_STEPS));
}

#[test]
fn a_smaller_bound_counts_from_the_next_step_on() {
    let budget = budget(32);
    let mut reservation = budget.reserve(client(1), 10 * STEP).expect("room");
    budget.resize(8 * STEP);
    assert!(!reservation.grow(1));
    reservation.shrink_to(0);
    assert!(reservation.grow(8 * STEP));
    assert!(!reservation.grow(1));
}

#[test]
fn nothing_is_lost_or_counted_twice_by_many_threads() {
    let budget = budget(64);
    std::thread::scope(|scope| {
        for last in 0..8 {
            let budget = &budget;
            scope.spawn(move || {
                for round in 0..500 {
                    let Some(mut reservation) = budget.reserve(client(last), round % 7 * STEP) else { continue };
                    reservation.grow(STEP * 3);
                    assert!(budget.in_use() <= 64 * STEP);
                    reservation.shrink_to(round % 3);
                }
            });
        }
    });
    assert_eq!(budget.in_use(), 0);
    assert!(budget.usage.lock().by_client.is_empty());
}

#[test]
fn it_is_scarce_while_more_than_half_is_in_use() {
    let budget = budget(32);
    let half = budget.reserve(client(1), 16 * STEP);
    assert!(half.is_some() && !budget.is_scarce());
    let more = budget.reserve(client(2), 1);
    assert!(more.is_some() && budget.is_scarce());
    drop(more);
    assert!(!budget.is_scarce());
}
