//! Whether a credential is good, and what that costs its address.

use crate::claims::{self, BadClaims};
use crate::memory::TokenHash;
use crate::metrics::Outcome;
use crate::remote::{Asked, Remote, Waiting};
use crate::shared::{Keys, Shared};
use crate::token::BadShape;
use crate::verify::{BadToken, Verified};
use std::sync::Arc;
use std::time::Duration;
use vestibule_plugin::{ClientAddress, Principal};

/// Why a credential is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// For this reason.
    Bad(Outcome),
    /// Too many bad ones came from its address; how long until it may try again.
    Limited(Duration),
    /// There is nothing to verify it with.
    NoKeys,
}

/// A good token.
pub(crate) struct Good {
    pub(crate) verified: Arc<Verified>,
    pub(crate) outcome: Outcome,
}

/// What came of looking at a token.
pub(crate) enum Step {
    /// It is good or it is not.
    Done(Result<Good, Refused>),
    /// Keys are being fetched; look again when they are there.
    Wait(Waiting),
}

/// Whether keys may be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// They may.
    First,
    /// They were.
    Last,
}

impl Shared {
    /// Looks at a token.
    pub(crate) fn check_token(&self, text: &str, address: ClientAddress, turn: Turn) -> Step {
        let now = claims::seconds(self.clock.wall());
        let keys = self.keys();
        let hash = TokenHash::of(text);
        if let (Some(learned), Keys::Here(set)) = (self.learned.get(), &keys)
            && let Some(verified) = learned.memory.get(hash, now, &|print| set.holds(print))
        {
            return Step::Done(match now < verified.end {
                true => Ok(Good { verified, outcome: Outcome::TokenCached }),
                false => Err(Refused::Bad(Outcome::Expired)),
            });
        }
        let token = match self.verifier.read(text) {
            Ok(token) => token,
            Err(bad) => return Step::Done(Err(self.charged(address, outcome(bad)))),
        };
        let Keys::Here(set) = keys else { return self.await_keys(text, address, turn) };
        if let Err(wait) = self.charge(address) {
            return Step::Done(Err(Refused::Limited(wait)));
        }
        let is_worth_a_fetch = turn == Turn::First && self.verifier.is_worth_a_fetch(&token, now);
        Step::Done(match self.verifier.verify(token, &set, now) {
            Ok((verified, key)) => {
                self.give_back(address);
                let verified = Arc::new(verified);
                if let Some(learned) = self.learned.get() {
                    learned.memory.put(hash, &verified, key);
                }
                Ok(Good { verified, outcome: Outcome::Token })
            }
            Err(BadToken::UnknownKey) if is_worth_a_fetch => match self.remote().map(|remote| remote.refetch(&set)) {
                Some(Asked::Wait(waiting)) => {
                    self.give_back(address);
                    return Step::Wait(waiting);
                }
                Some(Asked::Changed) => {
                    self.give_back(address);
                    return self.check_token(text, address, Turn::Last);
                }
                Some(Asked::Unavailable) => {
                    self.give_back(address);
                    Err(Refused::NoKeys)
                }
                Some(Asked::Suppressed) | None => Err(Refused::Bad(Outcome::UnknownKey)),
            },
            Err(bad) => {
                // It was good once, and its address did nothing wrong.
                if bad == BadToken::Claims(BadClaims::Expired) {
                    self.give_back(address);
                }
                Err(Refused::Bad(outcome(bad)))
            }
        })
    }

    /// Looks at a token whose keys are elsewhere: it is as good as it says, if its signature is good.
    pub(crate) fn believe_token(&self, text: &str) -> Result<Good, Refused> {
        let now = claims::seconds(self.clock.wall());
        let believed = self.verifier.read(text).and_then(|token| self.verifier.believe(token.claims, now));
        match believed {
            Ok(verified) => Ok(Good { verified: Arc::new(verified), outcome: Outcome::Token }),
            Err(bad) => Err(Refused::Bad(outcome(bad))),
        }
    }

    /// Looks at an API key.
    pub(crate) fn check_api_key(&self, presented: &[u8], address: ClientAddress) -> Result<Arc<Principal>, Refused> {
        let known = self.api_keys.as_ref().and_then(|keys| keys.find(presented));
        known.map(Arc::clone).ok_or_else(|| self.charged(address, Outcome::BadApiKey))
    }

    fn await_keys(&self, text: &str, address: ClientAddress, turn: Turn) -> Step {
        match self.remote().filter(|_| turn == Turn::First).map(Remote::await_first) {
            Some(Asked::Wait(waiting)) => Step::Wait(waiting),
            Some(Asked::Changed) => self.check_token(text, address, Turn::Last),
            Some(Asked::Suppressed | Asked::Unavailable) | None => Step::Done(Err(Refused::NoKeys)),
        }
    }

    /// A credential that is refused without a look at its signature.
    fn charged(&self, address: ClientAddress, outcome: Outcome) -> Refused {
        match self.charge(address) {
            Ok(()) => Refused::Bad(outcome),
            Err(wait) => Refused::Limited(wait),
        }
    }

    fn charge(&self, address: ClientAddress) -> Result<(), Duration> {
        let failures = self.learned.get().and_then(|learned| learned.failures.as_ref());
        failures.map_or(Ok(()), |failures| failures.take(address, self.clock.now()))
    }

    fn give_back(&self, address: ClientAddress) {
        if let Some(failures) = self.learned.get().and_then(|learned| learned.failures.as_ref()) {
            failures.give_back(address, self.clock.now());
        }
    }
}

fn outcome(bad: BadToken) -> Outcome {
    match bad {
        BadToken::Shape(BadShape::Malformed) => Outcome::Malformed,
        BadToken::Shape(BadShape::Algorithm) => Outcome::Algorithm,
        BadToken::UnknownKey => Outcome::UnknownKey,
        BadToken::Signature => Outcome::Signature,
        BadToken::Claims(BadClaims::Unreadable) => Outcome::Claims,
        BadToken::Claims(BadClaims::Issuer) => Outcome::Issuer,
        BadToken::Claims(BadClaims::Audience) => Outcome::Audience,
        BadToken::Claims(BadClaims::NotYetValid) => Outcome::NotYetValid,
        BadToken::Claims(BadClaims::Lifetime) => Outcome::Lifetime,
        BadToken::Claims(BadClaims::Expired) => Outcome::Expired,
    }
}
