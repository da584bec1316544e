//! The plugin as its host drives it, without a socket.

mod config;
mod drive;
mod not_modified;
mod tagging;
mod upstream;

use flate2::Compression;
use flate2::read::GzEncoder;
use std::io::Read;

/// `content` as gzip; other levels make other bytes of it.
pub(crate) fn gzip(content: &[u8], level: u32) -> Vec<u8> {
    let mut coded = Vec::new();
    GzEncoder::new(content, Compression::new(level)).read_to_end(&mut coded).expect("memory does not fail");
    coded
}
