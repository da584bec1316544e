//! HTTP dates: IMF-fixdate, RFC 850 and asctime (RFC 9110 section 5.6.7).

use http::header::HeaderName;
use std::time::SystemTime;
use vestibule_plugin::Fields;

/// The date in `name`: exactly one line with one valid date, else none.
pub(crate) fn single(fields: &Fields, name: &HeaderName) -> Option<SystemTime> {
    let date = fields.only(name).ok().flatten()?;
    httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderValue, IF_MODIFIED_SINCE};
    use proptest::prelude::*;
    use std::time::Duration;

    fn read(lines: &[&str]) -> Option<u64> {
        let mut fields = Fields::new();
        for line in lines {
            fields.append(IF_MODIFIED_SINCE, HeaderValue::from_str(line).expect("a field value"));
        }
        single(&fields, &IF_MODIFIED_SINCE)?.duration_since(SystemTime::UNIX_EPOCH).ok().map(|d| d.as_secs())
    }

    #[test]
    fn all_three_forms_name_one_moment() {
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(read(&[date]), Some(784_111_777), "{date}");
        }
    }

    #[test]
    fn what_is_no_date_or_not_one_date_is_none() {
        let good = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[good, good]), None);
        for bad in [
            "",
            "yesterday",
            "0",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Fri, 31 Feb 1995 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_reads_back_as_written(seconds in 0u64..253_402_300_799) {
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(read(&[&httpdate::fmt_http_date(moment)]), Some(seconds));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9 ,:-]{0,40}") {
            let _ = read(&[&text]);
        }

        #[test]
        fn no_near_miss_panics(cut in 0usize..34, by in "[ -~]", form in 0usize..3) {
            let mut text = ["Sun, 06 Nov 1994 08:49:37 GMT", "Wednesday, 09-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"][form].to_owned();
            let cut = cut.min(text.len());
            text.replace_range(cut..(cut + 1).min(text.len()), &by);
            let _ = read(&[&text]);
            text.truncate(cut);
            let _ = read(&[&text]);
        }
    }
}
