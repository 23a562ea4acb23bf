//! From a release to a dry run that the cluster accepted. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::fault::{Fault, Kind};
use super::inventory::{Entry, Inventory, Pins, State};
use super::kinds::{Kinds, Scope};
use super::order::Rank;
use super::plan::{self, Defined, Id, Item};
use super::trial::{Trial, Tried};
use super::trouble::{Trouble, error};
use super::window::Window;
use super::{Kubernetes, ledger_trouble};
use crate::gate::release::ApprovedRelease;
use crate::image::Digest;
use crate::reason::ErrorCode;
use crate::target::TargetError;

const NOT_SERVED: &str = "add the kind's definition to the repository, or write an apiVersion that the cluster serves";

/// A release that the cluster would take, as far as it could be asked.
pub(super) struct Prepared {
    /// When the cluster was asked.
    pub(super) made: Instant,
    /// The revision.
    pub(super) revision: String,
    /// What the release holds, to know it again.
    pub(super) content: Digest,
    /// What its references were resolved to.
    pub(super) pins: Pins,
    /// What is to be applied, each object in its namespace.
    pub(super) items: Vec<Item>,
    /// The kinds.
    pub(super) kinds: Kinds,
    /// What was applied before.
    pub(super) old: Inventory,
    /// The objects that wait for a namespace or a kind of this release.
    pub(super) waiting: BTreeSet<Id>,
    /// What the dry run said about the others.
    pub(super) tried: BTreeMap<Id, Trial>,
    /// The objects that are as they should be already: neither tried nor written.
    pub(super) untouched: BTreeSet<Id>,
}

/// When a dry run is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Before anything was written.
    Foundation,
    /// With the release's namespaces and definitions in place.
    TheRest,
    /// With all in place that the object may refer to.
    ItsRank,
}

/// What a release brings that other objects of it may need.
struct Brought {
    namespaces: BTreeSet<String>,
    /// The custom kinds whose definition is new or changes.
    kinds: BTreeSet<Defined>,
}

impl Brought {
    fn by(prepared: &Prepared) -> Self {
        let known = |item: &Item| prepared.old.entries.get(&item.id).is_some_and(|entry| entry.hash == item.hash);
        Self {
            namespaces: prepared.items.iter().filter_map(Item::makes_namespace).map(str::to_owned).collect(),
            kinds: prepared.items.iter().filter(|item| !known(item)).filter_map(Item::defines).collect(),
        }
    }

    /// Whether what the release writes before this object may mend the refusal.
    fn may_mend(&self, item: &Item, tried: &Tried, before: Before) -> bool {
        let first = before == Before::Foundation;
        let defined = || self.kinds.contains(&Defined { group: item.id.group.clone(), kind: item.id.kind.clone() });
        match tried {
            Tried::Accepted(_) | Tried::Owned(_) | Tried::Foreign(_) => false,
            Tried::NotServed => first,
            Tried::NoNamespace(_) => first && item.id.namespace.as_ref().is_some_and(|it| self.namespaces.contains(it)),
            // The definition that is there may not know yet what the new one allows.
            Tried::Refused(fault) if fault.kind == Kind::Invalid => first && defined(),
            Tried::Refused(fault) => before != Before::ItsRank && refers(item, fault),
        }
    }
}

/// Whether the refusal is about another object: a binding's role, a pod's account or class.
fn refers(item: &Item, fault: &Fault) -> bool {
    match fault.kind {
        Kind::NotFound => item.rank == Rank::Bindings,
        Kind::Forbidden => item.id.group.is_empty() && item.id.kind == "Pod" && fault.message.contains("found"),
        Kind::Unreachable
        | Kind::Busy
        | Kind::Garbled
        | Kind::Unauthorized
        | Kind::Terminating
        | Kind::Quota
        | Kind::NoNamespace
        | Kind::NotServed
        | Kind::Conflict
        | Kind::Stale
        | Kind::Invalid => false,
    }
}

