//! Another Redis takes over, while proxies write and repeat keyed requests.

mod access;
mod cluster;
mod credentials;
mod sentinels;
mod split;
mod strangers;
mod traffic;

/// Each test is a dozen processes.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
