//! A store that a plugin may or may not use, as its configuration says.

use std::fmt;
use std::sync::Arc;

/// Gives a shared handle to whoever asks; until then the store counts as unused.
pub struct OnDemand<T: ?Sized>(Box<dyn Fn() -> Arc<T> + Send + Sync>);

impl<T: ?Sized> OnDemand<T> {
    /// Of what `make` gives.
    pub fn new(make: impl Fn() -> Arc<T> + Send + Sync + 'static) -> Self {
        Self(Box::new(make))
    }

    /// The store.
    pub fn get(&self) -> Arc<T> {
        (self.0)()
    }
}

impl<T: ?Sized> fmt::Debug for OnDemand<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnDemand")
    }
}
