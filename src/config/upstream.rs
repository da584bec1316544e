//! `[upstream]`: where the application is and how long it may take.

use crate::config::report::Report;
use crate::config::section::Section;
use crate::config::settings::{Protocol, Target, Upstream};
use crate::config::tls;
use crate::config::url::{self, BadUrl};
use rustls::pki_types::DnsName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;
use vestibule_plugin::units::Span;

/// Keys that a route cannot override: one pool serves all targets.
pub(super) const HOST_WIDE: [&str; 1] = ["idle_connections"];

/// Where the application is and how long it may take.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UpstreamFile {
    /// http://, https://, h2c:// with host and port, or unix:/path.sock.
    url: String,
    /// To connect, TLS included.
    connect_timeout: Span,
    /// For each read of a response.
    read_timeout: Span,
    /// For each write of a request.
    write_timeout: Span,
    /// Idle connections kept, over all targets.
    #[schemars(range(max = 65536))]
    idle_connections: u32,
    /// PEM file of the CAs to trust instead of the built-in ones, e.g. a private one.
    ca_file: String,
    /// Name the certificate must carry; default: the host of `url`. Needed when https names an IP address.
    server_name: String,
    /// Path that is probed every `health_interval`, e.g. "/health"; "" probes nothing. /readyz follows it.
    health_path: String,
    /// How often `health_path` is probed.
    health_interval: Span,
}

impl Default for UpstreamFile {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            url: "http://127.0.0.1:8000".to_owned(),
            connect_timeout: seconds(2),
            read_timeout: seconds(60),
            write_timeout: seconds(60),
            idle_connections: 128,
            ca_file: String::new(),
            server_name: String::new(),
            health_path: String::new(),
            health_interval: seconds(5),
        }
    }
}

/// A deadline below this would fail every request.
const LEAST_TIMEOUT: Duration = Duration::from_millis(10);
/// Probes closer together are load, not news.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

impl UpstreamFile {
    /// The settings; what is wrong goes into `report` and a usable value in its place.
    pub(super) fn settle(&self, section: &Section<'_>, report: &mut Report<'_>) -> Upstream {
        let target = url::target(&self.url).unwrap_or_else(|BadUrl { message, label }| {
            report.error(&section.place(&["url"]), message, label);
            Target::Tcp { host: "127.0.0.1".to_owned(), port: 8000, protocol: Protocol::Http }
        });
        let server_name = self.server_name(&target, section, report);
        let mut duration = |key, value, floor| section.duration(key, value, floor, report);
        Upstream {
            connect_timeout: duration("connect_timeout", self.connect_timeout, LEAST_TIMEOUT),
            read_timeout: duration("read_timeout", self.read_timeout, LEAST_TIMEOUT),
            write_timeout: duration("write_timeout", self.write_timeout, LEAST_TIMEOUT),
            health_interval: duration("health_interval", self.health_interval, LEAST_INTERVAL),
            idle_connections: usize::try_from(self.idle_connections).unwrap_or(usize::MAX),
            authorities: match self.ca_file.as_str() {
                "" => None,
                path => tls::authorities(path, &section.place(&["ca_file"]), report),
            },
            health_path: self.health_path(section, report),
            url: self.url.clone(),
            target,
            server_name,
        }
    }

    /// The name that the certificate must carry. An empty or numeric one would not be sent and not be verified.
    fn server_name(&self, target: &Target, section: &Section<'_>, report: &mut Report<'_>) -> String {
        let written = !self.server_name.is_empty();
        let tls = matches!(target, Target::Tcp { protocol: Protocol::Https, .. });
        if written && !tls && section.sound(&["url"]) && url::target(&self.url).is_ok() {
            let label = "only an https upstream has a certificate; remove it, or write `https://`";
            report.error(&section.place(&["server_name"]), "`server_name` is never verified", label);
        }
        let Target::Tcp { host, protocol, .. } = target else { return self.server_name.clone() };
        let name = if written { &self.server_name } else { host };
        let key = if written { "server_name" } else { "url" };
        if *protocol == Protocol::Https && section.sound(&["server_name"]) {
            if name.parse::<IpAddr>().is_ok() {
                let message = if written {
                    "`server_name` cannot be an IP address"
                } else {
                    "an https upstream given as an IP address needs `server_name`"
                };
                report.error(&section.place(&[key]), message, "set `server_name` to the DNS name in its certificate");
            } else if DnsName::try_from(name.as_str()).is_err() {
                let label = "expected a DNS name, the one in the certificate";
                report.error(&section.place(&[key]), format!("`{name}` cannot be verified"), label);
            }
        }
        name.clone()
    }

    fn health_path(&self, section: &Section<'_>, report: &mut Report<'_>) -> Option<String> {
        if self.health_path.is_empty() {
            return None;
        }
        let is_path = self.health_path.starts_with('/') && !self.health_path.contains('#');
        if !is_path || self.health_path.parse::<http::uri::PathAndQuery>().is_err() {
            let label = "expected a path such as \"/health\", or \"\" to probe nothing";
            report.error(&section.place(&["health_path"]), "`health_path` is no path", label);
        }
        Some(self.health_path.clone())
    }
}
