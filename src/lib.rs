//! Vestibule's host: everything around the plugins.

pub mod admin;
pub mod answer;
pub mod build;
pub mod cli;
pub mod config;
pub mod connections;
mod deadline;
pub mod downstream;
pub mod edge;
pub mod exchange;
pub mod host;
pub mod listener;
pub mod memory_budget;
mod outbox;
pub mod pipeline;
pub mod proxy;
pub mod registry;
pub mod reload;
pub mod response_head;
pub mod routes;
pub mod serve;
pub mod stores;
pub mod telemetry;
pub mod upstream;
pub mod watch;
