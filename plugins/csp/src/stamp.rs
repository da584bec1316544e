//! Times as records show them: RFC 3339 in UTC, whole seconds.

use std::time::{Duration, SystemTime};

/// Seconds since 1970; what was before is its first second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Stamp(u64);

const DAY: u64 = 86_400;

impl Stamp {
    /// Of this moment.
    pub(crate) fn of(at: SystemTime) -> Self {
        Self(at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// Of the moment this long before.
    pub(crate) fn before(at: SystemTime, age: Duration) -> Self {
        Self::of(at.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// Reads RFC 3339 with any offset; parts of a second are dropped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| -> Option<i64> {
            let digits = text.get(range)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let mark = |at: usize, marks: &[u8]| text.as_bytes().get(at).is_some_and(|byte| marks.contains(byte));
        if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":")) {
            return None;
        }
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        // A leap second is the first one of the next minute.
        let sound = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day) && hour < 24 && minute < 60;
        if !sound || second > 60 {
            return None;
        }
        let mut end = 19;
        if mark(end, b".") {
            let digits = text[end + 1..].bytes().take_while(u8::is_ascii_digit).count();
            end = if digits == 0 { return None } else { end + 1 + digits };
        }
        let offset = match &text[end..] {
            "Z" | "z" => 0,
            _ if mark(end, b"+-") && mark(end + 3, b":") && text.len() == end + 6 => {
                let (hours, minutes) = (number(end + 1..end + 3)?, number(end + 4..end + 6)?);
                let seconds = (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60)?;
                if mark(end, b"-") { -seconds } else { seconds }
            }
            _ => return None,
        };
        let at = days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Some(Self(u64::try_from(at).unwrap_or(0)))
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, second) = (self.0 / DAY, self.0 % DAY);
        // Howard Hinnant's civil_from_days: years begin in March, eras have 400 of them.
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl serde::Serialize for Stamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments_are_written_and_read() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_341_600, "2026-11-22T10:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            assert_eq!(Stamp(seconds).to_string(), text);
            assert_eq!(Stamp::parse(text), Some(Stamp(seconds)));
        }
        for text in ["2026-11-22T12:00:00+02:00", "2026-11-22t09:30:00.999-00:30", "2026-11-22 10:00:00z"] {
            assert_eq!(Stamp::parse(text), Some(Stamp(1_795_341_600)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2026",
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:60:00Z",
            "2026-11-22T10:00:61Z",
            "2026-11-22T10:00:00.Z",
            "2026-11-22T10:00:00+2:00",
            "2026-11-22T10:00:00Zx",
            "+026-11-22T10:00:00Z",
            "2026-11-22T10:00:00+24:00",
            "é026-11-22T10:00:00Z",
        ] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_second_reads_back(seconds in 0..253_402_300_800_u64) {
            prop_assert_eq!(Stamp::parse(&Stamp(seconds).to_string()), Some(Stamp(seconds)));
        }

        #[test]
        fn any_text_is_read_or_not(text in "\\PC{0,30}") {
            let _ = Stamp::parse(&text);
        }
    }
}
