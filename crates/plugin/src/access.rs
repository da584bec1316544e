//! Fields that plugins add to the access line.

use std::borrow::Cow;

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Text; escaped and cut by the writer.
    Text(Cow<'static, str>),
    /// Named parts, written as a JSON object.
    Parts(Vec<(&'static str, Cow<'static, str>)>),
}

/// The access line of one exchange, as far as plugins write it.
#[derive(Debug, Default)]
pub struct AccessLine {
    wanted: bool,
    fields: Vec<(&'static str, Field)>,
}

impl AccessLine {
    /// A line that will be written.
    pub fn wanted() -> Self {
        Self { wanted: true, fields: Vec::new() }
    }

    /// A line nobody will read; adding to it does nothing.
    pub fn unwanted() -> Self {
        Self::default()
    }

    /// Adds a field; `value` is asked for only when the line will be written.
    pub fn add(&mut self, name: &'static str, value: impl FnOnce() -> Field) {
        if self.wanted {
            self.fields.push((name, value()));
        }
    }

    /// The fields, in the order they were added.
    pub fn fields(&self) -> &[(&'static str, Field)] {
        &self.fields
    }
}
