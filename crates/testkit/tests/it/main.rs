//! The testkit against itself: its client reads what its origin writes.

mod h2;
mod origin;
mod proxy;
mod redis;
mod relay;
