//! Whose certificates count: an issuer and a subject, each written out or as a pattern for the whole of it.

use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};

use super::claim::Claim;

/// Longest written issuer, subject or pattern, in bytes.
const MAX_TEXT: usize = 2048;
/// Most bytes that a compiled pattern may take. What a person writes takes a thousandth of it.
const MAX_COMPILED: usize = 1 << 20;
/// Longest issuer or subject of a certificate that is compared, in bytes; what is longer matches nothing.
const MAX_FOUND: usize = 4096;

/// Who may have signed: a certificate must have both.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The OIDC issuer that vouched for the signer.
    pub issuer: Expected,
    /// The signer: an e-mail address or a URI.
    pub subject: Expected,
    /// What the certificate must say about the build, all of it.
    pub claims: BTreeMap<Claim, Expected>,
}

/// What one part of an identity must be.
#[derive(Clone, PartialEq, Eq)]
pub struct Expected(Form);

#[derive(Clone)]
enum Form {
    Exact(String),
    /// The pattern as written, and compiled so that it takes the whole.
    Whole(String, Regex),
}

/// Why a text is no usable issuer, subject or pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing is written.
    #[error("it is empty")]
    Empty,
    /// It is longer than any identity.
    #[error("it has more than {MAX_TEXT} bytes")]
    TooLong,
    /// It is no regular expression, or one that takes too much memory.
    #[error("it is no usable regular expression: {0}")]
    Pattern(String),
}

impl Identity {
    /// Whether a certificate with this issuer and this subject is one of this identity.
    #[must_use]
    pub fn is(&self, issuer: &str, subject: &str) -> bool {
        self.issuer.is(issuer) && self.subject.is(subject)
    }

    /// The first claim that a certificate which says this about its build does not fulfil.
    #[must_use]
    pub fn unfulfilled(&self, found: &BTreeMap<Claim, String>) -> Option<(Claim, &Expected)> {
        let fulfilled = |claim: &Claim, expected: &Expected| found.get(claim).is_some_and(|text| expected.is(text));
        let mut lacking = self.claims.iter().filter(|(claim, expected)| !fulfilled(claim, expected));
        lacking.next().map(|(claim, expected)| (*claim, expected))
    }
}

impl Expected {
    /// Exactly this text.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn exactly(text: &str) -> Result<Self, IdentityError> {
        Ok(Self(Form::Exact(bounded(text)?.to_owned())))
    }

    /// Whatever this regular expression takes from beginning to end. Matching takes linear time.
    ///
    /// # Errors
    /// When it is empty, too long, no regular expression, or too large once compiled.
    pub fn matching(pattern: &str) -> Result<Self, IdentityError> {
        let pattern = bounded(pattern)?;
        // Alone first: a pattern such as `a)|(b` must not become one only inside our brackets.
        compiled(pattern)?;
        Ok(Self(Form::Whole(pattern.to_owned(), compiled(&format!(r"\A(?:{pattern})\z"))?)))
    }

    fn is(&self, found: &str) -> bool {
        match &self.0 {
            _ if found.is_empty() || found.len() > MAX_FOUND => false,
            Form::Exact(text) => text == found,
            Form::Whole(_, whole) => whole.is_match(found),
        }
    }
}

fn bounded(text: &str) -> Result<&str, IdentityError> {
    match text.len() {
        0 => Err(IdentityError::Empty),
        1..=MAX_TEXT => Ok(text),
        _ => Err(IdentityError::TooLong),
    }
}

fn compiled(pattern: &str) -> Result<Regex, IdentityError> {
    let built = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).build();
    built.map_err(|error| {
        let last = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        IdentityError::Pattern(last)
    })
}

impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(one), Self::Exact(other)) | (Self::Whole(one, _), Self::Whole(other, _)) => one == other,
            (Self::Exact(_), Self::Whole(..)) | (Self::Whole(..), Self::Exact(_)) => false,
        }
    }
}

impl Eq for Form {}

