//! The edge: what is refused, removed or rebuilt before a plugin or the application sees a request. It cannot be
//! switched off. Everything here is pure; the proxy calls it.

pub mod connection_options;
pub mod forwarded;
pub mod guarded;
pub mod path;
pub mod rules;
pub mod threats;
