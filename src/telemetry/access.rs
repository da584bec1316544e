//! The access line: one a request, when it has ended.

use super::line::Line;
use crate::config::settings::LogClient;
use crate::downstream::refused::Unread;
use http::{HeaderValue, Version};
use std::borrow::Cow;
use std::time::Duration;
use vestibule_plugin::{AccessLine, End, Facts, Field};

/// Longest path written.
const MAX_PATH: usize = 512;
/// Longest user agent written.
const MAX_USER_AGENT: usize = 200;

/// What an access line is made of.
pub struct Access<'a> {
    /// How it ended.
    pub end: &'a End<'a>,
    /// What was known.
    pub facts: &'a Facts,
    /// What plugins add.
    pub line: &'a AccessLine,
    /// Name of the route.
    pub route: &'a str,
    /// Normalised path without query.
    pub path: Cow<'a, str>,
    /// Whether the client spoke TLS.
    pub tls: bool,
    /// Time spent on upstream attempts.
    pub upstream: Duration,
    /// What could not be read of a refused head.
    pub unread: Unread,
    /// Who sent it; `None`: the line leaves that out.
    pub sender: Option<Sender<'a>>,
    /// The configuration that served it.
    pub generation: u64,
}

/// What a line tells of who sent the request.
pub struct Sender<'a> {
    /// As sent.
    pub user_agent: Option<&'a HeaderValue>,
    /// How the address is shown.
    pub client: LogClient,
}

impl Access<'_> {
    /// Writes the fields behind the usual four.
    pub fn write(&self, line: &mut Line, client: Option<&str>, subject: Option<&str>) {
        let (end, trace) = (self.end, self.facts.trace());
        line.hex("trace_id", trace.trace_id, 32);
        line.hex("span_id", trace.span_id.into(), 16);
        line.hex("trace_flags", trace.flags.into(), 2);
        line.text("route", self.route);
        match self.unread.method {
            true => line.null("method"),
            false => line.text("method", end.method.as_str()),
        }
        match self.unread.target {
            true => line.null("path"),
            false => line.text_cut("path", &self.path, MAX_PATH),
        }

        match end.status {
            Some(status) => line.number("status", status.as_u16().into()),
            // People need to see that none left.
            None => line.plain("status", "null"),
        }

        match self.unread.version {
            true => line.null("protocol"),
            false => line.text("protocol", protocol(end.version)),
        }

        line.flag("tls", self.tls);
        line.millis("duration_ms", end.duration);
        match end.first_byte {
            Some(first_byte) => line.millis("first_byte_ms", first_byte),
            None => line.null("first_byte_ms"),
        }
        line.millis("upstream_ms", self.upstream);

        line.number("attempts", end.attempts.len() as u64);
        line.number("request_bytes", end.request_bytes);
        line.number("response_bytes", end.response_bytes);

        if let Some(client) = client {
            line.text("client", client);
        }
        match (subject, self.facts.principal().and_then(|principal| principal.api_key.as_deref())) {
            (Some(hidden), _) => line.text("subject", hidden),
            (None, Some(id)) => line.text("subject", id),
            (None, None) => line.null("subject"),
        }
        match self.facts.tier() {
            Some(tier) => line.text("tier", tier),
            None => line.null("tier"),
        }

        for (name, field) in self.line.fields() {
            match field {
                Field::Text(text) => line.text(name, text),
                Field::Parts(parts) => line.parts(name, parts.iter().map(|(part, value)| (*part, value.as_ref()))),
            }
        }

        line.text("answered_by", end.answered_by.as_str());
        match end.problem {
            Some(problem) => line.text("problem", problem),
            None => line.null("problem"),
        }
        line.text("end", end.ended.as_str());

        match self.sender.as_ref().map(|sender| sender.user_agent) {
            Some(Some(agent)) => {
                line.text_cut("user_agent", &String::from_utf8_lossy(agent.as_bytes()), MAX_USER_AGENT);
            }
            Some(None) => line.null("user_agent"),
            None => {}
        }

        line.number("generation", self.generation);
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
