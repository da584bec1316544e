//! Who shares a bucket when there is no room for one more: the clients of a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vestibule_plugin::ClientAddress;

/// The network of `address`: its /24 (IPv4) or /48 (IPv6), as 16 bytes; all clients of Unix sockets are one.
pub(super) fn network(address: ClientAddress) -> [u8; 16] {
    match address {
        ClientAddress::Ip { ip: IpAddr::V4(ip), .. } => {
            let [a, b, c, _] = ip.octets();
            Ipv4Addr::new(a, b, c, 0).to_ipv6_mapped().octets()
        }
        ClientAddress::Ip { ip: IpAddr::V6(ip), .. } => {
            let [a, b, c, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).octets()
        }
        ClientAddress::Local => [0; 16],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ip: &str) -> [u8; 16] {
        let ip: IpAddr = ip.parse().expect("an address");
        network(ClientAddress::Ip { ip, prefix: if ip.is_ipv4() { 32 } else { 64 } })
    }

    #[test]
    fn neighbours_share_a_network_and_strangers_do_not() {
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:2::"), of("2001:db8:1:ffff::"));
        assert_ne!(of("2001:db8:1::"), of("2001:db8:2::"));
        assert_ne!(of("0.0.0.0"), network(ClientAddress::Local));
    }
}
