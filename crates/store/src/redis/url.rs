//! Where Redis is, as one line of a file says it.

use percent_encoding::percent_decode_str;
use std::fmt;
use zeroize::Zeroizing;

/// Where no port is named.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// A parsed `redis://`, `redis+cluster://` or `redis+sentinel://` address; with `rediss` the same over TLS. Neither
/// [`Display`](fmt::Display) nor [`Debug`] shows credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) places: Places,
    pub(super) credentials: Option<Credentials>,
    pub(super) tls: bool,
}

/// One address or more, and what stands there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Places {
    Server { address: Address, database: u16 },
    Cluster(Vec<Address>),
    Sentinels { addresses: Vec<Address>, master: String },
}

/// A host name or IP address, and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// Empty: the default user.
    pub(super) user: String,
    pub(super) password: Zeroizing<String>,
}

/// Why a text is not the address of a Redis: a sentence for the author of the file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

impl RedisUrl {
    /// Parses an address; reaches out to nothing.
    ///
    /// ```
    /// use vestibule_store::RedisUrl;
    /// let url = RedisUrl::parse("rediss://app:s%3Acret@cache.internal:6380/2").expect("an address");
    /// assert_eq!(url.to_string(), "rediss://cache.internal:6380/2");
    /// assert!(RedisUrl::parse("redis+sentinel://a:26379,b:26379").is_err(), "it does not name the master");
    /// ```
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("there is no scheme such as redis://"))?;
        let (tls, kind) = match scheme.split_once('+').map_or((scheme, ""), |(base, kind)| (base, kind)) {
            ("redis", kind) => (false, kind),
            ("rediss", kind) => (true, kind),
            _ => return Err(bad(&format!("the scheme {scheme} is not redis or rediss"))),
        };
        if rest.contains(['?', '#']) {
            return Err(bad("nothing may follow the path; ? and # in a password are written %3F and %23"));
        }
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
        let (userinfo, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(info, hosts)| (Some(info), hosts));
        let places = match kind {
            "" => match &addresses(hosts, REDIS_PORT)?[..] {
                [address] => Places::Server { address: address.clone(), database: database(path)? },
                _ => return Err(bad("several addresses need redis+cluster:// or redis+sentinel://")),
            },
            "cluster" => {
                // A cluster has one database.
                if database(path)? != 0 {
                    return Err(bad("a cluster has the database 0 alone"));
                }
                Places::Cluster(addresses(hosts, REDIS_PORT)?)
            }
            "sentinel" => {
                let master = path.filter(|name| !name.is_empty() && !name.contains('/'));
                let master = master.ok_or_else(|| bad("the path names the master that the sentinels watch"))?;
                Places::Sentinels { addresses: addresses(hosts, SENTINEL_PORT)?, master: decoded(master)? }
            }
            _ => return Err(bad(&format!("{kind} is not cluster or sentinel"))),
        };
        Ok(Self { places, credentials: userinfo.map(credentials).transpose()?.flatten(), tls })
    }

    /// Whether both lead to the same servers, whatever they say to be let in.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.places == other.places
    }

    /// Whether a server that is asked may be replaced by another one.
    pub(super) fn may_be_taken_over(&self) -> bool {
        !matches!(self.places, Places::Server { .. })
    }

    /// `redis`, `redis+cluster` or `redis+sentinel`, TLS or not.
    pub(super) fn kind(&self) -> &'static str {
        match self.places {
            Places::Server { .. } => "redis",
            Places::Cluster(_) => "redis+cluster",
            Places::Sentinels { .. } => "redis+sentinel",
        }
    }
}

fn bad(why: &str) -> BadUrl {
    BadUrl(why.to_owned())
}

fn addresses(hosts: &str, default_port: u16) -> Result<Vec<Address>, BadUrl> {
    hosts.split(',').map(|host| address(host, default_port)).collect()
}

