//! One walk over each object finds every site; the layers are asked in order at each scalar.

use std::sync::Arc;

use super::catalogue::{Annotation, Catalogue, Split};
use super::claim::{As, Claim, Claims, Inside, prefix};
use super::guess::{Guess, guess, is_trap};
use super::pod::{self, Crumb};
use super::rules::Rules;
use super::site::{Action, Form, Layer, Site, Step};
use super::split::{Joined, join, plain_text, tag_part};
use super::text::{self, Hidden, MAX_IN_TEXT};
use super::{path, site::Object};
use crate::image::reference::{ImageRef, ReferenceError};
use crate::manifest::tree::{Scalar, Style, Typed, Value};
use crate::manifest::{self, Document, Limits, Manifest, Node};
use crate::reason::{ErrorCode, Problem};

/// Every site of a document in the order of the file, those that are ignored or unclassified included.
///
/// # Errors
/// When something in the document is no Kubernetes object, or a text that a rule leads into cannot be read.
pub fn discover<'d>(
    document: &'d Document,
    default_namespace: Option<&str>,
    rules: &'d Rules,
) -> Result<Vec<Site>, Vec<Problem>> {
    let catalogue = Catalogue::builtin().map_err(|message| vec![Problem::new(ErrorCode::ConfigInvalid, message)])?;
    let mut sites = Vec::new();
    let mut problems = Vec::new();
    for manifest in manifest::objects(document, default_namespace)? {
        let mut search = Search::of(&manifest, rules, catalogue);
        search.run(&manifest);
        sites.append(&mut search.sites);
        problems.append(&mut search.problems);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // An alias or a merged key can lead back to an earlier place.
    sites.sort_by_key(|site| site.place);
    Ok(sites)
}

struct Search<'d> {
    document: &'d Document,
    object: Arc<Object>,
    claims: Claims<'d>,
    catalogue: &'static Catalogue,
    base: Vec<Step>,
    way: Vec<Crumb<'d>>,
    parents: Vec<&'d Node>,
    /// Below a mapping or a list that is left out: by which layer, and why.
    ignored: Option<(Layer, Option<&'d Arc<str>>)>,
    sites: Vec<Site>,
    problems: Vec<Problem>,
}

/// What becomes a site, before it is given its place.
struct Draft {
    action: Action,
    layer: Layer,
    written: String,
    image: Result<ImageRef, ReferenceError>,
    form: Form,
}

impl<'d> Search<'d> {
    fn of(manifest: &Manifest<'d>, rules: &'d Rules, catalogue: &'static Catalogue) -> Self {
        let Object { api_version, kind, .. } = manifest.object.as_ref();
        let group = group_of(api_version);
        Self {
            document: manifest.document,
            object: Arc::clone(&manifest.object),
            claims: Claims::of(manifest.node, group, kind, rules, catalogue.kind(group, kind)),
            catalogue,
            base: manifest.route.clone(),
            way: Vec::new(),
            parents: Vec::new(),
            ignored: None,
            sites: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn run(&mut self, manifest: &Manifest<'d>) {
        let object = manifest.node;
        for (key, child) in object.entries().unwrap_or_default() {
            if !self.catalogue.skip.contains(&key.text) {
                self.child(object, Crumb::Key(&key.text), child);
            }
        }
        let bare = pod::without_image(group_of(&manifest.object.api_version), &manifest.object.kind, object);
        for (route, node) in bare {
            let draft = Draft {
                action: Action::Pin,
                layer: Layer::Pod,
                written: String::new(),
                image: Err(ReferenceError::Empty),
                form: Form::Fixed,
            };
            self.push(node, route, draft);
        }
        if self.claims.unsaid_elsewhere
            && let Some(kind) = object.get("kind")
            && self.claims.about(kind).is_none()
        {
            let draft = elsewhere(kind.as_str().unwrap_or_default());
            self.push(kind, vec![Step::Key("kind".to_owned())], draft);
        }
    }

    fn child(&mut self, parent: &'d Node, crumb: Crumb<'d>, child: &'d Node) {
        self.parents.push(parent);
        self.way.push(crumb);
        self.visit(child);
        self.way.pop();
        self.parents.pop();
    }

    fn visit(&mut self, node: &'d Node) {
        let claim = self.claims.about(node);
        match &node.value {
            Value::Scalar(scalar) => self.leaf(node, scalar, claim),
            Value::Sequence(items) => {
                let outside = self.ignored;
                self.branch(node, claim);
                for (index, item) in items.iter().enumerate() {
                    self.child(node, Crumb::Index(index), item);
                }
                self.ignored = outside;
            }
            Value::Mapping(entries) => {
                let outside = self.ignored;
                self.branch(node, claim);
                for (key, child) in entries {
                    self.child(node, Crumb::Key(&key.text), child);
                }
                self.ignored = outside;
            }
        }
    }

    /// A claim about a mapping or a sequence.
    fn branch(&mut self, node: &'d Node, claim: Option<Claim<'d>>) {
        let Some(claim) = claim else {
            if pod::is_image(&self.way) {
                self.found(node, unusable(Action::Pin, Layer::Pod, node));
            }
            return;
        };
        match (claim.as_what, claim.action) {
            (As::Whole | As::Prefixed(_), Action::Ignore) => {
                self.ignored = self.ignored.or(Some((claim.layer, claim.reason)));
            }
            (As::Whole | As::Prefixed(_), Action::Pin | Action::Verify | Action::Unclassified) | (As::Split(_), _) => {
                self.found(node, unusable(claim.action, claim.layer, node));
            }
            (As::Part | As::Elsewhere, _) => {}
        }
    }

    fn leaf(&mut self, node: &'d Node, scalar: &'d Scalar, claim: Option<Claim<'d>>) {
        self.inside(node);
        // Where the catalogue says no more than the pod shape does, the pod shape is the layer that found it.
        let as_pod = claim.is_none_or(|claim| claim.layer == Layer::Catalogue && claim.action == Action::Pin);
        if as_pod && pod::is_image(&self.way) {
            let claim = Claim { action: Action::Pin, layer: Layer::Pod, as_what: As::Prefixed(&[]), reason: None };
            return self.claimed(node, scalar, claim);
        }
        if let Some(claim) = claim {
            return self.claimed(node, scalar, claim);
        }
        let Typed::String(text) = &scalar.typed else { return };
        if let [.., Crumb::Key("annotations"), Crumb::Key(key)] = self.way.as_slice()
            && let Some(annotation) = self.catalogue.annotations.get(*key)
        {
            return self.annotation(node, text, annotation);
        }
        if is_trap(self.catalogue, &self.way) {
            return self.found(node, whole(text, "", Action::Ignore, Layer::Catalogue));
        }
        if let Some(found) = guess(self.catalogue, &self.way, self.parents.last().copied(), text) {
            return self.found(node, guessed(&found));
        }
        self.hidden(node, text);
    }

    fn claimed(&mut self, node: &'d Node, scalar: &'d Scalar, claim: Claim<'d>) {
        let Claim { action, layer, as_what, reason: _ } = claim;
        let draft = match (&scalar.typed, as_what) {
            (_, As::Part) | (Typed::Null, _) => return,
            (_, As::Split(split)) => return self.split(split, claim),
            (Typed::String(text), As::Elsewhere) => elsewhere(text),
            (Typed::String(text), As::Whole | As::Prefixed(_)) => whole(text, prefix(text, as_what), action, layer),
            (Typed::Bool(_) | Typed::Number(_), As::Whole | As::Prefixed(_) | As::Elsewhere) => {
                unusable(action, layer, node)
            }
        };
        self.found(node, draft);
    }

    fn annotation(&mut self, node: &'d Node, text: &str, annotation: &Annotation) {
        let mut draft = whole(text, "", annotation.action.into(), Layer::Catalogue);
        let tag = annotation.tag.as_ref().and_then(|tag| self.parents.last()?.get(tag)?.as_str());
        if let Some(tag) = tag {
            draft.written = format!("{text}:{tag}");
            draft.image = ImageRef::parse(&draft.written);
            draft.form = Form::Fixed;
        }
        self.found(node, draft);
    }

    fn split(&mut self, split: &Split, claim: Claim<'d>) {
        let joined = self.parents.last().and_then(|parts| join(parts, split));
        let Some(Joined { key, node, written, form }) = joined else { return };
        let mut route = self.route();
        route.pop();
        route.push(Step::Key(key));
        let image = ImageRef::parse(&written);
        self.push(node, route, Draft { action: claim.action, layer: claim.layer, written, image, form });
    }

    /// Follows the user's rules into the text of a string.
    fn inside(&mut self, node: &'d Node) {
        for inside in self.claims.inside(node).to_vec() {
            let route = self.route();
            self.text(node, &route, &inside, node);
        }
    }

    fn text(&mut self, outer: &Node, route: &[Step], inside: &Inside, node: &Node) {
        let path = path::written(route);
        let problem = |message: String| {
            Problem::new(ErrorCode::YamlInvalid, message)
                .in_file(self.document.file.as_ref())
                .at(outer.place)
                .with_help("mend the text, or the path in `discovery.fields` that leads into it")
        };
        let Some(text) = node.as_str() else {
            let problem = problem(format!("failed to look into `{path}`: it is no text"));
            return self.problems.push(problem);
        };
        let documents = match manifest::read_text(&self.document.file, text, inside.rules, &Limits::default()) {
            Ok(documents) => documents,
            Err(found) => {
                let why = found.first().map_or_else(String::new, |found| found.message.clone());
                let problem = problem(format!("failed to look into `{path}`: {why}"));
                return self.problems.push(problem);
            }
        };
        for document in &documents {
            for reached in inside.pattern.reach(&document.root) {
                let mut deeper = route.to_vec();
                deeper.push(Step::Inside(inside.rules, document.index));
                deeper.extend(reached.route);
                match reached.inside {
                    Some((rules, pattern)) => {
                        self.text(outer, &deeper, &Inside { rules, pattern, ..inside.clone() }, reached.node);
                    }
                    None if reached.node.is_null() => {}
                    None => {
                        self.push(outer, deeper, in_text(reached.node, outer, inside.action));
                        if let (Some(site), Some(reason)) = (self.sites.last_mut(), &inside.reason) {
                            site.reason = Some(Arc::clone(reason));
                        }
                    }
                }
            }
        }
    }

    /// Images in the text of a string that no rule of the user's leads to.
    fn hidden(&mut self, node: &'d Node, text: &str) {
        if self.catalogue.is_prose(group_of(&self.object.api_version), &self.way) {
            return;
        }
        let found = text::hidden(self.catalogue, &self.document.file, text);
        if found.len() > MAX_IN_TEXT {
            let message = format!("the text `{}` names more than {MAX_IN_TEXT} images", path::written(&self.route()));
            let problem = Problem::new(ErrorCode::LimitExceeded, message);
            return self.problems.push(problem.in_file(self.document.file.as_ref()).at(node.place));
        }
        let settled = !self.claims.inside(node).is_empty();
        for Hidden { route, written } in found {
            let form = if route.is_empty() { Form::Text } else { Form::Fixed };
            let route: Vec<Step> = self.route().into_iter().chain(route).collect();
            if settled
                && self
                    .sites
                    .iter()
                    .any(|site| site.route.get(self.base.len()..).is_some_and(|there| same(there, &route)))
            {
                continue;
            }
            let image = ImageRef::parse(&written);
            self.push(
                node,
                route,
                Draft { action: Action::Unclassified, layer: Layer::Unclassified, written, image, form },
            );
        }
    }

    fn found(&mut self, node: &Node, draft: Draft) {
        self.push(node, self.route(), draft);
    }

    fn push(&mut self, node: &Node, route: Vec<Step>, draft: Draft) {
        let route: Vec<Step> = self.base.iter().cloned().chain(route).collect();
        let Draft { action, layer, written, image, form } = draft;
        let said = self.claims.about(node).and_then(|claim| claim.reason).filter(|_| layer != Layer::Pod);
        let (action, layer, reason) =
            self.ignored.map_or((action, layer, said), |(layer, reason)| (Action::Ignore, layer, reason));
        self.sites.push(Site {
            file: Arc::clone(&self.document.file),
            document: self.document.index,
            place: node.place,
            path: path::written(&route),
            route,
            action,
            layer,
            object: Arc::clone(&self.object),
            written,
            image,
            form,
            reason: reason.cloned(),
            origin: None,
        });
    }

    fn route(&self) -> Vec<Step> {
        self.way.iter().map(|crumb| Step::from(*crumb)).collect()
    }
}

/// Whether two routes lead to the same field, by whatever rules a text on the way is read.
fn same(one: &[Step], other: &[Step]) -> bool {
    let alike = |pair: (&Step, &Step)| match pair {
        (Step::Inside(_, one), Step::Inside(_, other)) => one == other,
        (one, other) => one == other,
    };
    one.len() == other.len() && one.iter().zip(other).all(alike)
}

fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

fn whole(text: &str, prefix: &str, action: Action, layer: Layer) -> Draft {
    let written = text.strip_prefix(prefix).unwrap_or(text);
    let form = Form::Whole { prefix: prefix.to_owned() };
    Draft { action, layer, written: written.to_owned(), image: ImageRef::parse(written), form }
}

fn guessed(guess: &Guess<'_>) -> Draft {
    let Guess { prefix, written, tag } = guess;
    let draft = whole(&format!("{prefix}{written}"), prefix, Action::Unclassified, Layer::Unclassified);
    match tag {
        Some(tag) => {
            let written = format!("{written}{}", tag_part(tag));
            Draft { image: ImageRef::parse(&written), written, form: Form::Fixed, ..draft }
        }
        None => draft,
    }
}

fn elsewhere(text: &str) -> Draft {
    let image = ImageRef::parse(text);
    Draft { action: Action::Unclassified, layer: Layer::Catalogue, written: text.to_owned(), image, form: Form::Fixed }
}

/// A field that should hold a reference and holds something else.
fn unusable(action: Action, layer: Layer, node: &Node) -> Draft {
    let written = plain_text(node);
    let image = Err(ReferenceError::Path(written.clone()));
    Draft { action, layer, written, image, form: Form::Fixed }
}

fn in_text(node: &Node, outer: &Node, action: Action) -> Draft {
    let Some(text) = node.as_str() else { return unusable(action, Layer::Rule, node) };
    let draft = whole(text, prefix(text, As::Whole), action, Layer::Rule);
    let style = match &outer.value {
        Value::Scalar(scalar) => Some(scalar.style),
        Value::Sequence(_) | Value::Mapping(_) => None,
    };
    match style {
        Some(Style::Literal | Style::SingleQuoted | Style::DoubleQuoted) => draft,
        Some(Style::Plain | Style::Folded) | None => Draft { form: Form::Fixed, ..draft },
    }
}
