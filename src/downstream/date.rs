//! The field `date`, for responses whose application did not say it (RFC 9110 section 6.6.1).

use http::header::{DATE, HeaderValue};
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};
use vestibule_plugin::Fields;

thread_local! {
    /// The last second told on this thread, and how.
    static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// Adds it where it is missing.
pub fn add(fields: &mut Fields) {
    if !fields.has(DATE) {
        fields.set(DATE, now());
    }
}

fn now() -> HeaderValue {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(last, text)| {
        if *last != second
            && let Ok(told) = HeaderValue::from_str(&httpdate::fmt_http_date(now))
        {
            (*last, *text) = (second, told);
        }
        text.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_added_where_there_is_none() {
        let mut fields = Fields::new();
        add(&mut fields);
        let told = fields.text(DATE).expect("text").to_owned();
        let told = httpdate::parse_http_date(&told).expect("a date");
        assert!(told.elapsed().is_ok_and(|ago| ago.as_secs() < 5), "{told:?}");

        fields.set(DATE, HeaderValue::from_static("theirs"));
        add(&mut fields);
        assert_eq!(fields.text(DATE), Some("theirs"));
    }
}
