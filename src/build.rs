//! What this binary is.

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Git revision it was built from, or `unknown`.
pub const REVISION: &str = env!("VESTIBULE_REVISION");
/// `release` or `debug`.
pub const PROFILE: &str = env!("VESTIBULE_PROFILE");
/// All three, e.g. `0.1.0 (60074654ef96, release)`.
pub const DESCRIPTION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("VESTIBULE_REVISION"), ", ", env!("VESTIBULE_PROFILE"), ")");
