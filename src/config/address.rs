//! Addresses to listen on, and which of them are the same.

use crate::config::report::Report;
use crate::config::section::Section;
use std::net::{IpAddr, SocketAddr};

/// The addresses of both listeners.
pub(super) struct Listeners {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
}

/// Parses `listen` and `admin` and finds those that would take each other's place.
pub(super) fn listeners(
    addresses: &[String],
    admin: &str,
    section: &Section<'_>,
    report: &mut Report<'_>,
) -> Listeners {
    let mut listen: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
    for (index, text) in addresses.iter().enumerate() {
        let at = section.place(&["listen", &index.to_string()]);
        match text.parse() {
            Err(_) => report.error(&at, format!("`{text}` is no address"), EXPECTED),
            Ok(address) => match listen.iter().find(|other| meet(**other, address)) {
                Some(other) => {
                    let label = format!("`{other}` is listened on already");
                    report.error(&at, format!("`{address}` cannot be listened on twice"), label);
                }
                None => listen.push(address),
            },
        }
    }
    let at = section.place(&["admin"]);
    let admin = match (admin, admin.parse()) {
        ("off", _) => None,
        (_, Ok(address)) => {
            if let Some(other) = listen.iter().find(|other| meet(**other, address)) {
                let message = format!("the admin listener cannot be on `{address}`");
                report.error(&at, message, format!("`listen` has `{other}`"));
            }
            Some(address)
        }
        (text, Err(_)) => {
            report.error(&at, format!("`{text}` is no address"), format!("{EXPECTED}, or \"off\""));
            None
        }
    };
    Listeners { listen, admin }
}

const EXPECTED: &str = "expected an IP address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"";

/// Whether both cannot be bound at once. Port 0 is a new one each time.
fn meet(a: SocketAddr, b: SocketAddr) -> bool {
    let (x, y) = (a.ip(), b.ip());
    let wildcard = (x.is_unspecified() || y.is_unspecified()) && x.is_ipv4() == y.is_ipv4();
    a.port() == b.port() && a.port() != 0 && (x == y || wildcard)
}

/// Whether a connection to `host` and `port` from this machine arrives at `listener`, as far as the names tell.
pub(super) fn arrives(host: &str, port: u16, listener: SocketAddr) -> bool {
    if listener.port() != port || port == 0 {
        return false;
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => listener.ip().is_loopback() || listener.ip().is_unspecified(),
        Ok(ip) if ip.is_loopback() => listener.ip() == ip || listener.ip().is_unspecified(),
        Ok(ip) => listener.ip() == ip,
        Err(_) => {
            host.eq_ignore_ascii_case("localhost") && (listener.ip().is_loopback() || listener.ip().is_unspecified())
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_listener_is_reached_by_all_its_names() {
        let arrives = |host, listener: &str| super::arrives(host, 80, listener.parse().expect(listener));
        assert!(arrives("127.0.0.1", "0.0.0.0:80"));
        assert!(arrives("localhost", "127.0.0.1:80"));
        assert!(arrives("0.0.0.0", "127.0.0.1:80"));
        assert!(arrives("::1", "[::]:80"));
        assert!(arrives("192.0.2.1", "192.0.2.1:80"));
        assert!(!arrives("192.0.2.2", "0.0.0.0:80"));
        assert!(!arrives("127.0.0.1", "127.0.0.1:81"));
        assert!(!arrives("app", "0.0.0.0:80"));
    }

    #[test]
    fn ephemeral_ports_never_meet() {
        let meet = |a: &str, b: &str| super::meet(a.parse().expect(a), b.parse().expect(b));
        assert!(!meet("127.0.0.1:0", "127.0.0.1:0"));
        assert!(meet("0.0.0.0:80", "127.0.0.1:80"));
        assert!(!meet("0.0.0.0:80", "[::]:80"));
    }
}
