//! What the keys of the tables mean, one by one and together.

use crate::algorithm::Algorithm;
use crate::config::{Config, Mode, Route};
use crate::door::Door;
use http::{HeaderName, Uri};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use vestibule_plugin::units::{Rate, Span};
use vestibule_plugin::{BuildErrors, KeyPath, Routes};
use vestibule_store::quotas::{self, Limit, OnStoreError, Sharing, Terms};

/// Most leeway.
const MAX_LEEWAY: Span = Span(Duration::from_secs(300));
/// Bounds of what takes its time.
const TIMES: (Span, Span) = (Span(Duration::from_millis(100)), Span(Duration::from_secs(30 * 24 * 3600)));
/// Longest fetch.
const MAX_TIMEOUT: Span = Span(Duration::from_secs(60));
/// Most tokens that may be remembered; bytes are bounded as well.
const MAX_REMEMBERED: usize = 1_000_000;
/// Name of the limit on bad credentials.
pub(crate) const FAILURES: &str = "auth-failures";

pub(super) fn algorithms(config: &Config, errors: &mut BuildErrors) -> Vec<Algorithm> {
    let expected = || format!("expected {}", Algorithm::ALL.map(Algorithm::name).join(", "));
    if config.algorithms.is_empty() {
        errors.error(KeyPath::table(["algorithms"]), "`algorithms` is empty", expected());
    }
    let mut known = Vec::new();
    for (place, name) in config.algorithms.iter().enumerate() {
        match Algorithm::of(name) {
            Some(algorithm) => known.push(algorithm),
            None => errors.error(
                KeyPath::table(["algorithms", &place.to_string()]),
                format!("unknown algorithm `{name}`"),
                expected(),
            ),
        }
    }
    if known.contains(&Algorithm::Hs256) && known.len() > 1 {
        errors.error(
            KeyPath::table(["algorithms"]),
            "HS256 stands beside other algorithms",
            "a public key must never serve as a secret; expected [\"HS256\"] alone, or none of it",
        );
    }
    known
}

pub(super) fn check_times(config: &Config, errors: &mut BuildErrors) {
    let times = [
        ("jwks_refresh", config.jwks_refresh, TIMES.1),
        ("jwks_cooldown", config.jwks_cooldown, TIMES.1),
        ("jwks_timeout", config.jwks_timeout, MAX_TIMEOUT),
        ("jwks_max_stale", config.jwks_max_stale, TIMES.1),
    ];
    for (key, time, most) in times {
        if time < TIMES.0 || time > most {
            let label = format!("expected {} to {most}", TIMES.0);
            errors.error(KeyPath::table([key]), format!("`{key}` cannot be {time}"), label);
        }
    }
    if config.leeway > MAX_LEEWAY {
        let label = format!("expected at most {MAX_LEEWAY}: clocks that are further apart want mending");
        errors.error(KeyPath::table(["leeway"]), format!("`leeway` cannot be {}", config.leeway), label);
    }
    if config.token_cache > MAX_REMEMBERED {
        let label = format!("expected at most {MAX_REMEMBERED}");
        errors.error(KeyPath::table(["token_cache"]), format!("`token_cache` cannot be {}", config.token_cache), label);
    }
}

/// Claims and the fields that tell them.
pub(super) fn told(config: &Config, errors: &mut BuildErrors) -> Vec<(String, HeaderName)> {
    let mut told = Vec::new();
    let mut taken: BTreeMap<String, &String> = BTreeMap::new();
    for (claim, field) in &config.claim_headers {
        let at = || KeyPath::table(["claim_headers", claim]);
        let Ok(name) = HeaderName::from_bytes(field.as_bytes()) else {
            errors.error(at(), format!("`{field}` is no field name"), "expected letters, digits and dashes");
            continue;
        };
        if is_used_otherwise(&name, &config.api_key_header) {
            let label = "the field means something already; expected one like x-auth-NAME";
            errors.error(at(), format!("`{field}` cannot tell a claim"), label);
        } else if let Some(other) = taken.insert(name.as_str().replace('_', "-"), claim) {
            errors.error(at(), format!("`{field}` tells the claim `{other}` already"), "expected a field for each");
        } else {
            told.push((claim.clone(), name));
        }
    }
    told
}

/// Whether HTTP or the proxy uses a field itself.
fn is_used_otherwise(name: &HeaderName, api_key_header: &str) -> bool {
    let name = name.as_str().replace('_', "-");
    let prefixes = ["x-forwarded-", "content-", "if-", "accept-", "x-b3-", "sec-", "proxy-", "access-control-"];
    let words = [
        "accept",
        "authorization",
        "baggage",
        "b3",
        "connection",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "idempotency-key",
        "keep-alive",
        "origin",
        "range",
        "referer",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-real-ip",
        "x-request-id",
        "true-client-ip",
        "cf-connecting-ip",
        "x-original-url",
        "x-rewrite-url",
        "x-original-host",
        "http2-settings",
    ];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
        || words.contains(&name.as_str())
        || name.eq_ignore_ascii_case(api_key_header)
}

