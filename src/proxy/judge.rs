//! The edge's verdict on a request head, and the route it finds on the way.

use crate::edge::connection_options::{self, BadOption};
use crate::edge::threats::Threat;
use crate::edge::{path, rules};
use crate::exchange::Request;
use crate::pipeline::Pipeline;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use pingora::http::RequestHeader;
use vestibule_plugin::{Problem, RouteId};

/// What the edge found wrong; answered once the plugins that watch have seen the request.
pub struct Refusal {
    /// Counted under this kind.
    pub threat: Option<Threat>,
    /// Told to the client.
    pub problem: Problem,
}

/// The edge rules, in the order in which they count.
pub fn judge(pipeline: &Pipeline, request: &mut Request, head: &mut RequestHeader) -> Result<RouteId, Box<Refusal>> {
    let refuse = |threat, problem| Box::new(Refusal { threat, problem });
    let bad_request = |slug, title, detail: String| Problem::new(slug, StatusCode::BAD_REQUEST, title).detail(detail);
    let host_ok = match request.version {
        Version::HTTP_10 | Version::HTTP_2 => request.authority.as_ref().is_none_or(|a| rules::is_host(a.as_bytes())),
        _ => rules::names_one_host(&head.headers),
    };
    // The guard counts those of HTTP/1, the protocol itself the bytes of HTTP/2.
    if head.headers.len() > rules::MAX_FIELDS {
        let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let problem = Problem::new("header-too-large", too_large, "Request header fields too large")
            .detail(format!("a request head may have {} fields", rules::MAX_FIELDS));
        return Err(refuse(Some(Threat::HeaderSize), problem));
    }
    if !host_ok {
        let problem = bad_request("bad-host", "Bad host", "send exactly one Host field, a name or an address".into());
        return Err(refuse(Some(Threat::BadHost), problem));
    }
    if !pipeline.settings.server.methods.contains(&request.method) {
        let allowed = pipeline.settings.server.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let mut problem = Problem::new("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            .detail(format!("this service takes {allowed}"));
        if let Ok(allow) = HeaderValue::from_str(&allowed) {
            problem = problem.field(header::ALLOW, allow);
        }
        return Err(refuse(Some(Threat::Method), problem));
    }
    if request.expects_continue
        && !head.headers.get_all(header::EXPECT).iter().all(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        let problem = Problem::new("expectation-failed", StatusCode::EXPECTATION_FAILED, "Expectation failed")
            .detail("the only expectation that can be met is 100-continue");
        return Err(refuse(None, problem));
    }
    if head.headers.contains_key(header::CONNECTION) {
        let named = connection_options::nominated(&head.headers, &pipeline.protected).map_err(|bad| match bad {
            BadOption::NotAToken => {
                refuse(Some(Threat::Framing), bad_request("bad-request", "Bad request", bad.to_string()))
            }
            BadOption::Protected(_) | BadOption::Pseudo | BadOption::TooMany => refuse(
                Some(Threat::ConnectionNomination),
                bad_request("connection-nomination", "Bad connection option", bad.to_string()),
            ),
        })?;
        for name in named {
            head.remove_header(&name);
        }
    }
    if pipeline.via.as_ref().is_some_and(|via| via.is_loop(&head.headers)) {
        let problem = Problem::new("loop", StatusCode::LOOP_DETECTED, "Loop detected")
            .detail("the request has passed this proxy eight times: an upstream points back at it");
        return Err(refuse(None, problem));
    }
    let bad_target = |detail: String| refuse(Some(Threat::BadTarget), bad_request("bad-target", "Bad target", detail));
    if request.target == "*" {
        return if request.method == Method::OPTIONS {
            Ok(RouteId::UNMATCHED)
        } else {
            Err(bad_target("`*` is a target for OPTIONS only".into()))
        };
    }
    if head.version != Version::HTTP_2 && !head.raw_path().starts_with(b"/") {
        return Err(bad_target("the target is neither a path nor an http or https URL".into()));
    }
    let readings = path::read(request.sent_path()).map_err(|why| bad_target(why.to_string()))?;
    let route = pipeline.routes.find(&request.method, &readings).map_err(|_| {
        let mut ways = vec![readings.sent, &readings.normal, &readings.decoded];
        ways.dedup();
        bad_target(format!("the path can be read as `{}`, which are different routes", ways.join("` or `")))
    })?;
    let normal = (readings.normal != readings.sent).then(|| readings.normal.clone().into_owned());
    request.normal_path = normal;
    Ok(route)
}
