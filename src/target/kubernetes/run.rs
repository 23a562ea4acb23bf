//! Carries a prepared release out: inventory, foundation, the rest rank by rank, pruning, inventory.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::anew::Removed;
use super::drift::Known;
use super::fault::{Fault, Kind};
use super::inventory::{Entry, Inventory, State};
use super::kinds::{Resource, get_metadata, path};
use super::ledger::Change;
use super::order::Rank;
use super::plan::{Id, Item};
use super::prepare::{Before, Prepared};
use super::trial::{Trial, resource_version};
use super::trouble::{self, Trouble};
use super::version::version;
use super::window::Window;
use super::writing::{Write, apply_request};
use super::{Kubernetes, images, ledger_trouble, takeover};
use crate::outcome::{Action, Outcome};
use crate::target::TargetError;

/// Whether the next write may be made.
pub(super) type GoOn<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// One application of a release.
pub(super) struct Run<'a> {
    pub(super) target: &'a Kubernetes,
    pub(super) prepared: Prepared,
    pub(super) go_on: GoOn<'a>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) trouble: Trouble,
}

/// What came of writing one object.
enum Written {
    /// It was written; the images of the answer that nobody verified, and its version.
    Done(Action, BTreeSet<String>, Option<String>),
    /// It was not.
    Failed(Fault),
    /// It is as it should be, and nobody asked.
    Untouched,
    /// Nobody tried, because something before it failed.
    LeftOut,
    /// Nobody tried, because we were asked to leave off.
    LeftOff,
}

/// Something went wrong: what comes after is not done. The trouble is told.
pub(super) struct Stop;

impl<'a> Run<'a> {
    /// An application that has not begun.
    pub(super) fn new(target: &'a Kubernetes, prepared: Prepared, go_on: GoOn<'a>) -> Self {
        Self { target, prepared, go_on, outcomes: Vec::new(), trouble: Trouble::default() }
    }

    /// Applies.
    pub(super) async fn apply(mut self) -> Result<Vec<Outcome>, TargetError> {
        match self.stages().await {
            Ok(()) if self.trouble.is_none() => {
                let Prepared { content, items, kinds, revision, .. } = self.prepared;
                let known = self.target.follow(Known { content, items, kinds });
                self.target.outlook.begin(&known, &revision);
                Ok(self.outcomes)
            }
            Ok(()) | Err(Stop) => Err(self.trouble.into_error(self.outcomes)),
        }
    }

    async fn stages(&mut self) -> Result<(), Stop> {
        self.note_what_comes().await?;
        self.write_rank(Rank::Foundation).await?;
        self.wait_for_foundation().await?;
        for rank in self.ranks() {
            self.try_rank(rank).await?;
            self.write_rank(rank).await?;
        }
        let kept = self.prune().await;
        self.note_what_is(kept).await
    }

    /// The ranks after the foundation that the release has objects of.
    fn ranks(&self) -> BTreeSet<Rank> {
        self.prepared.items.iter().map(|item| item.rank).filter(|rank| *rank != Rank::Foundation).collect()
    }

    /// Writes the inventory, so that nothing can be applied that no inventory knows.
    async fn note_what_comes(&mut self) -> Result<(), Stop> {
        let growing = self.prepared.growing();
        let known = self.prepared.old.revision == growing.revision
            && growing.pins == self.prepared.old.pins
            && growing.entries.keys().eq(self.prepared.old.entries.keys());
        if known {
            return Ok(());
        }
        let written = self.target.ledger().write(&growing, Change::Grows, self.go_on).await;
        self.prepared.old = growing;
        written.map_err(|error| self.stop("write the inventory", error))
    }

