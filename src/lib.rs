//! Vestibule's host: everything around the plugins.

pub mod cli;
pub mod config;
pub mod registry;
pub mod stores;
