//! Why something did not pass: the closed lists of reasons and error codes, and how one of each is told to a reader.
//!
//! Report field, log field, metric label and documentation anchor all come from here.

use std::fmt;

use serde::{Serialize, Serializer};

/// What a [`Reason`] makes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// We know that the image must not run.
    Refused,
    /// We could not find out.
    Undecided,
}

macro_rules! reasons {
    ($($variant:ident $code:literal $weight:ident $help:literal;)*) => {
        /// Why an image did not pass.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $help] $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code, in kebab-case.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Whether it refuses or leaves undecided.
            #[must_use]
            pub fn weight(self) -> Weight {
                match self { $(Self::$variant => Weight::$weight,)* }
            }

            /// What generally helps; a finding may say it more exactly.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

reasons! {
    UntrustedRegistry "untrusted-registry" Refused "use an image from a registry in the policy's `registries`, or add this one there";
    NoMatchingRule "no-matching-rule" Refused "add a rule to the policy whose `images` (and `namespaces`) match this image";
    InvalidReference "invalid-reference" Refused "write an image reference such as `registry.example.com/team/app:1.0`";
    ImageNotFound "image-not-found" Refused "check the name and the tag, and that the image was pushed";
    UnclassifiedField "unclassified-field" Refused "say under `discovery.fields` what this field is: `action: pin`, `verify` or `ignore`";
    NotPinnable "not-pinnable" Refused "write the digest into this reference, or set the field's `action: verify` in `discovery.fields`";
    NoSignature "no-signature" Refused "sign the image's digest with a key that the rule names";
    SignatureInvalid "signature-invalid" Refused "sign the image's digest with a key that the rule names";
    DigestMismatch "digest-mismatch" Refused "the bytes or the signed claim are about another digest: sign or push the image again";
    IdentityMismatch "identity-mismatch" Refused "sign with an identity that the rule names, or add this identity to the rule";
    AnnotationMismatch "annotation-mismatch" Refused "sign again with the annotations that the rule asks for";
    CertificateInvalid "certificate-invalid" Refused "sign with a certificate that chains to the rule's trust root";
    TransparencyLogInvalid "transparency-log-invalid" Refused "sign again with an upload to the transparency log that the rule trusts";
    ThresholdNotMet "threshold-not-met" Refused "let the missing signers of the rule sign the image's digest";
    PlatformNotSigned "platform-not-signed" Refused "sign every platform's manifest (`cosign sign --recursive`)";
    Revoked "revoked" Refused "build and sign the image again with a key that is not revoked";
    UnverifiedImageInObject "unverified-image-in-object" Refused "find out who added the container: an admission webhook or another field manager";
    AttestationMissing "attestation-missing" Refused "attach the attestation that the rule asks for";
    AttestationExpired "attestation-expired" Refused "attach a newer attestation";
    ConditionFailed "condition-failed" Refused "see the condition's message; the attestation must fulfil it";
    LimitExceeded "limit-exceeded" Refused "remove what is superfluous, or raise the limit in the configuration";
    Malformed "malformed" Refused "what the registry holds is not well-formed: push or sign the image again";
    RegistryUnavailable "registry-unavailable" Undecided "check that the registry can be reached from here; it is asked again";
    RegistryUnauthorized "registry-unauthorized" Undecided "give credentials for this registry, or check that they may read this repository";
    RateLimited "rate-limited" Undecided "wait, or use credentials with a higher limit; it is asked again";
    TimedOut "timed-out" Undecided "check the registry's speed, or raise the time-out; it is asked again";
    TrustRootUnavailable "trust-root-unavailable" Undecided "make the trust root available";
    PolicyUnavailable "policy-unavailable" Undecided "mend the policy or the key file that cannot be loaded";
    InternalError "internal-error" Undecided "please report this as a bug; nothing was let through";
}

macro_rules! error_codes {
    ($($variant:ident $code:literal $doc:literal;)*) => {
        /// What kept us from working on something that is no image: a file, the configuration, a source, a target.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $(#[doc = $doc] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code, in kebab-case.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

error_codes! {
    Usage "usage" "The command line cannot be meant so.";
    ConfigInvalid "config-invalid" "The configuration does not load.";
    PolicyInvalid "policy-invalid" "A policy does not load.";
    PolicyUnavailable "policy-unavailable" "A policy or key that was in force cannot be read any more.";
    FileUnreadable "file-unreadable" "A file cannot be read.";
    YamlInvalid "yaml-invalid" "A file is no YAML or JSON that every reader reads alike.";
    NotAnObject "not-an-object" "A document is no Kubernetes object.";
    UnsupportedFile "unsupported-file" "A file of a form that cannot be read as manifests.";
    LimitExceeded "limit-exceeded" "Something is larger than the limits allow.";
    SourceUnavailable "source-unavailable" "The Git source cannot be read.";
    HistoryRewritten "history-rewritten" "The branch no longer descends from the commit that was last seen.";
    TargetRejected "target-rejected" "The target refuses the manifests.";
    TargetUnavailable "target-unavailable" "The target cannot be reached.";
}

/// One reason why one image did not pass, told to the reader who must act.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The kind of reason.
    pub reason: Reason,
    /// The rule that was not fulfilled, where it was one.
    pub rule: Option<String>,
    /// What was expected and what was found.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl Finding {
    /// A finding about no rule in particular, with the reason's general help.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, rule: None, message: message.into(), help: reason.help().to_owned() }
    }

    /// The same finding, of this rule.
    #[must_use]
    pub fn of_rule(mut self, rule: &str) -> Self {
        self.rule = Some(rule.to_owned());
        self
    }

    /// The same finding with more exact help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

/// Something wrong with a file, the configuration, a source or a target, with its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The kind of error.
    pub code: ErrorCode,
    /// The file it is about.
    pub file: Option<String>,
    /// Where in the file.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in Unicode characters, from 1.
    pub column: usize,
}

impl Problem {
    /// A problem with no place.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, file: None, place: None, message: message.into(), help: String::new() }
    }

    /// The same problem, in this file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// The same problem, at this place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same problem with what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(out, "{file}:")?;
        }
        if let Some(place) = self.place {
            write!(out, "{place}:")?;
        }
        if self.file.is_some() || self.place.is_some() {
            out.write_str(" ")?;
        }
        out.write_str(&self.message)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_kebab_case() {
        let mut codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
