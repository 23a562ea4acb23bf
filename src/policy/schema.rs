//! The fields of a policy file: what may stand where, and what must hold between fields.

mod attestation;
mod between;

use super::exception;
use super::glob::{NamespacePattern, Pattern};
use super::trusted::{self, Trusted};
use crate::fields::{Complaint, Field, Found, Path, Record, Shape, nothing, optional, required};
use crate::image::{Digest, Platform};
use crate::manifest::tree::Node;
use crate::signer::claim::Claim;
use crate::signer::identity::{Expected, IdentityError};

/// Longest name of a policy, rule or authority, in characters: it is read in reports.
const MAX_NAME: usize = 253;
/// Longest text of another kind, in bytes.
const MAX_TEXT: usize = 4096;
/// Highest index of a log's entry: what every reader of numbers reads alike.
const MAX_INDEX: u64 = (1 << 53) - 1;
/// Most signatures that a rule can ask for.
const MAX_THRESHOLD: u64 = 1000;

/// One document of a policy file.
pub(super) static POLICY: Shape = Shape::Record(&Record {
    fields: &[
        required("apiVersion", Shape::Word(&["sealgate.dev/v1alpha1"])),
        required("kind", Shape::Word(&["ImagePolicy"])),
        required(
            "metadata",
            Shape::Record(&Record { fields: &[required("name", Shape::Text(name))], between: nothing }),
        ),
        required("spec", Shape::Record(&SPEC)),
    ],
    between: nothing,
});

static SPEC: Record = Record {
    fields: &[
        optional("registries", Shape::List(&Shape::Text(registry), 1)),
        required("rules", Shape::List(&Shape::Record(&RULE), 1)),
        optional("exceptions", Shape::List(&Shape::Record(&EXCEPTION), 0)),
        optional("revoked", Shape::Record(&REVOKED)),
    ],
    between: between::rules_have_distinct_names,
};

static REVOKED: Record = Record {
    fields: &[
        optional("fingerprints", Shape::List(&Shape::Text(digest), 0)),
        optional("digests", Shape::List(&Shape::Text(digest), 0)),
        optional("logIndexes", Shape::List(&Shape::Count(0..=MAX_INDEX), 0)),
    ],
    between: nothing,
};

static RULE: Record = Record {
    fields: &[
        required("name", Shape::Text(name)),
        required("images", Shape::List(&Shape::Text(pattern), 1)),
        optional("namespaces", Shape::List(&Shape::Text(namespace), 1)),
        optional(
            "platforms",
            Shape::OneOrList(&Shape::Word(&["index", "all-leaves"]), &Shape::List(&Shape::Text(platform), 1)),
        ),
        optional("allowUnsigned", Shape::Flag),
        optional("signatures", Shape::Record(&SIGNATURES)),
        optional("attestations", Shape::List(&Shape::Record(&attestation::ATTESTATION), 1)),
    ],
    between: rule_is_whole,
};

fn rule_is_whole(rule: &Node, path: &Path, found: &mut Found<'_>) {
    between::rule_demands_or_allows(rule, path, found);
    attestation::have_authorities(rule, path, found);
}

static SIGNATURES: Record = Record {
    fields: &[
        optional("threshold", Shape::Count(1..=MAX_THRESHOLD)),
        required("authorities", Shape::List(&Shape::Record(&AUTHORITY), 1)),
    ],
    between: between::enough_authorities,
};

static AUTHORITY: Record = Record {
    fields: &[
        required("name", Shape::Text(name)),
        optional("key", Shape::Record(&KEY)),
        optional("annotations", Shape::Table(annotation, &Shape::Text(text))),
        optional("transparencyLog", Shape::Word(&["ignore", "require"])),
        optional("signedReference", Shape::Word(&["ignore", "repository"])),
        optional("source", Shape::Text(source)),
        optional("keyless", Shape::Record(&KEYLESS)),
        optional("notation", Shape::Later(KEY_HELP)),
        optional("contentTrust", Shape::Later(KEY_HELP)),
        optional("trustRoot", Shape::Record(&ROOT)),
    ],
    between: between::authority_has_one_signer,
};

static KEYLESS: Record =
    Record { fields: &[required("identities", Shape::List(&Shape::Record(&IDENTITY), 1))], between: nothing };

static IDENTITY: Record = Record {
    fields: &[
        optional("issuer", Shape::Text(exactly)),
        optional("issuerRegExp", Shape::Text(matching)),
        optional("subject", Shape::Text(exactly)),
        optional("subjectRegExp", Shape::Text(matching)),
        optional("claims", Shape::Record(&CLAIMS)),
    ],
    between: between::identity_is_whole,
};

static CLAIMS: Record = Record { fields: &CLAIM_FIELDS, between: between::claims_are_single };

/// Each claim, exact and as a pattern.
static CLAIM_FIELDS: [Field; 2 * Claim::ALL.len()] = claim_fields();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which stops at an index out of bounds")]
const fn claim_fields() -> [Field; 2 * Claim::ALL.len()] {
    let mut fields = [const { optional("", Shape::Text(exactly)) }; 2 * Claim::ALL.len()];
    let mut at = 0;
    while at < Claim::ALL.len() {
        fields[2 * at].name = Claim::ALL[at].name();
        fields[2 * at + 1].name = Claim::ALL[at].pattern_name();
        fields[2 * at + 1].shape = Shape::Text(matching);
        at += 1;
    }
    fields
}

