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

/// Why an entry serves a method; an earlier reason wins over a later one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    /// It names the method.
    Named,
    /// It names GET, of which HEAD is half (RFC 9110 section 9.3.2): a rule for one that does not hold for the other
    /// would be walked around.
    HeadOfGet,
    /// It names none.
    Any,
}

impl Service {
    fn of(route: &Route, method: &Method) -> Option<Self> {
        if route.methods.contains(method) {
            Some(Self::Named)
        } else if *method == Method::HEAD && route.methods.contains(&Method::GET) {
            Some(Self::HeadOfGet)
        } else {
            route.methods.is_empty().then_some(Self::Any)
        }
    }
}

/// The readings of a path fall on different routes.
#[derive(Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// Those of the path as sent, normalised and decoded.
    pub routes: [RouteId; 3],
}

impl Routes {
    /// Builds the routers. The templates were checked when the configuration was loaded; one that a router still
    /// refuses is named in the error.
    pub fn new(routes: &[Route], methods: &[Method], path_case: PathCase) -> Result<Self, String> {
        let by_method = methods
            .iter()
            .map(|method| {
                let mut router = Router::new();
                // Of two entries with one template the first one stays: plugins' own, then those that name the method.
                let mut entries: Vec<(usize, &Route, Service)> = routes
                    .iter()
                    .enumerate()
                    .filter_map(|(index, route)| Some((index, route, Service::of(route, method)?)))
                    .collect();
                entries.sort_by_key(|(_, route, service)| (route.owner.is_none(), *service));
                for (index, route, _) in entries {
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
        let of =
            |reading: &str| if std::ptr::eq(reading, readings.sent) { found } else { self.lookup(router, reading) };
        let routes = [found, of(&readings.normal), of(&readings.decoded)];
        if routes == [found; 3] { Ok(found) } else { Err(Ambiguous { routes }) }
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

    fn route(path: &str) -> Route {
        Route {
            name: path.to_owned(),
            path: path.to_owned(),
            methods: Vec::new(),
            upgrade: false,
            upstream: None,
            owner: None,
        }
    }

    fn routes(entries: &[(&str, &[&str])], path_case: PathCase) -> Routes {
        let entries: Vec<Route> = entries
            .iter()
            .map(|(path, methods)| Route {
                methods: methods.iter().map(|m| m.parse().expect("method")).collect(),
                ..route(path)
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

    /// DI-09: HEAD is half of GET.
    #[test]
    fn an_entry_that_names_get_takes_head_unless_another_names_it() {
        let entries = [
            Route { methods: vec![Method::GET], ..route("/a") },
            route("/{*rest}"),
            Route { methods: vec![Method::GET], ..route("/b") },
            Route { methods: vec![Method::HEAD], ..route("/b") },
        ];
        let routes =
            Routes::new(&entries, &[Method::GET, Method::HEAD, Method::POST], PathCase::Sensitive).expect("routes");
        for (method, path, expected) in
            [(Method::HEAD, "/a", 1), (Method::POST, "/a", 2), (Method::GET, "/b", 3), (Method::HEAD, "/b", 4)]
        {
            assert_eq!(find(&routes, &method, path), Ok(expected), "{method} {path}");
        }
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
            assert!(find(&with, &Method::GET, path).is_err(), "{path}");
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
