//! What the integration tests stand on: the real binary between a scripted origin and a client that sees every byte.
//!
//! [`Origin`] and [`H2Origin`] answer as told and remember what reached them, [`Proxy`] runs the program, [`Raw`] and
//! [`H2Client`] speak to it, [`Relay`] breaks the path between two of them, [`FakeClock`] owns time and [`Certs`] owns
//! trust. [`Redis`] and its like run real servers. Ports are always ephemeral, files live in directories that go away, and every wait has a deadline that says
//! what was awaited: nothing here sleeps in the hope that something has happened.

pub mod answer;
pub mod audit_log;
pub mod certs;
pub mod clock;
pub mod deadline;
pub mod fields;
pub mod frames;
pub mod gate;
pub mod h2_client;
pub mod h2_origin;
pub mod origin;
pub mod proxy;
pub mod raw;
pub mod redis;
pub mod relay;
pub mod request;
mod task;
mod wire;

pub use answer::Answer;
pub use audit_log::AuditLog;
pub use certs::{Alpn, Certs};
pub use clock::FakeClock;
pub use deadline::{DEADLINE, within, within_for};
pub use fields::Fields;
pub use gate::Gate;
pub use h2;
pub use h2_client::{H2Client, H2Request, H2Stream};
pub use h2_origin::{H2Origin, H2Reply, Over};
pub use origin::{Counts, Origin, Received, Reply};
pub use proxy::{Failed, Proxy, Scrape, Setup};
pub use raw::{Raw, over_tls};
pub use redis::{Monitor, Redis, RedisCluster, RedisSentinels, RedisSetup, Resp};
pub use relay::{Fault, Relay};
pub use request::Request;
pub use wire::BodyEnd;
