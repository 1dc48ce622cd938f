//! Message authentication codes under keys that client and server share (RFC 5905 section 7.3 and
//! appendix A.5.1.1; AES-CMAC by RFC 8573).
//!
//! A MAC follows the packet: the key's identifier, then a digest of all octets before. Version 4
//! cuts digests to 160 bits, because a longer trailer would pass for an extension field (RFC 7822
//! section 7.5.1.4); version 3 sends them whole.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use aes::{Aes128, Aes256};
use cmac::{Cmac, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// The most octets of a key: more would only cost time.
pub const SECRET_OCTETS_MAX: usize = 256;

/// Octets of a digest that version 4 keeps.
const DIGEST_OCTETS_V4: usize = 20;
/// Octets of the key's identifier.
const ID_OCTETS: usize = 4;

/// How a digest is made of key and message.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MacAlgorithm {
    /// MD5 of key and message; broken for signatures, and to be left (RFC 8573).
    Md5,
    /// SHA-1 of key and message.
    Sha1,
    /// SHA-256 of key and message.
    Sha256,
    /// SHA-384 of key and message.
    Sha384,
    /// SHA-512 of key and message.
    Sha512,
    /// AES-CMAC with a key of 16 octets, which RFC 8573 recommends.
    AesCmac128,
    /// AES-CMAC with a key of 32 octets.
    AesCmac256,
}

impl MacAlgorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 7] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::AesCmac128,
        Self::AesCmac256,
    ];

    /// How many octets a key must have; `None` where any number from 1 will do.
    pub fn secret_octets(self) -> Option<usize> {
        match self {
            Self::AesCmac128 => Some(16),
            Self::AesCmac256 => Some(32),
            _ => None,
        }
    }
}

/// Why octets are no key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum KeyError {
    /// Identifier 0 stands for "no key" in a packet.
    #[error("a key cannot have the identifier 0; use 1 to 4294967295")]
    ZeroId,
    /// A length that the algorithm cannot use.
    #[error("the key has {octets} octets, but it needs {needed}")]
    Length {
        /// How many there are.
        octets: usize,
        /// How many there must be, in words.
        needed: &'static str,
    },
}

/// A key with its identifier; copies share the secret, which nothing prints.
#[derive(Clone, Eq, PartialEq)]
pub struct Key {
    id: u32,
    algorithm: MacAlgorithm,
    secret: Arc<[u8]>,
}

