//! How the file descriptors of the process are shared. Pure, but for the question how many there may be.
//!
//! Clients that only keep connections open must not take the descriptors that requests of others need for upstream
//! connections, so clients have at most half of what the system grants.

use crate::admin;
use crate::config::settings::Settings;
use rlimit::Resource;

/// Descriptors that no connection has: sockets that listen, log, audit segments, stores, sinks, runtimes.
const OWN: usize = 128;

/// Descriptors that the process may have; as many as there can be where the system does not say.
pub fn granted() -> usize {
    let soft = rlimit::getrlimit(Resource::NOFILE).map_or(u64::MAX, |(soft, _hard)| soft);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

/// Connections of clients that there are descriptors for.
pub fn for_clients(granted: usize) -> usize {
    (granted / 2).max(1)
}

/// Descriptors for all that the bounds of a configuration let in at once.
pub fn needed(settings: &Settings) -> usize {
    let server = &settings.server;
    let clients = server.max_connections;
    // A request under way has at most one upstream connection. Without a bound on requests, count one a connection.
    let requests = if server.max_requests == 0 { clients } else { server.max_requests };
    let others = requests.max(settings.upstream.idle_connections).saturating_add(admin::MAX_CONNECTIONS + OWN);
    clients.saturating_add(others).max(clients.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_the_clients() {
        assert_eq!(for_clients(1024), 512);
        assert_eq!(for_clients(1), 1);
        assert_eq!(for_clients(usize::MAX), usize::MAX / 2);
    }
}
