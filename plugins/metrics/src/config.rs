//! The `[metrics]` table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vestibule_plugin::meter::Limits;
use vestibule_plugin::{BuildErrors, KeyPath};

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

/// Least `max_series`: below it the overflow sets alone would fill a scrape.
const LEAST_SERIES: u32 = 1000;

impl Config {
    /// The limits it asks for, if they make sense.
    pub(crate) fn limits(&self) -> Result<Limits, BuildErrors> {
        let Self { enabled, max_series, exemplars } = *self;
        let mut errors = BuildErrors::default();
        if max_series < LEAST_SERIES {
            errors.error(
                KeyPath::table(["max_series"]),
                format!("`max_series = {max_series}` is too small"),
                format!("expected at least {LEAST_SERIES} sample lines"),
            );
        }
        errors.or(|| Limits { enabled, max_series, exemplars })
    }
}
