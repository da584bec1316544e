//! Points at which a test has the process die, as `kill -9` would have it. Without the feature they are nothing.

/// Where a keyed request can be when the process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Point {
    /// The claim is granted; nothing is sent.
    Claimed,
    /// The request is about to be sent.
    Sending,
    /// The reply is here, and not stored.
    Replied,
    /// The reply is stored; the client has nothing of it.
    Stored,
}

/// Dies here, if `VESTIBULE_FAIL_POINT` says so: `NAME` for the first time, `NAME:N` for the Nth.
#[cfg(feature = "fail-points")]
pub(crate) fn may_die(point: Point) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::atomic::{AtomicU64, Ordering};
    // Counted once a process, for the one point that is named.
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Ok(told) = std::env::var("VESTIBULE_FAIL_POINT") else { return };
    let (name, number) = told.split_once(':').unwrap_or((&told, "1"));
    if format!("{point:?}").eq_ignore_ascii_case(name)
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == number.parse().unwrap_or(1)
    {
        // Nothing comes after it.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Does nothing.
#[cfg(not(feature = "fail-points"))]
pub(crate) fn may_die(_: Point) {}
