//! The edge: what is refused, removed or rebuilt before a plugin or the application sees a request. It cannot be
//! switched off. Everything here is pure; the proxy calls it.

pub mod connection_options;
pub mod forwarded;
pub mod forwarding_fields;
pub mod guarded;
pub mod methods;
pub mod path;
pub mod rules;
pub mod target;
pub mod threats;