    /// Waits for the definitions, and tries what waited for them and for the namespaces.
    async fn wait_for_foundation(&mut self) -> Result<(), Stop> {
        let brought = self.prepared.items.iter().filter(|item| !self.prepared.untouched.contains(&item.id));
        let definitions: Vec<&Item> = brought.filter(|item| item.defines().is_some()).collect();
        self.trouble = self.target.wait_established(&definitions).await;
        self.check()?;
        if self.prepared.waiting.is_empty() {
            return Ok(());
        }
        let items: Vec<&Item> = self.prepared.items.iter().collect();
        match self.target.wait_served(&items).await {
            Ok(kinds) => self.prepared.kinds = kinds,
            Err(trouble) => self.trouble = trouble,
        }
        self.check()?;
        self.try_waiting(self.prepared.waiting.clone(), Before::TheRest).await
    }

    /// Tries the objects of a rank that waited for an earlier one.
    async fn try_rank(&mut self, rank: Rank) -> Result<(), Stop> {
        let waiting = self.prepared.items.iter().filter(|item| item.rank == rank).map(|item| item.id.clone());
        let waiting: BTreeSet<Id> = waiting.filter(|id| self.prepared.waiting.contains(id)).collect();
        self.try_waiting(waiting, Before::ItsRank).await
    }

    async fn try_waiting(&mut self, waiting: BTreeSet<Id>, before: Before) -> Result<(), Stop> {
        if waiting.is_empty() {
            return Ok(());
        }
        let target = self.target;
        target.try_these(&mut self.prepared, &waiting, before, &mut self.trouble).await;
        self.check()
    }

    /// Writes the objects of a rank, eight at a time. After the first failure no further one is begun.
    async fn write_rank(&mut self, rank: Rank) -> Result<(), Stop> {
        let halted = AtomicBool::new(false);
        let items: Vec<&Item> = self.prepared.items.iter().filter(|item| item.rank == rank).collect();
        let mut window = Window::new();
        for item in &items {
            window.push(self.write_unless(&halted, item)).await;
        }
        let written = window.finish().await;
        let mut outcomes = Vec::new();
        let mut trouble = Trouble::default();
        for (item, written) in items.into_iter().zip(written) {
            self.note(item, written, &mut outcomes, &mut trouble);
        }
        self.outcomes.append(&mut outcomes);
        self.trouble = trouble;
        self.check()
    }

    async fn write_unless(&self, halted: &AtomicBool, item: &Item) -> Written {
        if self.prepared.untouched.contains(&item.id) {
            return Written::Untouched;
        }
        if halted.load(Ordering::Relaxed) {
            return Written::LeftOut;
        }
        let written = self.write(item).await;
        match &written {
            Written::Done(_, foreign, _) if !self.target.refuses(foreign) => {}
            Written::Done(..) | Written::Failed(_) | Written::LeftOff => halted.store(true, Ordering::Relaxed),
            Written::LeftOut | Written::Untouched => {}
        }
        written
    }

    async fn write(&self, item: &Item) -> Written {
        let Some(resource) = item.resource(&self.prepared.kinds) else {
            return Written::Failed(Fault::read(404, b"the kind is not served", None));
        };
        let path = path(&item.api_version(), resource, item.id.namespace.as_deref());
        let body = item.marked(self.prepared.mark(item));
        let trial = self.prepared.tried.get(&item.id);
        let write = if trial.is_some_and(|trial| trial.undo) {
            Write::Forced
        } else {
            self.target.write(&item.id, Write::Real)
        };
        let request = match apply_request(&path, &item.id.name, &body, write) {
            Ok(request) => request,
            Err(fault) => return Written::Failed(fault),
        };
        if let Some(trial) = trial
            && let Err(written) = self.make_way(trial, resource, item).await
        {
            return written;
        }
        if !(self.go_on)() {
            return Written::LeftOff;
        }
        match self.target.connection.send(request).await {
            Ok(answer) => {
                let resource_version = resource_version(&answer.body);
                let before = trial.and_then(|trial| trial.resource_version.as_ref());
                let action = match answer.created {
                    _ if trial.is_some_and(|trial| trial.recreate.is_some()) => Action::Recreated,
                    true => Action::Created,
                    false if resource_version.is_some() && resource_version.as_ref() == before => Action::Unchanged,
                    false => Action::Configured,
                };
                let version = version(&item.id.group, &answer.body);
                Written::Done(action, images::foreign(&answer.body, &item.images), version)
            }
            Err(fault) => Written::Failed(fault),
        }
    }

