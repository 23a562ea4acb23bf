//! When to run: one task for each gate, which owns that gate's state; reload, shutdown, and who hears of it.

mod backoff;
mod deliver;
mod elections;
mod fare;
mod gate;
mod herald;
mod look;
mod pins;
mod post;
mod record;
mod task;
mod tell;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::assembly::{self, trusting, trusting::TrustPlan};
use crate::http;
use crate::metrics::Metrics;
use crate::outcome::Observer;
use crate::reason::{ErrorCode, Problem};
use crate::registry::default_credential_files;
use crate::report::Report;
use crate::settings::{self, GateSettings, HookSettings, Settings};
use crate::store::Store;
use crate::trigger::{self, Reloads, Shutdown, Trigger, file_places};
use crate::trust::Trust;
use crate::trust::roots::Asking;

use crate::http::hooks::{Book, Hook};
use crate::http::status::{Board, GateStatus, Statuses};
use elections::Elections;
use gate::{Gate, Shared};

/// How long a write in flight may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(25);

/// What the daemon is started with.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The configuration file.
    pub config: PathBuf,
    /// The environment.
    pub environment: BTreeMap<String, String>,
}

/// Why the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to leave.
    Asked,
    /// A task died, which the log names.
    Died,
}

/// What one reconcile of a gate came to.
#[derive(Debug, Clone)]
pub struct Once {
    /// Where the gate stands.
    pub status: GateStatus,
    /// The report on its newest revision.
    pub report: Option<Arc<Report>>,
}

/// Everything that gates need, and the gates themselves.
struct World {
    gates: Vec<Gate>,
    trust: Arc<Trust>,
    /// The registries that metrics call by their name.
    registries: BTreeSet<String>,
    stop: CancellationToken,
    shared: Arc<Shared>,
}

/// What outlives a reload.
struct Kept {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    board: Board,
    elections: Arc<Elections>,
    hooks: Book,
}

/// Runs until it is asked to leave.
///
/// # Errors
/// Everything that keeps it from starting.
pub async fn run(invocation: &Invocation) -> Result<Ending, Vec<Problem>> {
    let daemon = Daemon::open(invocation).await?;
    let mut shutdown = Shutdown::listen().map_err(|error| deaf(&error))?;
    let asked = async move {
        let signal = shutdown.requested().await;
        tracing::info!(signal, "leaving");
    };
    Ok(daemon.run_until(asked).await)
}

/// A daemon that is ready to run: everything is loaded, and its port is open.
pub struct Daemon {
    supervisor: Supervisor,
    world: World,
    listener: TcpListener,
    address: SocketAddr,
}