static ROOT: Record = Record {
    fields: &[optional("file", Shape::Text(text)), optional("tuf", Shape::Record(&TUF))],
    between: between::root_has_one_source,
};

static TUF: Record = Record {
    fields: &[required("mirror", Shape::Text(mirror)), optional("root", Shape::Text(text))],
    between: nothing,
};

static KEY: Record = Record {
    fields: &[
        optional("file", Shape::Text(text)),
        optional("data", Shape::Text(text)),
        optional("validFrom", Shape::Text(instant)),
        optional("validUntil", Shape::Text(instant)),
        optional("secret", Shape::Record(&SECRET)),
        optional("kms", Shape::Text(kms)),
    ],
    between: between::key_is_whole,
};

static SECRET: Record = Record {
    fields: &[
        required("namespace", Shape::Text(object)),
        required("name", Shape::Text(object)),
        optional("key", Shape::Text(text)),
    ],
    between: nothing,
};

static EXCEPTION: Record = Record {
    fields: &[
        required("images", Shape::List(&Shape::Text(pattern), 1)),
        optional("namespaces", Shape::List(&Shape::Text(namespace), 1)),
        optional("digests", Shape::List(&Shape::Text(digest), 1)),
        required("reason", Shape::Text(text)),
        required("owner", Shape::Text(text)),
        required("expires", Shape::Text(day)),
    ],
    between: nothing,
};

const KEY_HELP: &str = "use a public key (`key: {file: …}`) or `keyless` until then";

fn name(text: &str) -> Result<(), Complaint> {
    let fits = !text.trim().is_empty() && text.trim() == text && text.chars().count() <= MAX_NAME;
    if fits && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let help = format!("write 1 to {MAX_NAME} characters on one line, with no space at either end");
    Err(Complaint::new(format!("`{}` is no name", text.escape_debug()), help))
}

fn text(text: &str) -> Result<(), Complaint> {
    if text.trim().is_empty() {
        return Err(Complaint::new("the text is empty", "write something"));
    }
    if text.len() > MAX_TEXT.saturating_mul(16) {
        return Err(Complaint::new(
            format!("the text is longer than {} bytes", MAX_TEXT.saturating_mul(16)),
            "shorten it",
        ));
    }
    Ok(())
}

fn annotation(key: &str) -> Result<(), Complaint> {
    if key.is_empty() || key.len() > MAX_TEXT {
        return Err(Complaint::new("an annotation's name cannot be empty or this long", "write `name: value`"));
    }
    Ok(())
}

fn exactly(text: &str) -> Result<(), Complaint> {
    Expected::exactly(text).map(drop).map_err(|error| identity(text, &error))
}

fn matching(pattern: &str) -> Result<(), Complaint> {
    Expected::matching(pattern).map(drop).map_err(|error| identity(pattern, &error))
}

fn identity(text: &str, error: &IdentityError) -> Complaint {
    let help = "write the whole issuer or subject as certificates name it; a pattern always takes the whole";
    Complaint::new(format!("`{}`: {error}", text.chars().take(80).collect::<String>().escape_debug()), help)
}

fn mirror(text: &str) -> Result<(), Complaint> {
    let wrong = |why: &str| {
        Complaint::new(format!("`{text}` {why}"), "write a URL such as `https://tuf.example.com/repository`")
    };
    let url = url::Url::parse(text).map_err(|_| wrong("is no URL"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("is no `https` URL with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than host and path"));
    }
    Ok(())
}

fn registry(text: &str) -> Result<(), Complaint> {
    Trusted::parse(text).map(drop)
}

fn pattern(text: &str) -> Result<(), Complaint> {
    Pattern::parse(text).map(drop)
}

fn namespace(text: &str) -> Result<(), Complaint> {
    NamespacePattern::parse(text).map(drop)
}

fn source(text: &str) -> Result<(), Complaint> {
    trusted::repository(text).map(drop)
}

/// The name of an object in a cluster.
fn object(text: &str) -> Result<(), Complaint> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    if !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(fits) {
        return Ok(());
    }
    Err(Complaint::new(
        format!("`{}` is no name in a cluster", text.escape_debug()),
        "write it as `kubectl get` shows it",
    ))
}

fn kms(text: &str) -> Result<(), Complaint> {
    let schemes = ["awskms://", "gcpkms://", "azurekms://", "hashivault://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    if rest.is_some_and(|rest| !rest.is_empty()) && text.len() <= MAX_TEXT && !text.contains(char::is_whitespace) {
        return Ok(());
    }
    let help = "write `awskms:///KEY`, `gcpkms://projects/…`, `azurekms://VAULT/KEY` or `hashivault://KEY`";
    Err(Complaint::new(format!("`{}` is no reference to a key", text.escape_debug()), help))
}

fn instant(text: &str) -> Result<(), Complaint> {
    exception::instant(text).map(drop)
}

fn day(text: &str) -> Result<(), Complaint> {
    exception::day(text).map(drop)
}

fn platform(text: &str) -> Result<(), Complaint> {
    let wrong = |error: crate::image::platform::PlatformError| {
        Complaint::new(format!("`{text}`: {error}"), "write `linux/amd64`")
    };
    text.parse::<Platform>().map(drop).map_err(wrong)
}

fn digest(text: &str) -> Result<(), Complaint> {
    let help = "copy the digest whole, as `crane digest IMAGE` or the report prints it";
    text.parse::<Digest>().map(drop).map_err(|error| Complaint::new(format!("`{text}`: {error}"), help))
}
