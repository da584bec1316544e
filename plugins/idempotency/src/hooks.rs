//! One request with a key, from its head to what is kept of its reply.

use crate::answers;
use crate::claim::{Claim, Ending, Written};
use crate::config::{Anonymous, Mode, OnStoreError, OnUncertain};
use crate::fail::{Point, may_die};
use crate::fate::{self, Fate, Shape};
use crate::fingerprint::{self, Head};
use crate::key::Key;
use crate::line::{self, Got};
use crate::metrics::Outcome;
use crate::names::PrincipalId;
use crate::notes;
use crate::policy::Policy;
use crate::principal;
use crate::replay::{self, Accepts, REPLAYED, Unfit};
use crate::shared::Shared;
use crate::stored;
use crate::undo::Undo;
use crate::word::Word;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use std::borrow::Cow;
use std::mem;
use std::sync::Arc;
use vestibule_plugin::{
    AccessLine, Detach, End, Facts, Failure, Field, Fields, Flow, Held, HeldFlow, HeldRequest, Hold, Hooks, Keep,
    Problem, RequestHead, ResponseHead, Room, RouteId, Soon, WhyFailed, WhyFlowing, media,
};
use vestibule_store::records::{self, Abandoned, Begun, Name, NotKept, Outage, Owner, Payer};

/// Says that a request was forwarded without protection.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("idempotency-status");

/// The hooks of one request with a key, or without one where it is required.
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    route: RouteId,
    stage: Stage,
    outcome: Option<Outcome>,
    /// What the application said in the head of its reply.
    word: Word,
}

/// How far it has come.
enum Stage {
    /// Nothing is decided.
    New,
    /// Its key and principal are known; its body is awaited.
    Asked(Box<Asked>),
    /// It executes, or is about to.
    Claimed(Box<Claim>),
    /// It is forwarded without a claim.
    Bypassed,
    /// It is answered, or all is written.
    Over,
}

/// What is known from the head.
struct Asked {
    name: Name,
    principal: PrincipalId,
    payer: Payer,
    head: Head,
    accepts: Accepts,
}

impl Exchange {
    pub(crate) fn new(shared: Arc<Shared>, policy: Arc<Policy>, route: RouteId) -> Self {
        Self { shared, policy, route, stage: Stage::New, outcome: None, word: Word::None }
    }

    fn refuse(&mut self, outcome: Outcome, problem: Problem) -> Flow {
        self.outcome = Some(outcome);
        self.stage = Stage::Over;
        Flow::respond(problem)
    }

    /// Decides on the head.
    fn read(&mut self, request: &RequestHead<'_>, facts: &Facts) -> Flow {
        let policy = Arc::clone(&self.policy);
        if request.is_grpc() {
            return self.refuse(Outcome::Refused, answers::unsupported());
        }

        let fields = &*request.fields;
        let key = match Key::read(fields.only(&policy.header), policy.syntax) {
            Ok(Some(key)) => key,
            Ok(None) => return self.refuse(Outcome::MissingKey, answers::key_missing(&policy.header, policy.syntax)),
            Err(why) => return self.refuse(Outcome::InvalidKey, answers::key_invalid(&policy.header, why)),
        };

        let names = &self.shared.names;
        let principal = match principal::find(&policy.principal, names, fields, facts) {
            Some(found) => found.id,
            None if policy.anonymous == Anonymous::Share => names.principal(principal::ANONYMOUS, b""),
            None => {
                let kinds = policy.principal.iter().map(principal::Kind::credential);
                let kinds: Vec<String> = kinds.flatten().collect();
                return self.refuse(Outcome::Refused, answers::principal_missing(policy.challenge.clone(), &kinds));
            }
        };

        let head = Head::new(request.method.as_str(), request.scheme, request.authority, request.target, fields);
        let name = names.record(principal, &key.text);
        let payer = self.shared.payer(&policy, principal, facts);
        self.stage = Stage::Asked(Box::new(Asked { name, principal, payer, head, accepts: Accepts::of(fields) }));
        Flow::Hold(Hold {
            request_body: Some(policy.max_request_body),
            response: Keep::Whole { max: policy.max_response_body, within: None },
            detach: Detach::Survives { deadline: policy.deadline },
        })
    }

