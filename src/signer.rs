//! Who can sign: public keys, told apart by their SPKI. Pure data; checking a signature with one is `verify`'s.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::pkcs8::DecodePublicKey as _;
use p256::pkcs8::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use p256::pkcs8::der::{Decode as _, Reader as _, SliceReader};
use p256::pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::image::Digest;

/// Longest accepted key file, in bytes: a 16,384-bit RSA key needs about 3 KiB.
const MAX_PEM: usize = 64 * 1024;

/// Sizes of RSA keys that count, in bits: below, they can be factored; above, they only cost time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bytes of an uncompressed P-521 point: the marker and two coordinates of 521 bits.
const P521_POINT: usize = 133;

/// A public key: its algorithm and its SPKI in DER.
///
/// The SPKI is in the one form that every signer writes, so that two spellings of a key are never two signers.
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
    /// The same key could be spelled otherwise: a compressed point, odd parameters.
    #[error("the key is not in its usual form: write it again, for example with `openssl pkey -pubin`")]
    Form,
    /// Not a point of the curve, or one whose signatures prove nothing.
    #[error("the key's numbers make no key that can be relied on")]
    Weak,
    /// An RSA key that is too short or too long.
    #[error("an RSA key has from 2048 to 8192 bits, this one {0}")]
    RsaSize(usize),
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
        let algorithm = algorithm(&spki.algorithm)?;
        let key = spki.subject_public_key.as_bytes().ok_or(KeyError::Spki)?;
        match algorithm {
            Algorithm::EcdsaP256 => {
                uncompressed(key)?;
                p256::PublicKey::from_public_key_der(der).map_err(|_| KeyError::Weak)?;
            }
            Algorithm::EcdsaP384 => {
                uncompressed(key)?;
                p384::PublicKey::from_public_key_der(der).map_err(|_| KeyError::Weak)?;
            }
            Algorithm::EcdsaP521 => check_p521(key)?,
            Algorithm::Rsa => check_rsa(key)?,
            Algorithm::Ed25519 => check_ed25519(key)?,
        }
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

/// The algorithm that an SPKI names, its parameters written as signers write them.
fn algorithm(identifier: &AlgorithmIdentifierRef<'_>) -> Result<Algorithm, KeyError> {
    match identifier.oid {
        EC => match identifier.parameters_oid().map_err(|_| KeyError::Algorithm)? {
            P256 => Ok(Algorithm::EcdsaP256),
            P384 => Ok(Algorithm::EcdsaP384),
            P521 => Ok(Algorithm::EcdsaP521),
            _ => Err(KeyError::Algorithm),
        },
        // RFC 3279, section 2.3.1: the parameters are NULL. RFC 8410, section 3: there are none.
        RSA if identifier.parameters == Some(AnyRef::NULL) => Ok(Algorithm::Rsa),
        ED25519 if identifier.parameters.is_none() => Ok(Algorithm::Ed25519),
        RSA | ED25519 => Err(KeyError::Form),
        _ => Err(KeyError::Algorithm),
    }
}

/// SEC 1, section 2.3.3: an uncompressed point begins with 4.
fn uncompressed(point: &[u8]) -> Result<(), KeyError> {
    if point.first() == Some(&4) { Ok(()) } else { Err(KeyError::Form) }
}

fn check_p521(point: &[u8]) -> Result<(), KeyError> {
    uncompressed(point)?;
    if point.len() != P521_POINT {
        return Err(KeyError::Weak);
    }
    ParsedPublicKey::new(&ECDSA_P521_SHA512_ASN1, point).map_err(|_| KeyError::Weak)?;
    Ok(())
}

fn check_rsa(key: &[u8]) -> Result<(), KeyError> {
    let (modulus, exponent) = rsa_numbers(key).map_err(|_| KeyError::Spki)?;
    let bits = modulus.iter().position(|byte| *byte != 0).map_or(0, |zeros| {
        let leading = modulus.get(zeros).map_or(0, |byte| byte.leading_zeros());
        modulus.len().saturating_sub(zeros).saturating_mul(8).saturating_sub(usize::try_from(leading).unwrap_or(8))
    });
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !odd(modulus) || !odd(exponent) || exponent == [1] {
        return Err(KeyError::Weak);
    }
    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).map_err(|_| KeyError::Weak)?;
    Ok(())
}

/// RFC 8017, appendix A.1.1: modulus and exponent, and nothing behind them.
fn rsa_numbers(key: &[u8]) -> Result<(&[u8], &[u8]), p256::pkcs8::der::Error> {
    let mut reader = SliceReader::new(key)?;
    let numbers = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?;
        let exponent = UintRef::decode(inner)?;
        Ok::<_, p256::pkcs8::der::Error>((modulus.as_bytes(), exponent.as_bytes()))
    })?;
    reader.finish()?;
    Ok(numbers)
}

fn check_ed25519(key: &[u8]) -> Result<(), KeyError> {
    let key: &[u8; 32] = key.try_into().map_err(|_| KeyError::Spki)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| KeyError::Weak)?;
    // The encoding read back: a point that is spelled in two ways would be two signers.
    if key.is_weak() || key.to_edwards().compress().to_bytes() != key.to_bytes() {
        return Err(KeyError::Weak);
    }
    Ok(())
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({:?} {})", self.algorithm, self.fingerprint())
    }
}
