//! `check --base REF`: what a change brings, and what it leaves as it was.
//!
//! A site counts as unchanged where the base has the same reference in the same field of the same object, whatever file
//! it stands in. What cannot be compared is looked at.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::discovery::site::{Action, Object, Site};
use crate::gate::{self, Finder};
use crate::outcome::Unobserved;
use crate::pipeline::reading::{Reader, Reading};
use crate::policy::{self, material};
use crate::reason::{ErrorCode, Problem};
use crate::render::{self, Rendered};
use crate::report::base::Base;
use crate::snapshot::File;
use crate::source::directory::STDIN;
use crate::source::exclude::Exclude;
use crate::source::worktree::{There, WorkTree};
use crate::trust;

use super::setup::{Setup, usage};

/// All of a site that its verdict can depend on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    object: Object,
    path: String,
    written: String,
    action: Action,
    unpinnable: bool,
}

/// A commit to compare with.
pub(super) struct Comparison {
    tree: WorkTree,
    reference: String,
    commit: String,
    /// Each path as given, and where it lies in the repository.
    places: Vec<(PathBuf, String)>,
}

/// What the base has.
enum Known {
    Sites(BTreeMap<Key, usize>),
    /// It cannot be compared, and why.
    Nothing(String),
}

impl Comparison {
    /// The base of what is checked out.
    ///
    /// # Errors
    /// Where the base cannot be found, or a path is not in its repository.
    pub(super) fn open(reference: &str, paths: &[PathBuf]) -> Result<Self, Vec<Problem>> {
        if paths.iter().any(|path| path == Path::new(STDIN)) {
            return Err(usage("--base compares files: the standard input is in no commit"));
        }
        let one = |problem: Problem| vec![problem];
        let first = paths.first().ok_or_else(|| usage("there is no path"))?;
        let tree = WorkTree::around(first).map_err(one)?;
        let commit = tree.base(reference).map_err(one)?;
        let mut places = Vec::new();
        for path in paths {
            let place = tree.place(path).map_err(one)?;
            let outside =
                || usage(format!("--base: `{}` is not in the work tree of `{}`", path.display(), first.display()));
            places.push((path.clone(), place.ok_or_else(outside)?));
        }
        Ok(Self { tree, reference: reference.to_owned(), commit, places })
    }

    /// Takes away the sites that the base has too, and says so.
    ///
    /// # Errors
    /// When the base cannot be read.
    pub(super) fn narrow(
        &self,
        reading: &mut Reading,
        setup: &Setup,
        finder: &Finder<'_>,
    ) -> Result<Base, Vec<Problem>> {
        let mut base =
            Base { reference: self.reference.clone(), revision: self.commit.clone(), unchanged: 0, everything: None };
        match self.known(setup, finder)? {
            Known::Nothing(why) => base.everything = Some(why),
            Known::Sites(known) => {
                let mut here = BTreeMap::<Key, usize>::new();
                for site in &reading.sites {
                    count(&mut here, Key::of(site));
                }
                let sites = std::mem::take(&mut reading.sites);
                // Where the base has fewer of the same, nobody can say which of them is new.
                let (old, new): (Vec<Site>, Vec<Site>) = sites.into_iter().partition(|site| {
                    let key = Key::of(site);
                    known.get(&key).is_some_and(|there| here.get(&key).is_some_and(|here| here <= there))
                });
                reading.sites = new;
                let looked_at: BTreeSet<&str> = reading.sites.iter().map(|site| site.written.as_str()).collect();
                let left = old.iter().filter(|site| site.action != Action::Ignore).map(|site| site.written.as_str());
                base.unchanged = left.filter(|text| !looked_at.contains(text)).collect::<BTreeSet<_>>().len();
            }
        }
        Ok(base)
    }

    fn known(&self, setup: &Setup, finder: &Finder<'_>) -> Result<Known, Vec<Problem>> {
        for file in judged_by(&setup.judged_by) {
            if !self.tree.is_as_in(&self.commit, &file).map_err(|problem| vec![problem])? {
                return Ok(Known::Nothing(format!("`{}` changed, by which images are judged", file.display())));
            }
        }
        let files = match self.files(setup)? {
            Ok(files) => files,
            Err(why) => return Ok(Known::Nothing(why)),
        };
        let Rendered { files, sources, problems } = render::render(files, &setup.rendering);
        if let Some(problem) = problems.first() {
            return Ok(Known::Nothing(format!("the base does not render: {problem}")));
        }
        // A file that cannot be read there has no sites: all that it has here is looked at.
        let mut reading = Reader::default().read(&files, finder, &Unobserved);
        render::trace(&mut reading.sites, &sources);
        let mut known = BTreeMap::new();
        for site in &reading.sites {
            count(&mut known, Key::of(site));
        }
        Ok(Known::Sites(known))
    }