impl Daemon {
    /// Loads everything and opens the port.
    ///
    /// # Errors
    /// Everything that keeps it from starting.
    pub async fn open(invocation: &Invocation) -> Result<Self, Vec<Problem>> {
        let one = |problem: Problem| vec![problem];
        let settings = settings::load(&invocation.config, &invocation.environment)?;
        let kept = Kept::open(&settings, invocation).map_err(one)?;
        let mut world = World::build(settings.clone(), invocation, &kept, Asking::Background).await?;
        world.take_over(&kept);
        let (listener, address) = bind(&settings).await.map_err(one)?;
        let reloads = Reloads::listen().map_err(|error| deaf(&error))?;
        let ending = CancellationToken::new();
        let supervisor = Supervisor { invocation: invocation.clone(), settings, kept, reloads, ending };
        Ok(Self { supervisor, world, listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Follows where its gates stand.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Statuses> {
        self.supervisor.kept.board.follow()
    }

    /// Runs until `asked` resolves, or a task dies.
    pub async fn run_until(self, asked: impl Future<Output = ()>) -> Ending {
        let Self { supervisor, world, listener, address: _ } = self;
        let ending = supervisor.ending.clone();
        let mut tasks = JoinSet::new();
        let metrics = Arc::clone(&supervisor.kept.metrics);
        let scrape: http::Scrape = Arc::new(move || metrics.text().map_err(|error| error.to_string()));
        let store = Arc::clone(&supervisor.kept.store);
        let archive: http::Archive = Arc::new(move |asked| store.decisions(asked).map_err(|error| error.to_string()));
        let metrics = Arc::clone(&supervisor.kept.metrics);
        let observer: Arc<dyn Observer> = metrics;
        let sources = http::Sources {
            metrics: scrape,
            gates: supervisor.kept.board.follow(),
            archive,
            ready: supervisor.kept.board.ready(),
            hooks: Arc::clone(&supervisor.kept.hooks),
            observer,
        };
        let page = http::serve(listener, sources, ending.clone().cancelled_owned());
        tasks.spawn(async move {
            page.await;
            "http"
        });
        tasks.spawn(async move {
            supervisor.supervise(world).await;
            "supervisor"
        });
        tokio::select! {
            () = asked => {
                ending.cancel();
                farewell(&mut tasks).await
            }
            Some(dead) = tasks.join_next() => died(dead),
        }
    }
}

/// The push events that a gate listens to.
fn listens(gate: &GateSettings, sender: &trigger::Sender) -> Option<(String, Hook)> {
    let HookSettings { provider, secret_file } = gate.hook.clone()?;
    let sender = sender.clone();
    let pull = Arc::new(move || sender.send(Trigger::Pushed));
    Some((gate.name.clone(), Hook { provider, secret_file, pull }))
}

fn deaf(error: &io::Error) -> Vec<Problem> {
    vec![Problem::new(ErrorCode::ConfigInvalid, format!("failed to listen to signals: {error}"))]
}

/// Waits for the tasks to end, but not for ever.
async fn farewell(tasks: &mut JoinSet<&'static str>) -> Ending {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("a write did not end in time; the next start takes it up again");
    }
    Ending::Asked
}

fn died(dead: Result<&'static str, JoinError>) -> Ending {
    match dead {
        Ok(name) => tracing::error!(task = name, "a task ended that should not"),
        Err(error) => tracing::error!(error = %error, "a task died"),
    }
    Ending::Died
}

/// One reconcile of every gate.
///
/// # Errors
/// Everything that keeps it from starting.
pub async fn once(invocation: &Invocation) -> Result<Vec<Once>, Vec<Problem>> {
    let settings = settings::load(&invocation.config, &invocation.environment)?;
    let kept = Kept::open(&settings, invocation).map_err(|problem| vec![problem])?;
    let world = World::build(settings, invocation, &kept, Asking::WhenNeeded).await?;
    let shared = Arc::clone(&world.shared);
    let start = BTreeSet::from([Trigger::Start]);
    let looks = world.gates.into_iter().map(|mut gate| {
        let start = start.clone();
        async move {
            gate.look(&start).await;
            gate.tell_post();
            Once { report: gate.status.report.clone(), status: gate.status }
        }
    });
    let looked = futures::future::join_all(looks).await;
    kept.elections.leave().await;
    shared.outbox.drain(GRACE).await;
    Ok(looked)
}

async fn bind(settings: &Settings) -> Result<(TcpListener, SocketAddr), Problem> {
    let failed = |error: io::Error| {
        Problem::new(ErrorCode::ConfigInvalid, format!("failed to listen on {}: {error}", settings.listen))
            .with_help("set `listen` to an address of this machine and a free port")
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(address = %address, "listening");
    Ok((listener, address))
}

impl Kept {
    fn open(settings: &Settings, invocation: &Invocation) -> Result<Self, Problem> {
        let metrics = Metrics::new()
            .map_err(|error| Problem::new(ErrorCode::ConfigInvalid, format!("failed to make metrics: {error}")))?;
        let store = Store::open(&settings.state_dir)?;
        metrics.history_faults(store.history_faults());
        Ok(Self {
            store: Arc::new(store),
            metrics: Arc::new(metrics),
            board: Board::new(),
            hooks: Book::default(),
            elections: Arc::new(Elections::of(&invocation.environment)),
        })
    }

    /// What fetches the keys and roots of policies; without a connection, where the configuration says so.
    fn trust(&self, settings: &Settings, asking: Asking) -> Result<Trust, Problem> {
        let plan = TrustPlan::of(settings, Some(self.store.roots()));
        let asking = if settings.offline { Asking::Never } else { asking };
        let metrics = Arc::clone(&self.metrics);
        plan.open(asking, metrics)
    }
}

impl World {
    /// Builds every gate, or says everything that keeps one from being built.
    async fn build(
        settings: Settings,
        invocation: &Invocation,
        kept: &Kept,
        asking: Asking,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut loaded = Vec::new();
        let trust = Arc::new(kept.trust(&settings, asking).map_err(|problem| vec![problem])?);
        for gate in &settings.gates {
            problems.extend(assembly::hook_secret(gate));
            match trusting::policies(&gate.policies, &trust).await {
                Ok(policies) => loaded.push((gate.clone(), policies)),
                Err(found) => problems.extend(found),
            }
        }
        let credentials = default_credential_files(&invocation.environment);
        let plan = match assembly::registries(&settings, credentials).await {
            Ok(plan) if problems.is_empty() => plan,
            Ok(_) => return Err(problems),
            Err(found) => {
                problems.extend(found);
                return Err(problems);
            }
        };
        let policies: Vec<_> = loaded.iter().map(|(_, policies)| policies).collect();
        let registries = assembly::registry_names(&settings, &policies);
        let elections = elections::are_held(&settings).then(|| Arc::clone(&kept.elections));
        let outbox = assembly::outbox(&settings)?;
        let shared = Arc::new(Shared {
            elections,
            settings,
            plan,
            outbox,
            trust: Arc::clone(&trust),
            store: Arc::clone(&kept.store),
            metrics: Arc::clone(&kept.metrics),
            board: kept.board.clone(),
        });
        let stop = CancellationToken::new();
        let mut gates = Vec::new();
        for (gate, policies) in loaded {
            match Gate::new(gate, policies, Arc::clone(&shared), stop.child_token()) {
                Ok(gate) => gates.push(gate),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { gates, trust, registries, stop, shared })
    }

    /// Takes the place of the gates before, which have ended: what they left on disk counts, and what they showed goes.
    fn take_over(&mut self, kept: &Kept) {
        let names: BTreeSet<String> = self.gates.iter().map(|gate| gate.settings.name.clone()).collect();
        kept.metrics.keep_gates(&names);
        kept.metrics.name_registries(std::mem::take(&mut self.registries));
        kept.board.keep(&names);
        for gate in &mut self.gates {
            gate.recall();
        }
        kept.board.show_all(self.gates.iter().map(|gate| gate.status.clone()).collect());
    }
}

/// Starts the gates, and starts them anew when the configuration changes.
struct Supervisor {
    invocation: Invocation,
    settings: Settings,
    kept: Kept,
    reloads: Reloads,
    ending: CancellationToken,
}

/// Why the gates stop.
enum Next {
    Leave,
    Replace(Box<World>),
}

impl Supervisor {
    async fn supervise(mut self, world: World) {
        let mut world = world;
        loop {
            match self.tend(world).await {
                Next::Leave => return,
                Next::Replace(next) => world = *next,
            }
        }
    }

    /// Runs these gates until the process ends or another configuration replaces them.
    async fn tend(&mut self, world: World) -> Next {
        let (sender, mut receiver) = trigger::channel();
        let config = [self.invocation.config.clone()];
        let _watch = trigger::watch(&file_places(&config), Trigger::ConfigChanged, &sender);
        let World { gates, trust, registries: _, stop, shared: _ } = world;
        let mut senders = Vec::new();
        let mut tasks = JoinSet::new();
        let mut book = BTreeMap::new();
        for gate in gates {
            let (sender, receiver) = trigger::channel();
            senders.push(sender.clone());
            book.extend(listens(&gate.settings, &sender));
            tasks.spawn(task::run(gate, sender, receiver));
        }
        *self.kept.hooks.write().unwrap_or_else(PoisonError::into_inner) = book;
        let keep_fresh = trust.roots().keep_fresh();
        tokio::pin!(keep_fresh);
        let mut next = loop {
            tokio::select! {
                () = &mut keep_fresh => {}
                () = trust.roots().changed() => {
                    for gate in &senders {
                        gate.send(Trigger::PolicyChanged);
                    }
                    continue;
                }
                () = self.ending.cancelled() => break Next::Leave,
                Some(dead) = tasks.join_next() => {
                    died(dead);
                    break Next::Leave;
                }
                () = self.reloads.next() => senders.iter().for_each(|gate| gate.send(Trigger::Reload)),
                _ = receiver.next() => {}
            }
            if let Some(world) = self.changed().await {
                break Next::Replace(Box::new(world));
            }
        };
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        if matches!(next, Next::Leave) {
            self.kept.elections.leave().await;
        }
        if let Next::Replace(world) = &mut next {
            world.take_over(&self.kept);
        }
        next
    }

    /// The world of a configuration that is another one now, and valid. A broken one is told, and the one in force stays.
    async fn changed(&mut self) -> Option<World> {
        let loaded = settings::load(&self.invocation.config, &self.invocation.environment);
        let built = match loaded {
            Ok(settings) if settings == self.settings => return None,
            Ok(settings) => self.rebuild(settings).await,
            Err(problems) => Err(problems),
        };
        match built {
            Ok(world) => {
                tracing::info!(gates = world.gates.len(), "configuration loaded");
                Some(world)
            }
            Err(problems) => {
                for problem in problems {
                    tracing::warn!(error = %problem, help = problem.help, "new configuration cannot be used; the one in force stays");
                }
                None
            }
        }
    }

    async fn rebuild(&mut self, settings: Settings) -> Result<World, Vec<Problem>> {
        if settings.listen != self.settings.listen || settings.state_dir != self.settings.state_dir {
            tracing::warn!("`listen` and `stateDir` take effect at the next start");
        }
        let world = World::build(settings.clone(), &self.invocation, &self.kept, Asking::Background).await?;
        self.settings = settings;
        Ok(world)
    }
}
