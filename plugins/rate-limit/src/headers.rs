//! The fields that tell a client where it stands: `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers-11), and the older `X-RateLimit-*`.
//!
//! The only place that knows their names and parameters, which the draft may still change.

use arrayvec::ArrayVec;
use http::HeaderName;
use http::header::{self, HeaderValue};
use vestibule_plugin::{Fields, list};
use vestibule_store::quotas::{Left, Limit, Source};

/// `RateLimit-Policy`
pub(crate) static POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// `RateLimit`
pub(crate) static LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The names of what was added: `Retry-After`, the two fields of the draft, and the older five.
pub(crate) type Added = ArrayVec<&'static HeaderName, { 1 + 2 + 5 }>;

/// Bytes that the list of most responses fits in.
const USUAL_BYTES: usize = 64;

/// How long a gRPC client waits before it retries (gRFC A6).
pub(crate) const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

static GITHUB_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static GITHUB_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static GITHUB_USED: HeaderName = HeaderName::from_static("x-ratelimit-used");
static GITHUB_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
static GITHUB_RESOURCE: HeaderName = HeaderName::from_static("x-ratelimit-resource");
/// All of them, in the order they are written.
pub(crate) static GITHUB: [&HeaderName; 5] =
    [&GITHUB_LIMIT, &GITHUB_REMAINING, &GITHUB_USED, &GITHUB_RESET, &GITHUB_RESOURCE];

/// Where one policy leaves its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing<'a> {
    /// The policy's limit.
    pub(crate) limit: &'a Limit,
    /// Units left.
    pub(crate) remaining: u64,
    /// Seconds until it is worth asking again, at least 1.
    pub(crate) reset_s: u64,
    /// Whether this process decided with its share of the limit, as the store failed.
    pub(crate) fallback: bool,
}

impl<'a> Standing<'a> {
    /// After an admission. A client that spreads what is left over `reset_s` keeps to its quota: `r × w ≤ t × q`.
    pub(crate) fn admitted(limit: &'a Limit, left: Left) -> Self {
        let reset_s = if left.remaining == 0 {
            seconds(left.next_ns)
        } else {
            // In 128 bits, though a burst of 45 days fits: a log may have any window.
            let spread = (u128::from(left.remaining) * u128::from(limit.window_s())).div_ceil(limit.quota().into());
            u64::try_from(spread).unwrap_or(u64::MAX).max(1)
        };
        Self { limit, remaining: left.remaining, reset_s, fallback: false }
    }

    /// After a refusal.
    pub(crate) fn refused(limit: &'a Limit, remaining: u64, wait_ns: u64) -> Self {
        Self { limit, remaining, reset_s: seconds(wait_ns), fallback: false }
    }

    /// As `source` said it.
    pub(crate) fn by(self, source: Source) -> Self {
        Self { fallback: source == Source::Fallback, ..self }
    }

    /// Whether `self` is closer to its limit than `other`: a smaller share left, then a longer wait.
    fn is_closer_than(&self, other: &Self) -> bool {
        let share = u128::from(self.remaining) * u128::from(other.limit.burst());
        let others = u128::from(other.remaining) * u128::from(self.limit.burst());
        share < others || share == others && self.reset_s > other.reset_s
    }
}

/// Whole seconds, rounded up, at least 1.
pub(crate) fn seconds(ns: u64) -> u64 {
    ns.div_ceil(1_000_000_000).max(1)
}

/// Whole milliseconds, rounded up.
pub(crate) fn milliseconds(ns: u64) -> HeaderValue {
    HeaderValue::from(ns.div_ceil(1_000_000))
}

/// The one closest to its limit; of equals the first.
pub(crate) fn closest<'a>(standings: impl IntoIterator<Item = Standing<'a>>) -> Option<Standing<'a>> {
    standings.into_iter().reduce(|closest, next| if next.is_closer_than(&closest) { next } else { closest })
}