fn tell(item: &Item, tried: Tried, trouble: &mut Trouble) {
    match tried {
        Tried::Accepted(_) => {}
        Tried::NotServed => {
            let message = format!("the cluster serves no {} in {}", item.id.kind, item.api_version());
            trouble.lasting(item.problem(ErrorCode::TargetRejected, &message).with_help(NOT_SERVED));
        }
        Tried::NoNamespace(fault) | Tried::Refused(fault) => trouble.object(item, &fault),
        Tried::Owned(problem) => trouble.lasting(problem),
        Tried::Foreign(images) => trouble.images(item, images),
    }
}

impl Prepared {
    /// Whether it is of this release.
    pub(super) fn is_of(&self, release: &ApprovedRelease, gate_label: &str) -> bool {
        self.revision == release.revision().id
            && plan::read(release, gate_label).is_ok_and(|items| plan::content(&items) == self.content)
    }

    /// The inventory before the first write: what was applied, and what will be.
    pub(super) fn growing(&self) -> Inventory {
        let entries = self.items.iter().map(|item| {
            let entry = Entry { version: item.version.clone(), hash: String::new(), revision: self.revision.clone() };
            (item.id.clone(), entry)
        });
        let new = Inventory {
            revision: self.revision.clone(),
            state: State::Applying,
            entries: entries.collect(),
            pins: Pins::new(),
        };
        let mut both = self.old.clone().with(&new);
        both.revision.clone_from(&self.revision);
        both.state = State::Applying;
        both.pins.clone_from(&self.pins);
        both
    }

    /// The revision that an object is marked with: the one that changed it last, so that others leave it untouched.
    pub(super) fn mark<'a>(&'a self, item: &Item) -> &'a str {
        mark(&self.old, &self.revision, item)
    }
}

/// The revision that an object is marked with.
pub(super) fn mark<'a>(old: &'a Inventory, revision: &'a str, item: &Item) -> &'a str {
    match old.entries.get(&item.id) {
        Some(entry) if entry.hash == item.hash => &entry.revision,
        Some(_) | None => revision,
    }
}

impl Kubernetes {
    /// Plans a release and tries all of it that can be tried.
    pub(super) async fn prepare(&self, release: &ApprovedRelease) -> Result<Prepared, TargetError> {
        let read = self.read(release)?;
        let kinds = self.kinds_of(&read).await?;
        let content = plan::content(&read);
        let items = self.place(read, &kinds)?;
        let old = self.inventory().await?;
        let mut prepared = Prepared {
            made: Instant::now(),
            revision: release.revision().id.clone(),
            pins: release.pins().clone(),
            content,
            items,
            kinds,
            old,
            waiting: BTreeSet::new(),
            tried: BTreeMap::new(),
            untouched: BTreeSet::new(),
        };
        prepared.untouched = self.untouched(&prepared);
        self.try_all(&mut prepared).await?;
        Ok(prepared)
    }

    pub(super) fn read(&self, release: &ApprovedRelease) -> Result<Vec<Item>, TargetError> {
        plan::read(release, &self.gate_label).map_err(|problems| {
            let mut trouble = Trouble::default();
            for problem in problems {
                trouble.lasting(problem);
            }
            trouble.into_error(Vec::new())
        })
    }

    pub(super) async fn kinds_of(&self, items: &[Item]) -> Result<Kinds, TargetError> {
        let api_versions = items.iter().map(Item::api_version).collect();
        Kinds::load(&self.connection, api_versions)
            .await
            .map_err(|fault| error("ask for the kinds of the cluster", &fault))
    }

    pub(super) async fn inventory(&self) -> Result<Inventory, TargetError> {
        match self.ledger().read().await {
            Ok(inventory) => Ok(inventory.unwrap_or_default()),
            Err(error) => Err(ledger_trouble("read the inventory", error).into_error(Vec::new())),
        }
    }

