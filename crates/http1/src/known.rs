//! Names that the proxy asks for by itself, classified once while a head is parsed.

macro_rules! known {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A field name with an index of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is the field of its name")]
        pub enum Known { $($variant),+ }

        impl Known {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in lower case.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

known! {
    Te = "te",
    Date = "date",
    Host = "host",
    Vary = "vary",
    Via = "via",
    Etag = "etag",
    Accept = "accept",
    Cookie = "cookie",
    Expect = "expect",
    Origin = "origin",
    Range = "range",
    Server = "server",
    Trailer = "trailer",
    Upgrade = "upgrade",
    IfMatch = "if-match",
    Forwarded = "forwarded",
    Connection = "connection",
    KeepAlive = "keep-alive",
    SetCookie = "set-cookie",
    TraceId = "x-trace-id",
    UserAgent = "user-agent",
    Tracestate = "tracestate",
    Traceparent = "traceparent",
    ContentType = "content-type",
    CacheControl = "cache-control",
    IfNoneMatch = "if-none-match",
    Authorization = "authorization",
    HttpTwoSettings = "http2-settings",
    ContentLength = "content-length",
    AcceptEncoding = "accept-encoding",
    IdempotencyKey = "idempotency-key",
    XForwardedFor = "x-forwarded-for",
    ContentEncoding = "content-encoding",
    ProxyConnection = "proxy-connection",
    TransferEncoding = "transfer-encoding",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
}

/// Longest name in the list.
const LONGEST: usize = 19;
/// Letters by their last five bits, whatever their case.
const LETTERS: usize = 32;

/// By length and first letter: the only name of the list that has them.
static BY_SHAPE: [[Option<Known>; LETTERS]; LONGEST + 1] = {
    let mut table = [[None; LETTERS]; LONGEST + 1];
    let mut at = 0;
    while at < Known::ALL.len() {
        let name = Known::ALL[at].name().as_bytes();
        let entry = &mut table[name.len()][letter(name[0])];
        assert!(entry.is_none(), "two names of one length begin with one letter");
        *entry = Some(Known::ALL[at]);
        at += 1;
    }
    table
};

const fn letter(byte: u8) -> usize {
    byte as usize % LETTERS
}

impl Known {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The one that `name` spells, letters folded.
    pub fn of(name: &[u8]) -> Option<Self> {
        let known = (*BY_SHAPE.get(name.len())?.get(letter(*name.first()?))?)?;
        folds_to(name, known.name().as_bytes()).then_some(known)
    }

    /// Whether the field speaks to the next hop only and is not forwarded (RFC 9110 section 7.6.1).
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::HttpTwoSettings
        )
    }

    /// Whether the field may stand in a trailer section: it neither frames nor routes the message, nor speaks to the
    /// next hop (RFC 9110 section 6.5.1).
    pub fn may_trail(self) -> bool {
        !self.is_hop_by_hop() && !matches!(self, Self::ContentLength | Self::Host | Self::Expect)
    }
}

/// Compares `name` with `lower`, which is as long, letters folded.
fn folds_to(name: &[u8], lower: &[u8]) -> bool {
    let (Some(end), Some(lower_end)) = (name.last_chunk(), lower.last_chunk()) else {
        return name.iter().zip(lower).fold(true, |all, (byte, lower)| all & (byte | (lower & 0x40) >> 1 == *lower));
    };
    // The last word overlaps the one before, so that no byte is left over.
    let mut words = name.as_chunks().0.iter().zip(lower.as_chunks().0);
    words.all(|(word, lower)| word_folds_to(*word, *lower)) && word_folds_to(*end, *lower_end)
}

/// Compares eight bytes of them: in these names letters alone have the bit 0x40, and differ from their capitals by 0x20.
fn word_folds_to(word: [u8; 8], lower: [u8; 8]) -> bool {
    const LETTER: u64 = u64::MAX / 0xff * 0x40;
    let (word, lower) = (u64::from_le_bytes(word), u64::from_le_bytes(lower));
    word | (lower & LETTER) >> 1 == lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_whatever_its_letters_and_no_other() {
        for known in Known::ALL {
            assert_eq!(Known::of(known.name().as_bytes()), Some(*known));
            assert_eq!(Known::of(known.name().to_ascii_uppercase().as_bytes()), Some(*known));
            assert_eq!(Known::of(format!("{}x", known.name()).as_bytes()), None);
            for at in 0..known.name().len() {
                for bit in (0..8).filter(|bit| *bit != 5) {
                    let mut other = known.name().as_bytes().to_vec();
                    other[at] ^= 1 << bit;
                    assert_ne!(Known::of(&other), Some(*known), "{other:?}");
                }
            }
        }
        assert_eq!(Known::of(b""), None);
        assert_eq!(Known::of(b"content_length"), None);
    }
}
