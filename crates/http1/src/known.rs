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

/// By length, the names that long: few enough to be compared one after another.
const BY_LENGTH: [&[Known]; LONGEST + 1] = {
    use Known::*;
    [
        &[],
        &[],
        &[Te],
        &[Via],
        &[Host, Date, Vary, Etag],
        &[Range],
        &[Accept, Cookie, Expect, Origin, Server],
        &[Upgrade, Trailer],
        &[IfMatch],
        &[Forwarded],
        &[Connection, UserAgent, KeepAlive, SetCookie, TraceId, Tracestate],
        &[Traceparent],
        &[ContentType],
        &[CacheControl, IfNoneMatch, Authorization],
        &[ContentLength, HttpTwoSettings],
        &[AcceptEncoding, IdempotencyKey, XForwardedFor],
        &[ContentEncoding, ProxyConnection],
        &[TransferEncoding],
        &[ProxyAuthenticate],
        &[ProxyAuthorization],
    ]
};

impl Known {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The one that `name` spells, letters folded.
    pub fn of(name: &[u8]) -> Option<Self> {
        let same_length = BY_LENGTH.get(name.len())?;
        same_length.iter().copied().find(|known| known.name().as_bytes().eq_ignore_ascii_case(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_whatever_its_letters_and_no_other() {
        for known in Known::ALL {
            assert_eq!(Known::of(known.name().as_bytes()), Some(*known));
            assert_eq!(Known::of(known.name().to_ascii_uppercase().as_bytes()), Some(*known));
            assert_eq!(Known::of(format!("{}x", known.name()).as_bytes()), None);
        }
        assert_eq!(Known::of(b""), None);
        assert_eq!(Known::of(b"content_length"), None);
    }
}
