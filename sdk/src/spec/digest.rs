//! Digests of content, and the IDs that are digests.
//!
//! * DiffID: of a layer's uncompressed tar;
//! * ChainID: of a stack of layers: `sha256("<ChainID of the parent> <DiffID>")`, for the lowest layer its DiffID
//!   (OCI image specification, `config.md`, "Layer ChainID");
//! * image ID: of the bytes of the image configuration.

use std::{fmt, io};

#[cfg(not(unoptimised))]
use sha2::Sha256;
use sha2::{Digest as _, Sha512};

use super::{Invalid, text_value};
use crate::error::Result;
#[cfg(unoptimised)]
use crate::sys::sha256::Sha256;

/// Digits of a short ID, as Docker prints it.
const SHORT: usize = 12;

/// The digest of some content: `sha256:` and 64 hexadecimal digits, or `sha512:` and 128.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// Reads a digest; only sha256 and sha512, lower-case digits and the exact length are accepted.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) with the broken rule.
    pub fn parse(text: &str) -> Result<Self> {
        match plywood_syntax::reference::parse_digest(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(why) => Err(Invalid::new("digest", text, why).into()),
        }
    }

    /// Computes the sha256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digester = Digester::new();
        digester.update(bytes);
        digester.finish()
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.split().0
    }

    /// The hexadecimal digits.
    pub fn hex(&self) -> &str {
        self.split().1
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.hex()[..SHORT]
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A digester of the same algorithm, to verify content against this digest.
    pub fn digester(&self) -> Digester {
        match self.algorithm() {
            "sha512" => Digester::with(Hash::Sha512(Sha512::new())),
            _ => Digester::new(),
        }
    }

    fn split(&self) -> (&str, &str) {
        // `parse` and `Digester::finish`, the only ways in, guarantee the colon.
        self.0.split_once(':').unwrap_or(("sha256", &self.0))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Digest {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

text_value!(Digest);

macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Digest);

        impl $name {
            /// Reads an ID, algorithm included.
            ///
            /// # Errors
            /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the text is not a digest.
            pub fn parse(text: &str) -> Result<Self> {
                Digest::parse(text).map(Self)
            }

            /// The digest that this ID is.
            pub fn digest(&self) -> &Digest {
                &self.0
            }

            /// The hexadecimal digits, without the algorithm: the name of the file in the store.
            pub fn hex(&self) -> &str {
                self.0.hex()
            }

            /// The first 12 digits, for people.
            pub fn short(&self) -> &str {
                self.0.short()
            }

            /// The whole text, algorithm included.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl From<Digest> for $name {
            fn from(digest: Digest) -> Self {
                Self(digest)
            }
        }

        impl From<$name> for Digest {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::error::Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

digest_id! {
    /// The digest of a layer's uncompressed tar.
    DiffId
}
digest_id! {
    /// The digest of a stack of layers; names a layer together with all below it.
    ChainId
}
digest_id! {
    /// The digest of an image configuration; names an image.
    ImageId
}

impl ChainId {
    /// The ChainID of a layer on top of a stack; without a parent it is the DiffID.
    pub fn of(parent: Option<&ChainId>, diff: &DiffId) -> Self {
        match parent {
            None => Self(diff.0.clone()),
            Some(parent) => Self(Digest::of(format!("{parent} {diff}").as_bytes())),
        }
    }

    /// The ChainID of every layer of a stack, lowest first, as an image configuration lists the DiffIDs.
    pub fn stack(diffs: &[DiffId]) -> Vec<Self> {
        let mut chain: Vec<Self> = Vec::with_capacity(diffs.len());
        for diff in diffs {
            chain.push(Self::of(chain.last(), diff));
        }
        chain
    }
}

/// Computes the digest of what is written to it.
///
/// The one hash function of this crate: what makes it faster is done here.
#[derive(Clone)]
pub struct Digester {
    hash: Hash,
    bytes: u64,
}

#[derive(Clone)]
enum Hash {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Digester {
    /// A sha256 digester.
    pub fn new() -> Self {
        Self::with(Hash::Sha256(Sha256::new()))
    }

    fn with(hash: Hash) -> Self {
        Self { hash, bytes: 0 }
    }

    /// Takes more content.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hash {
            Hash::Sha256(hash) => hash.update(bytes),
            Hash::Sha512(hash) => hash.update(bytes),
        }
        self.bytes += bytes.len() as u64;
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of all content.
    pub fn finish(self) -> Digest {
        Digest(match self.hash {
            Hash::Sha256(hash) => format!("sha256:{}", hex(&hash.finalize())),
            Hash::Sha512(hash) => format!("sha512:{}", hex(&hash.finalize())),
        })
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digester").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl io::Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Two lower-case hexadecimal digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    /// `printf '' | sha256sum`
    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digest_of_nothing_is_the_known_one() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(digest.algorithm(), "sha256");
        assert_eq!(digest.short(), "e3b0c44298fc");
        assert_eq!(Digest::parse(EMPTY).unwrap(), digest);
    }

    #[test]
    fn writing_in_pieces_gives_the_digest_of_the_whole() {
        let mut digester = Digester::new();
        digester.write_all(b"ab").unwrap();
        digester.write_all(b"c").unwrap();
        assert_eq!(digester.bytes(), 3);
        assert_eq!(digester.finish(), Digest::of(b"abc"));
    }

    #[test]
    fn sha512_content_is_verified_with_sha512() {
        // printf abc | sha512sum
        let known = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                     2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        let known = Digest::parse(known).unwrap();
        let mut digester = known.digester();
        digester.update(b"abc");
        assert_eq!(digester.finish(), known);
    }

    #[test]
    fn digests_that_are_paths_or_of_other_algorithms_are_refused() {
        for text in ["sha256:../../x", "md5:00", "", "sha256:", &EMPTY.to_uppercase(), &EMPTY[..70]] {
            let error = Digest::parse(text).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn chain_ids_follow_the_image_specification() {
        let diffs = [DiffId::from(Digest::of(b"a")), DiffId::from(Digest::of(b"b"))];
        let stack = ChainId::stack(&diffs);
        assert_eq!(stack[0].digest(), diffs[0].digest());
        // printf '%s %s' "sha256:$(printf a | sha256sum)" "sha256:$(printf b | sha256sum)" | sha256sum, names cut off
        let text = format!("{} {}", diffs[0], diffs[1]);
        assert_eq!(stack[1], ChainId::from(Digest::of(text.as_bytes())));
        assert_eq!(ChainId::stack(&[]), []);
    }

    #[test]
    fn ids_are_strings_in_json() {
        let id = ImageId::parse(EMPTY).unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("{EMPTY:?}"));
        assert_eq!(serde_json::from_str::<ImageId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<ImageId>("\"sha256:zz\"").is_err());
    }
}
