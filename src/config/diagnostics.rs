//! What is wrong with a configuration, for people and for `POST /reload`.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot run.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// One thing to say about a configuration. Holds no secret: text and quoted source are masked when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What, e.g. ``unknown policy `logn` ``.
    pub message: String,
    /// The file as the operator named it, or the command-line flag.
    pub file: String,
    /// From 1; `None` when it concerns no particular place.
    pub line: Option<usize>,
    /// In characters, from 1.
    pub column: Option<usize>,
    /// Stands under the underlined source: what was expected, and the nearest valid name.
    pub label: String,
    /// What to do about it, when that is not obvious.
    pub help: Option<String>,
}

impl Serialize for Diagnostic {
    /// The form of `POST /reload`: `message`, `file`, `line`, `column`, `help`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let help = match &self.help {
            Some(help) if self.label.is_empty() => help.clone(),
            Some(help) => format!("{}; {help}", self.label),
            None => self.label.clone(),
        };
        let mut fields = serializer.serialize_struct("Diagnostic", 5)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("file", &self.file)?;
        fields.serialize_field("line", &self.line)?;
        fields.serialize_field("column", &self.column)?;
        fields.serialize_field("help", &help)?;
        fields.end()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Everything there is to say about a configuration, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub(super) Vec<Diagnostic>);

impl Diagnostics {
    /// All of them, errors and warnings.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// The errors alone.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter().filter(|one| one.severity == Severity::Error)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|one| writeln!(f, "{one}\n"))
    }
}

impl std::error::Error for Diagnostics {}
