//! What each admin path says.

use super::Admin;
use crate::config::settings::Settings;
use crate::pipeline::Pipeline;
use crate::upstream::Standing;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use vestibule_plugin::meter::{Format, negotiate};
use vestibule_plugin::{AdminCall, AdminReply, RouteId};

/// A response of the admin listener.
pub struct Page {
    /// Its status.
    pub status: StatusCode,
    /// Its media type.
    pub content_type: Option<&'static str>,
    /// Its body.
    pub body: String,
    /// Further fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

impl Page {
    fn new(status: StatusCode, content_type: &'static str, body: String) -> Self {
        Self { status, content_type: Some(content_type), body, fields: Vec::new() }
    }

    fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json", format!("{value}\n"))
    }

    /// A refusal with its reason.
    pub fn refusal(status: StatusCode, reason: &str) -> Self {
        let title = status.canonical_reason().unwrap_or("Refused");
        let kind = format!("urn:vestibule:problem:{}", slug(status));
        let problem = json!({ "type": kind, "title": title, "status": status.as_u16(), "detail": reason });
        Self::new(status, "application/problem+json", format!("{problem}\n"))
    }

    /// With a further field.
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// 405, with the methods that the path takes.
    fn wrong_method(allowed: &'static str) -> Self {
        Self::refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("this path takes {allowed}"))
            .field(header::ALLOW, HeaderValue::from_static(allowed))
    }
}

/// What kind of problem a refusal is; names that the proxy uses itself mean the same here.
fn slug(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad-request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "content-too-large",
        StatusCode::SERVICE_UNAVAILABLE => "store-unavailable",
        _ => "internal",
    }
}

/// Answers a request that the gate let through.
pub async fn serve(admin: &Admin, method: &Method, path: &str, query: &str, accept: Option<&str>) -> Page {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/reload" if *method == Method::POST => reload(admin).await,
        "/reload" => Page::wrong_method("POST"),
        "/livez" | "/readyz" | "/metrics" | "/status" | "/config" if !reads => Page::wrong_method("GET, HEAD"),
        "/livez" => Page::new(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".into()),
        "/readyz" => ready(admin),
        "/metrics" => metrics(admin, accept),
        "/status" => Page::json(StatusCode::OK, &status(admin)),
        "/config" => Page::new(StatusCode::OK, "application/toml", admin.host.pipeline().effective.clone()),
        _ => plugin(admin, method, path, query).await,
    }
}

fn ready(admin: &Admin) -> Page {
    let mut reasons = Vec::new();
    if admin.is_draining() {
        reasons.push("draining".to_owned());
    }
    let pipeline = admin.host.pipeline();
    for (route, upstream) in (0..).zip(pipeline.upstreams()) {
        let whose = match route {
            0 => "[upstream]".to_owned(),
            route => format!("route `{}`", pipeline.route_name(RouteId(route))),
        };
        let reason = match upstream.health.standing() {
            Standing::NotProbed | Standing::Up => continue,
            Standing::Unknown => format!("the upstream of {whose} has not been probed yet"),
            Standing::Down => format!("the upstream of {whose} does not answer its health path"),
        };
        // An upstream that several routes share is one reason.
        let seen = &pipeline.upstreams()[..usize::from(route)];
        if !seen.iter().any(|other| Arc::ptr_eq(other, upstream)) {
            reasons.push(reason);
        }
    }
    reasons.extend(pipeline.stores.standing().refused);
    reasons.extend(pipeline.plugins.iter().filter_map(|built| built.plugin.unready()).map(str::to_owned));
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Page::json(status, &json!({ "ready": reasons.is_empty(), "reasons": reasons }))
}

fn metrics(admin: &Admin, accept: Option<&str>) -> Page {
    if !admin.host.meter.enabled() {
        return Page::refusal(StatusCode::NOT_FOUND, "metrics are off: [metrics] enabled = false");
    }
    let format: Format = negotiate(accept);
    Page::new(StatusCode::OK, format.content_type(), admin.host.meter.encode(format))
}

