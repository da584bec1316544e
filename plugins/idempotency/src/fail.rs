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

/// Dies here, if `VESTIBULE_FAIL_POINT` says so: `NAME` each time, `NAME:N` once in N times or so.
#[cfg(feature = "fail-points")]
pub(crate) fn may_die(point: Point) {
    use rustix::process::{Signal, getpid, kill_process};
    let Ok(told) = std::env::var("VESTIBULE_FAIL_POINT") else { return };
    let (name, one_in) = told.split_once(':').unwrap_or((&told, "1"));
    let one_in: u32 = one_in.parse().unwrap_or(1);
    if format!("{point:?}").eq_ignore_ascii_case(name) && rand::random_range(0..one_in.max(1)) == 0 {
        // Nothing comes after it.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Does nothing.
#[cfg(not(feature = "fail-points"))]
pub(crate) fn may_die(_: Point) {}
