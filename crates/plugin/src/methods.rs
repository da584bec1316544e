//! Which methods are registered.

/// Methods of the IANA HTTP Method Registry (RFC 9110 section 16.1; QUERY: RFC 10008), in order.
const REGISTERED: [&str; 40] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Whether a method is registered, as it is spelt.
pub fn is_registered(method: &str) -> bool {
    REGISTERED.binary_search(&method).is_ok()
}

/// Whether a method is a registered one once letters are folded.
pub fn is_registered_in_any_case(method: &str) -> bool {
    REGISTERED.iter().any(|registered| registered.eq_ignore_ascii_case(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order() {
        assert!(REGISTERED.is_sorted());
        assert!(REGISTERED.iter().all(|method| is_registered(method)));
        assert!(!is_registered("get") && is_registered_in_any_case("get"));
        assert!(!is_registered_in_any_case("BREW"));
    }
}