pub(super) fn api_key_field(config: &Config, errors: &mut BuildErrors) -> HeaderName {
    let field = &config.api_key_header;
    match HeaderName::from_bytes(field.as_bytes()) {
        Ok(name) if name.as_str().contains('_') => {
            let label = "clients' fields with `_` are taken for twins of those with `-` and removed; expected one like x-api-key";
            errors.error(KeyPath::table(["api_key_header"]), format!("`{field}` cannot hold an API key"), label);
            name
        }
        Ok(name) if !is_used_otherwise(&name, "") => name,
        Ok(_) => {
            let label = "the field means something already; expected one like x-api-key";
            errors.error(KeyPath::table(["api_key_header"]), format!("`{field}` cannot hold an API key"), label);
            HeaderName::from_static("x-api-key")
        }
        Err(_) => {
            let label = "expected letters, digits and dashes";
            errors.error(KeyPath::table(["api_key_header"]), format!("`{field}` is no field name"), label);
            HeaderName::from_static("x-api-key")
        }
    }
}

pub(super) fn failure_limit(config: &Config, errors: &mut BuildErrors) -> Option<Limit> {
    if config.failure_limit == "off" {
        return None;
    }
    let rate: Result<Rate, _> = config.failure_limit.parse();
    let limit = rate.map_err(|error| error.0).and_then(|rate| {
        let terms = Terms {
            name: FAILURES,
            key: "address",
            algorithm: quotas::Algorithm::Gcra,
            quota: rate.quota,
            window: rate.window,
            burst: rate.quota,
            sharing: Sharing::Local,
            on_store_error: OnStoreError::LocalShare,
        };
        Limit::new(&terms).map_err(|_| "expected a rate like 600/min".to_owned())
    });
    limit
        .map_err(|why| {
            let text = &config.failure_limit;
            let label = format!("{why}; or \"off\"");
            errors.error(KeyPath::table(["failure_limit"]), format!("`failure_limit` cannot be `{text}`"), label);
        })
        .ok()
}

/// What a route asks of its callers.
pub(super) fn door(config: &Config, route: Option<&Route>) -> Door {
    match route {
        None => Door { mode: config.mode, scopes: Vec::new(), claims: Vec::new() },
        Some(Route::Mode(mode)) => Door { mode: *mode, scopes: Vec::new(), claims: Vec::new() },
        Some(Route::Table(table)) => Door {
            mode: table.mode.unwrap_or(config.mode),
            scopes: table.scopes.clone(),
            claims: table.claims.clone().into_iter().collect(),
        },
    }
}

/// Whether there is a source of keys for tokens.
pub(super) fn has_source(config: &Config) -> bool {
    [&config.jwks_url, &config.jwks_file, &config.public_key_file, &config.secret_file].iter().any(|it| !it.is_empty())
}

/// Whether what is asked for can ever be met.
pub(super) fn check_needs(config: &Config, routes: &Routes<Route>, errors: &mut BuildErrors) {
    for entry in routes.iter() {
        let Some(Route::Table(table)) = &entry.key else { continue };
        let door = door(config, entry.key.as_ref());
        if door.mode == Mode::Off && !(table.scopes.is_empty() && table.claims.is_empty()) {
            errors.error(
                KeyPath::route(entry.id, ["mode"]),
                format!("route `{}` looks at no credential and asks for what is in one", entry.name),
                "expected mode = \"required\" beside scopes and claims",
            );
        }
        for (place, scope) in table.scopes.iter().enumerate() {
            // RFC 6749 section 3.3; it is repeated in a quoted string.
            let good = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
            if scope.is_empty() || !scope.bytes().all(good) {
                errors.error(
                    KeyPath::route(entry.id, ["scopes", &place.to_string()]),
                    format!("`{scope}` is no scope"),
                    "expected visible characters without quotes and backslashes",
                );
            }
        }
        for (claim, values) in &table.claims {
            if values.is_empty() {
                let message = format!("no value of `{claim}` is good enough");
                errors.error(KeyPath::route(entry.id, ["claims", claim]), message, "expected a list of values");
            }
        }
    }
    if has_source(config) || !config.api_keys_file.is_empty() {
        return;
    }
    let asking = routes.iter().find(|entry| door(config, entry.key.as_ref()).mode != Mode::Off);
    let at = match asking {
        _ if config.mode != Mode::Off => KeyPath::table(["mode"]),
        Some(entry) => KeyPath::route(entry.id, []),
        None => return,
    };
    errors.error(
        at,
        "there is nothing to verify a credential with",
        "set jwks_url, jwks_file, public_key_file, secret_file or api_keys_file, or mode = \"off\"",
    );
}

/// Whether keys can be fetched from there.
pub(super) fn check_url(url: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "expected https://HOST[:PORT]/PATH without user, password and fragment";
    let uri: Uri = url.parse().map_err(|_| EXPECTED)?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().ok_or(EXPECTED)?;
    let plain = !authority.as_str().contains('@') && !url.contains('#') && !authority.host().is_empty();
    if is_web && plain { Ok(()) } else { Err(EXPECTED) }
}

/// Whether an address stays on this machine.
pub(super) fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
