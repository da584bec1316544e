//! Lists of methods.

use crate::config::report::Report;
use crate::config::section::Section;
use http::Method;

/// The methods, and what is wrong with the others. `path` leads to the list.
pub(super) fn parse(names: &[String], path: &[&str], section: &Section<'_>, report: &mut Report<'_>) -> Vec<Method> {
    let mut methods: Vec<Method> = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let index = index.to_string();
        let at = section.place(&[path, &[&index]].concat());
        match Method::from_bytes(name.as_bytes()) {
            Ok(Method::TRACE | Method::CONNECT) => {
                let label = "TRACE and CONNECT are never served";
                report.error(&at, format!("`{name}` cannot be a method here"), label);
            }
            Ok(method) if methods.contains(&method) => {
                report.error(&at, format!("`{name}` stands here twice"), "remove it");
            }
            Ok(method) if name.chars().any(|c| c.is_ascii_lowercase()) && is_standard(name) => {
                let label = format!(
                    "methods are case-sensitive (RFC 9110 section 9.1); did you mean `{}`?",
                    name.to_ascii_uppercase()
                );
                report.error(&at, format!("unknown method `{method}`"), label);
                // What was meant, so that nothing is said about its absence.
                methods.extend(Method::from_bytes(name.to_ascii_uppercase().as_bytes()));
            }
            Ok(method) => methods.push(method),
            Err(_) => {
                report.error(&at, format!("`{name}` is no method"), "expected a token such as \"GET\"");
            }
        }
    }
    methods
}

fn is_standard(name: &str) -> bool {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
        .iter()
        .any(|method| method.eq_ignore_ascii_case(name))
}
