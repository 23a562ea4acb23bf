//! Who can sign: public keys, told apart by their SPKI. Pure data; checking a signature with one is `verify`'s.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::pkcs8::der::Decode as _;
use p256::pkcs8::der::asn1::ObjectIdentifier;
use p256::pkcs8::spki::SubjectPublicKeyInfoRef;

use crate::image::Digest;

/// Longest accepted key file, in bytes: a 16,384-bit RSA key needs about 3 KiB.
const MAX_PEM: usize = 64 * 1024;

/// A public key: its algorithm and its SPKI in DER.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    algorithm: Algorithm,
    spki: Vec<u8>,
}

/// The algorithms that can be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// RSA.
    Rsa,
    /// Ed25519, pure.
    Ed25519,
}

/// Why a file is no usable public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Larger than any key.
    #[error("a public key file has at most {MAX_PEM} bytes")]
    TooLong,
    /// A private key. Named, because it should not lie there.
    #[error("this is a private key; give its public half (`cosign public-key --key …`)")]
    Private,
    /// Not one PEM block `PUBLIC KEY`.
    #[error("expected exactly one PEM block `-----BEGIN PUBLIC KEY-----`")]
    Pem,
    /// The DER inside is no SPKI.
    #[error("the PEM block holds no well-formed public key")]
    Spki,
    /// Not an algorithm that can be checked.
    #[error("the key's algorithm is not supported: use ECDSA on P-256, P-384 or P-521, RSA, or Ed25519")]
    Algorithm,
}

impl PublicKey {
    /// Reads a PEM file with one public key (RFC 7468, section 13).
    ///
    /// # Errors
    /// When it is anything else; a private key is called by its name.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        if pem.len() > MAX_PEM {
            return Err(KeyError::TooLong);
        }
        let text = std::str::from_utf8(pem).map_err(|_| KeyError::Pem)?;
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if text.matches("-----BEGIN ").count() != 1 {
            return Err(KeyError::Pem);
        }
        let (label, der) = p256::pkcs8::der::Document::from_pem(text).map_err(|_| KeyError::Pem)?;
        if label != "PUBLIC KEY" {
            return Err(KeyError::Pem);
        }
        Self::from_spki(der.as_bytes())
    }

    /// A key from its SPKI in DER (RFC 5280, section 4.1.2.7).
    ///
    /// # Errors
    /// When it is none, or its algorithm cannot be checked.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Spki)?;
        let curve = || spki.algorithm.parameters_oid().map_err(|_| KeyError::Algorithm);
        let algorithm = match spki.algorithm.oid {
            EC => match curve()? {
                P256 => Algorithm::EcdsaP256,
                P384 => Algorithm::EcdsaP384,
                P521 => Algorithm::EcdsaP521,
                _ => return Err(KeyError::Algorithm),
            },
            RSA => Algorithm::Rsa,
            ED25519 => Algorithm::Ed25519,
            _ => return Err(KeyError::Algorithm),
        };
        Ok(Self { algorithm, spki: der.to_vec() })
    }

    /// The key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The SPKI in DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// What reports call the key: the digest of its SPKI.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.spki)
    }

    /// The hint that sigstore bundles carry: base64 of the SHA-256 of the SPKI.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(self.fingerprint().raw())
    }
}

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({:?} {})", self.algorithm, self.fingerprint())
    }
}
