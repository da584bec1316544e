//! From what is written to what runs: every value checked, and in its range.

use crate::config::{
    Anonymous, Config, FingerprintKind, Mode, OnConcurrent, OnStoreError, OnUncertain, Overrides, Profile, Syntax,
};
use crate::principal::Kind;
use crate::seal::Keyring;
use crate::stored::ClearRecords;
use http::header::HeaderName;
use http::{HeaderValue, Method};
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::units::{BadValue, Rate, Size, Span};
use vestibule_plugin::{BuildErrors, Deps, KeyPath, StoreKind, files};
use vestibule_store::quotas::gcra::Gcra;
use vestibule_store::quotas::{self, Algorithm, Limit, Sharing, Terms};

/// Methods that can be protected: those that write.
const METHODS: [Method; 4] = [Method::POST, Method::PATCH, Method::PUT, Method::DELETE];

const TTL: (Span, Span) = (Span(Duration::from_secs(1)), Span(Duration::from_secs(30 * 86_400)));
const LEASE: (Span, Span) = (Span(Duration::from_secs(1)), Span(Duration::from_secs(3600)));
const DEADLINE: (Span, Span) = (Span(Duration::from_secs(1)), Span(Duration::from_secs(86_400)));
const WAIT: (Span, Span) = (Span(Duration::from_millis(100)), Span(Duration::from_secs(300)));
/// A body is held in memory, and hashed or sealed in one piece.
const BODY: (Size, Size) = (Size(1), Size(64 << 20));
const MAX_IN_FLIGHT: u64 = 1_000_000;
/// More replicas than a Redis has are waited for in vain.
const MAX_REPLICAS: u32 = 16;
/// A lease outlives one renewal that times out, and the next.
const TIMEOUTS_IN_A_LEASE: u32 = 3;

/// What runs on one route.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) mode: Mode,
    pub(crate) methods: Vec<Method>,
    pub(crate) principal: Vec<Kind>,
    pub(crate) anonymous: Anonymous,
    pub(crate) header: HeaderName,
    pub(crate) syntax: Syntax,
    pub(crate) ttl: Duration,
    pub(crate) lease: Duration,
    pub(crate) deadline: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) fingerprint: FingerprintKind,
    pub(crate) profile: Profile,
    /// Longest wait for another execution; `None`: none.
    pub(crate) wait: Option<Duration>,
    pub(crate) on_uncertain: OnUncertain,
    pub(crate) on_store_error: OnStoreError,
    pub(crate) max_request_body: usize,
    pub(crate) max_response_body: usize,
    /// How often one client address may claim a key.
    pub(crate) claims_per_client: Option<Gcra>,
    pub(crate) keys: Option<Arc<Keyring>>,
    pub(crate) clear_records: ClearRecords,
    pub(crate) replicas: u32,
    /// What a 401 asks for.
    pub(crate) challenge: HeaderValue,
}

impl Policy {
    /// Of a configuration in which [`check`] found nothing.
    pub(crate) fn new(config: &Config, keys: Option<Arc<Keyring>>) -> Option<Self> {
        let bytes = |size: Size| usize::try_from(size.0).ok();
        let principal: Vec<Kind> = config.principal.iter().map(|word| Kind::parse(word)).collect::<Option<_>>()?;
        Some(Self {
            mode: config.mode,
            methods: config.methods.iter().map(|name| method(name)).collect::<Option<_>>()?,
            challenge: challenge(&principal),
            principal,
            anonymous: config.anonymous,
            header: HeaderName::from_bytes(config.header.as_bytes()).ok()?,
            syntax: config.syntax,
            ttl: config.ttl.0,
            lease: config.lease.0,
            deadline: config.deadline.0,
            max_in_flight: usize::try_from(config.max_in_flight).ok()?,
            fingerprint: config.fingerprint,
            profile: config.profile,
            wait: (config.on_concurrent == OnConcurrent::Wait).then_some(config.wait.0),
            on_uncertain: config.on_uncertain,
            on_store_error: config.on_store_error,
            max_request_body: bytes(config.max_request_body)?,
            max_response_body: bytes(config.max_response_body)?,
            claims_per_client: claim_limit(&config.claims_per_client).ok()?,
            clear_records: ClearRecords::accepted(keys.is_none() || config.accept_clear_records),
            keys,
            replicas: config.wait_replicas,
        })
    }
}

