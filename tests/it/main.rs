//! Whole-binary tests: one integration binary, a module a capability.

mod architecture;
mod audit;
mod auth;
mod config;
mod csp;
mod demo;
mod docs;
mod drain;
mod edge;
mod failover;
mod garden;
mod hooks;
mod idempotency;
mod lanes;
mod limits;
mod memory;
mod observe;
mod tags;
mod torture;

use std::path::Path;

/// The binary under test.
fn bin() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vestibule"))
}
