//! Who can sign: public keys, told apart by their SPKI; identities of certificates, and the roots behind them. Pure
//! data; checking a signature with one is `verify`'s.

pub mod claim;
pub mod identity;
pub mod root;

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

#[cfg(test)]
mod tests {
    use p256::elliptic_curve::sec1::ToSec1Point as _;

    use super::*;

    const P256_PEM: &str = include_str!("../tests/fixtures/signatures/sig-cosign2-p256/key.pub");

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let head = match length {
            0..=0x7f => vec![tag, u8::try_from(length).unwrap()],
            0x80..=0xff => vec![tag, 0x81, u8::try_from(length).unwrap()],
            _ => [vec![tag, 0x82], u16::try_from(length).unwrap().to_be_bytes().to_vec()].concat(),
        };
        [head.as_slice(), content].concat()
    }

    fn spki(oid: &ObjectIdentifier, parameters: &[u8], key: &[u8]) -> Vec<u8> {
        let algorithm = tlv(0x30, &[tlv(6, oid.as_bytes()).as_slice(), parameters].concat());
        tlv(0x30, &[algorithm, tlv(3, &[&[0], key].concat())].concat())
    }

    /// An RSA key of this many bits, which nobody made.
    fn rsa(bits: usize, exponent: &[u8]) -> Vec<u8> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        if bits.is_multiple_of(8) {
            modulus.insert(0, 0);
        } else {
            modulus[0] = (1 << (bits % 8)) - 1;
        }
        tlv(0x30, &[tlv(2, &modulus), tlv(2, exponent)].concat())
    }

    #[test]
    fn keys_are_read_in_one_form_or_refused() {
        let f4: &[u8] = &[1, 0, 1];
        let null: &[u8] = &[5, 0];
        let point =
            p256::PublicKey::from_public_key_der(PublicKey::from_pem(P256_PEM.as_bytes()).unwrap().spki()).unwrap();
        let compressed = point.to_sec1_point(true);
        let whole = point.to_sec1_point(false);
        let p256 = tlv(6, P256.as_bytes());
        let mut off = whole.as_bytes().to_vec();
        off[64] ^= 1;
        let k1 = tlv(6, ObjectIdentifier::new_unwrap("1.3.132.0.10").as_bytes());
        let cases: Vec<(&str, Vec<u8>, Option<KeyError>)> = vec![
            ("P-256", spki(&EC, &p256, whole.as_bytes()), None),
            ("P-256, compressed", spki(&EC, &p256, compressed.as_bytes()), Some(KeyError::Form)),
            ("P-256, not on the curve", spki(&EC, &p256, &off), Some(KeyError::Weak)),
            ("P-256, infinity", spki(&EC, &p256, &[0]), Some(KeyError::Form)),
            ("P-256 as P-521", spki(&EC, &tlv(6, P521.as_bytes()), whole.as_bytes()), Some(KeyError::Weak)),
            ("P-521, nothing", spki(&EC, &tlv(6, P521.as_bytes()), &[4; 133]), Some(KeyError::Weak)),
            ("secp256k1", spki(&EC, &k1, whole.as_bytes()), Some(KeyError::Algorithm)),
            ("EC without a curve", spki(&EC, &[], whole.as_bytes()), Some(KeyError::Algorithm)),
            ("RSA 2048", spki(&RSA, null, &rsa(2048, f4)), None),
            ("RSA 8192", spki(&RSA, null, &rsa(8192, f4)), None),
            ("RSA 1024", spki(&RSA, null, &rsa(1024, f4)), Some(KeyError::RsaSize(1024))),
            ("RSA 2047", spki(&RSA, null, &rsa(2047, f4)), Some(KeyError::RsaSize(2047))),
            ("RSA 8193", spki(&RSA, null, &rsa(8193, f4)), Some(KeyError::RsaSize(8193))),
            ("RSA, e = 1", spki(&RSA, null, &rsa(2048, &[1])), Some(KeyError::Weak)),
            ("RSA, e even", spki(&RSA, null, &rsa(2048, &[2])), Some(KeyError::Weak)),
            ("RSA without parameters", spki(&RSA, &[], &rsa(2048, f4)), Some(KeyError::Form)),
            ("RSA and more", spki(&RSA, null, &[rsa(2048, f4), vec![0]].concat()), Some(KeyError::Spki)),
            (
                "Ed25519 of small order",
                spki(&ED25519, &[], &{
                    let mut one = [0; 32];
                    one[0] = 1;
                    one
                }),
                Some(KeyError::Weak),
            ),
            ("Ed25519, odd encoding", spki(&ED25519, &[], &[0xff; 32]), Some(KeyError::Weak)),
            ("Ed25519 with parameters", spki(&ED25519, null, &[9; 32]), Some(KeyError::Form)),
            ("Ed25519, short", spki(&ED25519, &[], &[9; 31]), Some(KeyError::Spki)),
            ("nothing", Vec::new(), Some(KeyError::Spki)),
            ("more behind", [spki(&EC, &p256, whole.as_bytes()), vec![0]].concat(), Some(KeyError::Spki)),
        ];
        for (what, der, expected) in cases {
            assert_eq!(PublicKey::from_spki(&der).err(), expected, "{what}");
        }
    }

    #[test]
    fn a_file_holds_one_public_key() {
        let twice = format!("{P256_PEM}{P256_PEM}");
        let cases = [
            (P256_PEM.to_owned(), None),
            (P256_PEM.replace('\n', "\r\n"), None),
            (twice, Some(KeyError::Pem)),
            (P256_PEM.replace("PUBLIC", "RSA PUBLIC"), Some(KeyError::Pem)),
            (P256_PEM.replace("PUBLIC", "PRIVATE"), Some(KeyError::Private)),
            (P256_PEM.replace("PUBLIC", "ENCRYPTED SIGSTORE PRIVATE"), Some(KeyError::Private)),
            (P256_PEM.replacen('M', "!", 1), Some(KeyError::Pem)),
            (String::new(), Some(KeyError::Pem)),
            (" ".repeat(MAX_PEM + 1), Some(KeyError::TooLong)),
        ];
        for (text, expected) in cases {
            assert_eq!(PublicKey::from_pem(text.as_bytes()).err(), expected, "{text}");
        }
        assert_eq!(PublicKey::from_pem(b"\xff").err(), Some(KeyError::Pem));
    }

    #[test]
    fn a_hint_is_what_cosign_writes() {
        let bundle = include_str!("../tests/fixtures/signatures/bundle-cosign3-p256/layer-0");
        let key = include_str!("../tests/fixtures/signatures/bundle-cosign3-p256/key.pub");
        let hint = PublicKey::from_pem(key.as_bytes()).unwrap().hint();
        assert!(bundle.contains(&format!("{{\"hint\":\"{hint}\"}}")));
    }
}