impl Key {
    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyError`] where identifier or length are not possible.
    pub fn new(id: u32, algorithm: MacAlgorithm, secret: &[u8]) -> Result<Self, KeyError> {
        if id == 0 {
            return Err(KeyError::ZeroId);
        }
        let octets = secret.len();
        let (fits, needed) = match algorithm {
            MacAlgorithm::AesCmac128 => (octets == 16, "16"),
            MacAlgorithm::AesCmac256 => (octets == 32, "32"),
            _ => ((1..=SECRET_OCTETS_MAX).contains(&octets), "1 to 256"),
        };
        if !fits {
            return Err(KeyError::Length { octets, needed });
        }
        Ok(Self { id, algorithm, secret: secret.into() })
    }

    /// What it is called in packets, the same number on both sides.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How digests are made with it.
    pub fn algorithm(&self) -> MacAlgorithm {
        self.algorithm
    }

    /// Appends the MAC to a packet of protocol `version` (3 or 4).
    pub fn seal(&self, version: u8, packet: &mut Vec<u8>) {
        let digest = self.digest(version, packet);
        packet.extend_from_slice(&self.id.to_be_bytes());
        packet.extend_from_slice(&digest);
    }

    /// Whether `mac`, with its identifier, belongs to `message`, which is all of the packet before
    /// it. Takes equally long for every wrong digest, so that none can be found octet by octet.
    pub fn verify(&self, version: u8, message: &[u8], mac: &[u8]) -> bool {
        let Some((id, digest)) = mac.split_first_chunk::<ID_OCTETS>() else { return false };
        u32::from_be_bytes(*id) == self.id
            && bool::from(self.digest(version, message).ct_eq(digest))
    }

    fn digest(&self, version: u8, message: &[u8]) -> Vec<u8> {
        let (secret, message) = (&*self.secret, message);
        let mut digest = match self.algorithm {
            MacAlgorithm::Md5 => hash::<Md5>(secret, message),
            MacAlgorithm::Sha1 => hash::<Sha1>(secret, message),
            MacAlgorithm::Sha256 => hash::<Sha256>(secret, message),
            MacAlgorithm::Sha384 => hash::<Sha384>(secret, message),
            MacAlgorithm::Sha512 => hash::<Sha512>(secret, message),
            MacAlgorithm::AesCmac128 => {
                let cmac = <Cmac<Aes128> as Mac>::new_from_slice(secret);
                finish(cmac.expect("a key's length was checked"), message)
            }
            MacAlgorithm::AesCmac256 => {
                let cmac = <Cmac<Aes256> as Mac>::new_from_slice(secret);
                finish(cmac.expect("a key's length was checked"), message)
            }
        };
        if version >= 4 {
            digest.truncate(DIGEST_OCTETS_V4);
        }
        digest
    }
}

impl fmt::Debug for Key {
    /// Tells all but the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {:?})", self.id, self.algorithm)
    }
}

/// The keys that are known, by identifier; copies share them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeyRing(Arc<BTreeMap<u32, Key>>);

impl KeyRing {
    /// The key of that identifier.
    pub fn key(&self, id: u32) -> Option<&Key> {
        self.0.get(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that `mac` names and that made it of `message`; `None` where nobody we know did.
    pub(crate) fn signer(&self, version: u8, message: &[u8], mac: &[u8]) -> Option<&Key> {
        let id = mac.first_chunk::<ID_OCTETS>()?;
        self.key(u32::from_be_bytes(*id)).filter(|key| key.verify(version, message, mac))
    }
}

impl FromIterator<Key> for KeyRing {
    /// Of keys with the same identifier the last one counts.
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        Self(Arc::new(keys.into_iter().map(|key| (key.id, key)).collect()))
    }
}

fn hash<D: Digest>(secret: &[u8], message: &[u8]) -> Vec<u8> {
    D::new().chain_update(secret).chain_update(message).finalize().to_vec()
}

fn finish<M: Mac>(mut mac: M, message: &[u8]) -> Vec<u8> {
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2).map(|pair| core::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        // RFC 4493 section 4, and NIST SP 800-38B appendix D.3; the others of "key" and "message",
        // as coreutils' md5sum, sha1sum and sha2xxsum print them.
        const AES128: &str = "2b7e151628aed2a6abf7158809cf4f3c";
        const AES256: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
        const BLOCK: &str = "6bc1bee22e409f96e93d7e117393172a";
        let text = |text: &str| text.as_bytes().to_vec();
        for (algorithm, secret, message, digest) in [
            (
                MacAlgorithm::AesCmac128,
                octets(AES128),
                octets(BLOCK),
                "070a16b46b4d4144f79bdd9dd04a287c",
            ),
            (
                MacAlgorithm::AesCmac256,
                octets(AES256),
                octets(BLOCK),
                "28a7023f452e8f82bd4bf28d8c37c35c",
            ),
            (MacAlgorithm::Md5, text("key"), text("message"), "8714ed908ee5cacfc56e8aed2bb9c784"),
            (
                MacAlgorithm::Sha1,
                text("key"),
                text("message"),
                "7d89ca5f9535d3bd925ca99f484ae4413a14fe2d",
            ),
            (
                MacAlgorithm::Sha256,
                text("key"),
                text("message"),
                "8ebbc3081b0700d1c226cafda9032a6a11224ed7367c5d59425e548ac4e70c0e",
            ),
        ] {
            let key = Key::new(7, algorithm, &secret).unwrap();
            assert_eq!(key.digest(3, &message), octets(digest), "{algorithm:?}");
        }
    }

    #[test]
    fn a_mac_holds_for_its_message_key_and_identifier_alone() {
        for algorithm in MacAlgorithm::ALL {
            let secret = vec![9; algorithm.secret_octets().unwrap_or(10)];
            let key = Key::new(1, algorithm, &secret).unwrap();
            for version in [3, 4] {
                let mut packet = vec![5; 48];
                key.seal(version, &mut packet);
                let (message, mac) = packet.split_at(48);
                assert!(mac.len() <= 24 || version == 3, "{algorithm:?}: {}", mac.len());
                assert!(key.verify(version, message, mac));
                let other = Key::new(1, algorithm, &vec![8; secret.len()]).unwrap();
                let renamed = Key::new(2, algorithm, &secret).unwrap();
                assert!(!other.verify(version, message, mac));
                assert!(!renamed.verify(version, message, mac));
                assert!(!key.verify(version, &message[..47], mac));
                for cut in 0..mac.len() {
                    assert!(!key.verify(version, message, &mac[..cut]));
                }
                let ring: KeyRing =
                    [key.clone(), Key::new(2, algorithm, &secret).unwrap()].into_iter().collect();
                assert_eq!(ring.signer(version, message, mac), Some(&key));
                assert_eq!(ring.signer(version, message, &[]), None);
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_a_secret_is_never_printed() {
        use MacAlgorithm::{AesCmac128, AesCmac256, Sha256};
        assert_eq!(Key::new(0, Sha256, b"x"), Err(KeyError::ZeroId));
        for (algorithm, octets) in
            [(Sha256, 0), (Sha256, 257), (AesCmac128, 15), (AesCmac128, 32), (AesCmac256, 16)]
        {
            let refused = Key::new(1, algorithm, &vec![0; octets]);
            assert!(matches!(refused, Err(KeyError::Length { .. })), "{algorithm:?} {octets}");
        }
        let key = Key::new(3, Sha256, b"secret").unwrap();
        assert_eq!(format!("{key:?}"), "Key(3, Sha256)");
    }
}
