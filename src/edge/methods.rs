//! Which methods are served. Pure.

use http::Method;
use vestibule_plugin::methods::is_registered_in_any_case;

/// Longest name of a method.
const MAX_NAME: usize = 32;

/// Listed in `allow` where no list is written.
const USUAL: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"];

/// Whether `method` is served; `configured` is empty where no list is written.
///
/// A known method in another spelling is none: methods are case-sensitive (RFC 9110 section 9.1), but not every
/// application knows, and a rule for GET must not be walked around with `get`.
pub fn is_served(method: &Method, configured: &[Method]) -> bool {
    if matches!(*method, Method::TRACE | Method::CONNECT) || method.as_str() == "PRI" {
        return false;
    }
    if !configured.is_empty() {
        return configured.contains(method);
    }
    let name = method.as_str();
    let is_misspelt = || name.bytes().any(|byte| byte.is_ascii_lowercase()) && is_registered_in_any_case(name);
    name.len() <= MAX_NAME && !is_misspelt()
}

/// The methods that a 405 lists.
pub fn allowed(configured: &[Method]) -> String {
    if configured.is_empty() {
        return USUAL.join(", ");
    }
    configured.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_served(name: &str, configured: &[&str]) -> bool {
        let method = |name: &str| name.parse::<Method>().expect("a token");
        super::is_served(&method(name), &configured.iter().copied().map(method).collect::<Vec<_>>())
    }

    #[test]
    fn known_methods_have_one_spelling() {
        for name in ["GET", "QUERY", "PROPFIND", "BREW", "brew", "M-SEARCH", &"X".repeat(32)] {
            assert!(is_served(name, &[]), "{name}");
        }
        for name in ["get", "Post", "pROPFIND", "PRI", "pri", "TRACE", "trace", "CONNECT", "Connect", &"X".repeat(33)] {
            assert!(!is_served(name, &[]), "{name}");
        }
    }

    #[test]
    fn a_list_is_exact_and_what_is_never_served_is_not_in_it() {
        assert!(is_served("PURGE", &["GET", "PURGE"]) && !is_served("purge", &["GET", "PURGE"]));
        assert!(!is_served("POST", &["GET"]) && !is_served("PRI", &["PRI"]) && !is_served("TRACE", &["TRACE"]));
        assert_eq!(allowed(&[Method::GET, Method::PUT]), "GET, PUT");
        assert_eq!(allowed(&[]), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY");
    }
}
