//! What a process can be asked for: every family with its labels and, where they are closed, their values.

use crate::family::{Family, Series};
use std::fmt::Write;

/// What kind of family it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts durations by bucket.
    Histogram,
}

impl Kind {
    /// As both formats spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; a counter's ends in `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// Its labels, in order.
    pub labels: Vec<Label>,
}

/// One label of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Every value it can have; `None` when they come from the configuration.
    pub values: Option<Vec<String>>,
}

pub(crate) fn entry<S: Series>(family: &Family<S>, kind: Kind) -> Entry {
    let desc = family.desc();
    let labels = desc.labels.iter().map(|name| Label { name, values: family.closed_values(name) }).collect();
    Entry { name: desc.name, kind, help: desc.help, labels }
}

/// A table with one row a family.
pub(crate) fn markdown(entries: &[Entry]) -> String {
    let mut page = String::from("| name | type | labels | meaning |\n|---|---|---|---|\n");
    for Entry { name, kind, help, labels } in entries {
        let labels = labels.iter().map(label).collect::<Vec<_>>().join("; ");
        let (kind, help) = (kind.as_str(), help.replace('|', "\\|"));
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
    page
}

fn label(Label { name, values }: &Label) -> String {
    let Some(values) = values else {
        return format!("`{name}`");
    };
    let values: Vec<_> =
        values.iter().map(|value| if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") }).collect();
    format!("`{name}`: {}", values.join(", "))
}
