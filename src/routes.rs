//! Which `[[routes]]` entry a request falls on.

use crate::config::settings::{PathCase, Route};
use crate::config::shape;
use crate::edge::path::Readings;
use http::Method;
use matchit::Router;
use vestibule_plugin::RouteId;

/// One router a method, so that an entry that does not serve a method cannot hide one that does.
pub struct Routes {
    by_method: Vec<(Method, Router<Entry>)>,
    path_case: PathCase,
}

#[derive(Clone, Copy)]
struct Entry {
    id: RouteId,
    /// The template itself ends in `/`, so the trailing slash of a path counts.
    spells_trailing_slash: bool,
}

/// The readings of a path fall on different routes.
#[derive(Debug, PartialEq, Eq)]
pub struct Ambiguous;

impl Routes {
    /// Builds the routers. The templates were checked when the configuration was loaded; one that a router still
    /// refuses is named in the error.
    pub fn new(routes: &[Route], methods: &[Method], path_case: PathCase) -> Result<Self, String> {
        let by_method = methods
            .iter()
            .map(|method| {
                let mut router = Router::new();
                // Of two entries with one template the first one stays: plugins' own, then those that name the method.
                let serves = |route: &(usize, &Route)| route.1.methods.is_empty() || route.1.methods.contains(method);
                let mut entries: Vec<(usize, &Route)> = routes.iter().enumerate().filter(serves).collect();
                entries.sort_by_key(|(_, route)| (route.owner.is_none(), route.methods.is_empty()));
                for (index, route) in entries {
                    let template = shape(&route.path, path_case);
                    let id = RouteId(u16::try_from(index + 1).map_err(|_| "more than 65,535 routes".to_owned())?);
                    let entry = Entry { id, spells_trailing_slash: template.len() > 1 && template.ends_with('/') };
                    match router.insert(template, entry) {
                        Ok(()) => {}
                        // The same template: the entry that names the method is in already.
                        Err(matchit::InsertError::Conflict { with }) if with == shape(&route.path, path_case) => {}
                        Err(error) => return Err(format!("route `{}`: {error}", route.name)),
                    }
                }
                Ok((method.clone(), router))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { by_method, path_case })
    }

    /// The route on which all readings agree.
    pub fn find(&self, method: &Method, readings: &Readings<'_>) -> Result<RouteId, Ambiguous> {
        let Some((_, router)) = self.by_method.iter().find(|(m, _)| m == method) else {
            return Ok(RouteId::UNMATCHED);
        };
        let found = self.lookup(router, readings.sent);
        let agrees = |reading: &str| std::ptr::eq(reading, readings.sent) || self.lookup(router, reading) == found;
        if agrees(&readings.normal) && agrees(&readings.decoded) { Ok(found) } else { Err(Ambiguous) }
    }

    fn lookup(&self, router: &Router<Entry>, path: &str) -> RouteId {
        let folded;
        let path = match self.path_case {
            PathCase::Sensitive => path,
            PathCase::Insensitive => {
                folded = path.to_ascii_lowercase();
                &folded
            }
        };
        let at = |path: &str| router.at(path).ok().map(|m| *m.value);
        let trimmed = match path.strip_suffix('/') {
            None | Some("") => return at(path).map_or(RouteId::UNMATCHED, |entry| entry.id),
            Some(trimmed) => trimmed,
        };
        match at(path) {
            Some(entry) if entry.spells_trailing_slash => entry.id,
            _ => at(trimmed).map_or(RouteId::UNMATCHED, |entry| entry.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::path;

    fn routes(entries: &[(&str, &[&str])], path_case: PathCase) -> Routes {
        let entries: Vec<Route> = entries
            .iter()
            .map(|(path, methods)| Route {
                name: (*path).to_owned(),
                path: (*path).to_owned(),
                methods: methods.iter().map(|m| m.parse().expect("method")).collect(),
                upgrade: false,
                upstream: None,
                owner: None,
            })
            .collect();
        Routes::new(&entries, &[Method::GET, Method::POST], path_case).expect("routes")
    }

    fn find(routes: &Routes, method: &Method, path: &str) -> Result<u16, Ambiguous> {
        routes.find(method, &path::read(path).expect("readable")).map(|id| id.0)
    }

    #[test]
    fn the_most_specific_template_wins_and_a_named_method_before_any() {
        let routes = routes(
            &[("/api/{*rest}", &[]), ("/api/users/{id}", &[]), ("/api/users/me", &[]), ("/api/users/me", &["POST"])],
            PathCase::Sensitive,
        );
        assert_eq!(find(&routes, &Method::GET, "/api/x/y"), Ok(1));
        assert_eq!(find(&routes, &Method::GET, "/api/users/7"), Ok(2));
        assert_eq!(find(&routes, &Method::GET, "/api/users/me"), Ok(3));
        assert_eq!(find(&routes, &Method::POST, "/api/users/me"), Ok(4));
        assert_eq!(find(&routes, &Method::GET, "/other"), Ok(0));
        assert_eq!(find(&routes, &Method::GET, "/API/x"), Ok(0));
    }

    #[test]
    fn an_entry_for_another_method_hides_nothing() {
        let routes = routes(&[("/api/{*rest}", &[]), ("/api/login", &["POST"])], PathCase::Sensitive);
        assert_eq!(find(&routes, &Method::GET, "/api/login"), Ok(1));
    }

    #[test]
    fn a_trailing_slash_is_ignored_unless_a_template_spells_it() {
        let routes = routes(&[("/a", &[]), ("/b/", &[]), ("/b", &[]), ("/{*rest}", &[])], PathCase::Sensitive);
        assert_eq!(find(&routes, &Method::GET, "/a/"), Ok(1));
        assert_eq!(find(&routes, &Method::GET, "/b/"), Ok(2));
        assert_eq!(find(&routes, &Method::GET, "/b"), Ok(3));
    }

    /// SEC-12: readings that differ are refused where an entry is at stake, and pass where none is.
    #[test]
    fn readings_must_agree() {
        let with = routes(&[("/admin", &[])], PathCase::Sensitive);
        let without = routes(&[("/other", &[])], PathCase::Sensitive);
        for path in ["/static/..%2fadmin", "//admin", "/x/../admin", "/admin;a=b", "/%61dmin"] {
            assert_eq!(find(&with, &Method::GET, path), Err(Ambiguous), "{path}");
            assert_eq!(find(&without, &Method::GET, path), Ok(0), "{path}");
        }
        assert_eq!(find(&with, &Method::GET, "/admin/"), Ok(1));
    }

    #[test]
    fn letters_are_folded_when_asked() {
        let routes = routes(&[("/Api/{id}", &[])], PathCase::Insensitive);
        assert_eq!(find(&routes, &Method::GET, "/aPI/X"), Ok(1));
    }
}