fn address(text: &str, default_port: u16) -> Result<Address, BadUrl> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| bad("an IPv6 address ends in ]"))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(bad(&format!("{host} is not an IPv6 address")));
            }
            match port.strip_prefix(':') {
                None if !port.is_empty() => return Err(bad("behind ] comes :port or nothing")),
                port => (host, port),
            }
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(bad("an address has a host"));
    }
    let port = match port {
        None => default_port,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| bad(&format!("the port of {host} is not a number from 1 to 65535")))?,
    };
    Ok(Address { host: host.to_owned(), port })
}

fn database(path: Option<&str>) -> Result<u16, BadUrl> {
    match path {
        None | Some("") => Ok(0),
        Some(path) => path.parse().map_err(|_| bad("the path is the number of a database")),
    }
}

fn credentials(userinfo: &str) -> Result<Option<Credentials>, BadUrl> {
    match userinfo.split_once(':') {
        None if userinfo.is_empty() => Ok(None),
        None => Err(bad("a user comes with a password: user:password@, or :password@ for the default user")),
        Some((user, password)) => {
            Ok(Some(Credentials { user: decoded(user)?, password: Zeroizing::new(decoded(password)?) }))
        }
    }
}

fn decoded(text: &str) -> Result<String, BadUrl> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| bad("what is percent-encoded is not UTF-8"))?.into_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let all = |addresses: &[Address]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        match &self.places {
            Places::Server { address, database } => write!(f, "{scheme}://{address}/{database}"),
            Places::Cluster(addresses) => write!(f, "{scheme}+cluster://{}", all(addresses)),
            Places::Sentinels { addresses, master } => write!(f, "{scheme}+sentinel://{}/{master}", all(addresses)),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RedisUrl {
        RedisUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_left_out_has_its_usual_value() {
        for (text, meant) in [
            ("redis://h", "redis://h:6379/0"),
            ("redis://h/", "redis://h:6379/0"),
            ("rediss://h:1/15", "rediss://h:1/15"),
            ("redis://[::1]:7", "redis://[::1]:7/0"),
            ("redis+cluster://a,b:7", "redis+cluster://a:6379,b:7"),
            ("redis+cluster://a/0", "redis+cluster://a:6379"),
            ("rediss+cluster://a", "rediss+cluster://a:6379"),
            ("redis+sentinel://a,[::1]/my%20master", "redis+sentinel://a:26379,[::1]:26379/my master"),
        ] {
            assert_eq!(parsed(text).to_string(), meant);
        }
    }

    #[test]
    fn credentials_are_decoded_and_not_shown() {
        let url = parsed("redis://us%40r:p%2Fass%3A@h");
        let credentials = url.credentials.clone().expect("credentials");
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("us@r", "p/ass:"));
        let shown = format!("{url} {url:?} {:?}", url.credentials);
        assert!(!shown.contains("us@r") && !shown.contains("ass"), "{shown}");
        assert_eq!(parsed("redis://:secret@h").credentials.map(|c| c.user), Some(String::new()));
        assert_eq!(parsed("redis://@h").credentials, None);
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for text in [
            "",
            "h:6379",
            "http://h",
            "redis://",
            "redis://:0",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:x",
            "redis://h/x",
            "redis://h/-1",
            "redis://a,b",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "redis+cluster://a/1",
            "redis+sentinel://a",
            "redis+sentinel://a/",
            "redis+sentinel://a/b/c",
            "redis+ring://a",
            "redis://user@h",
            "redis://h?db=1",
            "redis://[::1",
            "redis://[h]:1",
            "redis://[::1]1",
            "redis://:%ff@h",
            "redis://h h",
        ] {
            let Err(BadUrl(why)) = RedisUrl::parse(text) else { panic!("{text} was taken") };
            assert!(!why.is_empty());
        }
    }

    #[test]
    fn an_error_shows_no_password() {
        for text in ["redis://u:secret@h:x", "redis://u:sec?ret@h", "redis://secret@h", "redis://u:secret@a,b"] {
            let error = RedisUrl::parse(text).expect_err("not an address").to_string();
            assert!(!error.contains("sec"), "{error}");
        }
    }
}
