//! The two listeners' routers and what all their routes share. The routers never share a route.

mod access;
mod bearer;
mod body;
mod client_config;
mod fields;
mod headers;
mod health;
mod internal;
mod observe;
mod page;
mod params;
mod problem;
mod public;
mod sort;
mod trace;

use std::sync::Arc;

pub(crate) use self::bearer::{require, shows};
pub(crate) use self::body::{EventBatch, JsonBody};
pub(crate) use self::fields::Fields;
pub(crate) use self::headers::{ItemHeaders, preconditions, private_no_cache};
pub(crate) use self::internal::internal;
pub(crate) use self::page::{Page, Paginated};
pub(crate) use self::params::Params;
pub(crate) use self::problem::{FieldError, Kind as ProblemKind, Problem};
pub(crate) use self::public::public;
pub(crate) use self::sort::{Sort, SortField};
use crate::db::Database;
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::settings::WholeSeconds;

/// What routes need, shared by all of them.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) database: Arc<Database>,
    pub(crate) metrics: Metrics,
    pub(crate) idempotency_ttl: WholeSeconds,
    pub(crate) ingest_token: Option<Secret>,
    pub(crate) admin_token: Option<Secret>,
}