    /// The base's files under the names that they would have here; or why they cannot be compared.
    fn files(&self, setup: &Setup) -> Result<Result<Vec<File>, String>, Vec<Problem>> {
        let exclude = Exclude::new(&setup.exclude, ErrorCode::Usage)?;
        let limits = setup.source_limits();
        let mut files = BTreeMap::new();
        for (path, place) in &self.places {
            match self.tree.manifests(&self.commit, place, &exclude, &limits).map_err(|problem| vec![problem])? {
                There::Odd(problems) => {
                    let first = problems.first().map(ToString::to_string).unwrap_or_default();
                    return Ok(Err(format!("the base holds what is not read: {first}")));
                }
                There::Files(found) => {
                    for file in found {
                        let below =
                            file.path.strip_prefix(place.as_str()).unwrap_or(&file.path).trim_start_matches('/');
                        let name = named(path, below);
                        if !covered(&exclude, below, &name) {
                            files.insert(name.clone(), File { path: Arc::from(name), ..file });
                        }
                    }
                }
            }
        }
        Ok(Ok(files.into_values().collect()))
    }
}

impl Key {
    fn of(site: &Site) -> Self {
        let Site { path, action, object, written, .. } = site;
        Self {
            object: object.as_ref().clone(),
            path: path.clone(),
            written: written.clone(),
            action: *action,
            unpinnable: gate::unpinnable(std::slice::from_ref(site)).is_some(),
        }
    }
}

fn count(keys: &mut BTreeMap<Key, usize>, key: Key) {
    let entry = keys.entry(key).or_default();
    *entry = entry.saturating_add(1);
}

/// The files that were named, and the keys and roots that policies among them name.
fn judged_by(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let named = RefCell::new(files.iter().cloned().collect::<BTreeSet<_>>());
    // What is no policy among them names nothing; all that loads was loaded once already.
    let policies: Vec<_> = files.iter().flat_map(|path| trust::file::policy(path)).collect();
    for policy in policies {
        let read = material::files(|policy, path| {
            let folder = Path::new(policy).parent().unwrap_or(Path::new(""));
            named.borrow_mut().insert(folder.join(path));
            trust::file::beside(policy, path)
        });
        // Whether it loads was asked before; here only what it reads counts.
        let _loaded = policy::load(&[policy], &read);
    }
    named.into_inner()
}

/// A file below a path, named as reading the path would name it.
fn named(path: &Path, below: &str) -> String {
    let joined = if below.is_empty() { path.to_owned() } else { path.join(below) };
    let text = joined.to_string_lossy();
    text.strip_prefix("./").unwrap_or(&text).to_owned()
}

/// Whether the file or a folder around it is left out.
fn covered(exclude: &Exclude, below: &str, name: &str) -> bool {
    let ends = |text: &str| {
        let mut ends: Vec<usize> = text.match_indices('/').map(|(at, _)| at).collect();
        ends.push(text.len());
        ends
    };
    let hit = |text: &str| {
        ends(text).iter().any(|end| text.get(..*end).is_some_and(|part| !part.is_empty() && exclude.covers(part, part)))
    };
    hit(below) || hit(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_base_are_named_as_they_would_be_here() {
        for (path, below, expected) in [
            ("m", "a.yaml", "m/a.yaml"),
            (".", "a.yaml", "a.yaml"),
            ("./m/a.yaml", "", "m/a.yaml"),
            ("../m", "b/c.yaml", "../m/b/c.yaml"),
        ] {
            assert_eq!(named(Path::new(path), below), expected);
        }
    }

    #[test]
    fn what_is_left_out_here_is_left_out_of_the_base() {
        let exclude = Exclude::new(&["m/skip".to_owned(), "ci/**".to_owned()], ErrorCode::Usage).unwrap();
        for (below, name, expected) in [
            ("skip/a.yaml", "m/skip/a.yaml", true),
            ("a.yaml", "m/a.yaml", false),
            ("ci/x/a.yaml", "m/ci/x/a.yaml", true),
        ] {
            assert_eq!(covered(&exclude, below, name), expected, "{name}");
        }
    }
}
