//! Who is counted: the client behind trusted proxies, and prefixes of IPv6.

use super::{left, proxy};
use vestibule_testkit::Origin;

const BEHIND_A_BALANCER: &str = "\
[server]
trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]
[rate_limit.policies.p]
limit = \"2000/h\"
key = \"address\"
[rate_limit.tiers]
anonymous = [\"p\"]
";

/// RL-15: an untrusted peer is itself, whatever it says.
#[tokio::test]
async fn a_stranger_cannot_name_another_client() {
    let origin = Origin::returning(200, "ok");
    let toml =
        "[rate_limit.policies.p]\nlimit = \"2000/h\"\nkey = \"address\"\n[rate_limit.tiers]\nanonymous = [\"p\"]\n";
    let proxy = proxy(&origin, toml).await;
    assert_eq!(proxy.get("/").header("x-forwarded-for", "1.2.3.4").await.status, 200);
    assert_eq!(left(&proxy, "p", "addr%3D1.2.3.4").await, 2000);
    assert_eq!(left(&proxy, "p", "addr%3D127.0.0.1").await, 1999);
}

/// RL-15: behind a trusted peer the first untrusted address from the right is the client.
#[tokio::test]
async fn a_trusted_peer_names_the_client() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, BEHIND_A_BALANCER).await;
    for (lines, key) in [
        (&["6.6.6.6, 203.0.113.1"][..], "addr%3D203.0.113.1"),
        (&["6.6.6.6", "203.0.113.2"], "addr%3D203.0.113.2"),
        (&["6.6.6.6, 203.0.113.3:4711, 10.1.2.3:80"], "addr%3D203.0.113.3"),
        (&["[2001:db8:a:b::1]:443, 10.0.0.1"], "addr%3D2001:db8:a:b::%2F64"),
        (&["10.0.0.4, 10.0.0.5"], "addr%3D10.0.0.4"),
        (&["203.0.113.6, unknown"], "addr%3D127.0.0.1"),
    ] {
        let mut request = proxy.get("/");
        for line in lines {
            request = request.header("x-forwarded-for", *line);
        }
        assert_eq!(request.await.status, 200);
        assert_eq!(left(&proxy, "p", key).await, 1999, "{lines:?}");
    }
    assert_eq!(left(&proxy, "p", "addr%3D6.6.6.6").await, 2000);
}

/// RL-16: a /64 is one caller, and a mapped address is the IPv4 address it maps.
#[tokio::test]
async fn a_thousand_addresses_of_one_prefix_share_a_bucket() {
    let origin = Origin::returning(200, "ok");
    let proxy = proxy(&origin, BEHIND_A_BALANCER).await;
    let mut connection = proxy.connect().await;
    for n in 1..=1000 {
        let from = format!("2001:db8:1:2:{n:x}::{n:x}");
        assert_eq!(proxy.get("/").header("x-forwarded-for", from).on(&mut connection).await.status, 200);
    }
    let shared = left(&proxy, "p", "addr%3D2001:db8:1:2::%2F64").await;
    // 2000 an hour: one comes back each 1.8 s.
    assert!((1000..1030).contains(&shared), "{shared}");
    for from in ["192.0.2.1", "::ffff:192.0.2.1"] {
        assert_eq!(proxy.get("/").header("x-forwarded-for", from).on(&mut connection).await.status, 200);
    }
    assert_eq!(left(&proxy, "p", "addr%3D192.0.2.1").await, 1998);
}
