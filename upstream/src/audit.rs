//! The audit trail: what the proxy reports, where it is kept, how an admin reads it.
//!
//! Everything but [`ingest`], [`records`] and [`routes`] is values in, values out. There are no accounts yet, so the
//! application has nothing of its own to report and every row is the proxy's.

mod batch;
mod event;
mod fate;
mod ingest;
mod list_query;
mod metadata;
mod object;
mod record;
mod records;
mod routes;

pub(crate) use self::fate::Fate;
pub(crate) use self::record::Source;
pub(crate) use self::routes::{admin_router, ingest_router};

/// The longest action that is stored or can be asked for, in characters.
const MAX_ACTION: usize = 1_024;
/// The longest name of a user, likewise.
const MAX_USER: usize = 256;
