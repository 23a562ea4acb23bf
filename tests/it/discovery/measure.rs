//! Measures finders of image fields: for each listed field an object is made that has this field and nothing else, and
//! each finder is asked what it sees.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sealgate::discovery::site::{Action, Layer};
use sealgate::discovery::{Rules, discover, is_known};
use sealgate::manifest::{Limits, read};
use sealgate::snapshot::File;
use serde_json::{Map, Value, json};

/// The page with the table.
pub const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/discovery.md");

const TRUTH: &str = include_str!("../../data/discovery/truth.tsv");
const TRAPS: &str = include_str!("../../data/discovery/traps.tsv");
const IMAGE: &str = "registry.example.com/team/app:1.0";

/// Who looks for images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finder {
    /// This project.
    Sealgate,
    /// Any key called `image`.
    ImageKey,
    /// The three container lists and the image volume, anywhere.
    PodShape,
    /// The default field list of kustomize's image transformer.
    Kustomize,
}

impl Finder {
    const ALL: [Self; 4] = [Self::Sealgate, Self::ImageKey, Self::PodShape, Self::Kustomize];

    fn name(self) -> &'static str {
        match self {
            Self::Sealgate => "Sealgate",
            Self::ImageKey => "any key `image`",
            Self::PodShape => "the pod shape alone",
            Self::Kustomize => "kustomize's default fields",
        }
    }
}

/// What a finder says about a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It is an image.
    Found,
    /// It may be one: somebody must say.
    Reported,
    /// Nothing.
    Silent,
}

/// How often each answer was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Score(BTreeMap<Answer, usize>);

impl Score {
    pub fn count(&self, answer: Answer) -> usize {
        self.0.get(&answer).copied().unwrap_or_default()
    }

    pub fn found(&self) -> usize {
        self.count(Answer::Found)
    }

    pub fn silent(&self) -> usize {
        self.count(Answer::Silent)
    }

    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    fn add(&mut self, answer: Answer) {
        *self.0.entry(answer).or_default() += 1;
    }
}

struct Field {
    group: String,
    kind: String,
    path: String,
    answers: BTreeMap<Finder, Answer>,
    layer: Option<Layer>,
}

/// Every field, with every answer.
pub struct Measure {
    truth: Vec<Field>,
    traps: Vec<Field>,
}

impl Measure {
    /// Asks all finders about all fields.
    pub fn take() -> Self {
        Self { truth: fields(TRUTH), traps: fields(TRAPS) }
    }

    /// True fields of kinds that the catalogue has, Kubernetes' own among them.
    pub fn known(&self, finder: Finder) -> Score {
        score(self.truth.iter().filter(|field| field.is_known()), finder)
    }

    /// True fields of all other kinds.
    pub fn unknown(&self, finder: Finder) -> Score {
        score(self.truth.iter().filter(|field| !field.is_known()), finder)
    }

    pub fn traps(&self, finder: Finder) -> Score {
        score(self.traps.iter(), finder)
    }

    /// True fields that are not found.
    pub fn missed(&self, known: bool) -> Vec<String> {
        let missed = self
            .truth
            .iter()
            .filter(|field| field.is_known() == known && field.answers[&Finder::Sealgate] != Answer::Found);
        missed.map(|field| format!("{} ({:?})", field.name(), field.answers[&Finder::Sealgate])).collect()
    }

    /// Traps that are taken for images.
    pub fn fallen_for(&self) -> Vec<String> {
        self.traps.iter().filter(|field| field.answers[&Finder::Sealgate] == Answer::Found).map(Field::name).collect()
    }

    fn layers(&self) -> BTreeMap<Layer, usize> {
        let mut layers = BTreeMap::new();
        for field in &self.truth {
            if let (Answer::Found, Some(layer)) = (field.answers[&Finder::Sealgate], field.layer) {
                *layers.entry(layer).or_default() += 1;
            }
        }
        layers
    }
}

impl Field {
    fn is_known(&self) -> bool {
        matches!(self.group.as_str(), "" | "apps" | "batch") || is_known(&self.group, &self.kind)
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.group, self.kind, self.path)
    }
}

fn score<'f>(fields: impl Iterator<Item = &'f Field>, finder: Finder) -> Score {
    let mut score = Score::default();
    fields.for_each(|field| score.add(field.answers[&finder]));
    score
}

fn fields(list: &str) -> Vec<Field> {
    list.lines().filter(|line| !line.starts_with('#')).skip(1).map(field).collect()
}

fn field(line: &str) -> Field {
    let columns: Vec<&str> = line.split('\t').collect();
    let [group, kind, path, form, ..] = columns.as_slice() else { panic!("no field: {line}") };
    let object = object(group, kind, path, form);
    let (ours, layer) = ask_ours(&object);
    let plain = |seen: bool| if seen { Answer::Found } else { Answer::Silent };
    let answers = BTreeMap::from([
        (Finder::Sealgate, ours),
        (Finder::ImageKey, plain(image_key(&object))),
        (Finder::PodShape, plain(pod_shape(&object))),
        (Finder::Kustomize, plain(kustomize(&object))),
    ]);
    Field { group: (*group).into(), kind: (*kind).into(), path: (*path).into(), answers, layer }
}

/// An object that has this one field.
fn object(group: &str, kind: &str, path: &str, form: &str) -> Value {
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "sample"}});
    let value = match form {
        "whole" => json!(IMAGE),
        prefix if prefix.ends_with("://") => json!(format!("{prefix}{IMAGE}")),
        parts => {
            let pairs = parts.split(';').map(|part| part.split_once('=').unwrap());
            Value::Object(pairs.map(|(key, value)| (key.to_owned(), json!(value))).collect())
        }
    };
    put(&mut object, &steps(path), value);
    object
}

