//! `data.metadata`: what an event says beyond what all of its kind say. Pure.

use crate::members::Members;
use crate::redact::{Omitted, Redactor};
use http::Method;
use serde_json::Value;
use vestibule_chain::canonical;
use vestibule_plugin::RequestHead;

/// Room for what is usually told of a request.
const USUAL: usize = 160;

/// A canonical JSON object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Metadata(Vec<u8>);

impl Default for Metadata {
    fn default() -> Self {
        Self(b"{}".to_vec())
    }
}

impl From<Value> for Metadata {
    fn from(members: Value) -> Self {
        let mut written = Vec::new();
        canonical::value(&mut written, &members);
        Self(written)
    }
}

impl Metadata {
    /// The object.
    pub(crate) fn json(&self) -> &[u8] {
        &self.0
    }
}

/// What was asked, as far as it may be kept. Written before an event needs it, since a head does not stay.
pub(crate) struct Asked {
    method: Method,
    /// `None` where the target has no query.
    query: Option<Vec<u8>>,
    headers: Vec<u8>,
}

/// What is told of a request beside what was asked.
#[derive(Default)]
pub(crate) struct Told<'a> {
    pub(crate) body: Body,
    pub(crate) denied_by: Option<&'static str>,
    pub(crate) problem: Option<&'a str>,
    pub(crate) idempotency: Option<&'a str>,
}

/// What is told of a body.
#[derive(Default)]
pub(crate) enum Body {
    /// There is none, or it has not come yet.
    #[default]
    Absent,
    /// It is not told.
    Omitted(Omitted),
    /// Redacted.
    Kept(Value),
}

impl Asked {
    /// Of a request.
    pub(crate) fn new(redactor: &Redactor, request: &RequestHead<'_>) -> Self {
        let query = request.target.split_once('?').map(|(_, query)| redactor.query(query));
        Self { method: request.method.clone(), query, headers: redactor.headers(&*request.fields) }
    }

    /// With what came of it.
    pub(crate) fn metadata(&self, told: &Told<'_>) -> Metadata {
        let mut written = Vec::with_capacity(USUAL);
        let mut members = Members::new(&mut written);
        match &told.body {
            Body::Absent => {}
            Body::Omitted(why) => {
                members.json("body", b"null");
                members.plain("body_omitted", why.as_str());
            }
            Body::Kept(body) => members.with("body", |out| canonical::value(out, body)),
        }
        if let Some(by) = told.denied_by {
            members.text("denied_by", by);
        }
        members.json("headers", &self.headers);
        if let Some(outcome) = told.idempotency {
            members.text("idempotency", outcome);
        }
        members.text("method", self.method.as_str());
        if let Some(problem) = told.problem {
            members.text("problem", problem);
        }
        if let Some(query) = &self.query {
            members.json("query", query);
        }
        members.end();
        Metadata(written)
    }
}