fn status(admin: &Admin) -> Value {
    let host = &admin.host;
    let pipeline = host.pipeline();
    let store = pipeline.stores.standing();
    let names: Vec<&str> = pipeline.plugins.iter().map(|built| built.name).collect();
    let mut status = json!({
        "version": crate::build::VERSION,
        "revision": crate::build::REVISION,
        "uptime_seconds": host.started.elapsed().as_secs(),
        "generation": pipeline.number(),
        "config_hash": pipeline.hash,
        "draining": admin.is_draining(),
        "plugins": names,
        "store": { "kind": store.kind, "up": store.up, "breaker": store.breaker.as_str() },
        "upstream": { "url": upstream_url(&pipeline.settings), "up": default_upstream_up(&pipeline) },
        "fleet": { "proxies": pipeline.stores.proxies(), "strangers": pipeline.stores.strangers() },
    });
    for built in &pipeline.plugins {
        if let Some(own) = built.plugin.status() {
            status[built.name] = own;
        }
    }
    status
}

fn upstream_url(settings: &Settings) -> &str {
    &settings.upstream.url
}

fn default_upstream_up(pipeline: &Pipeline) -> Option<bool> {
    match pipeline.upstreams()[0].health.standing() {
        Standing::Up => Some(true),
        Standing::Down => Some(false),
        Standing::Unknown | Standing::NotProbed => None,
    }
}

async fn reload(admin: &Admin) -> Page {
    match admin.reloader.reload().await {
        Ok(generation) => Page::json(StatusCode::OK, &json!({ "generation": generation })),
        Err(errors) => {
            let generation = admin.host.pipeline().number();
            let body = json!({ "generation": generation, "errors": errors.errors().collect::<Vec<_>>() });
            Page::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
        }
    }
}

/// The template of a path, for those who account for what was asked: no policy, key or principal stands in it.
pub fn template(pipeline: &Pipeline, path: &str) -> String {
    const OWN: [&str; 6] = ["/livez", "/readyz", "/metrics", "/status", "/config", "/reload"];
    if OWN.contains(&path) {
        return path.to_owned();
    }
    let below = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let found = below.and_then(|(folder, below)| {
        let built = pipeline.plugins.iter().find(|built| built.name.replace('_', "-") == folder)?;
        let alike = |template: &&&str| template.split('/').count() == below.split('/').count();
        built.plugin.admin_paths().iter().find(alike).map(|template| format!("/{folder}/{template}"))
    });
    found.unwrap_or_else(|| "/{unknown}".to_owned())
}

/// A path below a plugin's own: `/rate-limit/…`.
async fn plugin(admin: &Admin, method: &Method, path: &str, query: &str) -> Page {
    let not_found = || Page::refusal(StatusCode::NOT_FOUND, "no such path");
    let mut segments = path.trim_start_matches('/').split('/');
    let Some(folder) = segments.next() else { return not_found() };
    let pipeline = admin.host.pipeline();
    let Some(built) = pipeline.plugins.iter().find(|built| built.name.replace('_', "-") == folder) else {
        return not_found();
    };
    let decoded: Option<Vec<String>> = segments.map(percent_decode).collect();
    let Some(segments) = decoded else {
        return Page::refusal(StatusCode::BAD_REQUEST, "a `%` is not followed by two hexadecimal digits of UTF-8 text");
    };
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let call = AdminCall { method, segments: &segments, query };
    let Some(reply) = built.plugin.admin(&call) else { return not_found() };
    match reply.get().await {
        AdminReply::Json(value) => Page::json(StatusCode::OK, &value),
        AdminReply::Done => {
            Page { status: StatusCode::NO_CONTENT, content_type: None, body: String::new(), fields: vec![] }
        }
        AdminReply::NotFound(why) => Page::refusal(StatusCode::NOT_FOUND, &why),
        AdminReply::BadRequest(why) => Page::refusal(StatusCode::BAD_REQUEST, &why),
        AdminReply::Conflict(why) => Page::refusal(StatusCode::CONFLICT, &why),
        AdminReply::MethodNotAllowed(allowed) => Page::wrong_method(allowed),
        AdminReply::Unavailable(why) => Page::refusal(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

fn percent_decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
            bytes.push(u8::try_from(digit(0)? << 4 | digit(1)?).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(percent_decode("addr%3D127.0.0.1"), Some("addr=127.0.0.1".into()));
        assert_eq!(percent_decode("a%252F"), Some("a%2F".into()));
        assert_eq!(percent_decode("%"), None);
        assert_eq!(percent_decode("%+f"), None);
        assert_eq!(percent_decode("%ff"), None);
    }
}
