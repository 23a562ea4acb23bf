//! What the crates' errors mean here: which check failed, and what that makes of the image.

use sigstore_verify::bundle::Error as BundleError;
use sigstore_verify::{Error, TransparencyLogError};

use super::brief;
use crate::reason::Reason;
use crate::verify::candidate::Miss;
use crate::verify::verdict::Check;

/// The check that failed. What the crates may add one day is a bundle that cannot be used.
pub(super) fn miss(error: &Error) -> Miss {
    let (check, reason) = match error {
        Error::IdentityMismatch { .. } | Error::IssuerMismatch { .. } => (Check::Identity, Reason::IdentityMismatch),
        Error::SignatureInvalid(_) | Error::Crypto(_) => (Check::Signature, Reason::SignatureInvalid),
        Error::ArtifactMismatch(_) => (Check::Digest, Reason::DigestMismatch),
        Error::Certificate(_) | Error::TrustedCertificate(_) | Error::InvalidTrustRoot(_) | Error::TrustRoot(_) => {
            (Check::Certificate, Reason::CertificateInvalid)
        }
        Error::TransparencyLog(TransparencyLogError::IntegratedTime(_)) => {
            (Check::Time, Reason::TransparencyLogInvalid)
        }
        Error::TransparencyLog(_) => (Check::Log, Reason::TransparencyLogInvalid),
        // A certificate counts at a proven time alone.
        Error::Timestamp(_) => (Check::Time, Reason::CertificateInvalid),
        Error::Bundle(error) => return structure(error),
        Error::UnsupportedArtifact(_)
        | Error::InvalidBundle(_)
        | Error::UnsupportedBundle(_)
        | Error::Types(_)
        | Error::ArtifactRead(_)
        | _ => (Check::Form, Reason::Malformed),
    };
    Miss { check, reason, message: brief(error) }
}

fn structure(error: &BundleError) -> Miss {
    let (check, reason) = match error {
        BundleError::MissingInclusionPromise(_)
        | BundleError::MissingInclusionProof(_)
        | BundleError::MissingCheckpoint
        | BundleError::LogIndexOutOfRange { .. }
        | BundleError::CheckpointRootMismatch => (Check::Log, Reason::TransparencyLogInvalid),
        BundleError::MissingSigningTimeEvidence | BundleError::MissingTimestamp => {
            (Check::Time, Reason::TransparencyLogInvalid)
        }
        BundleError::UnsupportedMediaType(_)
        | BundleError::UnsupportedVerificationMaterial
        | BundleError::CertificateChainNotAllowed(_)
        | _ => (Check::Form, Reason::Malformed),
    };
    Miss { check, reason, message: brief(error) }
}
