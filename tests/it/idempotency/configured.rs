//! What is wrong with a configuration is said before it serves.

use std::process::Output;
use vestibule_testkit::{Origin, Setup};

fn check(toml: &str) -> Output {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("vestibule.toml"), toml).expect("a file");
    std::fs::write(dir.path().join("short.keys"), "a AAAA\n").expect("a file");
    std::fs::write(dir.path().join("twice.keys"), "a AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(2))
        .expect("a file");
    let mut command = std::process::Command::new(crate::bin());
    command.args(["check", "-c", "vestibule.toml"]).current_dir(dir.path()).output().expect("it runs")
}

fn errors(toml: &str) -> String {
    let output = check(toml);
    assert_eq!(output.status.code(), Some(1), "{toml}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// ID-43.
#[test]
fn all_that_is_wrong_is_reported_at_once() {
    let toml = "[store]\ntimeout = \"500ms\"\n[idempotency]\nprincipal = []\nmethods = [\"GET\"]\nlease = \"1s\"\n\
                [[routes]]\nname = \"a\"\npath = \"/a\"\nidempotency = { principal = [\"none\", \"subject\"] }\n";
    let said = errors(toml);
    for (line, what) in [
        (4, "`principal` is empty"),
        (5, "`GET` cannot be protected"),
        (6, "`lease` cannot be 1s with [store] timeout = \"500ms\""),
        (10, "`none` stands beside other principals"),
    ] {
        assert!(said.contains(what) && said.contains(&format!("vestibule.toml:{line}:")), "{what}: {said}");
    }
    assert_eq!(said.matches("error:").count(), 4, "{said}");
}

#[test]
fn values_have_their_ranges_on_routes_too() {
    for (key, what) in [
        ("ttl = \"500ms\"", "`ttl` cannot be 500ms"),
        ("ttl = \"31d\"", "`ttl` cannot be 31d"),
        ("lease = \"500ms\"", "`lease` cannot be 500ms"),
        ("deadline = \"2d\"", "`deadline` cannot be 2d"),
        ("wait = \"1ms\"", "`wait` cannot be 1ms"),
        ("max_in_flight = 0", "`max_in_flight` cannot be 0"),
        ("max_request_body = \"65MiB\"", "`max_request_body` cannot be 65MiB"),
        ("max_response_body = \"0KiB\"", "`max_response_body` cannot be"),
        ("methods = []", "`methods` is empty"),
        ("header = \"content-length\"", "`content-length` cannot hold a key"),
        ("principal = [\"address\", \"subject\"]", "`address` stands before other principals"),
        ("principal = [\"sub\"]", "unknown principal `sub`"),
        ("header = \"a b\"", "`a b` is no field name"),
        ("wait_replicas = 1", "`wait_replicas` with a store in memory"),
        ("encryption_keys_file = \"none.keys\"", "cannot use `none.keys`"),
        ("encryption_keys_file = \"short.keys\"", "3 bytes; expected 32"),
        ("encryption_keys_file = \"twice.keys\"", "`a` is there twice"),
        ("claims_per_client = \"lots\"", "`claims_per_client` cannot be `lots`"),
        ("claims_per_client = \"0/min\"", "`claims_per_client` cannot be `0/min`"),
        ("accept_clear_records = \"yes\"", "`accept_clear_records`"),
        ("mode = \"on\"", "`mode`"),
        ("profile = \"exactly_once\"", "`profile`"),
        ("leas = \"1s\"", "did you mean `lease`"),
    ] {
        let said = errors(&format!("[idempotency]\n{key}\n"));
        assert!(said.contains(what) && said.contains("vestibule.toml:2:"), "{key}: {said}");
        let route = format!("[idempotency]\n[[routes]]\nname = \"a\"\npath = \"/a\"\nidempotency = {{ {key} }}\n");
        let said = errors(&route);
        assert!(said.contains(what) && said.contains("vestibule.toml:5:"), "{key}: {said}");
    }
    let said = errors("[idempotency]\n[[routes]]\nname = \"a\"\npath = \"/a\"\nidempotency = \"always\"\n");
    assert!(said.contains("vestibule.toml:5:"), "{said}");
}

#[test]
fn keys_that_everybody_can_read_are_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (keys, file) = (dir.path().join("keys"), dir.path().join("vestibule.toml"));
    std::fs::write(&keys, "k1 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").expect("a file");
    std::fs::write(&file, "[idempotency]\nencryption_keys_file = \"keys\"\n").expect("a file");
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).expect("a file of our own");
        let mut command = std::process::Command::new(crate::bin());
        let output = command.args(["check", "-c", "vestibule.toml"]).current_dir(dir.path()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("everybody can read `keys`"), warned, "{said}");
    }
}

/// A credential that a decision rests on cannot be taken away by naming it in Connection.
#[tokio::test]
async fn fields_that_name_a_principal_are_protected() {
    let origin = Origin::returning(201, "made");
    let toml = "[idempotency]\nprincipal = [\"header:x-user\"]\nanonymous = \"share\"\n";
    let proxy = Setup::new(crate::bin()).upstream(origin.url()).toml(toml).start().await;
    let request = proxy.post("/").header("idempotency-key", "k").header("x-user", "u").header("connection", "x-user");
    assert_eq!(request.await.problem(), "connection-nomination");
    assert_eq!(origin.hits(), 0);
}
