//! Values as an operator writes them: durations, sizes and rates.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Why a value does not parse. The text stands under the underlined value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub String);

/// A duration: `250ms`, `10s`, `15m`, `24h`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span(pub Duration);

const SPAN_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Span {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = split_number(text);
        let millis = SPAN_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, factor)| number?.checked_mul(*factor))
            .ok_or_else(|| {
                BadValue("expected a duration such as \"250ms\", \"10s\", \"15m\", \"24h\" or \"7d\"".into())
            })?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, factor) in SPAN_UNITS.iter().rev() {
            if millis > 0 && millis.is_multiple_of(u128::from(*factor)) {
                return write!(f, "{}{unit}", millis / u128::from(*factor));
            }
        }
        write!(f, "{millis}ms")
    }
}

/// A number of bytes: `512`, `64KiB`, `10MiB`, `1GiB`; 0 is written `0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Size(pub u64);

const SIZE_UNITS: [(&str, u64); 4] = [("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl FromStr for Size {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (number, unit) = split_number(text);
        let unit = if unit == "B" { "" } else { unit };
        SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .and_then(|(_, factor)| number?.checked_mul(*factor))
            .map(Self)
            .ok_or_else(|| BadValue("expected a size such as \"64KiB\", \"10MiB\" or \"1GiB\"".into()))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in SIZE_UNITS.iter().rev() {
            if self.0 > 0 && self.0.is_multiple_of(*factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// Units in a window: `60/min`, `5/15min`, `1000/h`, `10/s`, `50000/day`.
///
/// Windows are whole seconds by construction here; a window below one second or not in whole seconds (`10/250ms`)
/// parses, so that its own error can be told: see [`Rate::window`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rate {
    /// Units a window.
    pub quota: u64,
    /// The window.
    pub window: Duration,
}

const RATE_UNITS: [(&str, u64); 8] = [
    ("ms", 1),
    ("s", 1_000),
    ("sec", 1_000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("day", 86_400_000),
];

impl FromStr for Rate {
    type Err = BadValue;
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let parsed = text.split_once('/').and_then(|(quota, window)| {
            let (quota, rest) = split_number(quota);
            let (count, unit) = split_number(window);
            let factor = RATE_UNITS.iter().find(|(name, _)| *name == unit)?.1;
            let count = if window.starts_with(|c: char| c.is_ascii_digit()) { count? } else { 1 };
            let millis = count.checked_mul(factor)?;
            rest.is_empty().then_some(Self { quota: quota?, window: Duration::from_millis(millis) })
        });
        parsed.ok_or_else(|| {
            BadValue("expected a rate such as \"10/s\", \"60/min\", \"5/15min\", \"1000/h\" or \"50000/day\"".into())
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.window.as_millis();
        for (unit, factor) in [("day", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)] {
            if millis > 0 && millis.is_multiple_of(factor) {
                return match millis / factor {
                    1 => write!(f, "{}/{unit}", self.quota),
                    n => write!(f, "{}/{n}{unit}", self.quota),
                };
            }
        }
        write!(f, "{}/0ms", self.quota)
    }
}

/// The leading decimal number, if it is one that fits, and what follows it.
fn split_number(text: &str) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (number.parse().ok(), rest)
}

macro_rules! text_value {
    ($type:ty, $name:literal, $format:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "examples": [$example] })
            }
        }
    };
}

text_value!(Span, "Duration", "vestibule-duration", "10s");
text_value!(Size, "Size", "vestibule-size", "10MiB");
text_value!(Rate, "Rate", "vestibule-rate", "60/min");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_and_rates_read_back_as_written() {
        for text in ["250ms", "10s", "15m", "24h", "7d", "0ms"] {
            let span: Span = text.parse().expect(text);
            assert_eq!(span, span.to_string().parse().expect("own output"));
        }
        assert_eq!("24h".parse::<Span>().map(|s| s.to_string()), Ok("1d".into()));
        assert_eq!("10MiB".parse(), Ok(Size(10 << 20)));
        assert_eq!("5/15min".parse(), Ok(Rate { quota: 5, window: Duration::from_secs(900) }));
        assert_eq!("1000/h".parse::<Rate>().map(|r| r.to_string()), Ok("1000/h".into()));
        assert_eq!("10/250ms".parse(), Ok(Rate { quota: 10, window: Duration::from_millis(250) }));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "10 s", "99999999999999999999s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["10MB", "KiB", "1 KiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "10", "/s", "10/", "10/fortnight", "10x/s", "10/1"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