    /// Claims the key for the whole request, or answers with what is known of it.
    async fn claim(&mut self, request: HeldRequest<'_>, facts: &mut Facts) -> Flow {
        let Stage::Asked(asked) = mem::replace(&mut self.stage, Stage::Over) else { return Flow::Continue };

        let policy = Arc::clone(&self.policy);
        let mac = self.shared.names.fingerprint();
        let fingerprint = fingerprint::of(mac, policy.fingerprint, &asked.head, request.body);
        let trace_id = facts.trace().trace_id;
        let (name, payer) = (asked.name, asked.payer);

        let hold = records::Hold { name, fingerprint, owner: Owner::draw(), trace_id, payer };
        let claim = records::Claim {
            hold,
            lease: policy.lease,
            ttl: policy.ttl,
            abandoned: match policy.on_uncertain {
                OnUncertain::Reject => Abandoned::Respect,
                OnUncertain::Execute => Abandoned::TakeOver,
            },
            replicas: policy.replicas,
        };

        let began = self.shared.clock.now();
        let got = match policy.wait {
            None => line::ask(&self.shared.ledger, claim).await,
            Some(patience) => line::wait(&self.shared.ledger, claim, patience, request.body).await,
        };

        match got {
            Ok(Got::Claim(held, lead)) => {
                let hold = records::Hold { trace_id, ..held };
                if let Err(wait) = self.shared.admit_claim(&policy, facts.address()) {
                    Undo::now(&self.shared.ledger, hold).await;
                    return self.refuse(Outcome::Refused, answers::too_many_claims(wait));
                }
                let Some(seat) = self.shared.ledger.sit_down(policy.max_in_flight) else {
                    drop(Undo::new(&self.shared.ledger, hold));
                    return self.refuse(Outcome::Refused, answers::overloaded());
                };
                let (ledger, clock) = (&self.shared.ledger, &self.shared.clock);
                // A claim that was offered by a poller was asked for later than this.
                let whose = (hold, asked.principal);
                let claim = Claim::new((ledger, clock), &policy, whose, began, (seat, lead));
                self.stage = Stage::Claimed(Box::new(claim));
                may_die(Point::Claimed);
                Flow::Continue
            }
            Ok(Got::Known(Begun::Replay { reply, .. })) => {
                // The reply takes the room of the request, which is not sent.
                *request.body = Bytes::new();
                self.replay(&reply, &hold, &asked, request.room, facts).await
            }
            Ok(Got::Known(known)) => self.answer(&known, &asked, facts),
            Err(outage) => self.without_store(&outage, &asked, facts),
        }
    }

    /// Answers with the stored reply.
    async fn replay(
        &mut self,
        stored: &Bytes,
        hold: &records::Hold,
        asked: &Asked,
        room: &mut dyn Room,
        facts: &mut Facts,
    ) -> Flow {
        let reply = match stored::decode(stored, &self.policy, hold) {
            Ok(reply) => reply,
            Err(stored::Unreadable::Clear) => {
                notes::clear_record(&asked.name, &asked.principal, facts);
                return self.refuse(Outcome::Uncertain, answers::record_in_the_clear());
            }
            Err(stored::Unreadable::Broken(why)) => {
                return self.without_store(&Outage::Unreadable(why.to_owned()), asked, facts);
            }
        };

        let status = reply.status;
        let most = self.policy.max_response_body;
        match replay::prepare(reply, &asked.accepts, most, room, &self.shared.decoders).await {
            Ok(reply) => {
                facts.set_replayed();
                self.outcome = Some(Outcome::Replayed);
                Flow::respond(reply)
            }
            Err(Unfit::NotAcceptable { coding }) => {
                facts.set_replayed();
                self.refuse(Outcome::Replayed, answers::not_acceptable(status, coding))
            }
            Err(Unfit::NoRoom) => self.refuse(Outcome::Refused, answers::no_room()),
        }
    }

    /// Answers with what the store knows, which is not a reply.
    fn answer(&mut self, known: &Begun, asked: &Asked, facts: &Facts) -> Flow {
        let (outcome, problem) = match *known {
            // The line turns a claim into one, and a reply is given elsewhere; nobody else has them.
            Begun::Acquired | Begun::Busy { .. } | Begun::Replay { .. } => {
                (Outcome::InProgress, answers::in_progress())
            }
            Begun::Mismatch => (Outcome::Mismatch, answers::key_reused()),
            Begun::Gone { status, why, .. } => {
                (Outcome::NotStored, answers::response_not_stored(StatusCode::CONFLICT, status, why))
            }
            Begun::Uncertain { why, trace_id } => {
                tracing::info!(
                    target: "idempotency",
                    record = %asked.name,
                    principal_id = %asked.principal,
                    trace_id = format_args!("{:032x}", facts.trace().trace_id),
                    executed_in = format_args!("{trace_id:032x}"),
                    reason = why.as_str(),
                    "a repeated request is told that its outcome is unknown"
                );
                (Outcome::Uncertain, answers::outcome_unknown(StatusCode::CONFLICT, why))
            }
        };
        self.refuse(outcome, problem)
    }

