//! The testkit against itself: its client reads what its origin writes.

mod origin;
mod proxy;
