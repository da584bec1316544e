//! The reference application through the doors its users have: its command line and its two listeners.
//! Each test starts the real binary on ports of its own, over a database of its own.

mod audit_ingest;
mod audit_list;
mod audit_tokens;
mod bodies;
mod client;
mod durability;
mod errors;
mod health;
mod listeners;
mod lists;
mod service;
mod start;
mod storage;
mod trail;
mod versions;
