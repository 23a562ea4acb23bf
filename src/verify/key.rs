//! Checks one signature with one public key. The key decides the algorithm, the format decides the hash; nothing that is
//! read from a registry has a say in either.
//!
//! What real signers do here was found out with openssl, on the fixtures in `tests/fixtures/signatures`.

use aws_lc_rs::signature::{
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey,
};
use ed25519_dalek::pkcs8::DecodePublicKey as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::signer::{Algorithm, PublicKey};

/// Longest signature in bytes: one by an 8192-bit RSA key.
pub(super) const MAX_SIGNATURE: usize = 1024;

/// The formats, as far as they differ in what is hashed with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// cosign's simple signing. cosign 2 takes SHA-256 for every curve and pure Ed25519; cosign 3 the hash that is as
    /// long as the curve, and Ed25519ph. Both are found, so both count.
    SimpleSigning,
    /// An envelope by itself, as cosign stores attestations in the old format, with the same two habits.
    Envelope,
    /// Sigstore bundles: the hash that is as long as the curve.
    Bundle,
}

impl Scheme {
    /// Whether the signers of this format hash in two ways.
    fn has_two_habits(self) -> bool {
        match self {
            Self::SimpleSigning | Self::Envelope => true,
            Self::Bundle => false,
        }
    }
}

/// Whether `key` made `signature` over `message`.
///
/// ECDSA signatures are DER and nothing behind it; `s` may lie in the upper half, as signers write it (so the bytes of
/// a signature are never an identity). RSA is PKCS#1 v1.5 with SHA-256. Ed25519 is checked strictly.
pub(super) fn verifies(key: &PublicKey, scheme: Scheme, message: &[u8], signature: &[u8]) -> bool {
    if signature.is_empty() || signature.len() > MAX_SIGNATURE {
        return false;
    }
    match key.algorithm() {
        Algorithm::EcdsaP256 => p256(key.spki(), &Sha256::digest(message), signature),
        Algorithm::EcdsaP384 => {
            p384(key.spki(), &Sha384::digest(message), signature)
                || scheme.has_two_habits() && p384(key.spki(), &Sha256::digest(message), signature)
        }
        Algorithm::EcdsaP521 => {
            p521(key.spki(), &ECDSA_P521_SHA512_ASN1, message, signature)
                || scheme.has_two_habits() && p521(key.spki(), &ECDSA_P521_SHA256_ASN1, message, signature)
        }
        Algorithm::Rsa => {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.spki()).verify(message, signature).is_ok()
        }
        Algorithm::Ed25519 => ed25519(key.spki(), scheme, message, signature),
    }
}

fn p256(spki: &[u8], hash: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(spki) else { return false };
    let Ok(signature) = p256::ecdsa::Signature::from_der(signature) else { return false };
    key.verify_prehash(hash, &signature).is_ok()
}

fn p384(spki: &[u8], hash: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = p384::ecdsa::VerifyingKey::from_public_key_der(spki) else { return false };
    let Ok(signature) = p384::ecdsa::Signature::from_der(signature) else { return false };
    key.verify_prehash(hash, &signature).is_ok()
}

fn p521(spki: &[u8], algorithm: &'static EcdsaVerificationAlgorithm, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, spki).verify(message, signature).is_ok()
}

/// cosign 2 signs the payload itself, cosign 3 its SHA-512 as Ed25519ph (RFC 8032, section 5.1); neither can be taken
/// for the other, since the second has a prefix of its own.
fn ed25519(spki: &[u8], scheme: Scheme, message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = ed25519_dalek::VerifyingKey::from_public_key_der(spki) else { return false };
    let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
    key.verify_strict(message, &signature).is_ok()
        || scheme.has_two_habits()
            && key.verify_prehashed_strict(Sha512::new_with_prefix(message), None, &signature).is_ok()
}
