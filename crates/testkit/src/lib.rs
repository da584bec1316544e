//! What the integration tests stand on: the real binary between a scripted origin and a client that sees every byte.
//!
//! [`Origin`] answers as told and remembers what reached it, [`Proxy`] runs the program, [`Raw`] speaks to it,
//! [`FakeClock`] owns time and [`Certs`] owns trust. Ports are always ephemeral, files live in directories that go away, and every wait has a deadline that says
//! what was awaited: nothing here sleeps in the hope that something has happened.

pub mod answer;
pub mod certs;
pub mod clock;
pub mod deadline;
pub mod fields;
pub mod gate;
pub mod origin;
pub mod proxy;
pub mod raw;
pub mod request;
mod task;
mod wire;

pub use answer::Answer;
pub use certs::{Alpn, Certs};
pub use clock::FakeClock;
pub use deadline::{DEADLINE, within};
pub use fields::Fields;
pub use gate::Gate;
pub use origin::{Counts, Origin, Received, Reply};
pub use proxy::{Failed, Proxy, Scrape, Setup};
pub use raw::Raw;
pub use request::Request;
pub use wire::BodyEnd;
