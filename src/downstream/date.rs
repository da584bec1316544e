//! The field `date`, for responses whose application did not say it (RFC 9110 section 6.6.1).

use http::header::{DATE, HeaderMap, HeaderValue};
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    /// The last second told on this thread, and how.
    static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// Adds it where it is missing.
pub fn add(headers: &mut HeaderMap) {
    if !headers.contains_key(DATE) {
        headers.insert(DATE, now());
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
        let mut headers = HeaderMap::new();
        add(&mut headers);
        let told = headers[DATE].to_str().expect("text").to_owned();
        let told = httpdate::parse_http_date(&told).expect("a date");
        assert!(told.elapsed().is_ok_and(|ago| ago.as_secs() < 5), "{told:?}");

        headers.insert(DATE, HeaderValue::from_static("theirs"));
        add(&mut headers);
        assert_eq!(headers[DATE], "theirs");
    }
}
