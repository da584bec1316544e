//! What the upstream and the client see for what a caller sent.

mod build;
mod context;
mod formats;
mod stage;
