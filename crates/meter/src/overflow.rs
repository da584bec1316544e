//! Where a label set goes that no longer fits.

/// Value of a label that was folded.
const FOLDED: &str = "_overflow";

/// Status classes that stay apart when all else is folded, so that error ratios stay true.
const CLASSES: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "_OTHER", ""];

/// Sets that a family with these labels may need for its overflow.
pub(crate) fn sets(labels: &[&str]) -> u32 {
    if labels.is_empty() {
        0
    } else if labels.contains(&"http_response_status_code") {
        u32::try_from(CLASSES.len()).unwrap_or(u32::MAX)
    } else {
        1
    }
}

/// The overflow set that stands for `values`; one of at most [`sets`].
pub(crate) fn values<'a>(labels: &[&str], values: &[&'a str]) -> Vec<&'a str> {
    labels
        .iter()
        .zip(values)
        .map(|(label, value)| match *label {
            "http_request_method" => "_OTHER",
            "http_response_status_code" => class(value),
            _ => FOLDED,
        })
        .collect()
}

fn class(status: &str) -> &'static str {
    if status.is_empty() {
        return "";
    }
    // The first character tells a code from another: `404` and `4xx` are of one class.
    CLASSES[..5].iter().find(|class| status.len() == 3 && status.starts_with(&class[..1])).copied().unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_classes_stay_apart() {
        let labels = ["http_route", "http_request_method", "http_response_status_code", "error_type"];
        for (status, class) in
            [("404", "4xx"), ("5xx", "5xx"), ("101", "1xx"), ("", ""), ("_OTHER", "_OTHER"), ("700", "_OTHER")]
        {
            assert_eq!(values(&labels, &["home", "GET", status, "x"]), ["_overflow", "_OTHER", class, "_overflow"]);
        }
        assert_eq!(sets(&labels), 7);
        assert_eq!(sets(&["policy"]), 1);
        assert_eq!(sets(&[]), 0);
    }
}
