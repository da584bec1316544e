//! The contract between the Vestibule host and its plugins.
//!
//! A [`Plugin`] is built once per configuration; for each exchange it may attach a set of [`Hooks`], which hold
//! whatever that one exchange needs in their own fields. Nothing here knows an async runtime, a proxy engine or a
//! store: a plugin is values in, decisions out, and can be tested without a socket.

mod access;
mod admin;
mod authority;
mod build;
mod clock;
mod end;
mod event;
mod facts;
mod fields;
pub mod files;
mod flow;
mod head;
mod hooks;
pub mod list;
pub mod media;
pub mod methods;
mod notice;
mod otlp;
mod problem;
mod room;
mod soon;
pub mod units;

pub use access::{AccessLine, Field};
pub use admin::{AdminCall, AdminReply};
pub use authority::{Authority, BadAuthority, is_authority};
pub use build::{
    Build, BuildError, BuildErrors, Deps, KeyPath, NoRoute, OwnRoute, RouteEntry, Routes, Secret, ServerName, Stage,
    StoreKind, StoreTerms,
};
pub use clock::{Clock, Monotonic, SystemClock};
pub use end::{AnsweredBy, Attempt, AttemptResult, End, Ended};
pub use event::{AdminAct, Denial, Event, Running, Spot};
pub use facts::{Claims, ClientAddress, Facts, Principal, PrincipalKind, RouteId, TraceContext, claim};
pub use fields::{Fields, Lines, Names, Repeated, Spelling};
pub use flow::{Detach, Failure, Flow, Held, HeldFlow, Hold, Keep, Looked, Sent, WhyFailed, WhyFlowing};
pub use head::{RequestHead, ResponseHead};
pub use hooks::{Guard, Hooks, Plugin};
pub use notice::Notice;
pub use otlp::{Otlp, OtlpProtocol, Telemetry};
pub use problem::{FullResponse, GrpcStatus, Problem, Response};
pub use room::{HeldRequest, Room};
pub use soon::Soon;
pub use vestibule_meter as meter;
