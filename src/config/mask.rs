//! Keeps secrets out of what is quoted: source lines, messages and the effective configuration.

use crate::config::diagnostics::Excerpt;
use crate::config::tree::Place;
use std::collections::BTreeSet;
use std::ops::Range;
use zeroize::Zeroizing;

/// Stands where a secret was.
pub(super) const MASK: &str = "***";

/// A secret at least this long is also removed from messages about other places; a shorter one would mangle them.
const LEAST_SCRUBBED: usize = 4;

/// May stand at the beginning of a text file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What may not be quoted from one file.
#[derive(Default)]
pub(super) struct Quoting {
    /// Values whose bytes are never shown.
    hidden: Vec<Range<usize>>,
    /// Values as they came out, wherever a message may mention them.
    secrets: Vec<Zeroizing<String>>,
    /// What `${NAME}` became in the string that stands there.
    filled: Vec<(Place, Vec<Zeroizing<String>>)>,
    /// Keys whose values may be shown when the file cannot be parsed; `None` when it can.
    unparsed: Option<BTreeSet<String>>,
}

impl Quoting {
    /// The value at `place` is a secret.
    pub(super) fn hide(&mut self, place: &Place, value: Option<&str>) {
        if let Place::File(span) = place {
            self.hidden.push(span.clone());
        }
        self.secrets.extend(value.filter(|value| value.len() >= LEAST_SCRUBBED).map(|value| value.to_owned().into()));
    }

    /// The string at `place` holds these values of variables.
    pub(super) fn filled(&mut self, place: Place, values: Vec<String>) {
        self.filled.push((place, values.into_iter().map(Zeroizing::new).collect()));
    }

    /// The file is no TOML, so nothing is known about its values but the names of harmless keys.
    pub(super) fn unparsed(&mut self, harmless: BTreeSet<String>) {
        self.unparsed = Some(harmless);
    }

    /// `text`, about `place`, without secrets.
    pub(super) fn scrub(&self, text: &str, place: &Place) -> String {
        let mut text = hide_credentials(text, Authority::Generous);
        let here = self.filled.iter().filter(|(at, _)| overlap(at, place)).flat_map(|(_, values)| values);
        for secret in self.secrets.iter().chain(here).filter(|secret| !secret.is_empty()) {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASK);
            }
        }
        text
    }

    /// Line and column (from 1, in characters) of `span`, and its first line without secrets.
    pub(super) fn excerpt(&self, source: &str, span: &Range<usize>) -> (usize, usize, Excerpt) {
        let start = floor(source, span.start);
        // A byte order mark is no column of the first line.
        let first = if source.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        let begin = source[..start].rfind('\n').map_or(first.min(start), |newline| newline + 1);
        let end = source[start..].find('\n').map_or(source.len(), |newline| start + newline);
        let stop = floor(source, span.end).clamp(start, end);
        let number = source[..begin].bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = source[begin..start].chars().count() + 1;
        let text = source[begin..end].trim_end_matches('\r');
        let marks = match &self.unparsed {
            Some(harmless) => unparsed_marks(text, harmless),
            None => self.marks(text, begin),
        };
        (number, column, shown(text, marks, start - begin..stop - begin))
    }

    /// The parts of a line, which starts at byte `begin`, that are hidden.
    fn marks(&self, line: &str, begin: usize) -> Vec<Range<usize>> {
        let end = begin + line.len();
        let hidden = self.hidden.iter().filter(|span| span.start < end && span.end > begin);
        let hidden = hidden.map(|span| span.start.max(begin) - begin..span.end.min(end) - begin);
        hidden.chain(credentials(line, Authority::Generous)).collect()
    }
}

fn overlap(a: &Place, b: &Place) -> bool {
    match (a, b) {
        (Place::File(a), Place::File(b)) => a.start < b.end && b.start < a.end,
        _ => a == b,
    }
}

fn floor(source: &str, mut index: usize) -> usize {
    index = index.min(source.len());
    while !source.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// A line with `marks` replaced and `span` moved accordingly.
fn shown(line: &str, mut marks: Vec<Range<usize>>, span: Range<usize>) -> Excerpt {
    marks.sort_by_key(|mark| mark.start);
    let mut text = String::with_capacity(line.len());
    let mut moved: [Option<usize>; 2] = [None, None];
    let mut at = 0;
    for mark in marks {
        if mark.end <= at {
            continue;
        }
        let start = mark.start.max(at);
        for (goal, moved) in [span.start, span.end].into_iter().zip(&mut moved) {
            if moved.is_none() && goal <= start {
                *moved = Some(text.len() + (goal - at));
            }
        }
        text.push_str(&line[at..start]);
        let opened = text.len();
        let quoted = line[start..].starts_with(['"', '\'']);
        text.push_str(if quoted { "\"***\"" } else { MASK });
        at = mark.end;
        if moved[0].is_none() && span.start < at {
            moved[0] = Some(opened);
        }
        if moved[1].is_none() && span.end <= at {
            moved[1] = Some(text.len());
        }
    }
    let [from, to] = [span.start, span.end].map(|goal| goal.min(line.len()));
    let from = moved[0].unwrap_or_else(|| text.len() + (from - at.min(from)));
    let to = moved[1].unwrap_or_else(|| text.len() + (to - at.min(to)));
    text.push_str(&line[at.min(line.len())..]);
    Excerpt { text, span: from..to.max(from) }
}

/// How far the authority of a URL is taken to reach.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Authority {
    /// To the next `/`, `?` or `#` (RFC 3986 section 3.2).
    Strict,
    /// To the end of the word: a password with a raw `/` is no URL, and still not shown.
    Generous,
}

