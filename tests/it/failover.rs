//! Another Redis takes over, while proxies write and repeat keyed requests.

mod sentinels;
mod traffic;
