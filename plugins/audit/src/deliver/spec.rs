//! Sinks as the configuration names them. Pure.

use sha2::{Digest as _, Sha256};
use vestibule_chain::Digest;

/// Who gets events.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum SinkSpec {
    /// Standard output.
    Stdout,
    /// An http or https address.
    Http(String),
    /// A stream of the store.
    Store,
    /// The collector of `[trace] otlp`.
    Otlp,
    /// A syslog receiver over TCP: host and port.
    Syslog(String, u16),
}

impl SinkSpec {
    /// Reads an entry of `sinks`; what is wrong stands under it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str =
            "expected \"stdout\", \"store\", \"otlp\", \"http://…\", \"https://…\" or \"syslog:HOST:PORT\"";
        match text {
            "stdout" => return Ok(Self::Stdout),
            "store" => return Ok(Self::Store),
            "otlp" => return Ok(Self::Otlp),
            _ => {}
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Http(text.to_owned()));
        }
        let Some(address) = text.strip_prefix("syslog:") else { return Err(EXPECTED.to_owned()) };
        let (host, port) = address.rsplit_once(':').ok_or(EXPECTED)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // A name has no colon, and an address that has some stands in brackets.
        let host = bare.or((!host.contains(':')).then_some(host)).ok_or(EXPECTED)?;
        match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() => Ok(Self::Syslog(host.to_owned(), port)),
            _ => Err(EXPECTED.to_owned()),
        }
    }

    /// What it is, as metrics, log lines and `/status` name it. An address may hold a secret.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Http(_) => "http",
            Self::Store => "store",
            Self::Otlp => "otlp",
            Self::Syslog(..) => "syslog",
        }
    }

    /// Its cursor's file: the same for the same target, whatever its place in the list.
    pub(crate) fn cursor_file(&self) -> String {
        let target = match self {
            Self::Stdout | Self::Store | Self::Otlp => return format!("{}.json", self.kind()),
            Self::Http(url) => url.clone(),
            Self::Syslog(host, port) => format!("{host}:{port}"),
        };
        let hash = Digest(Sha256::digest(target).into()).to_string();
        format!("{}-{}.json", self.kind(), &hash[..12])
    }
}

/// Names of several sinks: the kind, and from the second of a kind on a number.
pub(crate) fn names(sinks: &[SinkSpec]) -> Vec<String> {
    let place = |at: usize| sinks[..=at].iter().filter(|sink| sink.kind() == sinks[at].kind()).count();
    let name = |(at, sink): (usize, &SinkSpec)| match place(at) {
        1 => sink.kind().to_owned(),
        place => format!("{}-{place}", sink.kind()),
    };
    sinks.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let syslog = |host: &str, port| Ok(SinkSpec::Syslog(host.to_owned(), port));
        assert_eq!(SinkSpec::parse("stdout"), Ok(SinkSpec::Stdout));
        assert_eq!(SinkSpec::parse("syslog:127.0.0.1:514"), syslog("127.0.0.1", 514));
        assert_eq!(SinkSpec::parse("syslog:[::1]:514"), syslog("::1", 514));
        assert_eq!(SinkSpec::parse("https://a/b"), Ok(SinkSpec::Http("https://a/b".to_owned())));
        for wrong in ["", "stdot", "syslog:h", "syslog::514", "syslog:h:0", "syslog:h:x", "syslog:a:b:99", "file:/x"] {
            assert!(SinkSpec::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_tell_sinks_of_a_kind_apart_and_files_tell_targets_apart() {
        let http = |url: &str| SinkSpec::Http(url.to_owned());
        let sinks = [http("http://a/"), SinkSpec::Stdout, http("http://b/?token=s3cret")];
        assert_eq!(names(&sinks), ["http", "stdout", "http-2"]);
        assert_ne!(sinks[0].cursor_file(), sinks[2].cursor_file());
        assert!(!sinks[2].cursor_file().contains("s3cret"));
        assert_eq!(sinks[1].cursor_file(), "stdout.json");
    }
}
