//! The `[metrics]` table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Counts and times every exchange.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `false`: nothing is counted, `/metrics` is 404.
    pub enabled: bool,
    /// Sample lines of one scrape, at least 1000; beyond them new label sets fold into an overflow set.
    #[schemars(range(min = 1000))]
    pub max_series: u32,
    /// OpenMetrics exemplars with trace ids, when the scraper asks for OpenMetrics.
    pub exemplars: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, max_series: 2000, exemplars: true }
    }
}
