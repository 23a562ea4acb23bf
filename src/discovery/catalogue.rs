//! The catalogue of known kinds, as data: which of their fields are images, in which form, and what is done with them.
//! It holds no code for any kind; `catalogue.yaml` is all that is known.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::path::Pattern;
use super::pod::Crumb;
use super::site::Action;

/// The catalogue, read once; a broken one is an error of every search, so that nothing is found by half of it.
static CATALOGUE: LazyLock<Result<Catalogue, String>> =
    LazyLock::new(|| Catalogue::read(include_str!("catalogue.yaml")));

/// All that is known.
#[derive(Debug)]
pub(super) struct Catalogue {
    kinds: HashMap<(String, String), Known>,
    /// Annotations that choose an image, in any kind.
    pub(super) annotations: HashMap<String, Annotation>,
    /// Pairs of keys (`rbd.image`) that never name an image.
    pub(super) never: Vec<(String, String)>,
    /// Keys that have `image` in their name and hold none, as endings of the key in lower case.
    pub(super) quiet: Vec<String>,
    /// Keys below an image mapping that hold the reference.
    pub(super) parts: Vec<String>,
    prose: Vec<Prose>,
    /// Keys at the top of an object below which nothing is applied.
    pub(super) skip: Vec<String>,
}

/// What is known about a kind.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Its fields.
    pub(super) fields: Vec<Field>,
    /// Where it says from where it deploys something that is not in the repository; empty for most kinds.
    pub(super) elsewhere: Vec<Pattern>,
    /// Where it may say so; without them it deploys what it holds itself.
    pub(super) remote: Vec<Pattern>,
}

/// A field of a kind.
#[derive(Debug)]
pub(super) struct Field {
    /// Where it is.
    pub(super) path: Pattern,
    /// What is done with it.
    pub(super) action: Action,
    /// How it is written.
    pub(super) form: FieldForm,
    /// Why it is no image, or why it is not rewritten.
    pub(super) why: Option<Arc<str>>,
}

/// How a field says its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FieldForm {
    /// One scalar, perhaps behind one of these prefixes.
    Whole(Vec<String>),
    /// One scalar that is an image only behind one of these prefixes.
    Scheme(Vec<String>),
    /// Keys of one mapping, put together.
    Split(Split),
}

/// The keys of a reference in several parts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Split {
    /// Key of the host, where it stands apart.
    #[serde(default)]
    pub(super) registry: Option<String>,
    /// Key of the repository.
    pub(super) repository: String,
    /// Key of the last component, where it stands apart.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Key of the tag.
    #[serde(default)]
    pub(super) tag: Option<String>,
    /// Key of the digest, with or without `sha256:`.
    #[serde(default)]
    pub(super) digest: Option<String>,
    /// What may stand before the repository.
    #[serde(default)]
    pub(super) prefixes: Vec<String>,
}

/// What an annotation says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Annotation {
    /// What is done with it.
    pub(super) action: CatalogueAction,
    /// The annotation beside it that holds the tag.
    #[serde(default)]
    pub(super) tag: Option<String>,
}

