//! What a Fulcio certificate says about the build that asked for it, beside issuer and subject: the extensions below
//! `1.3.6.1.4.1.57264.1` that are copied from the token of GitHub Actions, GitLab and others.

use std::fmt;

macro_rules! claims {
    ($($variant:ident $name:literal $pattern:literal $arc:literal $doc:literal;)*) => {
        /// A claim of a certificate.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Claim {
            $(#[doc = $doc] $variant,)*
        }

        impl Claim {
            /// Every claim, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in policies.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The name of a pattern for it in policies.
            #[must_use]
            pub const fn pattern_name(self) -> &'static str {
                match self { $(Self::$variant => $pattern,)* }
            }

            /// The last number of its extension.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self { $(Self::$variant => $arc,)* }
            }
        }
    };
}

claims! {
    GithubWorkflowTrigger "githubWorkflowTrigger" "githubWorkflowTriggerRegExp" 2 "GitHub: what triggered the run (the old form of `buildTrigger`).";
    GithubWorkflowSha "githubWorkflowSHA" "githubWorkflowSHARegExp" 3 "GitHub: the commit (the old form of `sourceRepositoryDigest`).";
    GithubWorkflowName "githubWorkflowName" "githubWorkflowNameRegExp" 4 "GitHub: the workflow's name.";
    GithubWorkflowRepository "githubWorkflowRepository" "githubWorkflowRepositoryRegExp" 5 "GitHub: owner and repository (the old form of `sourceRepositoryURI`).";
    GithubWorkflowRef "githubWorkflowRef" "githubWorkflowRefRegExp" 6 "GitHub: the ref (the old form of `sourceRepositoryRef`).";
    BuildSignerUri "buildSignerURI" "buildSignerURIRegExp" 9 "The build instructions that asked for the certificate, with their ref.";
    BuildSignerDigest "buildSignerDigest" "buildSignerDigestRegExp" 10 "Their commit.";
    RunnerEnvironment "runnerEnvironment" "runnerEnvironmentRegExp" 11 "Whose machine it ran on: `github-hosted`, `self-hosted` …";
    SourceRepositoryUri "sourceRepositoryURI" "sourceRepositoryURIRegExp" 12 "The repository that was built.";
    SourceRepositoryDigest "sourceRepositoryDigest" "sourceRepositoryDigestRegExp" 13 "Its commit.";
    SourceRepositoryRef "sourceRepositoryRef" "sourceRepositoryRefRegExp" 14 "Its ref.";
    SourceRepositoryIdentifier "sourceRepositoryIdentifier" "sourceRepositoryIdentifierRegExp" 15 "The number of the repository, which outlives its name.";
    SourceRepositoryOwnerUri "sourceRepositoryOwnerURI" "sourceRepositoryOwnerURIRegExp" 16 "Its owner.";
    SourceRepositoryOwnerIdentifier "sourceRepositoryOwnerIdentifier" "sourceRepositoryOwnerIdentifierRegExp" 17 "The number of the owner.";
    BuildConfigUri "buildConfigURI" "buildConfigURIRegExp" 18 "The top-level build instructions, with their ref.";
    BuildConfigDigest "buildConfigDigest" "buildConfigDigestRegExp" 19 "Their commit.";
    BuildTrigger "buildTrigger" "buildTriggerRegExp" 20 "What triggered the build.";
    RunInvocationUri "runInvocationURI" "runInvocationURIRegExp" 21 "The very run.";
    SourceRepositoryVisibility "sourceRepositoryVisibilityAtSigning" "sourceRepositoryVisibilityAtSigningRegExp" 22 "Who could read the repository: `public`, `private` …";
    DeploymentEnvironment "deploymentEnvironment" "deploymentEnvironmentRegExp" 23 "The environment that the build was for.";
    TokenSubject "tokenSubject" "tokenSubjectRegExp" 24 "The subject of the token itself.";
}

impl fmt::Display for Claim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_tell_claims_apart() {
        for (at, claim) in Claim::ALL.iter().enumerate() {
            assert_eq!(claim.pattern_name(), format!("{claim}RegExp"));
            for other in &Claim::ALL[at + 1..] {
                assert!(claim.number() < other.number() && claim.name() != other.name(), "{claim} {other}");
            }
        }
    }
}
