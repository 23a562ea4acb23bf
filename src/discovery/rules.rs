//! The user's own rules: which fields of which kinds are images, and what to do with what nobody knows.

use std::sync::Arc;

use super::catalogue::Split;
use super::guess::SCHEMES;
use super::path::Pattern;
use super::site::{Action, Form, Site};

/// Everything that a user says about where images stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Fields beyond the catalogue; the first that names a field counts, before the catalogue and the pod shape.
    pub fields: Vec<FieldRule>,
    /// What to do with a value that looks like an image where no field is known.
    pub unclassified: Unclassified,
}

/// What to do with a value that looks like an image where no field is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Unclassified {
    /// The revision is refused.
    #[default]
    Refuse,
    /// It is reported.
    Warn,
    /// It is left alone.
    Ignore,
}

/// A field that the user names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRule {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) path: Pattern,
    pub(super) action: Action,
    pub(super) split: Option<Split>,
    pub(super) reason: Option<Arc<str>>,
}

/// The keys of a mapping that holds a reference in several parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitKeys {
    /// Key of the host, where it stands apart.
    pub registry: Option<String>,
    /// Key of the repository.
    pub repository: String,
    /// Key of the last component, where it stands apart.
    pub name: Option<String>,
    /// Key of the tag.
    pub tag: Option<String>,
    /// Key of the digest.
    pub digest: Option<String>,
}

impl FieldRule {
    /// A rule for a field of a kind; the core group is `""`.
    ///
    /// # Errors
    /// When the path is none, the kind is empty, or the action is no choice of the user's.
    pub fn new(group: &str, kind: &str, path: &str, action: Action) -> Result<Self, String> {
        if kind.is_empty() {
            return Err("a field needs the kind in which it stands".to_owned());
        }
        if group.contains('/') {
            return Err(format!("`{group}` is no group: leave the version out"));
        }
        match action {
            Action::Pin | Action::Verify | Action::Ignore => {}
            Action::Unclassified => return Err("an action is `pin`, `verify` or `ignore`".to_owned()),
        }
        let path = Pattern::parse(path)?;
        Ok(Self { group: group.to_owned(), kind: kind.to_owned(), path, action, split: None, reason: None })
    }

    /// The same rule, for a mapping that holds the reference in several parts.
    ///
    /// # Errors
    /// When the path leads into a text, whose parts cannot be written apart.
    pub fn in_parts(mut self, keys: SplitKeys) -> Result<Self, String> {
        if self.path.leads_into_text() {
            return Err("a reference in several parts inside a text is not supported yet".to_owned());
        }
        let SplitKeys { registry, repository, name, tag, digest } = keys;
        let prefixes = SCHEMES.map(str::to_owned).to_vec();
        self.split = Some(Split { registry, repository, name, tag, digest, prefixes });
        Ok(self)
    }

    /// The same rule, with the reason that its user gives.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    pub(super) fn is_about(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

/// The line of `discovery.fields` that settles what an unclassified site is.
#[must_use]
pub fn settling_line(site: &Site) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let group = site.object.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let path = super::path::written(within_object(&site.route));
    let action = if site.image.is_ok() && site.form != Form::Text { "pin" } else { "ignore" };
    format!(
        "- {{group: {}, kind: {}, path: {}, action: {action}}}",
        quoted(group),
        quoted(&site.object.kind),
        quoted(&path)
    )
}

/// The part of a route below its object: what stands behind the items of lists.
fn within_object(mut route: &[super::site::Step]) -> &[super::site::Step] {
    use super::site::Step;
    while let [Step::Key(items), Step::Index(_), rest @ ..] = route
        && items == "items"
    {
        route = rest;
    }
    route
}