enum Step {
    Key(String),
    Item,
}

fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[*]") {
            steps.push(Step::Item);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("[\"") {
            let (key, after) = after.split_once("\"]").unwrap();
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else {
            let text = rest.strip_prefix('.').unwrap_or(rest);
            let end = text.find(['.', '[']).unwrap_or(text.len());
            let key = &text[..end];
            steps.push(Step::Key(if key == "*" { "any".to_owned() } else { key.to_owned() }));
            rest = &text[end..];
        }
    }
    steps
}

fn put(node: &mut Value, steps: &[Step], value: Value) {
    let Some((step, rest)) = steps.split_first() else {
        // The parts of a split reference stand beside what is there.
        match (node, value) {
            (Value::Object(there), Value::Object(parts)) => there.extend(parts),
            (node, value) => *node = value,
        }
        return;
    };
    match step {
        Step::Key(key) => {
            if !node.is_object() {
                *node = Value::Object(Map::new());
            }
            put(&mut node[key.as_str()], rest, value);
        }
        Step::Item => {
            *node = json!([null]);
            put(&mut node[0], rest, value);
        }
    }
}

fn ask_ours(object: &Value) -> (Answer, Option<Layer>) {
    let file = File { path: "a.json".into(), bytes: object.to_string().into_bytes().into() };
    let documents = read(&file, &Limits::default()).unwrap();
    let sites = discover(&documents[0], None, &Rules::default()).unwrap();
    let named = |action: &[Action]| {
        sites.iter().find(|site| action.contains(&site.action) && site.image.is_ok() && site.written.contains("app"))
    };
    match (named(&[Action::Pin, Action::Verify]), named(&[Action::Unclassified])) {
        (Some(site), _) => (Answer::Found, Some(site.layer)),
        (None, Some(_)) => (Answer::Reported, None),
        (None, None) => (Answer::Silent, None),
    }
}

/// Whether any node answers, with the keys that lead to it.
fn any(node: &Value, way: &mut Vec<String>, wanted: &dyn Fn(&[String], &Value) -> bool) -> bool {
    if wanted(way, node) {
        return true;
    }
    let children: Vec<(String, &Value)> = match node {
        Value::Object(entries) => entries.iter().map(|(key, child)| (key.clone(), child)).collect(),
        Value::Array(items) => items.iter().map(|child| ("[]".to_owned(), child)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return false,
    };
    children.into_iter().any(|(key, child)| {
        way.push(key);
        let seen = any(child, way, wanted);
        way.pop();
        seen
    })
}

fn image_key(object: &Value) -> bool {
    any(object, &mut Vec::new(), &|way, node| way.last().is_some_and(|key| key == "image") && node.is_string())
}

fn pod_shape(object: &Value) -> bool {
    any(object, &mut Vec::new(), &|way, node| {
        let way: Vec<&str> = way.iter().map(String::as_str).collect();
        node.is_string()
            && matches!(
                way.as_slice(),
                [.., "containers" | "initContainers" | "ephemeralContainers", "[]", "image"]
                    | [.., "volumes", "[]", "image", "reference"]
            )
    })
}

/// Its six field specifications, and any sequence called `containers` or `initContainers`.
fn kustomize(object: &Value) -> bool {
    any(object, &mut Vec::new(), &|way, node| {
        let way: Vec<&str> = way.iter().map(String::as_str).collect();
        node.is_string()
            && match way.as_slice() {
                ["spec", "volumes", "[]", "image", "reference"]
                | ["spec", "template", "spec", "volumes", "[]", "image", "reference"] => true,
                _ => matches!(way.as_slice(), [.., "containers" | "initContainers", "[]", "image"]),
            }
    })
}

/// The page with its measured parts written anew.
pub fn page(written: &str, measure: &Measure) -> String {
    let page = replace(written, "measured", &table(measure));
    replace(&page, "places", &super::places::list())
}

fn replace(page: &str, part: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {part}: begin -->\n"), format!("<!-- {part}: end -->"));
    let (before, rest) = page.split_once(&begin).expect("the page has the begin mark");
    let (_, after) = rest.split_once(&end).expect("the page has the end mark");
    format!("{before}{begin}{text}{end}{after}")
}

fn table(measure: &Measure) -> String {
    let mut text = String::from(
        "| finder | known kinds: found | reported | missed | other kinds: found | reported | missed | traps: taken for images | reported | left alone |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for finder in Finder::ALL {
        let _ = write!(text, "| {} |", finder.name());
        for score in [measure.known(finder), measure.unknown(finder), measure.traps(finder)] {
            let (found, total) = (score.found(), score.total());
            let tenths = found * 1000 / total;
            let _ = write!(text, " {found} of {total} ({}.{} %) |", tenths / 10, tenths % 10);
            let _ = write!(text, " {} | {} |", score.count(Answer::Reported), score.silent());
        }
        text.push('\n');
    }
    text.push_str("\nOf what Sealgate finds, by the layer that says so:");
    for (layer, count) in measure.layers() {
        let name = serde_json::to_value(layer).unwrap();
        let _ = write!(text, " {} {count},", name.as_str().unwrap());
    }
    text.pop();
    text.push_str(".\n");
    let missed = measure.missed(true);
    if !missed.is_empty() {
        text.push_str("\nTrue fields of known kinds that are not found but reported:\n");
        missed.iter().for_each(|field| {
            let _ = writeln!(text, "- `{field}`");
        });
    }
    text
}