    /// The store failed: what the operator chose. A record that is there and cannot be read is never bypassed.
    fn without_store(&mut self, outage: &Outage, asked: &Asked, facts: &Facts) -> Flow {
        let unreadable = matches!(outage, Outage::Unreadable(_));
        if unreadable {
            tracing::error!(
                target: "idempotency",
                record = %asked.name,
                principal_id = %asked.principal,
                trace_id = format_args!("{:032x}", facts.trace().trace_id),
                cause = %outage,
                "a record cannot be read"
            );
        }
        if !unreadable && self.policy.on_store_error == OnStoreError::Bypass {
            if self.shared.bypasses.is_due(self.shared.clock.now()) {
                tracing::warn!(target: "idempotency", cause = %outage,
                    "the store fails, and keyed requests are forwarded without protection");
            }
            self.outcome = Some(Outcome::Bypassed);
            self.stage = Stage::Bypassed;
            return Flow::Continue;
        }
        let problem = match outage {
            Outage::Full(bound) => answers::store_full(*bound),
            _ => answers::store_unavailable(outage),
        };
        self.refuse(Outcome::StoreError, problem)
    }

    /// Writes what became of the claim.
    async fn settle(&mut self, fate: Fate, ending: Ending) {
        if let Stage::Claimed(claim) = &mut self.stage {
            match fate {
                Fate::Uncertain(why) => notes::outcome_unknown(claim, why),
                Fate::Tombstone(why) => notes::not_kept(claim, why),
                Fate::Done | Fate::Released => {}
            }
            let written = claim.end(ending).await;
            self.stage = Stage::Over;
            self.outcome = Some(match (written, fate) {
                (Written::NotYet, Fate::Done) => Outcome::NotStored,
                _ => Outcome::of(fate),
            });
        }
    }

    /// Whether the last word may be given: nothing has been sent.
    async fn last_word(&mut self) -> Flow {
        let Stage::Claimed(claim) = &mut self.stage else { return Flow::Continue };
        match claim.send().get().await {
            Ok(()) => {
                may_die(Point::Sending);
                Flow::Continue
            }
            Err(why) => self.refuse(Outcome::StoreError, answers::store_unavailable(why)),
        }
    }

    async fn keep(&mut self, status: StatusCode, fields: &Fields, body: Held<'_>) {
        let Stage::Claimed(claim) = &mut self.stage else { return };
        if let Held::Whole { body, .. } = body {
            claim.keep_counted(body);
        }
        may_die(Point::Replied);

        let word = Word::read(fields);
        if word == Word::Malformed {
            let route = self.shared.route_names.get(self.route.index()).map_or("unmatched", String::as_str);
            tracing::warn!(
                target: "idempotency",
                route,
                record = %claim.hold().name,
                principal_id = %claim.principal(),
                trace_id = format_args!("{:032x}", claim.hold().trace_id),
                expected = "no-store or ttl=SECONDS",
                "the application's vestibule-idempotency field is malformed"
            );
        }

        let shape = match body {
            Held::Whole { .. } => Shape::Whole,
            Held::Flowing(WhyFlowing::TooLarge) => Shape::TooLarge,
            Held::Flowing(WhyFlowing::NoRoom) => Shape::NoRoom,
            Held::Flowing(WhyFlowing::NotKept | WhyFlowing::TooSlow) => Shape::Stream,
        };
        let fate = fate::of_reply(self.policy.profile, status, word, shape);

        let ending = match (fate, body) {
            (Fate::Done, Held::Whole { body, .. }) => {
                let mut keeping = claim.keeping();
                if let Word::Ttl(ttl) = word {
                    keeping.ttl = ttl;
                }
                let reply = stored::encode(status, fields, body, &self.policy, claim.hold());
                match reply {
                    Ok(reply) => Ending::Complete(records::Outcome::Done { status: status.as_u16(), reply }, keeping),
                    Err(stored::Unstorable(why)) => {
                        tracing::warn!(target: "idempotency", record = %claim.hold().name,
                            principal_id = %claim.principal(), cause = why, "a reply cannot be stored");
                        Ending::tombstone(status, NotKept::TooLarge, keeping)
                    }
                }
            }
            _ => Ending::without_reply(fate, status, claim.keeping()),
        };

        self.settle(fate, ending).await;
        may_die(Point::Stored);
    }

