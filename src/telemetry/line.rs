//! One log line, as JSON or for people. Nothing a client sends can make it two.

use super::digits;
use crate::config::settings::LogFormat;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::SystemTime;

/// Longest line in bytes, its newline included.
const MAX_LINE: usize = 8 * 1024;
/// Longest value in bytes.
const MAX_VALUE: usize = 512;

thread_local! {
    static BUFFER: RefCell<String> = const { RefCell::new(String::new()) };
    static SECOND: RefCell<(Option<u64>, String)> = const { RefCell::new((None, String::new())) };
}

/// A line under way.
pub struct Line {
    text: String,
    format: LogFormat,
}

impl Line {
    /// Begins with time, level, target and message.
    pub fn new(format: LogFormat, level: &str, target: &str, message: &str) -> Self {
        let mut text = BUFFER.with_borrow_mut(std::mem::take);
        text.clear();
        let mut line = Self { text, format };
        match format {
            LogFormat::Json => {
                line.text.push_str("{\"ts\":\"");
                push_now(&mut line.text);
                line.text.push('"');
                line.text("level", level);
                line.text("target", target);
                line.text("msg", message);
            }
            LogFormat::Text => {
                push_now(&mut line.text);
                let _ = write!(line.text, " {level:<5} {target}: ");
                escape(&mut line.text, message, Quotes::Plain);
            }
        }
        line
    }

    fn name(&mut self, name: &str) {
        let (before, behind) = match self.format {
            LogFormat::Json => (",\"", "\":"),
            LogFormat::Text => (" ", "="),
        };
        self.text.push_str(before);
        self.text.push_str(name);
        self.text.push_str(behind);
    }

    /// A field with text, escaped and cut.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.value(cut(value, MAX_VALUE));
    }

    /// A field with text cut to `max` bytes.
    pub fn text_cut(&mut self, name: &str, value: &str, max: usize) {
        self.text(name, cut(value, max));
    }

    fn value(&mut self, value: &str) {
        let bare = self.format == LogFormat::Text
            && !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'=');
        if bare {
            self.text.push_str(value);
        } else {
            self.text.push('"');
            escape(&mut self.text, value, Quotes::Inside);
            self.text.push('"');
        }
    }

    /// A field with something that prints as a number or `true` or `false`.
    pub fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        let _ = write!(self.text, "{value}");
    }

    /// A field with `true` or `false`.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
    }

    /// A field with a number.
    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        digits::push(&mut self.text, value);
    }

    /// A field with so many hexadecimal digits.
    pub fn hex(&mut self, name: &str, value: u128, width: usize) {
        self.name(name);
        let quote = if self.format == LogFormat::Json { "\"" } else { "" };
        self.text.push_str(quote);
        digits::push_hex(&mut self.text, value, width);
        self.text.push_str(quote);
    }

    /// A field without a value.
    pub fn null(&mut self, name: &str) {
        if self.format == LogFormat::Json {
            self.name(name);
            self.text.push_str("null");
        }
    }

    /// A field with milliseconds, to the microsecond.
    pub fn millis(&mut self, name: &str, value: std::time::Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(name, micros / 1000);
        self.text.push('.');
        digits::push_padded(&mut self.text, micros % 1000, 3);
    }

    /// A field with named parts: an object, or `name.part=value` for people.
    pub fn parts<'a>(&mut self, name: &str, parts: impl Iterator<Item = (&'a str, &'a str)>) {
        match self.format {
            LogFormat::Json => {
                self.name(name);
                for (n, (part, value)) in parts.enumerate() {
                    let _ = write!(self.text, "{}\"{part}\":", if n == 0 { "{" } else { "," });
                    self.value(cut(value, MAX_VALUE));
                }
                if self.text.ends_with(':') {
                    self.text.push('{');
                }
                self.text.push('}');
            }
            LogFormat::Text => {
                for (part, value) in parts {
                    let _ = write!(self.text, " {name}.{part}=");
                    self.value(cut(value, MAX_VALUE));
                }
            }
        }
    }

    /// The finished line with its newline.
    pub fn finish(mut self) -> Finished {
        if self.format == LogFormat::Json {
            if self.text.len() + 2 > MAX_LINE {
                // Only a line with very many long fields gets here; what it begins with is the most telling part.
                let mut short = String::from(cut(&self.text, MAX_LINE / 2));
                let open = short.rfind(",\"").unwrap_or(short.len());
                short.truncate(open);
                short.push_str(",\"cut\":true");
                self.text = short;
            }
            self.text.push('}');
        } else if self.text.len() + 1 > MAX_LINE {
            let end = cut(&self.text, MAX_LINE - 1).len();
            self.text.truncate(end);
        }
        self.text.push('\n');
        Finished(self.text)
    }
}

