//! Takes part in the elections of a cluster, for all gates of this process that write there: renews what it holds, takes
//! what is free, gives up what another replica should have. One task; it answers to nobody but through the seats.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use http::Request;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::clock::Moment;
use super::connection::{Cluster, Connection};
use super::election::{Sights, View};
use super::fault::{Fault, Kind};
use super::inventory::gate_label;
use super::lease::{self, Lease, Purpose, Record, gate_lease, replica_lease};
use super::seat::Seat;
use super::writing::{Write, apply_request};
use crate::reason::Problem;

/// How often a lease is renewed and the others are looked at.
const TICK: Duration = Duration::from_secs(2);
/// A lease that could not be renewed for so long is ours no more: four seconds before others may take it.
const DEADLINE: Duration = Duration::from_secs(8);
/// A request of an election may take this long: two fit between two renewals that count.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Handing over may take this long; what is not handed over by then ends by itself.
const FAREWELL: Duration = Duration::from_secs(5);

/// The elections of one cluster, as this process takes part in them.
pub struct Electorate {
    shared: Arc<Shared>,
    leave: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    connection: Connection,
    namespace: String,
    me: String,
    /// The seats of our gates, by the names of their leases.
    seats: Mutex<BTreeMap<String, Seat>>,
    news: Notify,
}

/// The task.
struct Election {
    shared: Arc<Shared>,
    sights: Sights,
    /// What failed last, so that it is told once.
    told: Option<String>,
}

impl Electorate {
    /// Takes part in the elections of a cluster, whose leases are in this namespace, under this identity.
    ///
    /// # Errors
    /// When there are no usable credentials.
    pub async fn join(cluster: &Cluster, namespace: &str, me: &str) -> Result<Self, Problem> {
        let shared = Arc::new(Shared {
            connection: Connection::open(cluster).await?,
            namespace: namespace.to_owned(),
            me: me.to_owned(),
            seats: Mutex::default(),
            news: Notify::new(),
        });
        let leave = CancellationToken::new();
        let election = Election { shared: Arc::clone(&shared), sights: Sights::default(), told: None };
        let task = tokio::spawn(election.run(leave.clone()));
        Ok(Self { shared, leave, task: Mutex::new(Some(task)) })
    }

    /// The seat of a gate; the election for it begins with this.
    #[must_use]
    pub fn seat(&self, gate: &str) -> Seat {
        let name = gate_lease(&gate_label(gate));
        let seat = self.shared.seats().entry(name).or_default().clone();
        self.shared.news.notify_one();
        seat
    }

    /// Hands over all that is held, and leaves. Nobody may work under a seat any more.
    pub async fn leave(&self) {
        self.leave.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && tokio::time::timeout(FAREWELL, task).await.is_err()
        {
            tracing::warn!("leases were not handed over in time; they end by themselves");
        }
    }
}

impl Drop for Electorate {
    fn drop(&mut self) {
        // A process that does not leave in order hands nothing over: its leases end by themselves.
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Shared {
    fn seats(&self) -> MutexGuard<'_, BTreeMap<String, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seats whose gates are there still; the others, too.
    fn sorted_seats(&self) -> (BTreeMap<String, Seat>, BTreeMap<String, Seat>) {
        let mut seats = self.seats();
        let forsaken: Vec<String> =
            seats.iter().filter(|(_, seat)| seat.is_forsaken()).map(|(name, _)| name.clone()).collect();
        let forsaken = forsaken.into_iter().filter_map(|name| seats.remove_entry(&name)).collect();
        (seats.clone(), forsaken)
    }

    async fn ask(&self, request: Request<Vec<u8>>) -> Result<serde_json::Value, Fault> {
        Ok(self.connection.ask(request, PATIENCE).await?.body)
    }

    /// Makes a lease say this; the lease as it is then.
    async fn write(&self, lease: &Lease, record: &Record) -> Result<Lease, Fault> {
        let request = lease.write(&self.namespace, record)?;
        let answer = match self.ask(request.clone()).await {
            Err(fault) if fault.kind == Kind::NoNamespace => {
                let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
                self.ask(apply_request("/api/v1/namespaces", &self.namespace, &body, Write::Real)?).await?;
                self.ask(request).await?
            }
            done => done?,
        };
        Lease::read(&answer).ok_or_else(|| Fault::garbled(200, "the answer is no lease of ours"))
    }

    async fn list(&self) -> Result<Vec<Lease>, Fault> {
        Lease::read_all(&self.ask(lease::list(&self.namespace)?).await?)
    }
}

impl Election {
    async fn run(mut self, leave: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = leave.cancelled() => return self.farewell().await,
                () = self.shared.news.notified() => {}
                _ = ticks.tick() => {}
            }
            self.tick().await;
        }
    }

    async fn tick(&mut self) {
        let shared = Arc::clone(&self.shared);
        let (seats, forsaken) = shared.sorted_seats();
        if seats.is_empty() && forsaken.is_empty() {
            return;
        }
        for (name, seat) in forsaken {
            seat.lose();
            self.release(&name).await;
        }
        let gates: BTreeSet<String> = seats.keys().cloned().collect();
        let (renewed, announced, listed) = futures::join!(self.renew(&seats), self.announce(&gates), shared.list());
        let now = Moment::now();
        let mut failed = announced.as_ref().err().cloned();
        match listed {
            Ok(leases) => self.sights.observe(leases, &gates, now),
            Err(fault) => failed = Some(fault),
        }
        for lease in announced.into_iter().flatten().chain(renewed.into_iter().flatten()) {
            self.sights.note(lease, now);
        }
        self.look_after(&seats, failed.is_none()).await;
        self.tell(failed.as_ref(), &seats);
    }

    /// Renews what is ours. What cannot be renewed stays ours until its time is over.
    async fn renew(&self, seats: &BTreeMap<String, Seat>) -> Vec<Option<Lease>> {
        let ours = seats.iter().filter(|(_, seat)| seat.is_ours() && !seat.lapse(Moment::now()));
        join_all(ours.map(|(name, seat)| async move {
            let lease = &self.sights.get(name)?.lease;
            self.take(lease, seat).await.ok()
        }))
        .await
    }

    /// Writes that we hold a lease from now on. The time counts from before the request: nobody knows when it arrived.
    async fn take(&self, lease: &Lease, seat: &Seat) -> Result<Lease, Fault> {
        let begun = Moment::now();
        let record = lease.record.taken(&self.shared.me, &wall_time());
        let lease = self.shared.write(lease, &record).await?;
        seat.hold_until(begun.after(DEADLINE), &self.shared.me);
        Ok(lease)
    }

    /// Says that we are alive, and which gates we can serve.
    async fn announce(&self, gates: &BTreeSet<String>) -> Result<Option<Lease>, Fault> {
        let name = replica_lease(&self.shared.me);
        let known = self.sights.get(&name).map(|sight| sight.lease.clone());
        let mut lease = known.unwrap_or_else(|| Lease::absent(&name, Purpose::Replica));
        lease.gates.clone_from(gates);
        let record = lease.record.taken(&self.shared.me, &wall_time());
        match self.shared.write(&lease, &record).await {
            // Somebody forgot us, or this very request arrived once before: the next look tells.
            Err(fault) if matches!(fault.kind, Kind::Stale | Kind::NotFound) => Ok(None),
            done => done.map(Some),
        }
    }

    /// Loses what another replica holds or whose time is over; takes and gives up, where all leases were seen.
    async fn look_after(&mut self, seats: &BTreeMap<String, Seat>, all_seen: bool) {
        let shared = Arc::clone(&self.shared);
        let gates: BTreeSet<String> = seats.keys().cloned().collect();
        for (name, seat) in seats {
            let now = Moment::now();
            let holder = self.sights.get(name).and_then(|sight| sight.holder(now));
            if seat.lapse(now) {
                tracing::warn!(
                    lease = name,
                    "the lease was not renewed in time; nothing is written until it is won again"
                );
            }
            if all_seen && seat.is_ours() && holder.is_some_and(|it| it != shared.me) {
                tracing::warn!(lease = name, holder, "another replica took the lease");
                seat.lose();
            }
            seat.name_holder(holder.filter(|it| *it != shared.me));
        }
        if !all_seen {
            return;
        }
        let view = View { me: &shared.me, gates: &gates, now: Moment::now() };
        let held = seats.iter().filter(|(_, seat)| seat.is_ours()).map(|(name, _)| name.clone()).collect();
        for name in self.sights.surplus(view, &held) {
            if seats.get(&name).is_some_and(Seat::lose_if_idle) {
                tracing::info!(lease = name, "given up for another replica");
                self.release(&name).await;
            }
        }
        self.take_free(seats, view).await;
        for lease in self.sights.forgotten(view.now) {
            if let Ok(request) = lease.remove(&shared.namespace) {
                // Whoever else looks does the same; a failure is mended by the next look.
                let _forgotten = shared.ask(request).await;
            }
        }
    }

    async fn take_free(&mut self, seats: &BTreeMap<String, Seat>, view: View<'_>) {
        let wanted = self.sights.wanted(view).into_iter().filter_map(|lease| {
            let seat = seats.get(&lease.name).filter(|seat| !seat.is_ours())?;
            Some((lease, seat))
        });
        let taken = join_all(wanted.map(|(lease, seat)| {
            let this = &*self;
            async move {
                let taken = this.take(&lease, seat).await;
                match &taken {
                    Ok(_) => tracing::info!(lease = lease.name, "this replica works for the gate"),
                    Err(fault) => tracing::debug!(lease = lease.name, error = fault.message, "lease not taken"),
                }
                taken.ok()
            }
        }))
        .await;
        for lease in taken.into_iter().flatten() {
            self.sights.note(lease, Moment::now());
        }
    }

    /// Says that nobody holds a lease of ours.
    async fn release(&mut self, name: &str) {
        let Some(sight) = self.sights.get(name).filter(|sight| sight.lease.record.holder == self.shared.me) else {
            return;
        };
        let lease = sight.lease.clone();
        let released = lease.record.released(&wall_time());
        match self.shared.write(&lease, &released).await {
            Ok(lease) => self.sights.note(lease, Moment::now()),
            Err(fault) => {
                tracing::info!(lease = name, error = fault.message, "lease not handed over; it ends by itself");
            }
        }
    }

    async fn farewell(mut self) {
        let seats = self.shared.seats().clone();
        for (name, seat) in &seats {
            seat.lose();
            self.release(name).await;
        }
        let known = self.sights.get(&replica_lease(&self.shared.me)).map(|sight| sight.lease.clone());
        if let Some(request) = known.and_then(|lease| lease.remove(&self.shared.namespace).ok()) {
            // What stays is forgotten by the others in time.
            let _removed = self.shared.ask(request).await;
        }
    }

    /// Tells of a failure once, in the log and to those who wait for a seat.
    fn tell(&mut self, failed: Option<&Fault>, seats: &BTreeMap<String, Seat>) {
        let trouble = failed.map(|fault| fault.message.clone());
        for seat in seats.values() {
            seat.name_trouble(trouble.as_deref());
        }
        if let (Some(error), true) = (&trouble, trouble != self.told) {
            tracing::warn!(error, namespace = self.shared.namespace, "leases cannot be read or written");
        }
        self.told = trouble;
    }
}

/// The wall time, for people who read a lease: nobody judges by it.
#[expect(clippy::disallowed_methods, reason = "an edge that tells the time to people")]
fn wall_time() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