/// The one that is refused longest; of equals the first.
pub(crate) fn longest<'a>(standings: impl IntoIterator<Item = Standing<'a>>) -> Option<Standing<'a>> {
    standings.into_iter().reduce(|longest, next| if next.reset_s > longest.reset_s { next } else { longest })
}

/// `"burst";q=100;w=60, "day";q=50000;w=86400;vestibule-burst=500`; `None` for no limits.
pub(crate) fn policy<'a>(limits: impl IntoIterator<Item = &'a Limit>) -> Option<HeaderValue> {
    let mut list = String::new();
    for limit in limits {
        item(&mut list, limit.name());
        parameter(&mut list, ";q=", limit.quota());
        parameter(&mut list, ";w=", limit.window_s());
        if limit.burst() != limit.quota() {
            parameter(&mut list, ";vestibule-burst=", limit.burst());
        }
    }
    value(&list)
}

/// `"burst";r=42;t=26`; `None` for no standings.
pub(crate) fn limit<'a>(standings: impl IntoIterator<Item = Standing<'a>>) -> Option<HeaderValue> {
    let mut list = String::with_capacity(USUAL_BYTES);
    for Standing { limit, remaining, reset_s, fallback } in standings {
        item(&mut list, limit.name());
        parameter(&mut list, ";r=", remaining);
        parameter(&mut list, ";t=", reset_s);
        if fallback {
            list.push_str(";vestibule-fallback");
        }
    }
    value(&list)
}

/// Writes the `X-RateLimit-*` set, unless the upstream sent one with less left: the tighter one is kept, whole.
/// `epoch_s` is the wall clock's seconds since 1970. Says whether it did.
pub(crate) fn github(fields: &mut Fields, standing: Standing<'_>, epoch_s: u64) -> bool {
    let theirs: Option<u64> = fields.text(&GITHUB_REMAINING).and_then(|value| value.trim().parse().ok());
    if theirs.is_some_and(|remaining| remaining < standing.remaining) {
        return false;
    }
    let Standing { limit, remaining, reset_s, .. } = standing;
    let numbers = [limit.burst(), remaining, limit.burst().saturating_sub(remaining), epoch_s.saturating_add(reset_s)];
    for (name, number) in GITHUB.into_iter().zip(numbers) {
        fields.set(name, HeaderValue::from(number));
    }
    if let Ok(name) = HeaderValue::from_str(limit.name()) {
        fields.set(&GITHUB_RESOURCE, name);
    }
    true
}

/// Adds `names` to the fields that scripts of other origins may read, where the response lets them read any.
pub(crate) fn expose(fields: &mut Fields, names: &[&'static HeaderName]) {
    const EXPOSE: HeaderName = header::ACCESS_CONTROL_EXPOSE_HEADERS;
    if !fields.has(&header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        return;
    }
    let lines: Vec<&str> = fields.lines(&EXPOSE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    let listed = |name: &HeaderName| list::has_token(fields, &EXPOSE, name.as_str());
    let mut merged: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    merged.extend(names.iter().filter(|name| !listed(name)).map(|name| name.as_str()));
    if let Some(value) = value(&merged.join(", ")) {
        fields.set(EXPOSE, value);
    }
}

/// Appends a member: an Item that is a String (RFC 9651 section 4.1.6). Names are printable ASCII, checked at load.
fn item(list: &mut String, name: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push('"');
    for letter in name.chars() {
        if matches!(letter, '"' | '\\') {
            list.push('\\');
        }
        list.push(letter);
    }
    list.push('"');
}

/// Appends a parameter that is an Integer; `begins` is what stands before it.
fn parameter(list: &mut String, begins: &str, number: u64) {
    list.push_str(begins);
    list.push_str(itoa::Buffer::new().format(number));
}

fn value(list: &str) -> Option<HeaderValue> {
    if list.is_empty() { None } else { HeaderValue::from_str(list).ok() }
}

#[cfg(test)]
mod tests;
