//! From the bytes of a token to who calls, in this order: shape, algorithm, key, signature, claims. Pure, but for time.

use crate::algorithm::Algorithm;
use crate::claims::{self, BadClaims, Rules};
use crate::jwk::KeySet;
use crate::key::Print;
use crate::tell;
use crate::token::{BadShape, Token};
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use vestibule_plugin::{Claims, Principal, claim};

/// A good token, and what is made of it.
#[derive(Debug)]
pub(crate) struct Verified {
    /// Who calls.
    pub(crate) principal: Arc<Principal>,
    /// What the application is told.
    pub(crate) fields: Box<[(HeaderName, HeaderValue)]>,
    /// Seconds since 1970 from which on it counts no more.
    pub(crate) end: f64,
}

/// Why a token is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadToken {
    Shape(BadShape),
    /// No key has this name, or none of those without a name made this signature.
    UnknownKey,
    Signature,
    Claims(BadClaims),
}

/// What tokens are held against.
pub(crate) struct Verifier {
    /// Algorithms in use.
    pub(crate) algorithms: Vec<Algorithm>,
    /// What they have to claim.
    pub(crate) rules: Rules,
    /// Claims that the application is told, and under which name.
    pub(crate) told: Vec<(String, HeaderName)>,
}

impl Verifier {
    /// Takes a token apart.
    pub(crate) fn read<'a>(&self, text: &'a str) -> Result<Token<'a>, BadToken> {
        Token::read(text, &self.algorithms).map_err(BadToken::Shape)
    }

    /// Who calls with this token, and which key says so.
    pub(crate) fn verify(&self, token: Token<'_>, keys: &KeySet, now: f64) -> Result<(Verified, Print), BadToken> {
        let mut named = false;
        let signer = keys.candidates(token.algorithm, token.key_id.as_deref()).find(|key| {
            named = true;
            key.verifies(token.algorithm, token.signed, &token.signature)
        });
        let Some(key) = signer else {
            // Under its name there is a key, and it was not that one.
            let known = named && token.key_id.is_some();
            return Err(if known { BadToken::Signature } else { BadToken::UnknownKey });
        };
        Ok((self.believe(token.claims, now)?, key.print()))
    }

    /// Who calls, if the signature is good.
    pub(crate) fn believe(&self, claims: Claims, now: f64) -> Result<Verified, BadToken> {
        let end = self.rules.check(&claims, now).map_err(BadToken::Claims)?;
        let fields = self.told.iter().filter_map(|(name, field)| {
            let value = tell::value(claim(&claims, name)?)?;
            Some((field.clone(), value))
        });
        let fields = fields.collect();
        let scopes = claims::scopes(&claims).into();
        let principal = Principal { scopes, ..Principal::of_token(claims) };
        Ok(Verified { principal: Arc::new(principal), fields, end })
    }

    /// Whether new keys could make a good token of it.
    pub(crate) fn is_worth_a_fetch(&self, token: &Token<'_>, now: f64) -> bool {
        token.algorithm != Algorithm::Hs256 && self.rules.look_right(&token.claims, now)
    }

    /// Of an API key: its subject alone is told.
    pub(crate) fn told_of_subject(&self, subject: &str) -> Box<[(HeaderName, HeaderValue)]> {
        let value = tell::value(&subject.into());
        let fields = self.told.iter().filter(|(name, _)| matches!(name.as_str(), "sub" | "/sub"));
        fields.filter_map(|(_, field)| Some((field.clone(), value.clone()?))).collect()
    }
}
