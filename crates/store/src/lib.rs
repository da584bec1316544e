//! What proxies must remember beyond one configuration, and share beyond one process, behind ports.
//!
//! A port is a trait that a plugin is built with; which store stands behind it is the operator's choice. State lives
//! here and not in a plugin, so that it survives a reload.

pub mod ledger;
pub mod locks;
mod on_demand;
pub mod quotas;
pub mod records;
mod redis;
pub mod streams;
mod timings;

pub use ledger::Ledger;
pub use locks::Locks;
pub use on_demand::OnDemand;
pub use quotas::{FleetQuotas, MemoryQuotas, Quotas};
pub use records::{Measured, MemoryRecords, Records};
#[doc(hidden)]
pub use redis::fuzzing;
pub use redis::{BadUrl, Contact, RedisRecords, RedisUrl, SENTINEL_SILENCE, Settings as RedisSettings};
pub use streams::{RedisStreams, Streams};