    /// Does what has to come before the apply itself.
    async fn make_way(&self, trial: &Trial, resource: &Resource, item: &Item) -> Result<(), Written> {
        if trial.take_over {
            self.take_over(resource, item).await?;
        }
        let Some(uid) = &trial.recreate else { return Ok(()) };
        match self.target.remove_old(resource, item, uid, self.go_on).await {
            Ok(Removed::Gone) => Ok(()),
            Ok(Removed::LeftOff) => Err(Written::LeftOff),
            Err(fault) => Err(Written::Failed(fault)),
        }
    }

    /// Makes the fields of `kubectl apply` ours.
    async fn take_over(&self, resource: &Resource, item: &Item) -> Result<(), Written> {
        let path = &path(&item.api_version(), resource, item.id.namespace.as_deref());
        let live = get_metadata(path, &item.id).map_err(Written::Failed)?;
        let live = self.target.connection.send(live).await.map_err(Written::Failed)?.body;
        let Some(request) = takeover::request(path, &item.id.name, &live).map_err(Written::Failed)? else {
            return Ok(());
        };
        if !(self.go_on)() {
            return Err(Written::LeftOff);
        }
        self.target.connection.send(request).await.map_err(Written::Failed)?;
        Ok(())
    }

    fn note(&self, item: &Item, written: Written, outcomes: &mut Vec<Outcome>, trouble: &mut Trouble) {
        let object = item.id.to_string();
        match written {
            Written::Done(action, foreign, _) if self.target.refuses(&foreign) => {
                self.target.settled.forget(&item.id);
                trouble.images(item, foreign);
                outcomes.push(Outcome::new(object, action));
            }
            Written::Done(action, foreign, version) => {
                self.target.settle(item, version, foreign);
                outcomes.push(Outcome::new(object, action));
            }
            Written::Untouched => outcomes.push(Outcome::new(object, Action::Unchanged)),
            Written::Failed(fault) => {
                self.target.settled.forget(&item.id);
                outcomes.push(Outcome::failed(object, trouble::text(&item.id, &fault)));
                // A namespace that comes or goes is not the manifest's fault.
                match fault.kind {
                    Kind::NotServed | Kind::NotFound | Kind::NoNamespace => trouble.object_later(item, &fault),
                    Kind::Unreachable
                    | Kind::Busy
                    | Kind::Garbled
                    | Kind::Unauthorized
                    | Kind::Forbidden
                    | Kind::Terminating
                    | Kind::Quota
                    | Kind::Conflict
                    | Kind::Stale
                    | Kind::Invalid => trouble.object(item, &fault),
                }
            }
            Written::LeftOut => {}
            Written::LeftOff => trouble.left_off(),
        }
    }

    /// Writes the inventory of what is there now: the release, and what left it and was kept.
    async fn note_what_is(&mut self, kept: Inventory) -> Result<(), Stop> {
        let state = if self.trouble.is_none() { State::Complete } else { State::Applying };
        let entries = self.prepared.items.iter().map(|item| {
            let revision = self.prepared.mark(item).to_owned();
            (item.id.clone(), Entry { version: item.version.clone(), hash: item.hash.clone(), revision })
        });
        let (revision, pins) = (self.prepared.revision.clone(), self.prepared.pins.clone());
        let now = Inventory { revision, state, entries: entries.collect(), pins };
        let now = now.with(&kept);
        if now == self.prepared.old {
            return Ok(());
        }
        let written = self.target.ledger().write(&now, Change::Shrinks, self.go_on).await;
        written.map_err(|error| self.stop("write the inventory", error))
    }

    fn stop(&mut self, doing: &str, error: super::ledger::LedgerError) -> Stop {
        self.trouble = ledger_trouble(doing, error);
        Stop
    }

    fn check(&self) -> Result<(), Stop> {
        if self.trouble.is_none() { Ok(()) } else { Err(Stop) }
    }
}
