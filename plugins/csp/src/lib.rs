//! Under construction.
mod clean;
mod config;
mod directive;
mod fold;
mod header;
mod noise;
mod policy;
mod rate;
mod record;
mod report;
mod stamp;
