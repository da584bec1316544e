//! The edge: paths, forwarding fields, and what `Connection` may name.

use crate::{lines, parts};
use http::HeaderValue;
use http::header::HeaderName;
use std::net::{IpAddr, Ipv4Addr};
use vestibule::config::settings::ForwardingField;
use vestibule::edge::connection_options::{Protected, nominated};
use vestibule::edge::forwarded::{MAX_ENTRIES, Trust};
use vestibule::edge::path;

/// Holds of the readings of a path: they are paths, a normal one is normal, and none is longer than what was sent.
pub fn path_views(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let target = format!("/{}", text.split('?').next().unwrap_or_default());
    let Ok(readings) = path::read(&target) else {
        // What cannot be read holds an escape.
        assert!(target.contains('%'));
        return;
    };
    assert_eq!(readings.sent, target);
    for reading in [&readings.normal, &readings.decoded] {
        assert!(reading.starts_with('/'), "{reading:?}");
        assert!(!reading.contains("//"), "{reading:?}");
        assert!(!reading.split('/').any(|segment| matches!(segment, "." | "..")), "{reading:?}");
    }
    assert!(readings.normal.len() <= target.len());
    // A byte that is no UTF-8 becomes a replacement character of three bytes, in place of an escape of three.
    assert!(readings.decoded.len() <= target.len() * 3);

    let again = path::read(&readings.normal).unwrap_or_else(|error| panic!("{:?}: {error}", readings.normal));
    assert_eq!(again.normal, readings.normal);
}

/// Holds of who the client is: nothing that stands left of an untrusted or unreadable entry is believed.
pub fn forwarded(data: &[u8]) {
    let trusted: IpAddr = Ipv4Addr::new(10, 0, 0, 1).into();
    let stranger: IpAddr = Ipv4Addr::new(192, 0, 2, 9).into();
    let load_balancer: IpAddr = Ipv4Addr::new(203, 0, 113, 7).into();
    let fields = [
        (ForwardingField::XForwardedFor, "x-forwarded-for", "203.0.113.7"),
        (ForwardingField::Forwarded, "forwarded", "for=203.0.113.7;proto=https"),
    ];
    for (field, name, entry) in fields {
        let trust = Trust { proxies: vec!["10.0.0.0/8".parse().expect("a network")], field, ipv6_prefix: 64 };
        let mut headers = lines(name, data);

        assert_eq!(trust.origin(stranger, &headers).client, stranger, "a stranger is not believed");
        let origin = trust.origin(trusted, &headers);
        assert!(origin.hops.len() <= MAX_ENTRIES);
        assert!(origin.hops.iter().all(|hop| trust.holds(*hop)));
        assert!(origin.hops.last().is_none_or(|last| *last == trusted));
        assert_eq!(origin.client.to_canonical(), origin.client, "a mapped address is not kept");
        if let Some(host) = trust.host(&headers) {
            assert!(vestibule_plugin::is_authority(host.as_bytes()));
        }

        // What the load balancer adds behind it is the client, whatever it was.
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(entry));
        assert_eq!(trust.origin(trusted, &headers).client, load_balancer);
        let joined: Vec<u8> =
            [data.split(|byte| *byte == b'\n').next().unwrap_or_default(), b",", entry.as_bytes()].concat();
        if let Ok(value) = HeaderValue::from_bytes(&joined) {
            headers.set(HeaderName::from_static(name), value);
            assert_eq!(trust.origin(trusted, &headers).client, load_balancer);
        }
    }
}

/// Holds of the names in `Connection`: none that the proxy relies on, few, and all of them were written.
pub fn connection_options(data: &[u8]) {
    let [text, configured] = parts(data);
    let headers = lines("connection", text);
    let configured: Vec<HeaderName> = HeaderName::from_bytes(configured).into_iter().collect();
    let Ok(names) = nominated(&headers, &Protected { configured: configured.clone() }) else { return };
    assert!(names.len() <= 9);
    let sent = String::from_utf8_lossy(text).to_ascii_lowercase();
    for name in names {
        assert!(sent.contains(name.as_str()), "{name}");
        assert!(!configured.contains(&name));
        let relied_upon =
            ["host", "authorization", "cookie", "transfer-encoding", "traceparent", "forwarded", "expect"];
        assert!(!relied_upon.contains(&name.as_str()), "{name}");
        assert!(!["content-", "if-", "x-forwarded-", "accept-"].iter().any(|start| name.as_str().starts_with(start)));
    }
}
