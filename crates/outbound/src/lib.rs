//! HTTP requests that the proxy makes of its own accord: to key servers, and to receivers of what it reports.
//!
//! They go where the configuration says and nowhere else: no redirect is followed, no proxy of the environment is used,
//! and https verifies the certificate, always.

mod client;
mod receiver;

pub use client::{authorities, client, innermost};
pub use receiver::{Answer, Receiver};
