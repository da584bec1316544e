//! Tokens that callers must show, each in a file of its own. A token is read once and never shown, not even by `Debug`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::{fmt, io};

use subtle::ConstantTimeEq;

use crate::text::Invalid;

const MAX_BYTES: usize = 1_024;

/// 1 to 1,024 visible ASCII characters: what fits behind `Bearer` in a header field.
#[derive(Clone)]
pub(crate) struct Secret(Arc<str>);

impl Secret {
    /// Reads a file that holds a token and perhaps one line end.
    pub(crate) fn from_file(path: &str) -> Result<Self, Invalid> {
        let unreadable = |error: io::Error| Invalid::new(format!("must name a file that can be read: {error}"));
        let about = fs::metadata(path).map_err(unreadable)?;
        if !about.is_file() {
            return Err(Invalid::new("must name a file"));
        }
        // The group may: whoever sends the token often runs as another user and reads the same file.
        if about.permissions().mode() & 0o007 != 0 {
            return Err(Invalid::new("must name a file that only its owner and its group can use, as after chmod o="));
        }
        if about.len() > (MAX_BYTES + 2) as u64 {
            return Err(Self::refused());
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let token = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if (1..=MAX_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(token.into()))
        } else {
            Err(Self::refused())
        }
    }

    /// Whether this is the token, in a time that does not depend on where they differ.
    pub(crate) fn matches(&self, sent: &[u8]) -> bool {
        // The length is no secret; the bytes are.
        sent.ct_eq(self.0.as_bytes()).into()
    }

    fn refused() -> Invalid {
        Invalid::new(format!("must name a file of one line, 1 to {MAX_BYTES} visible ASCII characters"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn read(content: &[u8], mode: u32) -> Result<Secret, Invalid> {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("token");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        Secret::from_file(path.to_str().expect("UTF-8"))
    }

    #[test]
    fn a_token_is_read_without_its_line_end() {
        for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            let secret = read(content.as_bytes(), 0o600).expect(content);
            assert!(secret.matches(b"s3cret"));
            for other in ["", "s3cre", "s3cret\n", "s3cret ", "S3cret"] {
                assert!(!secret.matches(other.as_bytes()), "{other}");
            }
            assert!(!format!("{secret:?}").contains("s3cret"));
        }
    }

    #[test]
    fn what_cannot_stand_in_a_header_field_is_refused() {
        let longest = "x".repeat(MAX_BYTES);
        assert!(read(longest.as_bytes(), 0o600).is_ok());
        assert!(read(format!("{longest}\r\n").as_bytes(), 0o600).is_ok());
        let longer = format!("{longest}x");
        for content in ["", "\n", "\r\n", "a b", "a\nb\n", "a\n\n", " a", "\u{e4}", "a\0", longer.as_str()] {
            assert!(read(content.as_bytes(), 0o600).is_err(), "{content:?}");
        }
        assert!(read(b"\xff", 0o600).is_err());
        assert!(read(&[b'x'; 100_000], 0o600).is_err());
    }

    #[test]
    fn a_file_that_others_can_use_is_refused() {
        for mode in [0o644, 0o604, 0o602, 0o601, 0o666] {
            assert!(read(b"s3cret", mode).is_err(), "{mode:o}");
        }
        for mode in [0o600, 0o400, 0o640] {
            assert!(read(b"s3cret", mode).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for path in ["", "/", "/nowhere/token"] {
            assert!(Secret::from_file(path).is_err(), "{path}");
        }
    }
}
