//! Content digests: parsing, printing, computing.
//!
//! Only SHA-256 content is stored. The other registered algorithms are recognised in references, so that the
//! error for them says "not supported" rather than "malformed".

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A SHA-256 digest of some content, printed as `sha256:<64 lower-case hex digits>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    hex: String,
}

/// Why a text is not a digest that the store can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not of the form `algorithm:hex`, or of the wrong length.
    #[error("invalid digest `{0}`")]
    Malformed(String),
    /// A well-formed digest of an algorithm other than SHA-256.
    #[error("digest algorithm of `{0}` is not supported, only sha256 is")]
    Unsupported(String),
}

impl Digest {
    /// The digest of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(content);
        hasher.finish()
    }

    /// The 64 hexadecimal digits without the algorithm: also the name of files and directories in the store.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first twelve hexadecimal digits, as listings show them.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }

    /// A digest from its hexadecimal digits alone, as they stand in the store's file names.
    pub(crate) fn from_hex(hex: &str) -> Option<Self> {
        let well_formed = hex.len() == 64
            && hex
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        well_formed.then(|| Self {
            hex: hex.to_owned(),
        })
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let malformed = || DigestError::Malformed(text.to_owned());
        let (algorithm, hex) = text.split_once(':').ok_or_else(malformed)?;
        match algorithm {
            "sha256" => Self::from_hex(hex).ok_or_else(malformed),
            "sha384" | "sha512" if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Err(DigestError::Unsupported(text.to_owned()))
            }
            _ => Err(malformed()),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a [`Digest`] piece by piece.
pub(crate) struct Hasher(ring::digest::Context);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        use fmt::Write as _;
        let mut hex = String::with_capacity(64);
        for byte in self.0.finish().as_ref() {
            let _ = write!(hex, "{byte:02x}");
        }
        Digest { hex }
    }
}

/// Passes a reader's bytes through and digests them on the way.
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    length: u64,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
            length: 0,
        }
    }

    /// Reads what the consumer has left over (padding after a compressed stream) and returns digest and length
    /// in bytes of everything.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        let mut rest = vec![0; 64 * 1024];
        while self.read(&mut rest)? > 0 {}
        Ok((self.hasher.finish(), self.length))
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_what_the_store_can_use() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(format!("sha256:{hex}").parse(), Ok(Digest::of(b"")));
        assert_eq!(Digest::of(b"").to_string(), format!("sha256:{hex}"));
        assert_eq!(Digest::of(b"").short(), "e3b0c44298fc");
        for bad in [
            "",
            "sha256",
            "sha256:",
            "sha256:abc",
            "md5:abc",
            &format!("sha256:{}", hex.to_uppercase()),
        ] {
            assert_eq!(
                bad.parse::<Digest>(),
                Err(DigestError::Malformed(bad.to_owned())),
                "{bad}"
            );
        }
        assert!(matches!(
            "sha512:00".parse::<Digest>(),
            Err(DigestError::Unsupported(_))
        ));
    }

    #[test]
    fn a_hashing_reader_counts_what_nobody_read() {
        let mut reader = HashingReader::new(&b"hello world"[..]);
        let mut start = [0; 5];
        reader.read_exact(&mut start).unwrap();
        assert_eq!(reader.finish().unwrap(), (Digest::of(b"hello world"), 11));
    }
}
