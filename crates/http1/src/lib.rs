//! A strict HTTP/1 codec (RFC 9112): values in, values out.
//!
//! It knows no socket, no clock and no configuration, and allocates nothing but what a head of more than 32 fields or
//! a trailer section needs. A head is read once, into a table of offsets over the bytes as they came; nothing is
//! repaired: what two readers could read differently is a fault, and never a table.
//!
//! ```text
//! bytes ── read_request / read_response ── head: start line, FieldTable, Framing, ConnectionOptions
//!       ── BodyReader (Chunks) ─────────── which bytes are body, and where it ends
//! pieces ── write_chunk_head, LAST_CHUNK ─── a body in chunks
//! ```

mod body;
mod chunks;
mod connection;
mod fault;
mod framing;
mod known;
mod lines;
mod request;
mod response;
mod syntax;
mod table;
mod write;

pub use body::{AtEof, BodyReader};
pub use chunks::{Chunks, Step};
pub use connection::ConnectionOptions;
pub use fault::{ChunkFault, FaultKind, HeadFault, LengthFault, RequestFault, ResponseFault};
pub use framing::Framing;
pub use known::Known;
pub use lines::{Limits, Parsed, Progress};
pub use request::{RequestHead, is_framing_twin, read_request};
pub use response::{RequestKind, ResponseHead, read_response};
pub use table::{FieldTable, Lines};
pub use write::{CHUNK_END, LAST_CHUNK, write_chunk_head, write_last_chunk_with_trailers};
