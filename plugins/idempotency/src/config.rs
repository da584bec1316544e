//! The `[idempotency]` table and the `idempotency` key of a route, as written.

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use std::fmt;
use std::time::Duration;
use vestibule_plugin::units::{Size, Span};

/// Defines the table and what a route may write instead of it, so that they have the same keys.
macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr,)+) => {
        /// The `[idempotency]` table.
        #[derive(Clone, Debug, PartialEq, Eq, DeriveDeserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        /// Keys of `[idempotency]` that a route says otherwise.
        #[derive(Clone, Debug, Default, PartialEq, Eq, DeriveDeserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Overrides {
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<$type>,)+
        }

        impl Config {
            /// Every key as if a route had written it.
            pub(crate) fn as_written(&self) -> Overrides {
                Overrides { $($key: Some(self.$key.clone()),)+ }
            }

            /// What holds where a route writes `written`.
            pub(crate) fn with(&self, written: &Overrides) -> Self {
                Self { $($key: written.$key.clone().unwrap_or_else(|| self.$key.clone()),)+ }
            }
        }
    };
}

keys! {
    /// Whether requests have keys.
    mode: Mode = Mode::Optional,
    /// Methods that are protected: POST, PATCH, PUT, DELETE.
    methods: Vec<String> = vec!["POST".into(), "PATCH".into()],
    /// Whose key it is: the first that is present of subject, api_key, authorization, address, "header:NAME",
    /// "cookie:NAME"; or none, alone.
    principal: Vec<String> = vec!["subject".into(), "api_key".into(), "authorization".into()],
    /// What a keyed request gets that has none of these.
    anonymous: Anonymous = Anonymous::Reject,
    /// The field that carries the key.
    header: String = "idempotency-key".into(),
    /// How a key may be written.
    syntax: Syntax = Syntax::Lenient,
    /// How long a finished record is kept; 1s to 30d.
    ttl: Span = Span(Duration::from_secs(24 * 3600)),
    /// How long a claim counts as alive without renewal; 1s to 1h, and at least three times the store's timeout.
    lease: Span = Span(Duration::from_secs(30)),
    /// An execution ends by then, whatever the upstream does; 1s to 1d.
    deadline: Span = Span(Duration::from_secs(300)),
    /// Executions in this process; one more is answered 503. 1 to 1000000.
    max_in_flight: u64 = 20_000,
    /// New claims of one client address in this process, such as "600/min"; one more is answered 429. Replays are free.
    /// "off": no bound.
    claims_per_client: String = "off".into(),
    /// What makes two requests the same.
    fingerprint: FingerprintKind = FingerprintKind::Raw,
    /// What is kept of failures.
    profile: Profile = Profile::AtMostOnce,
    /// What a request gets while another one with its key executes.
    on_concurrent: OnConcurrent = OnConcurrent::Reject,
    /// Longest wait with on_concurrent = "wait"; 100ms to 5m.
    wait: Span = Span(Duration::from_secs(10)),
    /// What a request gets of which nobody knows whether it was executed.
    on_uncertain: OnUncertain = OnUncertain::Reject,
    /// What a request gets while the store fails.
    on_store_error: OnStoreError = OnStoreError::Reject,
    /// Largest request body; 1 byte to 64MiB.
    max_request_body: Size = Size(1 << 20),
    /// Largest reply body that is kept; 1 byte to 64MiB.
    max_response_body: Size = Size(1 << 20),
    /// Lines `KID BASE64-of-32-bytes`: stored replies are encrypted with the first and decrypted with any.
    encryption_keys_file: String = String::new(),
    /// With encryption_keys_file: whether replies that are stored in the clear are given, too, for as long as some from
    /// before the keys are there. Without it they are refused, as anybody who can write to the store could have put them
    /// there.
    accept_clear_records: bool = false,
    /// Replicas that must have a claim before it counts; 0 to 16. Needs a store that has replicas.
    wait_replicas: u32 = 0,
}

macro_rules! words {
    ($(#[doc = $doc:literal] $name:ident { $(#[doc = $word_doc:literal] $word:ident,)+ })+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Copy, Debug, PartialEq, Eq, DeriveDeserialize, Serialize, JsonSchema)]
            #[serde(rename_all = "snake_case")]
            pub enum $name {
                $(#[doc = $word_doc] $word,)+
            }
        )+
    };
}

words! {
    /// Whether requests have keys.
    Mode {
        /// No key is read.
        Off,
        /// A request without a key passes.
        Optional,
        /// A request without a key is refused.
        Required,
    }
    /// What a keyed request gets that comes from nobody in particular.
    Anonymous {
        /// 401.
        Reject,
        /// All such callers share their keys.
        Share,
    }
    /// How a key may be written.
    Syntax {
        /// Quoted, or bare.
        Lenient,
        /// Quoted (RFC 8941 String).
        Strict,
    }
    /// What makes two bodies the same.
    FingerprintKind {
        /// Their bytes.
        Raw,
        /// What they mean, when they are JSON.
        Json,
    }
    /// What is kept of failures.
    Profile {
        /// Whatever may have been executed is not executed again.
        AtMostOnce,
        /// A failure is executed again.
        RetryFriendly,
    }
    /// What a request gets while another one with its key executes.
    OnConcurrent {
        /// 409.
        Reject,
        /// The reply of the other, once it is there.
        Wait,
    }
    /// What a request gets of which nobody knows whether it was executed.
    OnUncertain {
        /// 409.
        Reject,
        /// It is executed, perhaps again.
        Execute,
    }
    /// What a request gets while the store fails.
    OnStoreError {
        /// 503.
        Reject,
        /// It is forwarded, unprotected.
        Bypass,
    }
}

/// The `idempotency` key of a route: a mode, or a table with any key of `[idempotency]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RouteKey {
    /// As `[idempotency]` says, in this mode.
    Mode(Mode),
    /// As `[idempotency]` says, except for these keys.
    Table(Box<Overrides>),
}

impl RouteKey {
    /// What is written.
    pub(crate) fn overrides(&self) -> Overrides {
        match self {
            Self::Mode(mode) => Overrides { mode: Some(*mode), ..Overrides::default() },
            Self::Table(written) => (**written).clone(),
        }
    }
}

/// By hand, because serde's untagged enums forget which key inside the table was wrong.
impl<'de> Deserialize<'de> for RouteKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = RouteKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off, optional, required, or a table with keys of [idempotency]")
            }
            fn visit_str<E: de::Error>(self, mode: &str) -> Result<RouteKey, E> {
                Mode::deserialize(StrDeserializer::new(mode)).map(RouteKey::Mode)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RouteKey, A::Error> {
                Overrides::deserialize(MapAccessDeserializer::new(map)).map(|table| RouteKey::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(KeyVisitor)
    }
}
