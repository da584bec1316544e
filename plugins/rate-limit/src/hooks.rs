//! One exchange: decides on the head, answers a refusal, and tells the client where it stands.

use crate::config::Headers;
use crate::headers::{self, Standing};
use crate::metrics;
use crate::policy::{KeyTexts, Plan, Policy};
use crate::shared::Shared;
use crate::tiers::{Claimed, TierId};
use arrayvec::ArrayVec;
use http::{StatusCode, header};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use vestibule_plugin::meter::Exemplar;
use vestibule_plugin::{
    AccessLine, End, Facts, Field, Flow, Hooks, Problem, RequestHead, ResponseHead, RouteId, Soon, TraceContext,
};
use vestibule_store::quotas::{MAX_CHARGES, Outcome, Pending, Source, Taken, Verdict, hidden};

/// When to come back while the store does not answer: it is looked at more often than that.
const CLOSED_RETRY: Duration = Duration::from_secs(1);

/// The hooks of one exchange.
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    asked: Option<Asked>,
    decided: Option<Decided>,
}

/// What is asked of the store.
struct Asked {
    route: RouteId,
    tier: TierId,
    keys: KeyTexts,
    is_grpc: bool,
    trace: TraceContext,
}

/// What it said.
struct Decided {
    taken: Taken,
    /// When, for fields that carry a time of day.
    at: SystemTime,
}

impl Asked {
    /// Where a refusal can be found, when its trace is recorded.
    fn exemplar(&self, at: SystemTime) -> Option<Exemplar> {
        let TraceContext { trace_id, span_id, .. } = self.trace;
        self.trace.is_sampled().then_some(Exemplar { trace_id, span_id, at })
    }
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, asked: None, decided: None }
    }

    /// The plan that applied, and what came of it.
    fn outcome(&self) -> Option<(&Asked, &Plan, &Decided)> {
        let asked = self.asked.as_ref()?;
        Some((asked, self.shared.plan(asked.route, asked.tier)?, self.decided.as_ref()?))
    }
}

impl Exchange {
    /// Learns what the store says of shadow policies.
    async fn settle(&mut self, pending: Pending) {
        let settled = pending.await;
        if let Some(decided) = &mut self.decided {
            for (place, verdict) in &settled {
                decided.taken.verdicts[*place] = *verdict;
            }
        }
        if let Some((asked, plan, decided)) = self.outcome() {
            for (place, _) in settled {
                count_one(&self.shared, plan, asked, &decided.taken, place, decided.at);
            }
        }
    }

    fn report(&self, line: &mut AccessLine) {
        if let Some((asked, plan, decided)) = self.outcome() {
            line.add("rate_limit", || summary(&self.shared, plan, asked, &decided.taken));
        }
    }
}

impl Hooks for Exchange {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        let shared = &*self.shared;
        let tier = shared.tier(Claimed::of(facts, &shared.tier_claim));
        facts.set_tier(Arc::clone(shared.tiers.name(tier)));
        let route = facts.route();
        let Some(plan) = shared.plan(route, tier) else { return Soon::Now(Flow::Continue) };
        let keys = plan.key_texts(request, facts);
        let asked = &*self.asked.insert(Asked { route, tier, keys, is_grpc: request.is_grpc(), trace: *facts.trace() });
        let decided = &mut self.decided;
        let mut conclude = move |taken: Taken| {
            let at = shared.clock.wall();
            count(shared, plan, asked, &taken, at);
            let flow = refusal(plan, asked, &taken).or_else(|| outage(plan, asked, &taken));
            *decided = Some(Decided { taken, at });
            flow.map_or(Flow::Continue, Flow::respond)
        };
        match shared.store.take(plan.demand(&asked.keys, facts.address())) {
            Soon::Now(taken) => Soon::Now(conclude(taken)),
            Soon::Later(taken) => Soon::later(async move { conclude(taken.await) }),
        }
    }

    fn on_response(&mut self, response: &mut ResponseHead<'_>, _: &Facts) {
        let Some((_, plan, decided)) = self.outcome() else { return };
        let dialect = self.shared.dialect;
        let refused: ArrayVec<_, MAX_CHARGES> = refusals(plan, &decided.taken).collect();
        // Retry-After, the two fields of the draft, and the older five.
        let mut added = ArrayVec::<_, { 1 + 2 + 5 }>::new();
        let standings = if refused.is_empty() {
            headers::closest(admissions(plan, &decided.taken)).into_iter().collect()
        } else {
            added.push(header::RETRY_AFTER);
            refused
        };
        if matches!(dialect, Headers::Ietf | Headers::Both)
            && let Some(policies) = &plan.policy_field
        {
            response.fields.append(headers::POLICY, policies.clone());
            added.push(headers::POLICY);
            if let Some(value) = headers::limit(standings.iter().copied()) {
                response.fields.append(headers::LIMIT, value);
                added.push(headers::LIMIT);
            }
        }
        if matches!(dialect, Headers::Github | Headers::Both)
            && let Some(standing) = headers::longest(standings)
            && headers::github(response.fields, standing, epoch_s(decided.at))
        {
            added.extend(headers::GITHUB);
        }
        headers::expose(response.fields, &added);
    }

    fn on_end<'a>(&'a mut self, _: &'a End<'a>, _: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        let pending = self.decided.as_mut().and_then(|decided| decided.taken.pending.take());
        match pending {
            None => {
                self.report(line);
                Soon::Now(())
            }
            // The response has gone: nobody waits for this.
            Some(pending) => Soon::later(async move {
                self.settle(pending).await;
                self.report(line);
            }),
        }
    }
}