/// A finished line; its buffer is used again.
pub struct Finished(String);

impl std::ops::Deref for Finished {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.0);
        BUFFER.with_borrow_mut(|buffer| *buffer = text);
    }
}

/// The longest prefix of at most `max` bytes that ends between characters.
pub fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[derive(Clone, Copy, PartialEq)]
enum Quotes {
    Plain,
    Inside,
}

/// Controls, line separators and direction marks are written as `\u…`: a terminal shows them, and one line stays one.
fn escape(out: &mut String, text: &str, quotes: Quotes) {
    let harmless = |b: u8| (0x20..0x7f).contains(&b) && b != b'\\' && b != b'"';
    if text.bytes().all(harmless) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '"' if quotes == Quotes::Inside => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            other => out.push(other),
        }
    }
}

/// Appends the time as RFC 3339 in UTC with microseconds. The part that changes once a second is kept.
fn push_now(out: &mut String) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != Some(since.as_secs()) {
            *second = Some(since.as_secs());
            text.clear();
            push_second(text, since.as_secs());
        }
        out.push_str(text);
    });
    digits::push_padded(out, since.subsec_micros().into(), 6);
    out.push('Z');
}

/// `2026-11-22T19:00:00.`
fn push_second(out: &mut String, second: u64) {
    let (year, month, day) = civil(second / 86_400);
    let parts =
        [(year, 4, '-'), (month, 2, '-'), (day, 2, 'T'), (second / 3600 % 24, 2, ':'), (second / 60 % 60, 2, ':')];
    for (number, width, behind) in parts {
        digits::push_padded(out, number, width);
        out.push(behind);
    }
    digits::push_padded(out, second % 60, 2);
    out.push('.');
}

/// The date of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that a leap day ends its year: 146,097 days are 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(format: LogFormat, value: &str) -> String {
        let mut line = Line::new(format, "INFO", "t", "m");
        line.text("path", value);
        String::from_utf8(line.finish().to_vec()).expect("text")
    }

    /// SEC-22: what a client sends cannot begin a line of its own, nor steer a terminal.
    #[test]
    fn hostile_values_stay_inside_their_line() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let text = written(format, "/a\r\nINFO fake\u{1b}[31m\u{2028}\u{202e}\u{61c}x\"\\");
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains(['\u{1b}', '\u{2028}', '\u{202e}', '\u{61c}']));
        }
    }

    #[test]
    fn dates_are_right() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_779), (2026, 11, 22));
        let mut text = String::new();
        push_second(&mut text, 20_779 * 86_400 + 3_661);
        assert_eq!(text, "2026-11-22T01:01:01.");
    }

    proptest! {
        #[test]
        fn every_line_is_valid_json_of_bounded_size(values in proptest::collection::vec(".{0,700}", 0..40)) {
            let mut line = Line::new(LogFormat::Json, "INFO", "t", "m");
            for value in &values {
                line.text("v", value);
            }
            let line = line.finish();
            prop_assert!(line.len() <= MAX_LINE);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
        }
    }
}
