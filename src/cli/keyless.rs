//! Certificates on the command line, as cosign names them: whose count, and whom they are believed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::policy::material::{Held, Material, RootSource, Unread};
use crate::reason::{ErrorCode, Problem};
use crate::signer::claim::Claim;
use crate::signer::identity::{Expected, Identity, IdentityError};
use crate::signer::root::{RootError, TrustRoot};
use crate::trust::{self, Trust};

use super::block_on;
use super::setup::usage;

/// Options about certificates.
#[derive(Debug, clap::Args)]
pub(super) struct Keyless {
    /// Keyless: who must have signed, exactly: an e-mail address or a URI
    #[arg(long, value_name = "SUBJECT")]
    certificate_identity: Option<String>,
    /// Keyless: who must have signed, as a pattern for the whole of it
    #[arg(long, value_name = "REGEXP")]
    certificate_identity_regexp: Option<String>,
    /// Keyless: who vouched for the signer, exactly
    #[arg(long, value_name = "ISSUER")]
    certificate_oidc_issuer: Option<String>,
    /// Keyless: who vouched for the signer, as a pattern for the whole of it
    #[arg(long, value_name = "REGEXP")]
    certificate_oidc_issuer_regexp: Option<String>,
    /// Keyless: what triggered the GitHub workflow, as the certificate says
    #[arg(long, value_name = "TRIGGER")]
    certificate_github_workflow_trigger: Option<String>,
    /// Keyless: the commit of the GitHub workflow
    #[arg(long, value_name = "SHA")]
    certificate_github_workflow_sha: Option<String>,
    /// Keyless: the name of the GitHub workflow
    #[arg(long, value_name = "NAME")]
    certificate_github_workflow_name: Option<String>,
    /// Keyless: the repository of the GitHub workflow, as owner/name
    #[arg(long, value_name = "REPOSITORY")]
    certificate_github_workflow_repository: Option<String>,
    /// Keyless: the ref of the GitHub workflow
    #[arg(long, value_name = "REF")]
    certificate_github_workflow_ref: Option<String>,
    /// Keyless: the sigstore trusted root, in JSON (default: the public-good one, kept up to date through TUF)
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
}

impl Keyless {
    /// Whether any of them was given.
    pub(super) fn is_asked(&self) -> bool {
        let texts = [
            &self.certificate_identity,
            &self.certificate_identity_regexp,
            &self.certificate_oidc_issuer,
            &self.certificate_oidc_issuer_regexp,
        ];
        let workflow = self.workflow();
        let claims = workflow.iter().map(|(_, _, text)| *text);
        texts.into_iter().chain(claims).any(Option::is_some) || self.trusted_root.is_some()
    }

    fn workflow(&self) -> [(Claim, &'static str, &Option<String>); 5] {
        [
            (Claim::GithubWorkflowTrigger, "trigger", &self.certificate_github_workflow_trigger),
            (Claim::GithubWorkflowSha, "sha", &self.certificate_github_workflow_sha),
            (Claim::GithubWorkflowName, "name", &self.certificate_github_workflow_name),
            (Claim::GithubWorkflowRepository, "repository", &self.certificate_github_workflow_repository),
            (Claim::GithubWorkflowRef, "ref", &self.certificate_github_workflow_ref),
        ]
    }

    /// What the certificate must say about the workflow.
    fn claims(&self) -> Result<BTreeMap<Claim, Expected>, Vec<Problem>> {
        let mut claims = BTreeMap::new();
        for (claim, name, text) in self.workflow() {
            let Some(text) = text else { continue };
            let expected = Expected::exactly(text);
            let told = |error| usage(format!("--certificate-github-workflow-{name}: {error}"));
            claims.insert(claim, expected.map_err(told)?);
        }
        Ok(claims)
    }

    /// The file of the trusted root, where one was given.
    pub(super) fn root(&self) -> Option<&Path> {
        self.trusted_root.as_deref()
    }

    /// The identity and the root.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub(super) fn read(&self, trust: &Trust) -> Result<(Identity, TrustRoot), Vec<Problem>> {
        let (exact, pattern) = (self.certificate_identity.as_deref(), self.certificate_identity_regexp.as_deref());
        let subject = one("--certificate-identity", exact, pattern)?;
        let (exact, pattern) =
            (self.certificate_oidc_issuer.as_deref(), self.certificate_oidc_issuer_regexp.as_deref());
        let issuer = one("--certificate-oidc-issuer", exact, pattern)?;
        let claims = self.claims()?;
        let root = match &self.trusted_root {
            Some(path) => root(path)?,
            None => public_good(trust)?,
        };
        Ok((Identity { issuer, subject, claims }, root))
    }
}