/// The policies of a plan with what each said.
fn verdicts<'a>(plan: &'a Plan, taken: &'a Taken) -> impl Iterator<Item = (&'a Policy, &'a Verdict)> {
    plan.policies().zip(&taken.verdicts)
}

/// The enforced policies that refused.
fn refusals<'a>(plan: &'a Plan, taken: &'a Taken) -> impl Iterator<Item = Standing<'a>> {
    verdicts(plan, taken).filter(|(policy, _)| policy.is_enforced()).filter_map(|(policy, verdict)| {
        match verdict.outcome {
            Outcome::Refused { remaining, wait_ns } => {
                Some(Standing::refused(&policy.limit, remaining, wait_ns).by(verdict.source))
            }
            Outcome::Charged(_) | Outcome::Spared | Outcome::Waived | Outcome::Closed => None,
        }
    })
}

/// The enforced policies that were charged.
fn admissions<'a>(plan: &'a Plan, taken: &'a Taken) -> impl Iterator<Item = Standing<'a>> {
    verdicts(plan, taken).filter(|(policy, _)| policy.is_enforced()).filter_map(|(policy, verdict)| {
        match verdict.outcome {
            Outcome::Charged(left) => Some(Standing::admitted(&policy.limit, left).by(verdict.source)),
            Outcome::Refused { .. } | Outcome::Spared | Outcome::Waived | Outcome::Closed => None,
        }
    })
}

/// Counts what every policy decided; what the store still has to say is counted when it has.
fn count(shared: &Shared, plan: &Plan, asked: &Asked, taken: &Taken, at: SystemTime) {
    for (place, (policy, verdict)) in verdicts(plan, taken).enumerate() {
        let waits = taken.pending.is_some() && !policy.is_enforced() && verdict.outcome == Outcome::Spared;
        if !waits {
            count_one(shared, plan, asked, taken, place, at);
        }
    }
    shared.show_keys();
}

/// Counts what the policy at this place decided.
fn count_one(shared: &Shared, plan: &Plan, asked: &Asked, taken: &Taken, place: usize, at: SystemTime) {
    let Some((policy, verdict)) = verdicts(plan, taken).nth(place) else { return };
    let decided = |decided| policy.metrics.decided(decided, verdict.source);
    match verdict.outcome {
        Outcome::Charged(left) => {
            decided(metrics::Decided::Allowed).inc();
            if u128::from(left.remaining) * 5 < u128::from(policy.limit.burst()) {
                policy.metrics.near_limit.inc();
            }
        }
        Outcome::Spared => decided(metrics::Decided::Allowed).inc(),
        Outcome::Waived | Outcome::Closed => decided(metrics::Decided::Error).inc(),
        Outcome::Refused { .. } => {
            let counter = if policy.is_enforced() {
                decided(metrics::Decided::Denied)
            } else {
                decided(metrics::Decided::ShadowDenied)
            };
            counter.inc_with(asked.exemplar(at).as_ref());
            let key = plan.key_text(place, &asked.keys);
            policy.refusals.count(key, at, || hidden(&shared.secret, key));
        }
    }
    if verdict.source == Source::Overflow {
        policy.metrics.overflow.inc();
        shared.note_overflow(policy);
    }
}

