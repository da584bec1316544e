//! The hooks' invariant, as a table: whatever ends an exchange, every attached hook learns it exactly once, and those
//! that have seen the request see the response, from the inside out.
//!
//! The server runs inside this process, so that every plugin, real or a probe, can be watched at work.

mod bodies;
mod detached;
mod endings;
mod journal;
mod keyed;
mod panics;
mod rig;
mod script;
mod watched;
