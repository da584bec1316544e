//! Memory for what is held, as far as a plugin has to do with it.

use bytes::Bytes;

/// Room in the host's memory for bodies (`[server] max_held`), for one exchange.
pub trait Room: Send {
    /// Makes it at least this many bytes. `false`: there is no room, and nothing has changed; the request is answered
    /// 503 `overloaded` then.
    fn grow_to(&mut self, bytes: usize) -> bool;
}

/// A request body, whole, and room for a reply.
pub struct HeldRequest<'a> {
    /// Every byte. A plugin that waits may take it out, so that it takes no room meanwhile; before it lets the request go
    /// on it puts one back that is as good.
    pub body: &'a mut Bytes,
    /// Room for the reply. Where the call survives its client ([`Detach::Survives`](crate::Detach::Survives)) 64 KiB are
    /// taken already, so that a reply of that size can always be kept. A plugin that answers with more makes it larger
    /// first.
    pub room: &'a mut dyn Room,
}

/// Room without a bound, for tests.
impl Room for () {
    fn grow_to(&mut self, _: usize) -> bool {
        true
    }
}
