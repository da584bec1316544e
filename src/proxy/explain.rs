//! What would become of a request, without anything becoming of it.

use super::judge::{Refusal, judge, refuse_target};
use super::provenance;
use super::request;
use crate::downstream::Head;
use crate::edge::target::{self, BadTarget};
use crate::pipeline::Pipeline;
use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use std::net::{IpAddr, Ipv4Addr};
use vestibule_plugin::{Facts, RouteId, TraceContext};

/// The peer that is meant.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What a plugin says that would answer the request itself.
const ANSWERED: &str = "would answer ";
/// Width of the column of names.
const NAMES: usize = 12;

/// Says which route, client, tier and policies apply and what each plugin would do, in order. The peer is 127.0.0.1, and
/// is believed when it forwards for others.
pub fn explain(
    pipeline: &Pipeline,
    method: &Method,
    target: &str,
    fields: Vec<(HeaderName, HeaderValue)>,
) -> Result<String, String> {
    let mut head = Head::new(method.clone(), target.to_owned());
    if !fields.iter().any(|(name, _)| name == header::HOST) {
        head.fields.set(header::HOST, HeaderValue::from_static("localhost"));
    }
    for (name, value) in fields {
        head.fields.append(name, value);
    }
    let tls = pipeline.settings.server.tls.is_some();
    if let Err(bad) = settle(&mut head, tls) {
        return Ok(refused(&refuse_target(bad)));
    }

    let mut request = request::read(&head, tls, true);
    let route = match judge(pipeline, &mut request, &mut head) {
        Ok(route) => route,
        Err(refusal) => return Ok(refused(&refusal)),
    };

    let mut trust = pipeline.trust.clone();
    trust.proxies.push(PEER.into());
    if let Some(scheme) = trust.scheme(&head.fields) {
        request.scheme = scheme;
    }
    let origin = trust.origin(PEER, &head.fields);
    let client = trust.key(origin.client);
    let found = provenance::Found { client: origin.client, scheme: request.scheme };
    let forged = provenance::remove_forwarding(&mut head, Some(found), &pipeline.guarded).spoofed;
    let mut facts = Facts::new(route, client, TraceContext { trace_id: 1, span_id: 1, flags: 0 });

    let named = match route {
        RouteId::UNMATCHED => "unmatched: no entry of [[routes]]".to_owned(),
        route => match pipeline.owner(route) {
            Some(owner) => format!("{}: served by [{owner}]", pipeline.route_name(route)),
            None => pipeline.route_name(route).to_owned(),
        },
    };
    let mut said = row("route", &named);
    said.push_str(&row("client", &client.to_string()));
    if forged {
        said.push_str(&row("edge", "removes fields that only the proxy says"));
    }
    let request = request.head(&mut head.fields);
    for built in pipeline.plugins.iter().filter(|built| pipeline.concerns(built, route)) {
        let text = built.plugin.explain(&request, route, &mut facts);
        said.push_str(&row(built.name, text.as_deref().unwrap_or("takes no part")));
        // Nobody further inside would see the request.
        if text.is_some_and(|text| text.contains(ANSWERED)) {
            return Ok(said);
        }
    }
    if pipeline.owner(route).is_none() {
        said.push_str(&row("upstream", &pipeline.upstream(route).authority()));
    }
    Ok(said)
}

/// Brings the target into origin-form, as whoever reads a head from a connection does.
fn settle(head: &mut Head, tls: bool) -> Result<(), BadTarget> {
    let hosts = head.fields.lines(header::HOST);
    let settled = target::settle(head.method.as_str().as_bytes(), &head.target, head.version, tls, hosts)?;
    head.target = settled.into_owned().into();
    Ok(())
}

/// Tells what the edge answers.
fn refused(refusal: &Refusal) -> String {
    let problem = &refusal.problem;
    row("edge", &format!("would answer {} {}: {}", problem.status.as_u16(), problem.slug, problem.detail))
}

/// A name and what stands beside it; further lines are indented.
fn row(name: &str, text: &str) -> String {
    let mut lines = text.lines();
    let mut row = format!("{name:NAMES$} {}\n", lines.next().unwrap_or_default());
    for line in lines {
        row.push_str(&format!("  {line}\n"));
    }
    row
}
