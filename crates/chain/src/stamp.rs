//! Times as events write them: RFC 3339, UTC, milliseconds.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970; 0 for a time before it.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-11-22T10:03:11.482Z`; a year beyond 9999 is written as its last moment.
pub fn rfc3339(millis: u64) -> String {
    stamp(millis).iter().copied().map(char::from).collect()
}

/// The same, behind what is written already.
pub fn write_rfc3339(out: &mut Vec<u8>, millis: u64) {
    out.extend_from_slice(&stamp(millis));
}

fn stamp(millis: u64) -> [u8; 24] {
    const LAST: u64 = 253_402_300_799_999;
    let millis = millis.min(LAST);
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // By hand: every event has two, and the formatting of the library costs more than the hash of the event.
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (end, digits, mut value) in
        [(4, 4, year), (7, 2, month), (10, 2, day), (13, 2, hour), (16, 2, minute), (19, 2, second), (23, 3, millis)]
    {
        for place in text[end - digits..end].iter_mut().rev() {
            *place += (value % 10) as u8;
            value /= 10;
        }
    }
    text
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Eras of 400 years, with years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, of_month)
}

/// Milliseconds since 1970 of a time that [`rfc3339`] wrote; `None` for any other text.
pub fn parse(text: &str) -> Option<u64> {
    let number = |from: usize, digits: usize| text.get(from..from + digits)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    // Days of whole years that begin in March, and of this one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    let days = days.checked_sub(719_469)?;
    let seconds = days * 86_400 + number(11, 2)? * 3600 + number(14, 2)? * 60 + number(17, 2)?;
    let millis = seconds * 1000 + number(20, 3)?;
    (rfc3339(millis) == text).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_found_across_leap_years() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_341_791_482, "2026-11-22T10:03:11.482Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
            if millis != u64::MAX {
                assert_eq!(parse(text), Some(millis));
            }
        }
    }

    #[test]
    fn another_text_is_no_time() {
        for text in
            ["", "2026-11-22", "2026-13-22T10:03:11.482Z", "2026-11-31T10:03:11.482Z", "2026-11-22T10:03:11.482+"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
