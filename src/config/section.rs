//! One table of the file while it becomes settings.

use crate::config::refused::Refused;
use crate::config::report::Report;
use crate::config::tree::{Node, Place, steps};
use serde::de::DeserializeOwned;
use std::time::Duration;
use vestibule_plugin::units::Span;

/// A table without what the schema refused of it, and what that was.
pub(super) struct Section<'a> {
    node: &'a Node,
    refused: Refused,
}

impl<'a> Section<'a> {
    /// Of this table.
    pub(super) fn new(node: &'a Node, refused: Refused) -> Self {
        Self { node, refused }
    }

    /// What was refused of it.
    pub(super) fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Where the value at `path` stands, else the table it would stand in.
    pub(super) fn place(&self, path: &[&str]) -> Place {
        self.node.place_of(path)
    }

    /// Whether what `keys` hold is what was meant; else rules about them would only repeat what was said.
    pub(super) fn sound(&self, keys: &[&str]) -> bool {
        !self.refused.whole() && !keys.iter().any(|key| self.refused.has(self.node, key))
    }

    /// The table as serde reads it; defaults where that fails.
    pub(super) fn read<T: DeserializeOwned + Default>(&self, report: &mut Report<'_>) -> T {
        self.read_keys(|_| true, report)
    }

    /// As [`Self::read`], but no other keys than these.
    pub(super) fn read_only<T: DeserializeOwned + Default>(&self, keys: &[&str], report: &mut Report<'_>) -> T {
        self.read_keys(|key| keys.contains(&key), report)
    }

    fn read_keys<T: DeserializeOwned + Default>(&self, wanted: impl Fn(&str) -> bool, report: &mut Report<'_>) -> T {
        if self.refused.whole() {
            return T::default();
        }
        let mut node = self.node.clone();
        node.retain(wanted);
        serde_path_to_error::deserialize(node.to_toml()).unwrap_or_else(|error| {
            let path = steps(error.path());
            let name = path.last().map_or("this", String::as_str);
            report.error(&node.place_of(&path), format!("`{name}` cannot be read"), error.inner().message());
            T::default()
        })
    }

    /// A duration that must not be shorter than `floor`.
    pub(super) fn duration(&self, key: &str, value: Span, floor: Duration, report: &mut Report<'_>) -> Duration {
        if value.0 < floor {
            let label = format!("expected at least {}", Span(floor));
            report.error(&self.place(&[key]), format!("`{key}` cannot be {value}"), label);
        }
        value.0
    }

    /// Says so when a duration is out of its range.
    pub(super) fn within(&self, key: &str, value: Span, (least, most): (Span, Span), report: &mut Report<'_>) {
        if value < least || value > most {
            let message = format!("`{key}` cannot be {value}");
            report.error(&self.place(&[key]), message, format!("expected {least} to {most}"));
        }
    }

    /// A number that must lie in a range; `written` is how its bounds are shown.
    pub(super) fn bounded(
        &self,
        key: &str,
        value: u64,
        (least, most): (u64, u64),
        written: &dyn Fn(&u64) -> String,
        report: &mut Report<'_>,
    ) -> usize {
        if value < least || value > most {
            let label = format!("expected {} to {}", written(&least), written(&most));
            report.error(&self.place(&[key]), format!("`{key}` cannot be {}", written(&value)), label);
        }
        usize::try_from(value).unwrap_or(usize::MAX)
    }
}
