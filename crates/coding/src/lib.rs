//! Content codings, undone piece by piece (RFC 9110 section 8.4.1, RFC 1952, RFC 7932, RFC 8878).
//!
//! Nothing is collected: a decoder's memory is its window, at most 16 MiB, and it stops at a bound on what it puts out.

mod brotli;
mod zstd;

use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// What a body is coded in.
#[derive(Debug, PartialEq, Eq)]
pub enum Coding {
    /// Nothing.
    Identity,
    /// One coding that can be undone here.
    Known(Codec),
    /// Another one, or several: the names in lower case with commas between them.
    Unknown(Vec<u8>),
}

/// A coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// `gzip`, also `x-gzip`.
    Gzip,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

/// Why content could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// More content, or a larger window, than the bound.
    TooLarge,
    /// Not what the coding's specification says.
    Corrupt,
    /// Whoever was given the content wants no more of it.
    Unwanted,
}

/// The coding that the lines of `Content-Encoding` name.
pub fn coding_of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Coding {
    let mut names = Vec::new();
    for line in lines {
        for name in line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            if !names.is_empty() {
                names.push(b',');
            }
            names.extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
    match &names[..] {
        b"" => Coding::Identity,
        b"gzip" | b"x-gzip" => Coding::Known(Codec::Gzip),
        b"br" => Coding::Known(Codec::Brotli),
        b"zstd" => Coding::Known(Codec::Zstd),
        _ => Coding::Unknown(names),
    }
}

impl Codec {
    /// As registered with IANA.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// Gives the content of `coded` to `sink`, in pieces; at most `most` bytes of it.
    ///
    /// # Errors
    ///
    /// When it is more than that, or not of this coding; the pieces given until then count for nothing.
    pub fn decode(self, coded: &[u8], most: u64, sink: &mut dyn FnMut(&[u8])) -> Result<(), Undecodable> {
        self.decode_while(coded, most, &mut |piece| {
            sink(piece);
            true
        })
    }

    /// As [`Self::decode`], until `sink` says `false`.
    ///
    /// # Errors
    ///
    /// Those of [`Self::decode`], and [`Undecodable::Unwanted`].
    pub fn decode_while(self, coded: &[u8], most: u64, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), Undecodable> {
        let mut out = Bounded { left: most, sink };
        match self {
            Self::Gzip => gzip(coded, &mut out),
            Self::Brotli => brotli::decode(coded, &mut out),
            Self::Zstd => zstd::decode(coded, &mut out),
        }
    }
}

/// Where decoded pieces go, and how many more bytes may.
struct Bounded<'a> {
    left: u64,
    sink: &'a mut dyn FnMut(&[u8]) -> bool,
}

impl Bounded<'_> {
    fn put(&mut self, piece: &[u8]) -> Result<(), Undecodable> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or(Undecodable::TooLarge)?;
        if (self.sink)(piece) { Ok(()) } else { Err(Undecodable::Unwanted) }
    }
}

/// Bytes decoded before they go to the sink: small enough for the stack and the first-level cache.
const PIECE: usize = 8 << 10;

fn gzip(coded: &[u8], out: &mut Bounded<'_>) -> Result<(), Undecodable> {
    let mut decoder = MultiGzDecoder::new(coded);
    let mut piece = [0; PIECE];
    loop {
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(n) => out.put(&piece[..n])?,
            Err(_) => return Err(Undecodable::Corrupt),
        }
    }
}

#[cfg(test)]
mod tests;
