//! The plugin through its own door: built from TOML, asked with heads, with a clock that stands still until told.

mod answers;
mod configuration;
mod operator;
mod reload;
mod rig;
