//! What is crossed with what, and how each real cosign is told to make it.

use super::keys::keys;
use crate::support::referrers::referrers_host;
use crate::support::sigstore::{ISSUER, SUBJECT, Witness, cosign2, cosign3, sigstore, text};
use crate::support::world::registry;

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signer {
    P256,
    P384,
    P521,
    Rsa,
    Ed25519,
    Keyless,
}

/// Where and how the signature is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// cosign 2's tag.
    Tag,
    /// cosign 2's experiment: the same payload in a referrer.
    Oci11,
    /// A bundle that the referrers API lists.
    Referrers,
    /// A bundle that the index under the fallback tag lists.
    Fallback,
}

/// Whether a log is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    Ignored,
    Required,
}

/// One of all combinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub signer: Signer,
    pub form: Form,
    pub witness: Witness,
}

/// Who makes the signature of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    Cosign2,
    Cosign3,
    /// No cosign writes it: the tests do.
    Forged,
}

impl Signer {
    pub const ALL: [Self; 6] = [Self::P256, Self::P384, Self::P521, Self::Rsa, Self::Ed25519, Self::Keyless];

    pub fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Rsa => "RSA",
            Self::Ed25519 => "Ed25519",
            Self::Keyless => "keyless",
        }
    }
}

impl Form {
    pub const ALL: [Self; 4] = [Self::Tag, Self::Oci11, Self::Referrers, Self::Fallback];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tag => "legacy tag",
            Self::Oci11 => "OCI 1.1",
            Self::Referrers => "bundle, referrers API",
            Self::Fallback => "bundle, fallback tag",
        }
    }

    pub fn is_bundle(self) -> bool {
        match self {
            Self::Tag | Self::Oci11 => false,
            Self::Referrers | Self::Fallback => true,
        }
    }
}

impl Log {
    pub const ALL: [Self; 2] = [Self::Ignored, Self::Required];
}

impl Cell {
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for signer in Signer::ALL {
            for form in Form::ALL {
                all.extend(Witness::ALL.map(|witness| Self { signer, form, witness }));
            }
        }
        all
    }

    pub fn maker(self) -> Maker {
        match (self.form.is_bundle(), self.signer, self.witness) {
            // The old annotations have no room for an entry without a promise.
            (false, _, Witness::RekorV2) => Maker::Forged,
            (false, _, _) => Maker::Cosign2,
            // It cannot read the signature that it just made, which it does before it asks a log; by Ed25519 always.
            (true, Signer::Ed25519, _) => Maker::Forged,
            (true, Signer::P384 | Signer::P521, Witness::RekorV1) => Maker::Forged,
            (true, _, _) => Maker::Cosign3,
        }
    }

    /// The image's repository.
    pub fn repository(self) -> String {
        format!("app/matrix-{:?}-{:?}-{:?}", self.signer, self.form, self.witness).to_lowercase()
    }

    /// The registry's host as this form needs it.
    pub fn host(self) -> &'static str {
        match self.form {
            Form::Tag | Form::Oci11 | Form::Fallback => &registry().host,
            Form::Referrers => referrers_host(),
        }
    }

    /// Lets the cosign that writes this form sign.
    pub fn sign(self, image: &str) {
        let token = sigstore().token(SUBJECT);
        let key = self.key();
        let who = match &key {
            Some((secret, _)) => ["--key", secret],
            None => ["--identity-token", &token],
        };
        let arguments = [&["sign", "-y"], &who[..]].concat();
        if self.form.is_bundle() {
            let (config, root) = (sigstore().config(self.witness), sigstore().root());
            let more = ["--signing-config", text(&config), "--trusted-root", text(&root), image];
            cosign3(&[&arguments[..], &more].concat()).exits(0);
        } else {
            let url = &sigstore().url;
            let stamp = format!("{url}/api/v1/timestamp");
            let mut arguments = [&arguments[..], &["--rekor-url", url]].concat();
            if self.signer == Signer::Keyless {
                arguments.extend(["--fulcio-url", url, "--oidc-issuer", url]);
            }
            match self.witness {
                Witness::RekorV1 | Witness::RekorV2 => {}
                Witness::Tsa => arguments.extend(["--tlog-upload=false", "--timestamp-server-url", &stamp]),
                Witness::Nothing => arguments.push("--tlog-upload=false"),
            }
            let (more, environment) = self.experiment("--registry-referrers-mode=oci-1-1");
            cosign2(&[&arguments[..], more, &[image]].concat(), environment).exits(0);
        }
    }

    /// Whether the same cosign verifies it.
    pub fn verified_by_cosign(self, image: &str, log: Log) -> bool {
        let key = self.key();
        let mut arguments = vec!["verify"];
        match &key {
            Some((_, public)) => arguments.extend(["--key", public]),
            None => arguments.extend(["--certificate-identity", SUBJECT, "--certificate-oidc-issuer", ISSUER]),
        }
        if log == Log::Ignored {
            arguments.push("--insecure-ignore-tlog=true");
        }
        let root = sigstore().root();
        let done = if self.form.is_bundle() {
            cosign3(&[&arguments[..], &["--trusted-root", text(&root), image]].concat())
        } else {
            let (more, environment) = self.experiment("--experimental-oci11=true");
            cosign2(&[&arguments[..], more, &["--rekor-url", &sigstore().url, image]].concat(), environment)
        };
        done.code == 0
    }

    /// The option and the environment that the experiment with OCI 1.1 wants.
    fn experiment(self, option: &'static str) -> (&'static [&'static str], &'static [(&'static str, &'static str)]) {
        match (self.form, option) {
            (Form::Oci11, "--experimental-oci11=true") => {
                (&["--experimental-oci11=true"], &[("COSIGN_EXPERIMENTAL", "1")])
            }
            (Form::Oci11, _) => (&["--registry-referrers-mode=oci-1-1"], &[("COSIGN_EXPERIMENTAL", "1")]),
            (Form::Tag | Form::Referrers | Form::Fallback, _) => (&[], &[]),
        }
    }

    /// The files of its key: cosign's own form of the secret, and the public one.
    pub fn key(self) -> Option<(String, String)> {
        let file = keys().file(self.signer)?;
        let named = |end: &str| file.with_extension(end).display().to_string();
        Some((named("key"), named("pub")))
    }
}
