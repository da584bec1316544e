//! Generated attacks, before every origin that is installed: a part of what `make garden` sends.

use super::bin;
use std::path::Path;
use std::process::Command;

/// One payload in so many.
const EVERY: &str = "24";

/// SEC-01, SEC-03: no origin counts a request that was not audited, none sees a framing that is not canonical, all count
/// alike, nobody else gets a wrong answer, and every answer has a trace id.
#[test]
fn no_payload_of_the_garden_grows() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/garden/run");
    let output = Command::new(run).args(["--every", EVERY, "--proxy"]).arg(bin()).output().expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("recorder "), "{said}");
}
