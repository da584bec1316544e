//! What was asked, as the edge read it.

use super::Provenance;
use crate::downstream::refused::Unread;
use http::{HeaderValue, Method, Version};

/// The request head as the edge read it.
#[derive(Clone, Debug)]
pub struct Request {
    /// One of the configured methods, unless the edge refused it.
    pub method: Method,
    /// Path and query in origin-form, percent-encoded, or `*`.
    pub target: String,
    /// The normalised path where it differs from the one sent.
    pub normal_path: Option<String>,
    /// `Host` or `:authority`.
    pub authority: Option<HeaderValue>,
    /// As the client sees it.
    pub scheme: &'static str,
    /// Between client and proxy.
    pub version: Version,
    /// Declared length; 0 without a body, `None` when it is not declared.
    pub body_length: Option<u64>,
    /// `content-type: application/grpc*`
    pub is_grpc: bool,
    /// A WebSocket handshake that this route lets through.
    pub upgrade: bool,
    /// `Expect: 100-continue`
    pub expects_continue: bool,
    /// The client can be given trailers: over HTTP/2, or as it says (RFC 9110 section 10.1.4).
    pub takes_trailers: bool,
    /// For the access line.
    pub user_agent: Option<HeaderValue>,
    /// The head was refused before it became a request; what of it could not be read.
    pub unread: Option<Unread>,
    /// Where it came from; set once the edge has found the client.
    pub provenance: Option<Provenance>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: String::new(),
            normal_path: None,
            authority: None,
            scheme: "http",
            version: Version::HTTP_11,
            body_length: Some(0),
            is_grpc: false,
            upgrade: false,
            expects_continue: false,
            takes_trailers: false,
            user_agent: None,
            unread: None,
            provenance: None,
        }
    }
}

impl Request {
    /// The normalised path without query.
    pub fn path(&self) -> &str {
        self.normal_path.as_deref().unwrap_or_else(|| self.sent_path())
    }

    /// The path as sent, without query.
    pub fn sent_path(&self) -> &str {
        // Asked for once for each plugin, of targets that are short: a search of the library costs more than the bytes.
        let end = self.target.bytes().position(|byte| byte == b'?').unwrap_or(self.target.len());
        &self.target[..end]
    }

    /// The authority as text; empty when there is none.
    pub fn authority_text(&self) -> &str {
        self.authority.as_ref().and_then(|a| a.to_str().ok()).unwrap_or("")
    }
}