/// Where a text stands that only speaks about images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prose {
    key: String,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    group: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum CatalogueAction {
    #[default]
    Pin,
    Verify,
    Ignore,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    annotations: HashMap<String, Annotation>,
    never: Vec<String>,
    quiet: Vec<String>,
    parts: Vec<String>,
    skip: Vec<String>,
    prose: Vec<Prose>,
    projects: Vec<RawProject>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProject {
    project: String,
    kinds: Vec<RawKinds>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKinds {
    group: String,
    kinds: Vec<String>,
    #[serde(default)]
    fields: Vec<RawField>,
    #[serde(default)]
    elsewhere: Vec<String>,
    #[serde(default)]
    remote: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawField {
    /// A whole reference that is pinned.
    Path(String),
    Full(Box<RawFull>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFull {
    path: String,
    #[serde(default)]
    action: CatalogueAction,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    schemes: Vec<String>,
    #[serde(default)]
    split: Option<Split>,
    /// Why this is no image, or why it is not rewritten.
    #[serde(default)]
    why: Option<String>,
}

/// Whether the built-in catalogue has this kind.
#[must_use]
pub fn is_known(group: &str, kind: &str) -> bool {
    Catalogue::builtin().is_ok_and(|catalogue| catalogue.kind(group, kind).is_some())
}

impl Catalogue {
    /// The built-in catalogue.
    pub(super) fn builtin() -> Result<&'static Self, &'static str> {
        CATALOGUE.as_ref().map_err(String::as_str)
    }

    /// What is known about a kind.
    pub(super) fn kind(&self, group: &str, kind: &str) -> Option<&Known> {
        self.kinds.get(&(group.to_owned(), kind.to_owned()))
    }

    /// Whether the text at the end of this way only speaks about images.
    pub(super) fn is_prose(&self, group: &str, way: &[Crumb<'_>]) -> bool {
        let [.., Crumb::Key(parent), Crumb::Key(key)] = way else { return false };
        self.prose.iter().any(|prose| {
            prose.key == *key
                && prose.parent.as_ref().is_none_or(|wanted| wanted == parent)
                && prose.group.as_ref().is_none_or(|wanted| wanted == group)
        })
    }

    /// Whether a key with `image` in its name holds none.
    pub(super) fn is_quiet(&self, lower: &str) -> bool {
        self.quiet.iter().any(|ending| lower.ends_with(ending.as_str()))
    }

    fn read(text: &str) -> Result<Self, String> {
        let raw: Raw = serde_yaml::from_str(text).map_err(|error| format!("the catalogue cannot be read: {error}"))?;
        let mut kinds: HashMap<(String, String), Known> = HashMap::new();
        for RawProject { project, kinds: entries } in raw.projects {
            for entry in entries {
                for kind in &entry.kinds {
                    let known = kinds.entry((entry.group.clone(), kind.clone())).or_default();
                    add(known, &entry).map_err(|error| format!("catalogue, {project}, {kind}: {error}"))?;
                }
            }
        }
        let never = raw.never.iter().map(|pair| pair_of(pair)).collect::<Result<_, _>>()?;
        Ok(Self {
            kinds,
            annotations: raw.annotations,
            never,
            quiet: raw.quiet,
            parts: raw.parts,
            prose: raw.prose,
            skip: raw.skip,
        })
    }
}

fn add(known: &mut Known, entry: &RawKinds) -> Result<(), String> {
    for field in &entry.fields {
        known.fields.push(match field {
            RawField::Path(path) => {
                let form = FieldForm::Whole(Vec::new());
                Field { path: Pattern::parse(path)?, action: Action::Pin, form, why: None }
            }
            RawField::Full(full) => full_field(full)?,
        });
    }
    for path in &entry.elsewhere {
        known.elsewhere.push(Pattern::parse(path)?);
    }
    for path in &entry.remote {
        known.remote.push(Pattern::parse(path)?);
    }
    Ok(())
}

fn full_field(full: &RawFull) -> Result<Field, String> {
    let form = match (&full.split, full.schemes.as_slice()) {
        (Some(split), []) => FieldForm::Split(split.clone()),
        (None, []) => FieldForm::Whole(full.prefixes.clone()),
        (None, schemes) => FieldForm::Scheme(schemes.to_vec()),
        (Some(_), _) => return Err(format!("`{}` cannot be split and have a scheme", full.path)),
    };
    let why = full.why.as_deref().map(Arc::from);
    Ok(Field { path: Pattern::parse(&full.path)?, action: full.action.into(), form, why })
}

fn pair_of(text: &str) -> Result<(String, String), String> {
    let (parent, key) = text.split_once('.').ok_or_else(|| format!("`{text}` is no pair of keys"))?;
    Ok((parent.to_owned(), key.to_owned()))
}

impl From<CatalogueAction> for Action {
    fn from(action: CatalogueAction) -> Self {
        match action {
            CatalogueAction::Pin => Self::Pin,
            CatalogueAction::Verify => Self::Verify,
            CatalogueAction::Ignore => Self::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_catalogue_is_read_and_is_as_wide_as_promised() {
        let catalogue = Catalogue::builtin().unwrap();
        let raw: Raw = serde_yaml::from_str(include_str!("catalogue.yaml")).unwrap();
        let projects: BTreeSet<&str> = raw.projects.iter().map(|project| project.project.as_str()).collect();
        assert!(catalogue.kinds.len() >= 60, "{} kinds", catalogue.kinds.len());
        assert!(projects.len() >= 30, "{} projects", projects.len());
        assert_eq!(projects.len(), raw.projects.len(), "a project stands twice");
    }
}
