//! Collects what is wrong while a configuration is looked at, and keeps secrets out of it.

use crate::config::diagnostics::{Diagnostic, Diagnostics, Severity};
use crate::config::mask::Quoting;
use crate::config::tree::Place;

/// The findings of one load.
pub(super) struct Report<'s> {
    file: String,
    source: &'s str,
    quoting: Quoting,
    found: Vec<(usize, Diagnostic)>,
}

impl<'s> Report<'s> {
    /// About a file of this name and text.
    pub(super) fn new(file: String, source: &'s str) -> Self {
        Self { file, source, quoting: Quoting::default(), found: Vec::new() }
    }

    /// What must not be quoted.
    pub(super) fn quoting(&mut self) -> &mut Quoting {
        &mut self.quoting
    }

    /// Something that cannot run.
    pub(super) fn error(&mut self, at: &Place, message: impl AsRef<str>, label: impl AsRef<str>) {
        self.add(Severity::Error, at, message.as_ref(), label.as_ref());
    }

    /// Something that is probably not meant.
    pub(super) fn warning(&mut self, at: &Place, message: impl AsRef<str>, label: impl AsRef<str>) {
        self.add(Severity::Warning, at, message.as_ref(), label.as_ref());
    }

    fn add(&mut self, severity: Severity, at: &Place, message: &str, label: &str) {
        let mut one = Diagnostic {
            severity,
            message: shortened(&self.quoting.scrub(message, at)),
            file: self.file.clone(),
            line: None,
            column: None,
            label: shortened(&self.quoting.scrub(label, at)),
            excerpt: None,
        };
        let order = match at {
            Place::File(span) => {
                let (line, column, excerpt) = self.quoting.excerpt(self.source, span);
                (one.line, one.column, one.excerpt) = (Some(line), Some(column), Some(excerpt));
                span.start
            }
            Place::Flag(flag) => {
                (*flag).clone_into(&mut one.file);
                usize::MAX - 1
            }
            Place::Nowhere => usize::MAX,
        };
        if !self.found.iter().any(|(_, known)| *known == one) {
            self.found.push((order, one));
        }
    }

    /// Whether anything found so far prevents the configuration from running.
    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|(_, one)| one.severity == Severity::Error)
    }

    /// Everything, in the order of the file.
    pub(super) fn finish(mut self) -> Diagnostics {
        self.found.sort_by_key(|(order, _)| *order);
        Diagnostics(self.found.into_iter().map(|(_, one)| one).collect())
    }
}

/// Longest value that is quoted, in characters.
const LONGEST: usize = 60;

/// `text` with what stands between backticks cut to a length that can be read.
fn shortened(text: &str) -> String {
    let mut quoted = true;
    let pieces = text.split('`').map(|piece| {
        quoted = !quoted;
        match piece.char_indices().nth(LONGEST) {
            Some((end, _)) if quoted => format!("{}…", &piece[..end]),
            _ => piece.to_owned(),
        }
    });
    pieces.collect::<Vec<_>>().join("`")
}
