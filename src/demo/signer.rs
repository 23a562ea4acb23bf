//! Key pairs, and signatures as `cosign sign --key` makes them. What it signs is the demo's own images; nothing else in
//! the crate signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::json;
use zeroize::Zeroizing;

use crate::image::{Digest, Repository};

/// How often random bytes are drawn; that even the first are no key happens once in 2^32 times.
const DRAWS: usize = 8;

/// A key pair of this demo.
pub(super) struct KeyPair {
    key: SigningKey,
}

/// A claim about an image, signed.
pub(super) struct Signed {
    /// The simple-signing payload.
    pub(super) payload: Vec<u8>,
    /// The signature over it: DER in base64.
    pub(super) signature: String,
}

impl KeyPair {
    /// A new key pair.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn generate() -> Result<Self, String> {
        for _ in 0..DRAWS {
            let mut scalar = Zeroizing::new([0_u8; 32]);
            aws_lc_rs::rand::fill(scalar.as_mut_slice()).map_err(|error| error.to_string())?;
            if let Ok(key) = SigningKey::from_slice(scalar.as_slice()) {
                return Ok(Self { key });
            }
        }
        Err("the system's random bytes make no key".to_owned())
    }

    /// The private half as PKCS #8 in PEM, which `cosign import-key-pair` reads.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub(super) fn private_pem(&self) -> Result<Zeroizing<String>, String> {
        self.key.to_pkcs8_pem(LineEnding::LF).map_err(|error| error.to_string())
    }

    /// The public half in PEM.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub(super) fn public_pem(&self) -> Result<String, String> {
        self.key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|error| error.to_string())
    }

    /// Signs that the repository's image with this digest is ours.
    pub(super) fn sign(&self, repository: &Repository, digest: &Digest) -> Signed {
        let claim = json!({
            "critical": {
                "identity": { "docker-reference": repository.to_string() },
                "image": { "docker-manifest-digest": digest.to_string() },
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = claim.to_string().into_bytes();
        let signature: DerSignature = self.key.sign(&payload);
        let signature = STANDARD.encode(signature.as_bytes());
        Signed { payload, signature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::PublicKey;

    #[test]
    fn keys_are_new_each_time_and_readable() {
        let [one, other] = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
        let read = |pair: &KeyPair| PublicKey::from_pem(pair.public_pem().unwrap().as_bytes()).unwrap().fingerprint();
        assert_ne!(read(&one), read(&other));
        assert!(one.private_pem().unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }
}
