//! What is written down, of whom and how surely, through the whole program.

mod actors;
mod closed;
mod crashes;
mod delivery;
mod disk;
mod life;
mod load;
mod operator;
mod receiver;
mod refusals;
mod reload;
mod requests;
mod secrets;
mod sinks;
mod tail;
mod trail;
mod verify;

use receiver::Receiver;
use serde_json::Value;
use trail::{Log, Trail, kind};
use vestibule_testkit::{Proxy, Request};

/// A route that is audited.
const ORDERS: &str = "\
[[routes]]
name = \"orders\"
path = \"/orders/{*rest}\"
audit = { action = \"orders.{method}\", resource = \"order:{rest}\" }
";

/// What drives a keyed POST through the held lane; without it the engine does.
const HELD: &str = "[idempotency]\nprincipal = [\"address\"]\n";

/// Both lanes, as tables behind `[audit]`.
const LANES: [&str; 2] = ["", HELD];

/// A POST that the held lane takes where there is one.
fn order(proxy: &Proxy, number: usize) -> Request {
    proxy.post(&format!("/orders/{number}")).header("idempotency-key", format!("k{number}")).body("one")
}

/// A member of the metadata.
fn told<'a>(event: &'a Value, name: &str) -> &'a Value {
    &event["data"]["metadata"][name]
}
