//! Counters, gauges and histograms with bounded label sets, and their text formats.
//!
//! Counting takes neither a lock nor an allocation: a handle, once looked up, is a few atomics of the calling thread's
//! shard. What one scrape may cost is bounded by [`Limits::max_series`]: a label set that would pass it folds into the
//! overflow set of its family, so that sums stay true while detail is lost.
//!
//! ```
//! use vestibule_meter::{Desc, Format, Registry};
//!
//! const REPLIES: Desc = Desc { name: "replies_total", help: "Replies sent.", labels: &["outcome"] };
//! let registry = Registry::default();
//! let ok = registry.counter(REPLIES).closed("outcome", &["ok", "failed"]).with(&["ok"]);
//! ok.inc();
//! assert!(registry.encode(Format::Text).contains("replies_total{outcome=\"ok\"} 1\n"));
//! ```

mod encode;
mod exemplar;
mod family;
mod histogram;
mod inventory;
mod limits;
mod negotiate;
mod overflow;
pub mod process;
mod registry;
mod scalar;
mod shards;
#[cfg(test)]
mod tests;

pub use exemplar::Exemplar;
pub use family::{CounterFamily, Desc, Family, GaugeFamily, HistogramFamily};
pub use histogram::Histogram;
pub use inventory::{Entry, Kind, Label};
pub use limits::Limits;
pub use negotiate::{Format, negotiate};
pub use registry::Registry;
pub use scalar::{Counter, Gauge};
