//! Whom certificates, logs and timestamps are believed: a sigstore trusted root. The bytes are handed in; nothing is
//! fetched.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sigstore_trust_root::TrustedRoot;
use sigstore_verify::Verifier;

use crate::image::Digest;

/// Longest accepted trusted root, in bytes. The public-good one has 7 KiB, the largest known one 32 KiB.
const MAX_ROOT: usize = 256 * 1024;
/// What the media type of every trusted root begins with.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot";

/// A trusted root whose every part could be read.
#[derive(Clone)]
pub struct TrustRoot {
    inner: Arc<Inner>,
    good_until: Option<Timestamp>,
}

struct Inner {
    /// Of the bytes: what tells two roots apart.
    digest: Digest,
    root: TrustedRoot,
    verifier: Verifier,
}

/// Why a file is no usable trusted root.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// Larger than any trusted root.
    #[error("a trusted root has at most {MAX_ROOT} bytes")]
    TooLong,
    /// No trusted root, or one with a key, certificate or period that cannot be used.
    #[error("it is no usable trusted root: {0}")]
    Form(String),
    /// It names no transparency log, so that nothing could be shown to be logged.
    #[error("it names no transparency log (`tlogs`)")]
    NoLog,
    /// It names no certificate authority, so that no certificate could count.
    #[error("it names no certificate authority (`certificateAuthorities`)")]
    NoAuthority,
    /// It names no certificate transparency log, so that no certificate could count.
    #[error("it names no certificate transparency log (`ctlogs`)")]
    NoCertificateLog,
}

impl TrustRoot {
    /// Reads a trusted root in JSON. It names at least one transparency log.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_json(bytes: &[u8]) -> Result<Self, RootError> {
        if bytes.len() > MAX_ROOT {
            return Err(RootError::TooLong);
        }
        let form = |error: &dyn fmt::Display| RootError::Form(error.to_string().escape_debug().to_string());
        let text = std::str::from_utf8(bytes).map_err(|error| form(&error))?;
        let root = TrustedRoot::from_json(text).map_err(|error| form(&error))?;
        if !root.media_type.starts_with(MEDIA_TYPE) {
            return Err(form(&format_args!("its media type is `{}`", root.media_type)));
        }
        if root.tlogs.is_empty() {
            return Err(RootError::NoLog);
        }
        let verifier = Verifier::new(&root).map_err(|error| form(&error))?;
        let inner = Arc::new(Inner { digest: Digest::of(bytes), root, verifier });
        Ok(Self { inner, good_until: None })
    }

    /// Whether certificates can be checked against this root: authorities issue them, and logs show them.
    ///
    /// # Errors
    /// What is missing.
    pub fn issues(&self) -> Result<(), RootError> {
        if self.inner.root.certificate_authorities.is_empty() {
            return Err(RootError::NoAuthority);
        }
        if self.inner.root.ctlogs.is_empty() {
            return Err(RootError::NoCertificateLog);
        }
        Ok(())
    }

    /// The same root, to be relied on until then; for ever, where none.
    #[must_use]
    pub fn until(self, good_until: Option<Timestamp>) -> Self {
        Self { good_until, ..self }
    }

    /// Until when it may be relied on.
    #[must_use]
    pub fn good_until(&self) -> Option<Timestamp> {
        self.good_until
    }

    /// Whether it may no longer be relied on.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.good_until.is_some_and(|end| end <= now)
    }

    /// The digest of its bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &TrustedRoot {
        &self.inner.root
    }

    /// What checks bundles against it.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.inner.verifier
    }
}

impl PartialEq for TrustRoot {
    fn eq(&self, other: &Self) -> bool {
        self.inner.digest == other.inner.digest && self.good_until == other.good_until
    }
}

impl Eq for TrustRoot {}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TrustRoot({})", self.inner.digest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

    use super::*;

    fn public_good() -> Value {
        serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap()
    }

    fn read(root: &Value) -> Result<TrustRoot, RootError> {
        TrustRoot::from_json(root.to_string().as_bytes())
    }

    #[test]
    fn the_public_good_root_is_read() {
        let root = read(&public_good()).unwrap();
        root.issues().unwrap();
        assert_eq!(root, read(&public_good()).unwrap());
    }

    #[test]
    fn a_root_that_lacks_a_part_is_told() {
        let without = |part: &str| {
            let mut root = public_good();
            root[part] = json!([]);
            read(&root).and_then(|root| root.issues())
        };
        assert_eq!(without("tlogs"), Err(RootError::NoLog));
        assert_eq!(without("certificateAuthorities"), Err(RootError::NoAuthority));
        assert_eq!(without("ctlogs"), Err(RootError::NoCertificateLog));
    }

    #[test]
    fn a_root_with_a_broken_part_is_none() {
        let mut twice = public_good();
        let log = twice["tlogs"][0].clone();
        twice["tlogs"].as_array_mut().unwrap().push(log);
        let mut key = public_good();
        key["tlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA");
        let mut certificate = public_good();
        certificate["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = json!("AAAA");
        let mut kind = public_good();
        kind["mediaType"] = json!("application/json");
        for bad in [twice, key, certificate, kind, json!({}), json!([])] {
            assert!(matches!(read(&bad), Err(RootError::Form(_))), "{bad}");
        }
        assert_eq!(TrustRoot::from_json(&vec![b' '; MAX_ROOT + 1]), Err(RootError::TooLong));
        assert!(matches!(TrustRoot::from_json(b"\xff"), Err(RootError::Form(_))));
    }
}
