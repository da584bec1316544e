//! One exchange: decides on the head, answers a refusal, and tells the client where it stands.

use crate::headers::{self, Standing};
use crate::metrics;
use crate::policy::{KeyTexts, Plan, Policy};
use crate::shared::Shared;
use crate::tiers::{Claimed, TierId};
use arrayvec::ArrayVec;
use http::{StatusCode, header};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use vestibule_plugin::meter::Exemplar;
use vestibule_plugin::{
    AccessLine, End, Facts, Field, Flow, Hooks, Problem, RequestHead, ResponseHead, RouteId, Soon, TraceContext,
};
use vestibule_store::quotas::{MAX_CHARGES, Outcome, Pending, Source, Taken, Verdict, hidden};

/// When to come back while the store does not answer: it is looked at more often than that.
const CLOSED_RETRY_NS: u64 = 1_000_000_000;

/// Fields that a response is given room for: two of ours, and those that others will add.
const ROOM: usize = 4;

/// The hooks of one exchange. Every limited request allocates one, so it is kept small.
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
}

/// What it said.
struct Decided {
    verdicts: Verdicts,
    pending: Option<Pending>,
    /// When, for fields that carry a time of day.
    at: Option<SystemTime>,
}

/// As [`Taken`] has them, in the room that is usually needed.
type Verdicts = SmallVec<[Verdict; 2]>;

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
    async fn settle(&mut self, pending: Pending, trace: &TraceContext) {
        let settled = pending.await;
        if let Some(decided) = &mut self.decided {
            for (place, verdict) in &settled {
                decided.verdicts[*place] = *verdict;
            }
        }
        if let Some((asked, plan, decided)) = self.outcome() {
            for (place, _) in settled {
                count_one(&self.shared, plan, asked, &decided.verdicts, place, trace);
            }
        }
    }

    fn report(&self, line: &mut AccessLine) {
        if let Some((asked, plan, decided)) = self.outcome() {
            line.add("rate_limit", || summary(&self.shared, plan, asked, &decided.verdicts));
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
        let asked = &*self.asked.insert(Asked { route, tier, keys });
        let decided = &mut self.decided;
        let (request, facts) = (&*request, &*facts);
        let mut conclude = move |Taken { verdicts, pending }: Taken| {
            let at = shared.dialect.has_github().then(|| shared.clock.wall());
            count(shared, plan, asked, &verdicts, pending.is_some(), facts.trace());
            let refused = refusal(plan, &verdicts).or_else(|| outage(plan, &verdicts));
            *decided = Some(Decided { verdicts: Verdicts::from_slice(&verdicts), pending, at });
            refused.map_or(Flow::Continue, |refused| Flow::respond(refused.to(request)))
        };
        match shared.store.take(plan.demand(&asked.keys, facts.address())) {
            Soon::Now(taken) => Soon::Now(conclude(taken)),
            Soon::Later(taken) => Soon::later(async move { conclude(taken.await) }),
        }
    }

    fn on_response(&mut self, response: &mut ResponseHead<'_>, _: &Facts) {
        let Some((_, plan, decided)) = self.outcome() else { return };
        let mut added = headers::Added::new();
        let mut standings = ArrayVec::<_, MAX_CHARGES>::new();
        standings.extend(refusals(plan, &decided.verdicts));
        if standings.is_empty() {
            standings.extend(headers::closest(admissions(plan, &decided.verdicts)));
        } else {
            added.push(&header::RETRY_AFTER);
        }
        if self.shared.dialect.has_ietf()
            && let Some(policies) = &plan.policy_field
        {
            response.fields.reserve(ROOM);
            response.fields.append(&headers::POLICY, policies);
            added.push(&headers::POLICY);
            if let Some(value) = headers::limit(standings.iter().copied()) {
                response.fields.append(&headers::LIMIT, value);
                added.push(&headers::LIMIT);
            }
        }
        if let Some(at) = decided.at
            && let Some(standing) = headers::longest(standings)
            && headers::github(response.fields, standing, epoch_s(at))
        {
            added.extend(headers::GITHUB);
        }
        headers::expose(response.fields, &added);
    }

    fn on_end<'a>(&'a mut self, _: &'a End<'a>, facts: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        let pending = self.decided.as_mut().and_then(|decided| decided.pending.take());
        match pending {
            None => {
                self.report(line);
                Soon::Now(())
            }
            // The response has gone: nobody waits for this.
            Some(pending) => Soon::later(async move {
                self.settle(pending, facts.trace()).await;
                self.report(line);
            }),
        }
    }
}

/// The policies of a plan with what each said.
fn verdicts<'a>(plan: &'a Plan, said: &'a [Verdict]) -> impl Iterator<Item = (&'a Policy, &'a Verdict)> {
    plan.policies().zip(said)
}

/// The enforced policies that refused.
fn refusals<'a>(plan: &'a Plan, said: &'a [Verdict]) -> impl Iterator<Item = Standing<'a>> {
    verdicts(plan, said).filter(|(policy, _)| policy.is_enforced()).filter_map(|(policy, verdict)| {
        match verdict.outcome {
            Outcome::Refused { remaining, wait_ns } => {
                Some(Standing::refused(&policy.limit, remaining, wait_ns).by(verdict.source))
            }
            Outcome::Charged(_) | Outcome::Spared | Outcome::Waived | Outcome::Closed => None,
        }
    })
}

