//! No test hangs: every wait ends, and says what it waited for.

use std::future::Future;
use std::time::Duration;

/// How long anything may take unless said otherwise: longer than a machine that is busy with something else keeps anybody
/// waiting, since it is only ever used up by what does not come at all.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Awaits `future` for at most [`DEADLINE`]; panics with `what` when that passes.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    within_for(DEADLINE, what, future).await
}

/// Awaits `future` for at most `limit`; panics with `what` when that passes.
pub async fn within_for<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {limit:?} for {what}"),
    }
}
