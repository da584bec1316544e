//! A value that is usually here already.

use std::future::Future;
use std::pin::Pin;

/// The answer of an asynchronous hook: at hand, or to be awaited.
///
/// Most hooks of most requests decide without waiting. `Now` costs them neither an allocation nor a poll, which a boxed
/// future for each hook would.
pub enum Soon<'a, T> {
    /// Decided.
    Now(T),
    /// Decided once this future is done.
    Later(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<'a, T> Soon<'a, T> {
    /// Boxes `future`.
    pub fn later(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self::Later(Box::pin(future))
    }

    /// The value, once it is there.
    pub async fn get(self) -> T {
        match self {
            Self::Now(value) => value,
            Self::Later(future) => future.await,
        }
    }
}

impl<T> From<T> for Soon<'_, T> {
    fn from(value: T) -> Self {
        Self::Now(value)
    }
}
