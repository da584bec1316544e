//! The proxy's own events: what happened at the door and to the process.

use crate::draft::{Data, Draft, Mark};
use crate::fold::{Folded, Key, Tally, Told};
use crate::identity::Actor;
use crate::metadata::Metadata;
use crate::shared::{Shared, Trail};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Weak;
use std::time::Duration;
use vestibule_chain::{millis, rfc3339};
use vestibule_plugin::{AdminAct, Denial, Event, RouteId, Running};

/// How long refusals of one kind are counted before they are told.
const WINDOW: Duration = Duration::from_secs(60);
/// Mistakes of a configuration that are told.
const MISTAKES: usize = 20;

impl Shared {
    /// Notes what happened.
    pub(crate) fn hear(&self, event: &Event<'_>) {
        let Some(trail) = self.trail.get() else { return };
        let draft = match *event {
            Event::Started(running) => self.of_process(trail, "process.started", running),
            Event::Stopped(running) => {
                self.tell_window(trail);
                self.of_process(trail, "process.stopped", running)
            }
            Event::Reloaded(running) => self.of_reload(running, "success", &[]),
            Event::ReloadRefused { running, mistakes } => {
                let places = mistakes.iter().take(MISTAKES);
                let places = places.map(|spot| json!({ "line": spot.line, "column": spot.column }));
                self.of_reload(running, "failure", &places.collect::<Vec<_>>())
            }
            Event::Admin(act) => self.of_admin(act),
            Event::Blocked { kind, route, client } => {
                let route = self.own_route_name(route);
                let key = Key { event: Folded::ThreatBlocked, reason: Cow::Borrowed(kind), route, client };
                return self.fold(trail, key);
            }
            Event::Denied(denial) => {
                if let Some(key) = self.key_of(denial) {
                    self.fold(trail, key);
                }
                return;
            }
        };
        // What cannot be queued is counted, and the log will say so.
        let _ = trail.log.push(draft);
    }

    /// The kind of a refusal; `None` when it is told elsewhere, or is none of these.
    fn key_of(&self, denial: Denial<'_>) -> Option<Key> {
        let Denial { by, slug, reason, status, route, client } = denial;
        let event = match (slug, status.as_u16()) {
            ("quota-exceeded", _) => Folded::RateLimited,
            // Its own record says so.
            _ if self.plan(route).is_some() => return None,
            (_, 400 | 401 | 403) if by == "auth" => Folded::AuthDenied,
            _ => return None,
        };
        let reason = Cow::Owned(reason.unwrap_or(slug).to_owned());
        Some(Key { event, reason, route: self.own_route_name(route), client })
    }

    fn fold(&self, trail: &Trail, key: Key) {
        let now_ms = millis(self.clock.wall());
        let told = trail.folds.lock().see(key, now_ms);
        if let Some(told) = told {
            let _ = trail.log.push(self.of_refusals(&told));
        }
    }

    /// Tells what was counted since it was told last.
    pub(crate) fn tell_window(&self, trail: &Trail) {
        let told = trail.folds.lock().close();
        for told in &told {
            let _ = trail.log.push(self.of_refusals(told));
        }
    }

    fn of_refusals(&self, told: &Told) -> Draft {
        let (event, Tally { count, first_ms, last_ms }) = match told {
            Told::Kind(key, tally) => (key.event, *tally),
            Told::Overflow(event, tally) => (*event, *tally),
        };
        let mut metadata = json!({
            "count": count, "first_seen": rfc3339(first_ms), "last_seen": rfc3339(last_ms),
        });
        let (route, client) = match told {
            Told::Kind(key, _) => {
                metadata[event.reason_member()] = key.reason.as_ref().into();
                (Some(&*key.route), Some(self.identities.client(key.client)))
            }
            Told::Overflow(..) => {
                metadata["overflow"] = true.into();
                (None, None)
            }
        };
        let resource = format!("route:{}", route.unwrap_or(self.route_name(RouteId::UNMATCHED)));
        let data = Data {
            action: event.as_str().into(),
            resource: resource.into(),
            route,
            outcome: "denied",
            client,
            metadata: metadata.into(),
            ..Data::default()
        };
        Draft::new(event.as_str(), last_ms, Mark::None, data)
    }

    fn of_process(&self, trail: &Trail, kind: &'static str, running: Running<'_>) -> Draft {
        let at = trail.log.board().at().at;
        let metadata = json!({
            "version": running.version,
            "config_hash": running.config_hash,
            "seq": at.next_seq,
            "hash": at.hash.to_string(),
        });
        self.of_system(kind, "process".into(), "success", metadata.into())
    }

    fn of_reload(&self, running: Running<'_>, outcome: &'static str, errors: &[Value]) -> Draft {
        let metadata = json!({
            "generation": running.generation, "config_hash": running.config_hash, "errors": errors,
        });
        self.of_system("config.reloaded", "config".into(), outcome, metadata.into())
    }

    fn of_admin(&self, act: AdminAct<'_>) -> Draft {
        let outcome = match act.status.as_u16() {
            401 | 403 => "denied",
            400..=599 => "failure",
            _ => "success",
        };
        // Who could not say the token is nobody known.
        let actor = if outcome == "denied" { Actor::ANONYMOUS } else { Actor::ADMIN };
        let data = Data {
            action: "admin.action".into(),
            actor,
            resource: format!("admin:{}", act.path).into(),
            outcome,
            status: Some(act.status.as_u16()),
            metadata: json!({ "method": act.method.as_str() }).into(),
            ..Data::default()
        };
        Draft::new("admin.action", millis(self.clock.wall()), Mark::None, data)
    }

    fn of_system(
        &self,
        kind: &'static str,
        resource: Cow<'_, str>,
        outcome: &'static str,
        metadata: Metadata,
    ) -> Draft {
        let data = Data { action: kind.into(), actor: Actor::SYSTEM, resource, outcome, metadata, ..Data::default() };
        Draft::new(kind, millis(self.clock.wall()), Mark::None, data)
    }
}

/// Tells what was refused, a window after the other, as long as there is a log. Reloads do not disturb it.
pub(crate) async fn tell_windows(trail: Weak<Trail>) {
    let mut tick = tokio::time::interval(WINDOW);
    // The first one is now.
    tick.tick().await;
    loop {
        tick.tick().await;
        let Some(trail) = trail.upgrade() else { return };
        let latest = trail.latest.lock().upgrade();
        if let Some(latest) = latest {
            latest.tell_window(&trail);
        }
    }
}
