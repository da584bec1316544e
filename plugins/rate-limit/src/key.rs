//! Who is counted: the parts of a policy's `key`, and the canonical text they give for a request.
//!
//! One key text is one bucket, so no spelling of a path or credential, and no value a client invents, can look like
//! another kind of key: everything outside a small alphabet is percent-encoded.

use crate::config::Key;
use http::HeaderName;
use std::fmt::{self, Write};
use std::net::IpAddr;
use vestibule_plugin::{ClientAddress, Facts, Principal, PrincipalKind, RequestHead};

/// A policy's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeySpec(Vec<Part>);

/// One kind of key.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Client,
    Address,
    Subject,
    Global,
    Header(HeaderName),
}

/// Why a key does not parse: which element of the list, and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BadKey {
    /// Position in the list; `None` for a key that is none.
    pub(crate) element: Option<usize>,
    /// What it was.
    pub(crate) written: String,
}

/// What a key may be.
pub(crate) const EXPECTED: &str = "expected client, address, subject, global, \"header:NAME\", or a list of them";

impl KeySpec {
    /// Reads a key as it stands in the file.
    pub(crate) fn parse(key: &Key) -> Result<Self, BadKey> {
        let (words, is_list) = match key {
            Key::One(word) => (std::slice::from_ref(word), false),
            Key::Many(words) => (words.as_slice(), true),
        };
        if words.is_empty() {
            return Err(BadKey { element: None, written: String::new() });
        }
        let parts = words.iter().enumerate().map(|(i, word)| {
            Part::parse(word).ok_or_else(|| BadKey { element: is_list.then_some(i), written: word.clone() })
        });
        parts.collect::<Result<_, _>>().map(Self)
    }

    /// Whether a client can have another bucket as often as it likes, whatever else is in the key.
    pub(crate) fn is_chosen_by_client(&self) -> bool {
        self.headers().next().is_some()
    }

    /// The key text that a request would have of whom `text` means, with addresses and bytes spelt as requests have them;
    /// `None` when it means nobody that this key could count.
    pub(crate) fn settled(&self, text: &str, ipv6_prefix: u8) -> Option<String> {
        let texts: Vec<&str> = text.split(';').collect();
        let parts = self.0.iter().zip(&texts).map(|(part, text)| part.settled(text, ipv6_prefix));
        let parts: Vec<String> = parts.collect::<Option<_>>()?;
        (parts.len() == self.0.len() && texts.len() == self.0.len()).then(|| parts.join(";"))
    }

    /// How its key texts are written.
    pub(crate) fn form(&self) -> String {
        self.0.iter().map(|part| part.forms().join(" or ")).collect::<Vec<_>>().join(", then `;`, then ")
    }

    /// The fields it reads.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|part| match part {
            Part::Header(name) => Some(name),
            _ => None,
        })
    }

    /// Appends the key text of a request.
    pub(crate) fn write(&self, text: &mut String, request: &RequestHead<'_>, facts: &Facts) {
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 {
                text.push(';');
            }
            part.write(text, request, facts);
        }
    }
}

impl fmt::Display for KeySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_char(';')?;
            }
            match part {
                Part::Client => f.write_str("client")?,
                Part::Address => f.write_str("address")?,
                Part::Subject => f.write_str("subject")?,
                Part::Global => f.write_str("global")?,
                Part::Header(name) => write!(f, "header:{name}")?,
            }
        }
        Ok(())
    }
}

impl Part {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "client" => Some(Self::Client),
            "address" => Some(Self::Address),
            "subject" => Some(Self::Subject),
            "global" => Some(Self::Global),
            _ => HeaderName::from_bytes(word.strip_prefix("header:")?.as_bytes()).ok().map(Self::Header),
        }
    }

    /// How its texts begin; `global` is all there is to it.
    fn prefixes(&self) -> Vec<String> {
        match self {
            Self::Client => ["sub=", "key=", "addr="].map(String::from).into(),
            Self::Address => vec!["addr=".into()],
            Self::Subject => ["sub=", "sub,addr="].map(String::from).into(),
            Self::Global => vec!["global".into()],
            Self::Header(name) => vec![format!("header:{name}="), format!("header:{name},addr=")],
        }
    }

    fn settled(&self, text: &str, ipv6_prefix: u8) -> Option<String> {
        if let Self::Global = self {
            return (text == "global").then(|| text.to_owned());
        }
        let (mut settled, rest) = self.prefixes().into_iter().find_map(|prefix| {
            let rest = text.strip_prefix(&*prefix).filter(|rest| !rest.is_empty())?;
            Some((prefix, rest))
        })?;
        if settled == "addr=" || settled.ends_with(",addr=") {
            settled.push_str(&address(rest, ipv6_prefix)?.to_string());
        } else {
            encode(&mut settled, &decode(rest));
        }
        Some(settled)
    }

    fn forms(&self) -> Vec<String> {
        let hole = if matches!(self, Self::Global) { "" } else { "…" };
        self.prefixes().iter().map(|prefix| format!("`{prefix}{hole}`")).collect()
    }

    fn write(&self, text: &mut String, request: &RequestHead<'_>, facts: &Facts) {
        match (self, facts.principal().map(|principal| &**principal)) {
            (Self::Client | Self::Subject, Some(Principal { subject: Some(subject), .. })) => {
                text.push_str("sub=");
                encode(text, subject.as_bytes());
            }
            // Beside a token without a subject an API key selects nothing.
            (Self::Client, Some(Principal { kind: PrincipalKind::ApiKey, api_key: Some(id), .. })) => {
                text.push_str("key=");
                encode(text, id.as_bytes());
            }
            (Self::Client | Self::Address, _) => {
                text.push_str("addr=");
                facts.address().append_to(text);
            }
            (Self::Subject, _) => {
                // The comma keeps it apart from every subject: theirs is encoded.
                text.push_str("sub,addr=");
                facts.address().append_to(text);
            }
            (Self::Global, _) => text.push_str("global"),
            (Self::Header(name), _) => {
                text.push_str("header:");
                text.push_str(name.as_str());
                let mut lines = request.fields.lines(name);
                let Some(first) = lines.next() else {
                    text.push_str(",addr=");
                    return facts.address().append_to(text);
                };
                text.push('=');
                encode(text, first.trim_ascii());
                for line in lines {
                    encode(text, b", ");
                    encode(text, line.trim_ascii());
                }
            }
        }
    }
}

/// The address that a request from `text` would count by: an address of any spelling, or one with the bits that count.
fn address(text: &str, ipv6_prefix: u8) -> Option<ClientAddress> {
    if text == "local" {
        return Some(ClientAddress::Local);
    }
    match text.split_once('/') {
        None => Some(ClientAddress::of(text.parse().ok()?, ipv6_prefix)),
        Some((ip, bits)) => {
            let address = ClientAddress::of(IpAddr::V6(ip.parse().ok()?), ipv6_prefix);
            (bits.parse() == Ok(ipv6_prefix)).then_some(address)
        }
    }
}

/// Bytes of a value, in which `%41` is `A` and a sign that begins nothing is itself.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16)).map(|digit| digit as u8);
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

/// Appends `bytes`, those outside `A-Z a-z 0-9 - . _ ~ : / @` percent-encoded.
fn encode(text: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'@' => {
                text.push(char::from(*byte));
            }
            _ => {
                text.push('%');
                text.push(char::from(HEX[usize::from(byte >> 4)]));
                text.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

#[cfg(test)]
mod tests;