    /// Gives every object the namespace that it lives in.
    pub(super) fn place(&self, mut items: Vec<Item>, kinds: &Kinds) -> Result<Vec<Item>, TargetError> {
        let defined: Vec<(Defined, Scope)> =
            items.iter().filter_map(|item| Some((item.defines()?, scope(item)))).collect();
        let mut trouble = Trouble::default();
        for item in &mut items {
            let served = item.resource(kinds).map(|resource| resource.scope);
            let brought = defined.iter().find(|(it, _)| it.group == item.id.group && it.kind == item.id.kind);
            let Some(scope) = served.or(brought.map(|(_, scope)| *scope)) else {
                let message = format!("the cluster serves no {} in {}", item.id.kind, item.api_version());
                trouble.lasting(item.problem(ErrorCode::TargetRejected, &message).with_help(NOT_SERVED));
                continue;
            };
            let namespace = match scope {
                Scope::Cluster => None,
                Scope::Namespaced => item.id.namespace.clone().or_else(|| self.namespace().map(str::to_owned)),
            };
            if scope == Scope::Namespaced && namespace.is_none() {
                let problem = item.problem(ErrorCode::TargetRejected, "it names no namespace");
                trouble.lasting(problem.with_help("write `metadata.namespace`"));
            }
            item.settle(namespace.as_deref());
        }
        for problem in plan::twins(&items).into_iter().chain(self.options.reach.refusals(&items)) {
            trouble.lasting(problem);
        }
        if trouble.is_none() { Ok(items) } else { Err(trouble.into_error(Vec::new())) }
    }

    /// The objects that need no request. The inventory says that just this was applied before, this process saw the
    /// cluster's answer to it, and a watch that is in step says that nobody touched the object since.
    fn untouched(&self, prepared: &Prepared) -> BTreeSet<Id> {
        let was_applied = |item: &&Item| prepared.old.entries.get(&item.id).is_some_and(|entry| entry.is_of(item));
        let items = prepared.items.iter().filter(was_applied);
        items.filter(|item| self.watches.is_untouched(item, &prepared.kinds)).map(|item| item.id.clone()).collect()
    }

    /// The dry run of everything that can be tried, the inventory included; all that is wrong comes at once.
    async fn try_all(&self, prepared: &mut Prepared) -> Result<(), TargetError> {
        let mut trouble = match self.ledger().try_out(&prepared.growing()).await {
            Ok(()) => Trouble::default(),
            Err(error) => ledger_trouble("try out the inventory", error),
        };
        let ids = prepared.items.iter().map(|item| item.id.clone()).filter(|id| !prepared.untouched.contains(id));
        let ids: BTreeSet<Id> = ids.collect();
        self.try_these(prepared, &ids, Before::Foundation, &mut trouble).await;
        if trouble.is_none() { Ok(()) } else { Err(trouble.into_error(Vec::new())) }
    }

    /// Tries these objects. What is accepted is noted, what must wait yet waits, the rest is trouble.
    pub(super) async fn try_these(
        &self,
        prepared: &mut Prepared,
        ids: &BTreeSet<Id>,
        before: Before,
        trouble: &mut Trouble,
    ) {
        let items: Vec<&Item> = prepared.items.iter().filter(|item| ids.contains(&item.id)).collect();
        let results = self.try_items(prepared, &items).await;
        let brought = Brought::by(prepared);
        let mut accepted = BTreeMap::new();
        let mut waiting = BTreeSet::new();
        for (item, tried) in items.into_iter().zip(results) {
            if let Tried::Accepted(trial) = tried {
                accepted.insert(item.id.clone(), trial);
            } else if brought.may_mend(item, &tried, before) {
                waiting.insert(item.id.clone());
            } else {
                tell(item, tried, trouble);
            }
        }
        prepared.tried.extend(accepted);
        prepared.waiting.retain(|id| !ids.contains(id));
        prepared.waiting.extend(waiting);
    }

    /// Tries these objects, eight at a time; the answers come in their order.
    pub(super) async fn try_items(&self, prepared: &Prepared, items: &[&Item]) -> Vec<Tried> {
        let mut window = Window::new();
        for item in items {
            window.push(self.try_item(&prepared.kinds, &prepared.old, prepared.mark(item), item)).await;
        }
        window.finish().await
    }
}

/// The scope of the kind that a definition brings; whatever is not said to be of the cluster is namespaced.
fn scope(definition: &Item) -> Scope {
    match definition.body.pointer("/spec/scope").and_then(serde_json::Value::as_str) {
        Some("Cluster") => Scope::Cluster,
        Some(_) | None => Scope::Namespaced,
    }
}
