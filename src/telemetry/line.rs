//! One log line, as JSON or for people. Nothing a client sends can make it two.

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
        let now = Stamp::now();
        let mut line = Self { text, format };
        match format {
            LogFormat::Json => {
                let _ = write!(line.text, "{{\"ts\":\"{now}\",\"level\":\"{level}\"");
                line.text("target", target);
                line.text("msg", message);
            }
            LogFormat::Text => {
                let _ = write!(line.text, "{now} {level:<5} {target}: ");
                escape(&mut line.text, message, Quotes::Plain);
            }
        }
        line
    }

    fn name(&mut self, name: &str) {
        let _ = match self.format {
            LogFormat::Json => write!(self.text, ",\"{name}\":"),
            LogFormat::Text => write!(self.text, " {name}="),
        };
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

    /// A field without a value.
    pub fn null(&mut self, name: &str) {
        if self.format == LogFormat::Json {
            self.plain(name, "null");
        }
    }

    /// A field with milliseconds, to the microsecond.
    pub fn millis(&mut self, name: &str, value: std::time::Duration) {
        let micros = value.as_micros();
        self.plain(name, format_args!("{}.{:03}", micros / 1000, micros % 1000));
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

/// A point in time, printed as RFC 3339 in UTC with microseconds.
struct Stamp {
    seconds: u64,
    micros: u32,
}

impl Stamp {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { seconds: since.as_secs(), micros: since.subsec_micros() }
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil(self.seconds / 86_400);
        let (hour, minute, second) = (self.seconds / 3600 % 24, self.seconds / 60 % 60, self.seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", self.micros)
    }
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