/// RFC 9110 section 11.6.1: a 401 names a scheme. A credential in a field of its own has none that is registered.
fn challenge(principal: &[Kind]) -> HeaderValue {
    if principal.iter().any(|kind| matches!(kind, Kind::Subject | Kind::Authorization)) {
        return HeaderValue::from_static("Bearer");
    }
    HeaderValue::from_static("Custom")
}

fn method(name: &str) -> Option<Method> {
    METHODS.into_iter().find(|method| method.as_str() == name)
}

/// The name of the bound in problems, and of its limit.
pub(crate) const CLAIMS_PER_CLIENT: &str = "claims-per-client";

/// Reads `claims_per_client`.
///
/// # Errors
///
/// What is expected instead, when it is neither a rate that can be counted nor "off".
fn claim_limit(text: &str) -> Result<Option<Gcra>, String> {
    if text == "off" {
        return Ok(None);
    }
    let rate: Rate = text.parse().map_err(|BadValue(why)| format!("{why}; or \"off\""))?;
    let terms = Terms {
        name: CLAIMS_PER_CLIENT,
        key: "address",
        algorithm: Algorithm::Gcra,
        quota: rate.quota,
        window: rate.window,
        burst: rate.quota,
        sharing: Sharing::Local,
        on_store_error: quotas::OnStoreError::LocalShare,
    };
    let limit = Limit::new(&terms).map_err(|_| "expected a rate like 600/min; or \"off\"".to_owned())?;
    Ok(Some(Gcra::of(&limit)))
}

/// Checks what is written; `at` says where each key stands. The keys of the file it names, if it names one.
pub(crate) fn check(
    written: &Overrides,
    at: &dyn Fn(&[&str]) -> KeyPath,
    deps: &Deps,
    errors: &mut BuildErrors,
) -> Option<Arc<Keyring>> {
    if let Some(methods) = &written.methods {
        check_methods(methods, at, errors);
    }
    if let Some(principal) = &written.principal {
        check_principal(principal, at, errors);
    }
    if let Some(header) = &written.header {
        check_header(header, at, errors);
    }
    check_spans(written, at, deps, errors);
    if let Some(text) = &written.claims_per_client
        && let Err(label) = claim_limit(text)
    {
        errors.error(at(&["claims_per_client"]), format!("`claims_per_client` cannot be `{text}`"), label);
    }
    check_numbers(written, at, errors);
    if written.wait_replicas.is_some_and(|replicas| replicas > 0) && deps.store.kind == StoreKind::Memory {
        errors.error(
            at(&["wait_replicas"]),
            "`wait_replicas` with a store in memory",
            "it has no replicas; remove it, or set [store] url",
        );
    }
    let path = written.encryption_keys_file.as_deref().filter(|path| !path.is_empty())?;
    match Keyring::read(path) {
        Ok(keys) => Some(Arc::new(keys)),
        Err(why) => {
            errors.error(at(&["encryption_keys_file"]), format!("cannot use `{path}`"), why);
            None
        }
    }
}

/// What is valid and probably not meant: keys that everybody on the machine can read, records that nobody vouches for.
pub(crate) fn warn(written: &Overrides, at: &dyn Fn(&[&str]) -> KeyPath, warnings: &mut BuildErrors) {
    if written.accept_clear_records == Some(true) {
        warnings.error(
            at(&["accept_clear_records"]),
            "records in the clear are accepted",
            "whoever can write to the store can have any reply given; set it to false once the longest `ttl` has passed \
             since the keys were set",
        );
    }
    let Some(path) = written.encryption_keys_file.as_deref().filter(|path| !path.is_empty()) else { return };
    if let Some((message, label)) = files::readable_by_all(path) {
        warnings.error(at(&["encryption_keys_file"]), message, label);
    }
}

fn check_header(header: &str, at: &dyn Fn(&[&str]) -> KeyPath, errors: &mut BuildErrors) {
    let Ok(name) = HeaderName::from_bytes(header.as_bytes()) else {
        return errors.error(
            at(&["header"]),
            format!("`{header}` is no field name"),
            "expected letters, digits and dashes",
        );
    };
    let taken =
        ["host", "authorization", "cookie", "connection", "transfer-encoding", "te", "upgrade", "expect", "origin"];
    if taken.contains(&name.as_str())
        || ["content-", "x-forwarded-", "accept"].iter().any(|it| name.as_str().starts_with(it))
    {
        let label = "the field means something already; expected one like idempotency-key";
        errors.error(at(&["header"]), format!("`{header}` cannot hold a key"), label);
    }
}

