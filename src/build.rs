//! What this binary is.

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Git revision it was built from, or `unknown`.
pub const REVISION: &str = env!("VESTIBULE_REVISION");
/// `release` or `debug`.
pub const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };
