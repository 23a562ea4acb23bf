//! A Kubernetes cluster as a target: server-side apply of a whole release, an inventory, and pruning.
//!
//! ```text
//! release ─plan→ items ─kinds→ placed ─dry run→ Prepared ─inventory→ namespaces, definitions ─dry run of what waited→ the rest, rank by rank ─→ prune ─→ inventory
//! ```
//! Nothing is written before everything that can be tried was tried. Applying is staged and can be taken up again; it is
//! not transactional, since Kubernetes is not.
//!
//! It must not decide anything about images: it compares what a cluster answers with what the release says was verified.

mod anew;
mod clock;
mod connection;
mod drift;
mod election;
mod electorate;
mod established;
mod events;
mod fault;
mod health;
mod images;
mod inventory;
mod kinds;
mod lease;
mod ledger;
mod options;
mod order;
mod plan;
mod prepare;
mod prune;
mod reach;
mod run;
mod seat;
mod settled;
mod takeover;
mod trial;
mod trouble;
mod version;
mod wait;
mod watching;
mod window;
mod writing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use connection::{Account, Cluster, in_cluster};
pub use electorate::Electorate;
pub use events::Happening;
pub use options::{ForeignImages, Options, Pruning, Selector};
pub use reach::Reach;
pub use seat::{Seat, Term, Working};

use self::connection::Connection;
use self::drift::Known;
use self::events::Herald;
use self::inventory::State;
use self::ledger::{Ledger, LedgerError};
use self::plan::Item;
use self::prepare::Prepared;
use self::run::Run;
use self::seat::Fence;
use self::settled::Settled;
use self::trouble::Trouble;
use self::wait::Outlook;
use self::watching::Watches;
use crate::gate::release::ApprovedRelease;
use crate::image::Digest;
use crate::outcome::Outcome;
use crate::outcome::health::Health;
use crate::reason::{ErrorCode, Problem};
use crate::target::{Target, TargetError};

/// A dry run that is older than this is made again before its release is applied.
const FRESH: Duration = Duration::from_mins(2);

/// A cluster.
pub struct Kubernetes {
    /// For objects: as the gate's account, where it has one.
    connection: Connection,
    /// For what we keep ourselves in the cluster: as ourselves.
    own: Connection,
    fence: Option<Arc<Fence>>,
    herald: Option<Herald>,
    /// The revision that we brought here whole.
    held: Mutex<Option<String>>,
    options: Options,
    /// The gate's name as a label's value.
    gate_label: String,
    /// The last dry run that was accepted, until it is applied.
    prepared: Mutex<Option<Prepared>>,
    /// The objects that were found to be as they should be.
    settled: Settled,
    watches: Watches,
    outlook: Outlook,
    /// The release that was looked for last, placed.
    known: Mutex<Option<Arc<Known>>>,
}

impl Kubernetes {
    /// Reads the credentials of a cluster; asks it nothing yet.
    ///
    /// # Errors
    /// When there are no usable credentials, or an option cannot be meant.
    pub async fn connect(options: Options) -> Result<Self, Problem> {
        for namespace in options.namespace.iter().chain([&options.inventory_namespace]) {
            if !plan::is_namespace(namespace) {
                let message = format!("{namespace:?} cannot be the name of a namespace");
                return Err(
                    Problem::new(ErrorCode::ConfigInvalid, message).with_help("use lower-case letters, digits and `-`")
                );
            }
        }
        let own = Connection::open(&options.cluster).await?;
        let connection = match &options.account {
            Some(account) => Connection::open_as(&options.cluster, Some(account)).await?,
            None => own.clone(),
        };
        let gate_label = inventory::gate_label(&options.gate);
        let herald = options.events.then(|| Herald::new(own.clone(), &options.inventory_namespace, &gate_label));
        let held = Mutex::default();
        let settled = Settled::default();
        let watches = Watches::new(connection.watcher(), gate_label.clone(), settled.clone());
        let outlook = Outlook::new(connection.watcher(), gate_label.clone(), options.health);
        let (prepared, known) = (Mutex::default(), Mutex::default());
        Ok(Self {
            connection,
            own,
            fence: None,
            herald,
            held,
            options,
            gate_label,
            prepared,
            settled,
            watches,
            outlook,
            known,
        })
    }