fn check_methods(methods: &[String], at: &dyn Fn(&[&str]) -> KeyPath, errors: &mut BuildErrors) {
    const EXPECTED: &str = "expected POST, PATCH, PUT or DELETE";
    if methods.is_empty() {
        errors.error(at(&["methods"]), "`methods` is empty", format!("{EXPECTED}; to protect nothing, mode = \"off\""));
    }
    for (i, name) in methods.iter().enumerate() {
        if method(name).is_none() {
            errors.error(at(&["methods", &i.to_string()]), format!("`{name}` cannot be protected"), EXPECTED);
        }
    }
}

fn check_principal(words: &[String], at: &dyn Fn(&[&str]) -> KeyPath, errors: &mut BuildErrors) {
    const EXPECTED: &str =
        "expected subject, api_key, authorization, address, \"header:NAME\", \"cookie:NAME\", or none alone";
    if words.is_empty() {
        let label = format!("{EXPECTED}; [\"none\"] shares keys between all callers");
        errors.error(at(&["principal"]), "`principal` is empty", label);
    }
    for (i, word) in words.iter().enumerate() {
        let here = || at(&["principal", &i.to_string()]);
        match Kind::parse(word) {
            None => errors.error(here(), format!("unknown principal `{word}`"), EXPECTED),
            Some(Kind::Address) if i + 1 < words.len() => errors.error(
                here(),
                "`address` stands before other principals",
                "every caller has one, so those behind it never count; it goes to the end",
            ),
            Some(Kind::None) if words.len() > 1 => errors.error(
                here(),
                "`none` stands beside other principals",
                "it is always present, so it would decide alone or never; expected [\"none\"]",
            ),
            Some(_) => {}
        }
    }
}

fn check_spans(written: &Overrides, at: &dyn Fn(&[&str]) -> KeyPath, deps: &Deps, errors: &mut BuildErrors) {
    let spans = [
        ("ttl", written.ttl, TTL),
        ("lease", written.lease, LEASE),
        ("deadline", written.deadline, DEADLINE),
        ("wait", written.wait, WAIT),
    ];
    for (key, span, (least, most)) in spans {
        if let Some(span) = span.filter(|span| *span < least || *span > most) {
            errors.error(at(&[key]), format!("`{key}` cannot be {span}"), format!("expected {least} to {most}"));
        }
    }
    let floor = Span(deps.store.timeout * TIMEOUTS_IN_A_LEASE);
    if let Some(lease) = written.lease.filter(|lease| *lease < floor && *lease >= LEASE.0) {
        errors.error(
            at(&["lease"]),
            format!("`lease` cannot be {lease} with [store] timeout = \"{}\"", Span(deps.store.timeout)),
            format!(
                "expected at least {floor}: three times the timeout, so that a renewal that times out costs no claim"
            ),
        );
    }
}

fn check_numbers(written: &Overrides, at: &dyn Fn(&[&str]) -> KeyPath, errors: &mut BuildErrors) {
    for (key, size) in
        [("max_request_body", written.max_request_body), ("max_response_body", written.max_response_body)]
    {
        if let Some(size) = size.filter(|size| *size < BODY.0 || *size > BODY.1) {
            errors.error(at(&[key]), format!("`{key}` cannot be {size}"), format!("expected 1 byte to {}", BODY.1));
        }
    }
    if let Some(most) = written.max_in_flight.filter(|most| !(1..=MAX_IN_FLIGHT).contains(most)) {
        let label = format!("expected 1 to {MAX_IN_FLIGHT}");
        errors.error(at(&["max_in_flight"]), format!("`max_in_flight` cannot be {most}"), label);
    }
    if let Some(replicas) = written.wait_replicas.filter(|replicas| *replicas > MAX_REPLICAS) {
        let label = format!("expected 0 to {MAX_REPLICAS}");
        errors.error(at(&["wait_replicas"]), format!("`wait_replicas` cannot be {replicas}"), label);
    }
}