/// The answer to a refused request; `None` when no enforced policy refused.
fn refusal(plan: &Plan, asked: &Asked, taken: &Taken) -> Option<Problem> {
    let names: Vec<&str> = refusals(plan, taken).map(|standing| &**standing.limit.name()).collect();
    let wait_ns = verdicts(plan, taken)
        .filter_map(|(policy, verdict)| match verdict.outcome {
            Outcome::Refused { wait_ns, .. } if policy.is_enforced() => Some(wait_ns),
            _ => None,
        })
        .max()?;
    let seconds = headers::seconds(wait_ns);
    let problem = Problem::new("quota-exceeded", StatusCode::TOO_MANY_REQUESTS, "Quota exceeded")
        .registered("https://iana.org/assignments/http-problem-types#quota-exceeded")
        .detail(format!(
            "Refused by the limit `{}`. Try again in {seconds} second{}.",
            names.join("` and `"),
            if seconds == 1 { "" } else { "s" }
        ))
        .reason(names.first().copied().unwrap_or_default().to_owned())
        .member("violated-policies", names)
        .retry_after(Duration::from_nanos(wait_ns));
    Some(if asked.is_grpc { problem.field(headers::GRPC_PUSHBACK, headers::milliseconds(wait_ns)) } else { problem })
}

/// The answer where the store failed and the operator said to refuse then.
fn outage(plan: &Plan, asked: &Asked, taken: &Taken) -> Option<Problem> {
    let closed = |(policy, verdict): &(&Policy, &Verdict)| policy.is_enforced() && verdict.outcome == Outcome::Closed;
    let (policy, _) = verdicts(plan, taken).find(closed)?;
    let title = "Temporary reduced capacity";
    let problem = Problem::new("temporary-reduced-capacity", StatusCode::SERVICE_UNAVAILABLE, title)
        .registered("https://iana.org/assignments/http-problem-types#temporary-reduced-capacity")
        .detail(format!("The limit `{}` cannot be checked at the moment. Try again in 1 second.", policy.limit.name()))
        .retry_after(CLOSED_RETRY);
    let wait_ns = u64::try_from(CLOSED_RETRY.as_nanos()).unwrap_or(u64::MAX);
    Some(if asked.is_grpc { problem.field(headers::GRPC_PUSHBACK, headers::milliseconds(wait_ns)) } else { problem })
}

/// The field of the access line: what was decided, and by which policy. Of a refused caller also the bucket's name.
fn summary(shared: &Shared, plan: &Plan, asked: &Asked, taken: &Taken) -> Field {
    let waits = |enforced: bool| {
        verdicts(plan, taken)
            .enumerate()
            .filter_map(move |(place, (policy, verdict))| match verdict.outcome {
                Outcome::Refused { wait_ns, .. } if policy.is_enforced() == enforced => Some((wait_ns, place)),
                _ => None,
            })
            .reduce(|longest, next| if next.0 > longest.0 { next } else { longest })
    };
    let refused = waits(true).map(|(_, place)| ("denied", place));
    let shadowed = || waits(false).map(|(_, place)| ("shadow_denied", place));
    if let Some((outcome, place)) = refused.or_else(shadowed) {
        let policy = plan.policies().nth(place).map(|policy| policy.limit.name().to_string()).unwrap_or_default();
        return Field::Parts(vec![
            ("outcome", Cow::Borrowed(outcome)),
            ("policy", Cow::Owned(policy)),
            ("h", Cow::Owned(hidden(&shared.secret, plan.key_text(place, &asked.keys)))),
        ]);
    }
    if let Some((policy, _)) = verdicts(plan, taken).find(|(_, verdict)| verdict.outcome == Outcome::Closed) {
        let name = policy.limit.name().to_string();
        return Field::Parts(vec![("outcome", Cow::Borrowed("error")), ("policy", Cow::Owned(name))]);
    }
    let mut parts = vec![("outcome", Cow::Borrowed("allowed"))];
    if let Some(closest) = headers::closest(admissions(plan, taken)) {
        parts.push(("policy", Cow::Owned(closest.limit.name().to_string())));
    }
    Field::Parts(parts)
}

/// Seconds since 1970; 0 before.
fn epoch_s(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
