//! The edge's verdict on a request head, and the route it finds on the way.

use super::refused_head;
use crate::downstream::Head;
use crate::downstream::refused::Why;
use crate::edge::connection_options::{self, BadOption};
use crate::edge::target::{self, BadTarget};
use crate::edge::threats::Threat;
use crate::edge::{methods, path, rules};
use crate::exchange::Request;
use crate::pipeline::Pipeline;
use http::header::{self, HeaderValue};
use http::uri::Scheme;
use http::{StatusCode, Version};
use vestibule_http1::RequestFault;
use vestibule_plugin::{Problem, RouteId, list};

/// What the edge found wrong; answered once the plugins that watch have seen the request.
pub struct Refusal {
    /// Counted under this kind.
    pub threat: Option<Threat>,
    /// Told to the client.
    pub problem: Problem,
}

/// The edge rules, in the order in which they count. Whoever read a head of HTTP/1 has settled its target
/// ([`target::settle`]).
pub fn judge(pipeline: &Pipeline, request: &mut Request, head: &mut Head) -> Result<RouteId, Box<Refusal>> {
    // The reader counts those of HTTP/1, the protocol itself the bytes of HTTP/2.
    if head.fields.len() > rules::MAX_FIELDS {
        let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let problem = Problem::new("header-too-large", too_large, "Request header fields too large")
            .detail(format!("a request head may have {} fields", rules::MAX_FIELDS));
        return Err(refuse(Some(Threat::HeaderSize), problem));
    }
    if head.version == Version::HTTP_2 && head.fields.iter().any(|(name, _)| is_framing_twin(name)) {
        // HTTP/1 is refused by whoever read it.
        let why = Why::Fault(RequestFault::UnderscoreTwin);
        return Err(refuse(Some(why.threat()), refused_head::problem(why)));
    }
    let target = match head.version {
        Version::HTTP_2 => http2_target(request, head),
        // Whoever read the head has seen to it.
        _ => Ok(()),
    };
    if let Err(bad @ BadTarget::Host) = target {
        return Err(refuse_target(bad));
    }

    check_method(pipeline, request)?;
    check_expectation(request, head)?;
    remove_nominated(pipeline, head)?;
    if pipeline.via.as_ref().is_some_and(|via| via.is_loop(&head.fields)) {
        let problem = Problem::new("loop", StatusCode::LOOP_DETECTED, "Loop detected")
            .detail("the request has passed this proxy eight times: an upstream points back at it");
        return Err(refuse(None, problem));
    }

    target.map_err(refuse_target)?;
    if request.target == "*" {
        return Ok(RouteId::UNMATCHED);
    }
    find_route(pipeline, request)
}

/// Whether the name spells a framing field with `_`.
fn is_framing_twin(name: &[u8]) -> bool {
    name.contains(&b'_') && vestibule_http1::is_framing_twin(name)
}

/// Whether `:authority`, Host and path of HTTP/2 go together (RFC 9113 section 8.3.1).
fn http2_target(request: &Request, head: &Head) -> Result<(), BadTarget> {
    let fields = head.fields.lines(header::HOST);
    let is_known = |scheme: &Scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme);
    if !head.scheme.as_ref().is_none_or(is_known) {
        return Err(BadTarget::Form);
    }
    let pseudo = head.authority.as_ref().map(|authority| authority.as_str().as_bytes());
    target::settle_http2(&request.method, &request.target, request.scheme, pseudo, fields)
}

fn refuse(threat: Option<Threat>, problem: Problem) -> Box<Refusal> {
    Box::new(Refusal { threat, problem })
}

fn bad_request(slug: &'static str, title: &'static str, detail: String) -> Problem {
    Problem::new(slug, StatusCode::BAD_REQUEST, title).detail(detail)
}

/// The refusal of a target, or of the Host beside it.
pub fn refuse_target(bad: BadTarget) -> Box<Refusal> {
    let why = Why::Target(bad);
    refuse(Some(why.threat()), refused_head::problem(why))
}

fn bad_target(detail: String) -> Box<Refusal> {
    refuse(Some(Threat::BadTarget), bad_request("bad-target", "Bad target", detail))
}

fn check_method(pipeline: &Pipeline, request: &Request) -> Result<(), Box<Refusal>> {
    let configured = &pipeline.settings.server.methods;
    if methods::is_served(&request.method, configured) {
        return Ok(());
    }
    let allowed = methods::allowed(configured);
    let mut problem = Problem::new("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
        .detail(format!("this service takes {allowed}"));
    if let Ok(allow) = HeaderValue::from_str(&allowed) {
        problem = problem.field(header::ALLOW, allow);
    }
    Err(refuse(Some(Threat::Method), problem))
}

fn check_expectation(request: &Request, head: &Head) -> Result<(), Box<Refusal>> {
    // An empty line is no expectation that can be met either: some servers refuse it, others do not look.
    let is_known = |line: &[u8]| {
        let mut members = list::members_of_line(line).peekable();
        members.peek().is_some() && members.all(|expected| expected.eq_ignore_ascii_case(b"100-continue"))
    };
    if !request.expects_continue || head.fields.lines(header::EXPECT).all(is_known) {
        return Ok(());
    }
    let problem = Problem::new("expectation-failed", StatusCode::EXPECTATION_FAILED, "Expectation failed")
        .detail("the only expectation that can be met is 100-continue");
    Err(refuse(None, problem))
}

/// Removes the fields that Connection names.
fn remove_nominated(pipeline: &Pipeline, head: &mut Head) -> Result<(), Box<Refusal>> {
    if !head.fields.has(header::CONNECTION) {
        return Ok(());
    }
    let named = connection_options::nominated(&head.fields, &pipeline.protected).map_err(|bad| match bad {
        BadOption::NotAToken => {
            refuse(Some(Threat::Framing), bad_request("bad-request", "Bad request", bad.to_string()))
        }
        BadOption::Protected(_) | BadOption::Pseudo | BadOption::TooMany => refuse(
            Some(Threat::ConnectionNomination),
            bad_request("connection-nomination", "Bad connection option", bad.to_string()),
        ),
    })?;
    for name in named {
        head.fields.remove(&name);
    }
    Ok(())
}

/// The route on which all readings of the path agree.
fn find_route(pipeline: &Pipeline, request: &mut Request) -> Result<RouteId, Box<Refusal>> {
    let readings = path::read(request.sent_path()).map_err(|why| bad_target(why.to_string()))?;
    let route = pipeline.routes.find(&request.method, &readings).map_err(|ambiguous| {
        let mut ways = vec![readings.sent, &readings.normal, &readings.decoded];
        ways.dedup();
        let ways = ways.join("` or `");
        let culprit = path::oddity(readings.sent).map(|odd| format!(" because of {odd}")).unwrap_or_default();
        let detail = format!("the path can be read as `{ways}`{culprit}, which are different routes");
        let mut met = ambiguous.routes.map(|route| pipeline.route_name(route)).to_vec();
        met.dedup();
        let met = met.join(", ");
        let problem = bad_request("bad-target", "Bad target", detail);
        let problem = problem.caused_by(format_args!("its readings meet the routes {met}")).reason(met);
        refuse(Some(Threat::BadTarget), problem)
    })?;
    let normal = (readings.normal != readings.sent).then(|| readings.normal.clone().into_owned());
    request.normal_path = normal;
    Ok(route)
}