impl fmt::Display for Expected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Exact(text) => write!(out, "`{text}`"),
            Form::Whole(pattern, _) => write!(out, "/{pattern}/"),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "subject {} of issuer {}", self.subject, self.issuer)?;
        self.claims.iter().try_for_each(|(claim, expected)| write!(out, " with {claim} {expected}"))
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_the_whole_or_nothing() {
        let cases = [
            ("a|ab", "ab", true),
            ("a|ab", "abc", false),
            ("a|ab", "xa", false),
            (r"https://github\.com/acme/.+", "https://github.com/acme/app", true),
            (r"https://github\.com/acme/.+", "https://github.com/acme/", false),
            (r"https://github\.com/acme/.+", "https://github.com/acme/a\nb", false),
            (r"https://github\.com/acme/.+", "https://evil.example/https://github.com/acme/app", false),
            ("(?m)^a$", "a", true),
            ("(?m)^a$", "b\na", false),
            ("(?m)^a$", "a\n", false),
            ("(?s).*", "any\nthing", true),
            (".*", "", false),
            ("(?i)ACME", "acme", true),
        ];
        for (pattern, found, expected) in cases {
            assert_eq!(Expected::matching(pattern).unwrap().is(found), expected, "{pattern} {found:?}");
        }
        assert!(!Expected::matching("(?s).*").unwrap().is(&"a".repeat(MAX_FOUND + 1)));
    }

    #[test]
    fn an_exact_text_has_no_wildcards() {
        let exact = Expected::exactly("a.c*").unwrap();
        assert!(exact.is("a.c*"));
        for other in ["abc*", "a.c", "a.c*x", "A.c*", "a.cc", ""] {
            assert!(!exact.is(other), "{other}");
        }
    }

    #[test]
    fn unusable_patterns_are_told() {
        for bad in ["a)|(?:b", "(", "(?x) a # b", "a{1000}{1000}{1000}", r"(a)\1", "(?=a)"] {
            let told = Expected::matching(bad);
            assert!(matches!(told, Err(IdentityError::Pattern(_))), "{bad}: {told:?}");
        }
        assert_eq!(Expected::matching(""), Err(IdentityError::Empty));
        assert_eq!(Expected::exactly(""), Err(IdentityError::Empty));
        assert_eq!(Expected::exactly(&"a".repeat(MAX_TEXT + 1)), Err(IdentityError::TooLong));
        assert_eq!(Expected::matching(&"a".repeat(MAX_TEXT + 1)), Err(IdentityError::TooLong));
    }

    #[test]
    fn issuer_and_subject_must_both_fit() {
        let exactly = |text: &str| Expected::exactly(text).unwrap();
        let identity = Identity { issuer: exactly("i"), subject: exactly("s"), claims: BTreeMap::new() };
        assert!(identity.is("i", "s"));
        for (issuer, subject) in [("i", "i"), ("s", "s"), ("s", "i"), ("", "s"), ("i", "")] {
            assert!(!identity.is(issuer, subject), "{issuer} {subject}");
        }
    }

    /// What a certificate says.
    type Found<'a> = &'a [(Claim, &'a str)];

    #[test]
    fn every_claim_must_be_there_and_fit() {
        let exactly = |text: &str| Expected::exactly(text).unwrap();
        let claims = BTreeMap::from([
            (Claim::BuildTrigger, exactly("push")),
            (Claim::SourceRepositoryRef, Expected::matching("refs/tags/v.+").unwrap()),
        ]);
        let identity = Identity { issuer: exactly("i"), subject: exactly("s"), claims };
        let cases: [(Found<'_>, Option<Claim>); 6] = [
            (&[(Claim::BuildTrigger, "push"), (Claim::SourceRepositoryRef, "refs/tags/v1")], None),
            (
                &[(Claim::BuildTrigger, "push"), (Claim::SourceRepositoryRef, "refs/tags/v")],
                Some(Claim::SourceRepositoryRef),
            ),
            (&[(Claim::BuildTrigger, "push")], Some(Claim::SourceRepositoryRef)),
            (&[(Claim::BuildTrigger, ""), (Claim::SourceRepositoryRef, "refs/tags/v1")], Some(Claim::BuildTrigger)),
            (
                &[(Claim::GithubWorkflowTrigger, "push"), (Claim::SourceRepositoryRef, "refs/tags/v1")],
                Some(Claim::BuildTrigger),
            ),
            (&[], Some(Claim::SourceRepositoryRef)),
        ];
        for (found, expected) in cases {
            let found = found.iter().map(|(claim, text)| (*claim, (*text).to_owned())).collect();
            assert_eq!(identity.unfulfilled(&found).map(|(claim, _)| claim), expected, "{found:?}");
        }
    }
}