/// An option or its pattern: exactly one of them.
fn one(name: &str, exact: Option<&str>, pattern: Option<&str>) -> Result<Expected, Vec<Problem>> {
    let told = |error: IdentityError| usage(format!("{name}: {error}"));
    match (exact, pattern) {
        (Some(text), None) => Expected::exactly(text).map_err(told),
        (None, Some(pattern)) => Expected::matching(pattern).map_err(told),
        (None, None) => {
            Err(usage(format!("{name} or {name}-regexp is missing: a certificate needs both names checked")))
        }
        (Some(_), Some(_)) => Err(usage(format!("{name} and {name}-regexp exclude each other"))),
    }
}

/// The public-good root, as it is kept up to date.
fn public_good(trust: &Trust) -> Result<TrustRoot, Vec<Problem>> {
    let held = block_on(trust.fetch(&Material::Root(RootSource::Default))).map_err(|problem| vec![problem])?;
    let root = held.map_err(|unread| match unread {
        Unread::Wrong(why) | Unread::Unavailable(why) => why,
    });
    let read = |held: Held| match TrustRoot::from_json(&held.bytes) {
        Ok(root) => Ok(root.until(held.good_until)),
        Err(error) => Err(error.to_string()),
    };
    root.and_then(read).map_err(|why| {
        let problem = Problem::new(ErrorCode::PolicyUnavailable, format!("failed to fetch the trust root: {why}"));
        vec![problem.with_help("name a trust root file with --trusted-root")]
    })
}

fn root(path: &std::path::Path) -> Result<TrustRoot, Vec<Problem>> {
    let name = path.display().to_string();
    let read = trust::file::beside("", &name).and_then(|bytes| {
        let usable = |root: TrustRoot| root.issues().map(|()| root);
        TrustRoot::from_json(&bytes).and_then(usable).map_err(|error: RootError| error.to_string())
    });
    read.map_err(|why| {
        let problem = Problem::new(ErrorCode::PolicyInvalid, format!("failed to read the trust root: {why}"));
        vec![problem.in_file(name).with_help("give a sigstore trusted root in JSON, such as trusted_root.json")]
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;

    use super::*;
    use crate::assembly::trusting::TrustPlan;
    use crate::outcome::Unobserved;
    use crate::trust::roots::Asking;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        keyless: Keyless,
    }

    /// What becomes of a command line: whether it can be used, or the error's code.
    fn read(arguments: &[&str]) -> Result<(), ErrorCode> {
        let line = Line::try_parse_from([&["sealgate"], arguments].concat()).unwrap();
        assert!(line.keyless.is_asked(), "{arguments:?}");
        let trust = TrustPlan::default().open(Asking::Never, Arc::new(Unobserved)).unwrap();
        line.keyless.read(&trust).map(drop).map_err(|problems| problems[0].code)
    }

    #[test]
    fn an_identity_is_asked_for_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let root = file("root.json", sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT);
        let broken = file("broken.json", "{}");
        let (id, ids) = (["--certificate-identity", "a"], ["--certificate-identity-regexp", "a.*"]);
        let (issuer, issuers) = (["--certificate-oidc-issuer", "i"], ["--certificate-oidc-issuer-regexp", "i|j"]);
        let trust = ["--trusted-root", root.as_str()];
        let cases = [
            (vec![id, issuer, trust], Ok(())),
            (vec![ids, issuers, trust], Ok(())),
            (vec![id, trust], Err(ErrorCode::Usage)),
            (vec![issuer, trust], Err(ErrorCode::Usage)),
            (vec![trust], Err(ErrorCode::Usage)),
            (vec![id, issuer], Ok(())),
            (vec![id, issuer, ["--certificate-github-workflow-ref", "refs/heads/main"]], Ok(())),
            (vec![id, issuer, ["--certificate-github-workflow-ref", ""]], Err(ErrorCode::Usage)),
            (vec![["--certificate-github-workflow-name", "a"]], Err(ErrorCode::Usage)),
            (vec![id, ids, issuer, trust], Err(ErrorCode::Usage)),
            (vec![id, issuer, issuers, trust], Err(ErrorCode::Usage)),
            (vec![["--certificate-identity-regexp", "a)|(b"], issuer, trust], Err(ErrorCode::Usage)),
            (vec![id, issuer, ["--trusted-root", &broken]], Err(ErrorCode::PolicyInvalid)),
            (vec![id, issuer, ["--trusted-root", "/nowhere"]], Err(ErrorCode::PolicyInvalid)),
        ];
        for (arguments, expected) in cases {
            assert_eq!(read(&arguments.concat()), expected, "{arguments:?}");
        }
    }
}
