//! Repeated writes through the whole program, each case on every store it is promised for.

mod admin;
mod clients;
mod concurrent;
mod configured;
#[cfg(feature = "fail-points")]
mod deaths;
mod drains;
mod failures;
mod hostile;
mod identity;
mod keys;
mod life;
mod page;
mod replay;
mod replies;
mod shared;
pub mod stage;
