//! Real Redis servers, alone, in a cluster or watched by sentinels.

mod client;
mod cluster;
mod monitor;
mod sentinels;
mod server;

pub use client::Resp;
pub use cluster::RedisCluster;
pub use monitor::Monitor;
pub use sentinels::RedisSentinels;
pub use server::{Redis, RedisSetup};