/// `text` with the userinfo and the query of every URL in it masked.
pub(super) fn hide_credentials(text: &str, authority: Authority) -> String {
    let mut masked = text.to_owned();
    for mark in credentials(text, authority).into_iter().rev() {
        masked.replace_range(mark, MASK);
    }
    masked
}

/// Where URLs in `text` carry userinfo or a query, which is where tokens are.
fn credentials(text: &str, authority: Authority) -> Vec<Range<usize>> {
    let mut marks = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("://") {
        let start = from + found + 3;
        let ends = |c: char| match authority {
            Authority::Strict => matches!(c, '/' | '?' | '#') || c.is_whitespace(),
            Authority::Generous => ends_word(c),
        };
        let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
        if let Some(at) = text[start..end].rfind('@') {
            marks.push(start..start + at);
        }
        let rest = &text[end..];
        let word = end + rest.find(ends_word).unwrap_or(rest.len());
        let query = marks.last().map_or(start, |mark| mark.end.max(start));
        if let Some(at) = text[query..word].find('?')
            && query + at + 1 < word
        {
            marks.push(query + at + 1..word);
        }
        from = word;
    }
    marks
}

fn ends_word(c: char) -> bool {
    matches!(c, '"' | '\'' | '`') || c.is_whitespace()
}

/// What is hidden of a line in a file that is no TOML: everything but the values of harmless keys.
fn unparsed_marks(line: &str, harmless: &BTreeSet<String>) -> Vec<Range<usize>> {
    let mut marks = credentials(line, Authority::Generous);
    marks.extend(unparsed_value(line, harmless).filter(|from| *from < line.len()).map(|from| from..line.len()));
    marks
}

/// From where on such a line is hidden.
fn unparsed_value(line: &str, harmless: &BTreeSet<String>) -> Option<usize> {
    let indent = line.len() - line.trim_start().len();
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-.[] ".contains(c);
    if line[indent..].starts_with('[') && line.chars().all(bare) {
        return None;
    }
    let mut at = 0;
    while let Some(found) = line[at..].find('=') {
        let equals = at + found;
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let before = line[at..equals].trim_end().trim_end_matches(['"', '\'']);
        let key = before.rsplit(|c| !word(c)).next().unwrap_or_default();
        at = equals + 1;
        if !harmless.contains(key) {
            return Some(at + line[at..].len() - line[at..].trim_start().len());
        }
    }
    // Without a key it is the middle of a longer value, or not TOML at all.
    (at == 0).then_some(indent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn userinfo_is_masked_and_other_at_signs_are_not() {
        let strict = |text| hide_credentials(text, Authority::Strict);
        assert_eq!(strict("redis://:pw@h:6379/0"), "redis://***@h:6379/0");
        assert_eq!(strict("https://h/@me a://u:p@h"), "https://h/@me a://***@h");
        assert_eq!(hide_credentials("redis://:p/w@h", Authority::Generous), "redis://***@h");
        assert_eq!(strict("see `https://u:p@h/in?token=a&b#c` now?"), "see `https://***@h/in?***` now?");
        assert_eq!(strict("https://h/?"), "https://h/?");
    }

    #[test]
    fn a_masked_line_keeps_its_underline_in_place() {
        let line = "a = \"secret\", b = 5";
        let excerpt = shown(line, vec![4..12; 1], 18..19);
        assert_eq!(excerpt.text, "a = \"***\", b = 5");
        assert_eq!(&excerpt.text[excerpt.span], "5");
        let excerpt = shown(line, vec![4..12; 1], 4..12);
        assert_eq!(&excerpt.text[excerpt.span], "\"***\"");
        let excerpt = shown(line, vec![4..12; 1], 6..8);
        assert_eq!(&excerpt.text[excerpt.span], "\"***\"");
    }

    #[test]
    fn without_a_parse_only_harmless_values_are_shown() {
        let harmless: BTreeSet<String> = ["level".to_owned(), "url".to_owned(), "tls".to_owned()].into();
        let quoting = Quoting { unparsed: Some(harmless), ..Quoting::default() };
        for (line, expected) in [
            ("level = \"inf", "level = \"inf"),
            ("admin_token = \"hunter2", "admin_token = \"***\""),
            ("admin_tokn = hunter2", "admin_tokn = ***"),
            ("tls = { secret = \"hunter2\" ", "tls = { secret = \"***\""),
            ("url = \"http://u:hunter2@h", "url = \"http://***@h"),
            ("hunter2 \\q", "***"),
            ("[server", "[server"),
        ] {
            let (_, _, excerpt) = quoting.excerpt(line, &(line.len()..line.len()));
            assert_eq!(excerpt.text, expected);
            assert!(excerpt.span.end <= excerpt.text.len());
        }
    }

    proptest! {
        #[test]
        fn a_hidden_value_never_shows(
            head in "[a-z =]{0,10}", secret in "S[A-Z]{3,9}é?", tail in "[a-z é]{0,10}", a in 0usize..30, b in 0usize..30
        ) {
            let line = format!("{head}{secret}{tail}");
            let mut quoting = Quoting::default();
            quoting.hide(&Place::File(head.len()..head.len() + secret.len()), Some(&secret));
            let (_, _, excerpt) = quoting.excerpt(&line, &(a.min(b)..a.max(b)));
            prop_assert!(!excerpt.text.contains(&secret));
            prop_assert!(excerpt.text.get(excerpt.span.clone()).is_some());
            prop_assert!(!quoting.scrub(&line, &Place::Nowhere).contains(&secret));
        }
    }
}
