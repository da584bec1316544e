//! What is wrong with a configuration, for people and for `POST /reload`.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::fmt;
use std::io::IsTerminal;
use std::ops::Range;
use vestibule_plugin::Spot;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot run.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// Whether terminal colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// ANSI colours.
    Always,
}

impl Colour {
    /// Colours where somebody sees them.
    pub fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Always } else { Self::Never }
    }
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
    /// The offending line.
    pub(super) excerpt: Option<Excerpt>,
}

/// A line of the file as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The line, secrets masked.
    pub(super) text: String,
    /// The bytes of it to underline.
    pub(super) span: Range<usize>,
}

impl Diagnostic {
    /// Its place, without what stands there; `None` when it concerns no particular one.
    pub fn spot(&self) -> Option<Spot> {
        Some(Spot { line: self.line?, column: self.column? })
    }

    /// An error that concerns `file` as a whole.
    pub fn error(file: String, message: String) -> Self {
        let (line, column, label, excerpt) = (None, None, String::new(), None);
        Self { severity: Severity::Error, message, file, line, column, label, excerpt }
    }

    /// As a compiler would print it, without a line end.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Never => Renderer::plain(),
            Colour::Always => Renderer::styled(),
        };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.clone().primary_title(&self.message);
        let (Some(excerpt), Some(line), Some(column)) = (&self.excerpt, self.line, self.column) else {
            let title = renderer.render(&[annotate_snippets::Group::with_title(title)]);
            let label = if self.label.is_empty() { String::new() } else { format!("\n  = {}", self.label) };
            return format!("{title}\n {} {}{label}", arrow(colour), self.file);
        };
        let mark = AnnotationKind::Primary.span(excerpt.span.clone());
        let mark = if self.label.is_empty() { mark } else { mark.label(&self.label) };
        let snippet = Snippet::source(&excerpt.text).line_start(line).annotation(mark);
        let drawn = renderer.render(&[title.element(snippet)]);
        // The place is written here and not by the renderer, which would count columns in the masked line.
        let (first, rest) = drawn.split_once('\n').unwrap_or((&drawn, ""));
        let margin = " ".repeat(line.to_string().len());
        format!("{first}\n{margin}{} {}:{line}:{column}\n{rest}", arrow(colour), self.file)
    }
}

fn arrow(colour: Colour) -> &'static str {
    match colour {
        Colour::Never => "-->",
        Colour::Always => "\u{1b}[1m\u{1b}[94m-->\u{1b}[0m",
    }
}

impl Serialize for Diagnostic {
    /// The form of `POST /reload`: `message`, `file`, `line`, `column`, `help`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Diagnostic", 5)?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("file", &self.file)?;
        fields.serialize_field("line", &self.line)?;
        fields.serialize_field("column", &self.column)?;
        fields.serialize_field("help", &self.label)?;
        fields.end()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Never))
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

    /// All of them, a blank line after each.
    pub fn render(&self, colour: Colour) -> String {
        self.0.iter().map(|one| one.render(colour) + "\n\n").collect()
    }
}

impl From<Vec<Diagnostic>> for Diagnostics {
    fn from(diagnostics: Vec<Diagnostic>) -> Self {
        Self(diagnostics)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Never))
    }
}

impl std::error::Error for Diagnostics {}
