//! Closed sets of label values, numbered from 0, so that a table finds a series without comparing text.

use http::{Method, StatusCode};
use std::borrow::Cow;

/// The nine standard methods (RFC 9110 section 9, RFC 5789) and what stands for any other.
pub(crate) const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "_OTHER"];

/// Number of a method in [`METHODS`].
pub(crate) fn method(method: &Method) -> usize {
    let other = METHODS.len() - 1;
    METHODS[..other].iter().position(|known| *known == method.as_str()).unwrap_or(other)
}

/// Codes of the IANA HTTP Status Code Registry, without temporary and unused ones.
const REGISTERED: [u16; 61] = [
    100, 101, 102, 103, //
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, //
    300, 301, 302, 303, 304, 305, 307, 308, //
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425,
    426, 428, 429, 431, 451, //
    500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];

/// Codes nobody registered, by class, and codes of no class.
const UNREGISTERED: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "_OTHER"];

/// How many numbers [`status`] gives.
pub(crate) const STATUSES: usize = REGISTERED.len() + UNREGISTERED.len() + 1;

/// Number of a status; the last one is that of no status at all.
pub(crate) fn status(status: Option<StatusCode>) -> usize {
    let Some(status) = status else { return STATUSES - 1 };
    REGISTERED.binary_search(&status.as_u16()).unwrap_or_else(|_| {
        let class = usize::from(status.as_u16() / 100);
        REGISTERED.len() + class.saturating_sub(1).min(UNREGISTERED.len() - 1)
    })
}

/// Label value of a status of this number.
pub(crate) fn status_text(number: usize) -> Cow<'static, str> {
    match REGISTERED.get(number) {
        Some(code) => Cow::Owned(code.to_string()),
        None => Cow::Borrowed(UNREGISTERED.get(number - REGISTERED.len()).copied().unwrap_or_default()),
    }
}

/// What an attempt without a status ended with, as OpenTelemetry's `error.type`.
const FAULTS: [&str; 11] = [
    "connect_refused",
    "connect_timeout",
    "name_resolution",
    "tls",
    "write_timeout",
    "read_timeout",
    "reset",
    "protocol",
    "body_too_large",
    "internal",
    "_OTHER",
];

/// How many numbers [`fault`] gives.
pub(crate) const FAULTS_COUNT: usize = FAULTS.len();

/// Number of a fault.
pub(crate) fn fault(kind: &str) -> usize {
    let other = FAULTS.len() - 1;
    FAULTS[..other].iter().position(|known| *known == kind).unwrap_or(other)
}

/// Label value of a fault of this number.
pub(crate) fn fault_text(number: usize) -> &'static str {
    FAULTS.get(number).copied().unwrap_or("_OTHER")
}

/// `error_type` of an attempt that ended with this status text: empty below 400, else the status itself.
pub(crate) fn error_of(status: &str) -> &str {
    if status.is_empty() || status.starts_with(['1', '2', '3']) { "" } else { status }
}

/// Every value of `http_response_status_code`.
pub(crate) fn statuses() -> Vec<Cow<'static, str>> {
    (0..STATUSES).map(status_text).collect()
}

/// Every value of `error_type`.
pub(crate) fn errors() -> Vec<String> {
    // `_OTHER` stands for a fault and for a status; it is listed once.
    let (statuses, other) = (statuses(), FAULTS[FAULTS_COUNT - 1]);
    let failed = statuses.iter().map(|status| error_of(status)).filter(|error| !error.is_empty() && *error != other);
    [""].into_iter().chain(FAULTS).chain(failed).chain(["_overflow"]).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(code: u16) -> Cow<'static, str> {
        status_text(status(StatusCode::from_u16(code).ok()))
    }

    #[test]
    fn registered_codes_stand_for_themselves_and_others_for_their_class() {
        for (code, expected) in [
            (200, "200"),
            (404, "404"),
            (511, "511"),
            (101, "101"),
            (104, "1xx"),
            (299, "2xx"),
            (306, "3xx"),
            (418, "4xx"),
            (499, "4xx"),
            (520, "5xx"),
            (599, "5xx"),
            (600, "_OTHER"),
            (999, "_OTHER"),
        ] {
            assert_eq!(text(code), expected, "{code}");
        }
        assert_eq!(status_text(status(None)), "");
    }

    #[test]
    fn methods_are_the_nine_or_other() {
        assert_eq!(METHODS[method(&Method::PATCH)], "PATCH");
        for odd in ["get", "PURGE", "PROPFIND"] {
            assert_eq!(METHODS[method(&Method::from_bytes(odd.as_bytes()).expect("a token"))], "_OTHER");
        }
    }

    #[test]
    fn faults_are_a_closed_set() {
        assert_eq!(fault_text(fault("reset")), "reset");
        assert_eq!(fault_text(fault("something new")), "_OTHER");
        assert_eq!(
            [error_of("204"), error_of("3xx"), error_of(""), error_of("503"), error_of("_OTHER")],
            ["", "", "", "503", "_OTHER"]
        );
    }

    #[test]
    fn every_value_is_listed_once() {
        for values in [errors(), statuses().into_iter().map(Cow::into_owned).collect()] {
            let mut once = values.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), values.len(), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn every_status_has_a_number_in_range(code in 100u16..1000) {
            let number = status(StatusCode::from_u16(code).ok());
            prop_assert!(number < STATUSES - 1);
            let text = status_text(number);
            prop_assert!(code >= 600 || text.as_bytes()[0] == b'0' + u8::try_from(code / 100).unwrap());
        }
    }
}
