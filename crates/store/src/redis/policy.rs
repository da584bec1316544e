//! Whether a Redis keeps what it acknowledged: one that evicts keys must not be used.

use super::connection::Connection;
use super::failure::Failure;
use redis::{Value, cmd};
use tokio::time::Instant;

/// Passes when the server never evicts.
pub(super) async fn check(connection: &Connection, deadline: Instant) -> Result<(), Failure> {
    let info = connection.ask(cmd("INFO").arg("memory"), deadline).await.map_err(|failure| match failure {
        Failure::Said(why) => Failure::Refused(format!(
            "maxmemory-policy must be noeviction, and INFO memory, which tells it, is refused: {why}"
        )),
        failure => failure,
    })?;
    let Value::BulkString(info) = info else { return Err(Failure::Nonsense("INFO memory is not a text")) };
    judge(&String::from_utf8_lossy(&info)).map_or(Ok(()), |why| Err(Failure::Refused(why)))
}

/// Why a server with this `INFO memory` must not be used.
fn judge(info: &str) -> Option<String> {
    match info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")) {
        Some("noeviction") => None,
        Some(other) => {
            let other: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
            Some(format!("maxmemory-policy is {other} and must be noeviction: an evicted record could run twice"))
        }
        None => Some("maxmemory-policy must be noeviction, and INFO memory does not tell it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn only_a_server_that_never_evicts_may_be_used() {
        assert_eq!(judge("# Memory\r\nused_memory:1\r\nmaxmemory_policy:noeviction\r\n"), None);
        let why = judge("maxmemory_policy:allkeys-lru\r\n").expect("it evicts");
        assert!(why.contains("maxmemory-policy is allkeys-lru"), "{why}");
        assert!(judge("used_memory:1\r\n").is_some_and(|why| why.contains("maxmemory-policy")));
    }
}