    /// Makes every write depend on a gate's seat: none leaves but in a term that was admitted and lasts.
    #[must_use]
    pub fn under(mut self, seat: Seat) -> Self {
        let fence = Arc::new(Fence::of(seat));
        self.connection.fence(Arc::clone(&fence));
        self.own.fence(Arc::clone(&fence));
        let events = self.options.events;
        self.herald =
            events.then(|| Herald::new(self.own.clone(), &self.options.inventory_namespace, &self.gate_label));
        self.fence = Some(fence);
        self
    }

    /// Lets writes of this term through.
    pub fn admit(&self, term: Term) {
        if let Some(fence) = &self.fence {
            fence.admit(term);
        }
    }

    /// Tells what happened to the gate, as an Event on its inventory; does not wait.
    pub fn tell(&self, happening: Happening, message: &str) {
        if let Some(herald) = &self.herald {
            herald.tell(happening, message);
        }
    }

    /// Waits until something at the cluster may differ from what was applied.
    pub async fn changed(&self) {
        self.watches.changed().await;
    }

    /// What the references of a revision were resolved to, where a replica that applied it, or began to, left that here.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub async fn pins(&self, revision: &str) -> Result<Option<BTreeMap<String, Digest>>, TargetError> {
        let inventory = self.inventory().await?;
        Ok((inventory.revision == revision).then_some(inventory.pins).filter(|pins| !pins.is_empty()))
    }

    /// How what was applied last fares; none before it was looked at, or where nobody looks.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.outlook.now()
    }

    /// Waits until what was applied fares otherwise.
    pub async fn fared(&self) {
        self.outlook.changed().await;
    }

    /// The images in applied objects that nobody verified, where the options let these be told only.
    #[must_use]
    pub fn foreign_images(&self) -> Vec<(String, String)> {
        self.settled.foreign()
    }

    fn hold(&self, revision: Option<String>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = revision;
    }

    /// The revision that we brought here whole, where watches say that nobody touched any of it.
    fn held_untouched(&self) -> Option<String> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        known.items.iter().all(|item| self.watches.is_untouched(item, &known.kinds)).then_some(held)
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger { connection: &self.own, namespace: &self.options.inventory_namespace, gate_label: &self.gate_label }
    }

    /// The namespace of objects that name none.
    fn namespace(&self) -> Option<&str> {
        self.options.namespace.as_deref().or(self.connection.namespace())
    }

    /// Takes the kept dry run, where it was of this release and is fresh.
    fn take_prepared(&self, release: &ApprovedRelease) -> Option<Prepared> {
        let kept = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.filter(|prepared| prepared.made.elapsed() < FRESH && prepared.is_of(release, &self.gate_label))
    }

    /// Takes note that an object is right at this version; that nothing is known, where there is none.
    fn settle(&self, item: &Item, version: Option<String>, foreign: BTreeSet<String>) {
        match version {
            Some(version) => self.settled.note(item, version, foreign),
            None => self.settled.forget(&item.id),
        }
    }
}

impl Target for Kubernetes {
    async fn dry_run(&self, release: &ApprovedRelease) -> Result<(), TargetError> {
        let prepared = self.prepare(release).await?;
        *self.prepared.lock().unwrap_or_else(PoisonError::into_inner) = Some(prepared);
        Ok(())
    }

    async fn apply(
        &self,
        release: &ApprovedRelease,
        go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Vec<Outcome>, TargetError> {
        let prepared = match self.take_prepared(release) {
            Some(prepared) => prepared,
            None => self.prepare(release).await?,
        };
        self.hold(None);
        let revision = prepared.revision.clone();
        let outcomes = Run::new(self, prepared, go_on).apply().await?;
        self.hold(Some(revision));
        Ok(outcomes)
    }

    async fn applied(&self) -> Result<Option<String>, TargetError> {
        if let Some(revision) = self.held_untouched() {
            return Ok(Some(revision));
        }
        match self.ledger().read().await {
            Ok(inventory) => Ok(inventory.filter(|it| it.state == State::Complete).map(|it| it.revision)),
            Err(error) => Err(ledger_trouble("read the inventory", error).into_error(Vec::new())),
        }
    }

    async fn drift(&self, release: &ApprovedRelease) -> Result<Vec<String>, TargetError> {
        self.differences(release).await
    }
}

fn ledger_trouble(doing: &str, error: LedgerError) -> Trouble {
    let mut trouble = Trouble::default();
    match error {
        LedgerError::Fault(fault) => trouble.other(doing, &fault),
        LedgerError::Problem(problem) => trouble.lasting(problem),
        LedgerError::LeftOff => trouble.left_off(),
    }
    trouble
}
