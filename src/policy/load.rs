//! Policy files become policies, or a list of everything that is wrong with them. Two readers must agree: the one that
//! knows places finds the problems, then `serde_yaml` builds the policy from the same text.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::PolicyId;
use super::keys::Keys;
use super::material::Read;
use super::schema;
use super::written::{Policy, Written};
use crate::fields::{self, Found, Path};
use crate::image::Digest;
use crate::manifest::{self, Document, Node};
use crate::reason::{ErrorCode, Place, Problem};
use crate::snapshot::File;

/// A policy file, read by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its name, as reports write it.
    pub name: String,
    /// Its bytes.
    pub text: Bytes,
}

/// A policy under its name and digest.
pub(super) type Identified = (PolicyId, Policy);

/// Where each policy's name stands.
type Names = BTreeMap<String, String>;

/// Most policies of one file, and files of one set: what a person can still oversee.
const MAX_POLICIES: usize = 1000;

const LIMITS: manifest::Limits = manifest::Limits {
    file_bytes: 1 << 20,
    documents: MAX_POLICIES,
    depth: 32,
    nodes: 100_000,
    aliases: 1000,
    alias_bytes: 1 << 20,
};

/// The beginning of a file.
const START: Place = Place { line: 1, column: 1 };

/// All policies of all files.
pub(super) fn load(files: &[PolicyFile], read: Read<'_>) -> Result<Vec<Identified>, Vec<Problem>> {
    let mut names = Names::new();
    let mut policies = Vec::new();
    let mut problems = Vec::new();
    for file in files.iter().take(MAX_POLICIES) {
        match load_file(file, read, &mut names) {
            Ok(more) => policies.extend(more),
            Err(more) => problems.extend(more),
        }
    }
    if files.is_empty() {
        let problem = Problem::new(ErrorCode::PolicyInvalid, "there is no policy file");
        problems.push(problem.with_help("name at least one: without a policy nothing can pass"));
    }
    if files.len() > MAX_POLICIES {
        let message = format!("there are {} policy files, {MAX_POLICIES} are allowed", files.len());
        problems.push(Problem::new(ErrorCode::PolicyInvalid, message).with_help("put several policies into one file"));
    }
    if problems.is_empty() { Ok(policies) } else { Err(problems) }
}

fn load_file(file: &PolicyFile, read: Read<'_>, names: &mut Names) -> Result<Vec<Identified>, Vec<Problem>> {
    let mut found = Found::new(&file.name, ErrorCode::PolicyInvalid);
    let snapshot = File { path: file.name.as_str().into(), bytes: file.text.clone() };
    let (documents, problems) = manifest::survey(&snapshot, &LIMITS);
    if documents.is_empty() && problems.is_empty() {
        found.report(START, "the file holds no policy", "write one: `apiVersion: sealgate.dev/v1alpha1` and so on");
    }
    found.take(problems);
    let mut keys = Vec::new();
    for document in &documents {
        fields::check(&document.root, &schema::POLICY, &Path::default(), &mut found);
        distinct_name(&document.root, names, &mut found);
        keys.push(Keys::read(&document.root, &file.name, read, &mut found));
    }
    let policies = if found.is_empty() { build(file, &documents, &keys, &mut found) } else { Vec::new() };
    if found.is_empty() { Ok(policies) } else { Err(found.into_problems()) }
}

/// Reports a policy whose name another has already.
fn distinct_name(policy: &Node, names: &mut Names, found: &mut Found<'_>) {
    let Some(node) = policy.get("metadata").and_then(|metadata| metadata.get("name")) else { return };
    let Some(name) = node.as_str() else { return };
    let here = format!("{}:{}", found.file(), node.place);
    if let Some(first) = names.get(name) {
        let message = format!("policy `{name}` stands in {first} already");
        found.report(node.place, message, "give each policy a name of its own");
    } else {
        names.insert(name.to_owned(), here);
    }
}

fn build(file: &PolicyFile, documents: &[Document], keys: &[Keys], found: &mut Found<'_>) -> Vec<Identified> {
    let mut policies = Vec::new();
    let written = match second_reading(&file.text) {
        Ok(written) => written,
        Err((place, message)) => {
            found.report(place, message, "write it so that every YAML reader reads the same");
            return policies;
        }
    };
    if written.len() != documents.len() || keys.len() != documents.len() {
        found.report(START, "two YAML readers count different documents in the file", "write one policy a file");
        return policies;
    }
    for ((written, keys), document) in written.into_iter().zip(keys).zip(documents) {
        match written.into_policy(keys) {
            Ok(policy) => {
                let id = PolicyId { name: policy.name.clone(), digest: digest(&policy.name, &file.text, &keys.bytes) };
                policies.push((id, policy));
            }
            Err(complaint) => found.report(document.root.place, complaint.message, complaint.help),
        }
    }
    policies
}

/// The documents that are not empty, as `serde_yaml` reads them.
fn second_reading(text: &[u8]) -> Result<Vec<Written>, (Place, String)> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(text);
    let mut policies = Vec::new();
    for document in serde_yaml::Deserializer::from_slice(text) {
        match Option::<Written>::deserialize(document) {
            Ok(policy) => policies.extend(policy),
            Err(error) => {
                let place = error.location().map_or(START, |at| Place { line: at.line(), column: at.column() });
                return Err((place, error.to_string()));
            }
        }
    }
    Ok(policies)
}

/// The digest of a policy: its text, and every key that it names. Lengths keep the parts apart.
fn digest(name: &str, text: &[u8], keys: &[Vec<u8>]) -> Digest {
    let mut bytes = b"sealgate policy v1\n".to_vec();
    for part in [name.as_bytes(), text].into_iter().chain(keys.iter().map(Vec::as_slice)) {
        bytes.extend_from_slice(part.len().to_string().as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(part);
    }
    Digest::of(&bytes)
}