/// The enforced policies that were charged.
fn admissions<'a>(plan: &'a Plan, said: &'a [Verdict]) -> impl Iterator<Item = Standing<'a>> {
    verdicts(plan, said).filter(|(policy, _)| policy.is_enforced()).filter_map(|(policy, verdict)| {
        match verdict.outcome {
            Outcome::Charged(left) => Some(Standing::admitted(&policy.limit, left).by(verdict.source)),
            Outcome::Refused { .. } | Outcome::Spared | Outcome::Waived | Outcome::Closed => None,
        }
    })
}

/// Counts what every policy decided; what the store still has to say of shadow policies is counted when it has.
fn count(shared: &Shared, plan: &Plan, asked: &Asked, said: &[Verdict], is_pending: bool, trace: &TraceContext) {
    for (place, (policy, verdict)) in verdicts(plan, said).enumerate() {
        let waits = is_pending && !policy.is_enforced() && verdict.outcome == Outcome::Spared;
        if !waits {
            count_one(shared, plan, asked, said, place, trace);
        }
    }
}

/// Counts what the policy at this place decided.
fn count_one(shared: &Shared, plan: &Plan, asked: &Asked, said: &[Verdict], place: usize, trace: &TraceContext) {
    let Some((policy, verdict)) = verdicts(plan, said).nth(place) else { return };
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
            let at = shared.clock.wall();
            counter.inc_with(exemplar(trace, at).as_ref());
            let key = plan.key_text(place, &asked.keys);
            policy.refusals.count(key, at, || hidden(&shared.secret, key));
        }
    }
    if verdict.source == Source::Overflow {
        policy.metrics.overflow.inc();
        shared.note_overflow(policy);
    }
}

/// Where a refusal can be found, when its trace is recorded.
fn exemplar(trace: &TraceContext, at: SystemTime) -> Option<Exemplar> {
    let TraceContext { trace_id, span_id, .. } = *trace;
    trace.is_sampled().then_some(Exemplar { trace_id, span_id, at })
}

/// The answer to a request that may not pass.
struct Refused {
    problem: Problem,
    wait_ns: u64,
}

impl Refused {
    /// In the form that the client of `request` understands.
    fn to(self, request: &RequestHead<'_>) -> Problem {
        let problem = self.problem.retry_after(Duration::from_nanos(self.wait_ns));
        if request.is_grpc() {
            problem.field(headers::GRPC_PUSHBACK, headers::milliseconds(self.wait_ns))
        } else {
            problem
        }
    }
}

/// `None` when no enforced policy refused.
fn refusal(plan: &Plan, said: &[Verdict]) -> Option<Refused> {
    let wait_ns = verdicts(plan, said)
        .filter_map(|(policy, verdict)| match verdict.outcome {
            Outcome::Refused { wait_ns, .. } if policy.is_enforced() => Some(wait_ns),
            _ => None,
        })
        .max()?;
    let names: Vec<&str> = refusals(plan, said).map(|standing| &**standing.limit.name()).collect();
    let seconds = headers::seconds(wait_ns);
    let problem = Problem::new("quota-exceeded", StatusCode::TOO_MANY_REQUESTS, "Quota exceeded")
        .registered("https://iana.org/assignments/http-problem-types#quota-exceeded")
        .detail(format!(
            "Refused by the limit `{}`. Try again in {seconds} second{}.",
            names.join("` and `"),
            if seconds == 1 { "" } else { "s" }
        ))
        .reason(names.first().copied().unwrap_or_default().to_owned())
        .member("violated-policies", names);
    Some(Refused { problem, wait_ns })
}

/// Where the store failed and the operator said to refuse then.
fn outage(plan: &Plan, said: &[Verdict]) -> Option<Refused> {
    let closed = |(policy, verdict): &(&Policy, &Verdict)| policy.is_enforced() && verdict.outcome == Outcome::Closed;
    let (policy, _) = verdicts(plan, said).find(closed)?;
    let title = "Temporary reduced capacity";
    let problem = Problem::new("temporary-reduced-capacity", StatusCode::SERVICE_UNAVAILABLE, title)
        .registered("https://iana.org/assignments/http-problem-types#temporary-reduced-capacity")
        .detail(format!("The limit `{}` cannot be checked at the moment. Try again in 1 second.", policy.limit.name()));
    Some(Refused { problem, wait_ns: CLOSED_RETRY_NS })
}

/// The field of the access line: what was decided, and by which policy. Of a refused caller also the bucket's name.
fn summary(shared: &Shared, plan: &Plan, asked: &Asked, said: &[Verdict]) -> Field {
    let waits = |enforced: bool| {
        verdicts(plan, said)
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
    if let Some((policy, _)) = verdicts(plan, said).find(|(_, verdict)| verdict.outcome == Outcome::Closed) {
        let name = policy.limit.name().to_string();
        return Field::Parts(vec![("outcome", Cow::Borrowed("error")), ("policy", Cow::Owned(name))]);
    }
    let mut parts = vec![("outcome", Cow::Borrowed("allowed"))];
    if let Some(closest) = headers::closest(admissions(plan, said)) {
        parts.push(("policy", Cow::Owned(closest.limit.name().to_string())));
    }
    Field::Parts(parts)
}

/// Seconds since 1970; 0 before.
fn epoch_s(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
