//! Everything that a request presents, judged together.

use crate::check::{Good, Refused, Step};
use crate::credential::Presented;
use crate::metrics::Outcome;
use crate::remote::Waiting;
use crate::shared::Shared;
use std::sync::Arc;
use vestibule_plugin::{ClientAddress, Principal};

/// What was presented, and is good.
#[derive(Default)]
pub(crate) struct Judged {
    pub(crate) token: Option<Good>,
    pub(crate) api_key: Option<Arc<Principal>>,
}

/// What came of it.
pub(crate) enum Judgement {
    /// All of it is good, or the first that is not.
    Now(Result<Judged, Refused>),
    /// Keys are being fetched; judge again when they are there.
    Wait(Waiting),
}

/// Both must be good; `look` looks at a token.
pub(crate) fn judge(
    shared: &Shared,
    presented: Presented<'_>,
    address: ClientAddress,
    look: impl FnOnce(&str) -> Step,
) -> Judgement {
    let token = match presented.token.map(look) {
        None => None,
        Some(Step::Done(Ok(good))) => Some(good),
        Some(Step::Done(Err(refused))) => return Judgement::Now(Err(refused)),
        Some(Step::Wait(waiting)) => return Judgement::Wait(waiting),
    };
    let api_key = match presented.api_key.map(|key| shared.check_api_key(key, address)) {
        None => None,
        Some(Ok(principal)) => Some(principal),
        Some(Err(refused)) => return Judgement::Now(Err(refused)),
    };
    Judgement::Now(Ok(Judged { token, api_key }))
}

impl Judged {
    /// As counted when it lets somebody in.
    pub(crate) fn outcome(&self) -> Outcome {
        match (&self.token, &self.api_key) {
            (Some(good), _) => good.outcome,
            (None, Some(_)) => Outcome::ApiKey,
            (None, None) => Outcome::Anonymous,
        }
    }

    /// The token's, and the API key's id with it.
    pub(crate) fn principal(&self) -> Option<Arc<Principal>> {
        match (&self.token, &self.api_key) {
            (Some(good), None) => Some(Arc::clone(&good.verified.principal)),
            (Some(good), Some(key)) => {
                let principal = Principal { api_key: key.api_key.clone(), ..(*good.verified.principal).clone() };
                Some(Arc::new(principal))
            }
            (None, Some(key)) => Some(Arc::clone(key)),
            (None, None) => None,
        }
    }
}