    async fn lament(&mut self, failure: &Failure) -> Flow {
        let Stage::Claimed(claim) = &mut self.stage else { return Flow::Continue };
        let fate = fate::of_failure(self.policy.profile, failure, self.word);
        // Without a head a tombstone is not what it comes to.
        let status = failure.head.unwrap_or(StatusCode::BAD_GATEWAY);
        let ending = Ending::without_reply(fate, status, claim.keeping());

        if failure.why == WhyFailed::Stopped {
            if let Fate::Uncertain(why) = fate
                && !claim.is_ending()
            {
                notes::outcome_unknown(claim, why);
            }
            claim.end_now(ending).await;
            self.stage = Stage::Over;
            self.outcome = Some(Outcome::of(fate));
            return Flow::Continue;
        }

        self.settle(fate, ending).await;
        match fate {
            Fate::Uncertain(why) => {
                let status = match failure.why {
                    WhyFailed::Timeout => StatusCode::GATEWAY_TIMEOUT,
                    WhyFailed::Broken | WhyFailed::Stopped => StatusCode::BAD_GATEWAY,
                };
                Flow::respond(answers::outcome_unknown(status, why))
            }
            Fate::Tombstone(why) => {
                Flow::respond(answers::response_not_stored(StatusCode::BAD_GATEWAY, status.as_u16(), why))
            }
            Fate::Released | Fate::Done => Flow::Continue,
        }
    }
}

/// Whether the plugin takes part in a request at all.
pub(crate) fn concerns(policy: &Policy, method: &Method, request: &RequestHead<'_>) -> bool {
    if policy.mode == Mode::Off || !policy.methods.contains(method) {
        return false;
    }
    policy.mode == Mode::Required || (request.fields.has(&policy.header) && !request.is_grpc())
}

impl Hooks for Exchange {
    fn on_request<'a>(&'a mut self, request: &'a mut RequestHead<'_>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::Now(self.read(request, facts))
    }

    fn on_request_body<'a>(&'a mut self, request: HeldRequest<'a>, facts: &'a mut Facts) -> Soon<'a, Flow> {
        Soon::later(self.claim(request, facts))
    }

    fn on_send<'a>(&'a mut self, _: &'a Facts) -> Soon<'a, Flow> {
        match &mut self.stage {
            Stage::Claimed(_) => Soon::later(self.last_word()),
            _ => Soon::Now(Flow::Continue),
        }
    }

    fn on_failed<'a>(&'a mut self, failure: &'a Failure, _: &'a Facts) -> Soon<'a, Flow> {
        Soon::later(self.lament(failure))
    }

    fn on_held_head(&mut self, response: &ResponseHead<'_>, asked: Keep, _: &Facts) -> Keep {
        self.word = Word::read(&*response.fields);
        match &self.stage {
            Stage::Claimed(_) if !media::is_stream(&*response.fields) => asked,
            _ => Keep::Nothing,
        }
    }

    fn on_held<'a>(
        &'a mut self,
        response: &'a mut ResponseHead<'_>,
        body: Held<'a>,
        _: &'a Facts,
    ) -> Soon<'a, HeldFlow> {
        Soon::later(async move {
            if matches!(self.stage, Stage::Claimed(_)) {
                // A first reply carries no mark of ours, whoever put it there.
                response.fields.remove(&REPLAYED);
                response.fields.remove(&STATUS);
            }
            self.keep(*response.status, &*response.fields, body).await;
            HeldFlow::Continue
        })
    }

    fn on_response(&mut self, response: &mut ResponseHead<'_>, _: &Facts) {
        match self.stage {
            // An inner plugin answers: nothing was sent, and the claim goes with this.
            Stage::Claimed(_) => {
                self.stage = Stage::Over;
                self.outcome = Some(Outcome::Executed);
            }
            Stage::Bypassed => response.fields.set(STATUS, HeaderValue::from_static("bypassed")),
            _ => {}
        }
    }

    fn on_end<'a>(&'a mut self, _: &'a End<'a>, _: &'a Facts, line: &'a mut AccessLine) -> Soon<'a, ()> {
        let outcome = match mem::replace(&mut self.stage, Stage::Over) {
            // The client left before it was sent, or something broke: dropped here, the claim ends itself.
            Stage::Claimed(_) => Outcome::Executed,
            _ => self.outcome.unwrap_or(Outcome::Refused),
        };
        self.shared.requests.count(self.route, outcome);
        line.add("idempotency", || Field::Text(Cow::Borrowed(outcome.as_str())));
        Soon::Now(())
    }
}
