//! What is left of a file with syntax errors once the tables they stand in are taken out.
//!
//! A piece reaches from one table header to the next. Places stay: what is taken out is replaced by spaces.

use std::ops::Range;

/// Pieces that are taken out at most; a file with more of them is not worth a guess.
const MAX_BROKEN: usize = 16;

/// `text` without its broken pieces, or `None` when no such text is TOML. `errors` says where a text is not TOML.
pub(super) fn rest(text: &str, errors: impl Fn(&str) -> Vec<Option<Range<usize>>>) -> Option<String> {
    let pieces = pieces(text);
    let mut rest = text.to_owned();
    for _ in 0..MAX_BROKEN {
        let wrong = errors(&rest);
        if wrong.is_empty() {
            return Some(rest);
        }
        for span in wrong {
            // An error at the very end belongs to the last piece.
            let at = span?.start.min(text.len().saturating_sub(1));
            let broken = pieces.iter().position(|piece| piece.span.contains(&at))?;
            for piece in std::iter::once(&pieces[broken]).chain(dependants(&pieces, broken)) {
                rest.replace_range(piece.span.clone(), &blank(&text[piece.span.clone()]));
            }
        }
    }
    None
}

/// A table header and what stands below it.
struct Piece<'a> {
    span: Range<usize>,
    header: &'a str,
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = vec![Piece { span: 0..0, header: "" }];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            pieces.push(Piece { span: at..at, header: line.trim() });
        }
        at += line.len();
        if let Some(last) = pieces.last_mut() {
            last.span.end = at;
        }
    }
    pieces
}

/// The tables below the broken one: without it they would be those of another.
fn dependants<'p, 'a>(pieces: &'p [Piece<'a>], broken: usize) -> impl Iterator<Item = &'p Piece<'a>> {
    let name = pieces[broken].name();
    pieces[broken + 1..].iter().take_while(move |piece| !piece.header.starts_with("[[") && piece.name() == name)
}

impl Piece<'_> {
    /// The first name of its header.
    fn name(&self) -> &str {
        let bare = self.header.trim_start_matches(['[', ' ', '"', '\'']);
        bare.split(['.', ']', ' ', '"', '\'']).next().unwrap_or_default()
    }
}

fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}
