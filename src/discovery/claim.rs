//! Which nodes of an object the user's rules and the catalogue name. The first to claim a node keeps it: the user before
//! the catalogue.

use std::collections::HashMap;
use std::sync::Arc;

use super::catalogue::{Field, FieldForm, Known, Split};
use super::guess::SCHEMES;
use super::path::Pattern;
use super::rules::{FieldRule, Rules as UserRules};
use super::site::{Action, Layer};
use crate::manifest::{Node, Rules};

/// What is claimed about a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'c> {
    pub(super) action: Action,
    pub(super) layer: Layer,
    pub(super) as_what: As<'c>,
    pub(super) reason: Option<&'c Arc<str>>,
}

/// As what a node is claimed.
#[derive(Debug, Clone, Copy)]
pub(super) enum As<'c> {
    /// A whole reference.
    Whole,
    /// A whole reference behind one of these prefixes, which may be left out.
    Prefixed(&'c [String]),
    /// The repository of a reference whose other parts stand beside it.
    Split(&'c Split),
    /// A part of such a reference: it is no site of its own.
    Part,
    /// The name of something that is deployed from elsewhere.
    Elsewhere,
}

/// A rule that leads into the text of a string.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    pub(super) rules: Rules,
    pub(super) pattern: Pattern,
    pub(super) action: Action,
    pub(super) reason: Option<Arc<str>>,
}

/// All claims of an object, by the address of the node.
#[derive(Debug, Default)]
pub(super) struct Claims<'c> {
    nodes: HashMap<*const Node, Claim<'c>>,
    texts: HashMap<*const Node, Vec<Inside>>,
    /// Whether something is deployed from elsewhere and no field says from where.
    pub(super) unsaid_elsewhere: bool,
}

impl<'c> Claims<'c> {
    /// What the user and the catalogue say about an object.
    pub(super) fn of(object: &Node, group: &str, kind: &str, user: &'c UserRules, known: Option<&'c Known>) -> Self {
        let mut claims = Self::default();
        for rule in user.fields.iter().filter(|rule| rule.is_about(group, kind)) {
            for reached in rule.path.reach(object) {
                match reached.inside {
                    Some((rules, pattern)) => {
                        let inside = Inside { rules, pattern, action: rule.action, reason: rule.reason.clone() };
                        claims.texts.entry(std::ptr::from_ref(reached.node)).or_default().push(inside);
                    }
                    None => claims.rule(reached.node, rule),
                }
            }
        }
        if let Some(known) = known {
            claims.catalogue(object, known);
        }
        claims
    }

    /// What is claimed about this node.
    pub(super) fn about(&self, node: &Node) -> Option<Claim<'c>> {
        if self.nodes.is_empty() { None } else { self.nodes.get(&std::ptr::from_ref(node)).copied() }
    }

    /// The rules that lead into this string.
    pub(super) fn inside(&self, node: &Node) -> &[Inside] {
        if self.texts.is_empty() {
            return &[];
        }
        self.texts.get(&std::ptr::from_ref(node)).map_or(&[], Vec::as_slice)
    }

    fn rule(&mut self, node: &Node, rule: &'c FieldRule) {
        let reason = rule.reason.as_ref();
        let claim = |as_what| Claim { action: rule.action, layer: Layer::Rule, as_what, reason };
        match &rule.split {
            Some(split) => self.split(node, split, claim(As::Split(split))),
            None => self.claim(node, claim(As::Whole)),
        }
    }

    fn claim(&mut self, node: &Node, claim: Claim<'c>) {
        self.nodes.entry(std::ptr::from_ref(node)).or_insert(claim);
    }

    fn catalogue(&mut self, object: &Node, known: &'c Known) {
        for Field { path, action, form, why } in &known.fields {
            for reached in path.reach(object) {
                let reason = why.as_ref();
                let claim = |as_what| Claim { action: *action, layer: Layer::Catalogue, as_what, reason };
                match form {
                    FieldForm::Whole(prefixes) => self.claim(reached.node, claim(As::Prefixed(prefixes))),
                    FieldForm::Scheme(schemes) => {
                        let here = |text: &str| schemes.iter().any(|scheme| text.starts_with(scheme.as_str()));
                        if reached.node.as_str().is_some_and(here) {
                            self.claim(reached.node, claim(As::Prefixed(schemes)));
                        }
                    }
                    FieldForm::Split(split) => self.split(reached.node, split, claim(As::Split(split))),
                }
            }
        }
        self.elsewhere(object, known);
    }

    fn split(&mut self, node: &Node, split: &'c Split, claim: Claim<'c>) {
        let Some(repository) = node.get(&split.repository).filter(|repository| !repository.is_null()) else { return };
        // The claim is about the repository, since one mapping can hold several references.
        self.claim(repository, claim);
        let Split { registry, repository: _, name, tag, digest, prefixes: _ } = split;
        for key in [registry, name, tag, digest].into_iter().flatten() {
            if let Some(part) = node.get(key) {
                self.claim(part, Claim { as_what: As::Part, ..claim });
            }
        }
    }

    fn elsewhere(&mut self, object: &Node, known: &Known) {
        let named = texts(&known.elsewhere, object);
        self.unsaid_elsewhere = !known.elsewhere.is_empty() && named.is_empty();
        let claim =
            Claim { action: Action::Unclassified, layer: Layer::Catalogue, as_what: As::Elsewhere, reason: None };
        for node in named.into_iter().chain(texts(&known.remote, object)) {
            self.claim(node, claim);
        }
    }
}

/// The strings to which these patterns lead.
fn texts<'d>(patterns: &[Pattern], object: &'d Node) -> Vec<&'d Node> {
    let reached = patterns.iter().flat_map(|path| path.reach(object)).map(|reached| reached.node);
    reached.filter(|node| node.as_str().is_some()).collect()
}

/// The prefix of a text, of those that the claim allows.
pub(super) fn prefix<'t>(text: &'t str, as_what: As<'_>) -> &'t str {
    let length = match as_what {
        As::Whole => SCHEMES.iter().find(|scheme| text.starts_with(**scheme)).map_or(0, |scheme| scheme.len()),
        As::Prefixed(prefixes) => {
            prefixes.iter().find(|prefix| text.starts_with(prefix.as_str())).map_or(0, String::len)
        }
        As::Split(_) | As::Part | As::Elsewhere => 0,
    };
    text.get(..length).unwrap_or("")
}
