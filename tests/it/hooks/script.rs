//! What a watched plugin does beside its own work.

use super::journal::Call;
use http::StatusCode;
use std::time::Duration;
use vestibule_plugin::{Detach, FullResponse, Hold, Keep};
use vestibule_testkit::Gate;

/// How much a holding probe keeps of a response.
const KEPT: usize = 1 << 20;

/// A call that goes on without its client, longer than any test.
pub const SURVIVES: Detach = Detach::Survives { deadline: Duration::from_secs(600) };

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// An answer with this status.
    Respond(u16),
    /// From [`Call::Held`]: a 304 without a body.
    DropBody,
    Panic,
}

/// The deeds of one plugin.
#[derive(Clone, Default)]
pub struct Script {
    pub hold: Option<Hold>,
    pub deed: Option<(Call, Deed)>,
    /// Hooks that can wait do so, if only for a moment.
    pub later: bool,
    /// This call waits for a gate.
    pub gate: Option<(Call, Gate)>,
    /// The only target for which any of this is done.
    pub only: Option<&'static str>,
}

impl Script {
    pub fn holding(request_body: Option<usize>, detach: Detach) -> Self {
        let response = Keep::Whole { max: KEPT, within: Some(Duration::from_secs(5)) };
        Self { hold: Some(Hold { request_body, response, detach }), ..Self::default() }
    }

    pub fn doing(call: Call, deed: Deed) -> Self {
        Self::default().and(call, deed)
    }

    pub fn and(mut self, call: Call, deed: Deed) -> Self {
        self.deed = Some((call, deed));
        self
    }

    pub fn later(mut self) -> Self {
        self.later = true;
        self
    }

    pub fn waiting(mut self, call: Call, gate: &Gate) -> Self {
        self.gate = Some((call, gate.clone()));
        self
    }

    pub fn for_target(mut self, target: &'static str) -> Self {
        self.only = Some(target);
        self
    }

    pub fn deed_at(&self, call: Call) -> Option<Deed> {
        self.deed.filter(|(at, _)| *at == call).map(|(_, deed)| deed)
    }

    pub fn gate_at(&self, call: Call) -> Option<Gate> {
        self.gate.as_ref().filter(|(at, _)| *at == call).map(|(_, gate)| gate.clone())
    }
}

/// A complete answer that names its author.
pub fn answer(plugin: &str, status: u16) -> FullResponse {
    let status = StatusCode::from_u16(status).expect("a status of three digits");
    FullResponse { status, fields: vestibule_plugin::Fields::new(), body: format!("by {plugin}").into() }
}
