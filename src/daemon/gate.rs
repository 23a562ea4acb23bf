//! One gate: its source, its policies in force, its target, and where it stands. What a look consists of is in `look`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::assembly::{self, RegistryPlan, trusting};
use crate::gate::{Answer, Decision, Finder};
use crate::http::status::{Board, GateStatus};
use crate::metrics::{GateMetrics, Metrics, Step, Success};
use crate::notify::Outbox;
use crate::notify::message::Told;
use crate::outcome::Observer;
use crate::pipeline::judge::{Judge, Judging};
use crate::pipeline::reading::Reader;
use crate::pipeline::{self, Decided, Scope};
use crate::policy::PolicySet;
use crate::reason::{ErrorCode, Problem};
use crate::registry::Client;
use crate::render::{self, Rendered, Sources};
use crate::report::{Report, Subject};
use crate::settings::{GateSettings, Settings};
use crate::snapshot::{Revision, Snapshot};
use crate::source::Git;
use crate::store::{GateState, Pins, Store};
use crate::target::Delivery;
use crate::target::kubernetes::{Seat, Term};
use crate::trust::Trust;

use super::elections::Elections;
use super::record::Standing;

/// What all gates of a process share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) plan: RegistryPlan,
    pub(super) trust: Arc<Trust>,
    pub(super) store: Arc<Store>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) board: Board,
    /// Where several replicas share the gates.
    pub(super) elections: Option<Arc<Elections>>,
    pub(super) outbox: Outbox,
}

/// The policies in force, and what is wrong with the files now.
pub(super) struct Policies {
    pub(super) set: Arc<PolicySet>,
    pub(super) broken: Vec<Problem>,
}

/// A gate and all of its state.
pub(super) struct Gate {
    pub(super) settings: GateSettings,
    pub(super) shared: Arc<Shared>,
    pub(super) metrics: Arc<GateMetrics>,
    pub(super) git: Arc<Mutex<Git>>,
    reader: Arc<Mutex<Reader>>,
    pub(super) policies: Policies,
    pub(super) client: Client,
    pub(super) target: Option<Delivery>,
    /// The gate's seat, where several replicas share the gates.
    pub(super) seat: Option<Seat>,
    /// The term under which this gate works, or worked last.
    pub(super) term: Option<Term>,
    pub(super) state: GateState,
    /// What a revision's references were resolved to while the target could not be asked.
    pub(super) provisional: Option<Provisional>,
    pub(super) newest: Option<Assessed>,
    pub(super) attempts: u32,
    /// When what did not pass is tried again.
    pub(super) retry_at: Option<Instant>,
    /// Whether the last failure was one that trying again does not mend.
    pub(super) gave_up: bool,
    /// Whether the last failure was the target's.
    pub(super) turned_away: bool,
    /// What failed outside the decision, in the last look that came to something.
    pub(super) failures: Vec<Problem>,
    pub(super) tags_looked_at: Option<Timestamp>,
    /// What was decided on the newest revision, and since when.
    pub(super) standing: Option<Standing>,
    pub(super) status: GateStatus,
    /// What people were told last.
    pub(super) told: Option<Told>,
    /// What stands beside the newest commit; none until this process said it.
    pub(super) last_status: Option<Told>,
    pub(super) stop: CancellationToken,
}

/// Pins that bind nobody yet: another replica may have others.
pub(super) struct Provisional {
    pub(super) revision: String,
    pub(super) pins: Pins,
}

/// A revision and what was decided about it.
pub(super) struct Assessed {
    pub(super) revision: Revision,
    pub(super) decided: Decided,
    /// Until when no exception of the policies ends.
    pub(super) good_until: Option<Timestamp>,
}

impl Gate {
    /// A gate that has looked at nothing yet.
    pub(super) fn new(
        settings: GateSettings,
        policies: PolicySet,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Result<Self, Vec<Problem>> {
        let one = |problem: Problem| vec![problem];
        let metrics = shared.metrics.gate(&settings.name).map_err(|error| {
            one(Problem::new(ErrorCode::ConfigInvalid, format!("failed to make the gate's metrics: {error}")))
        })?;
        let git = assembly::source(&settings, &shared.settings.limits, &shared.store).map_err(one)?;
        let state = shared.store.gate_state(&settings.name).map_err(one)?.unwrap_or_default();
        let client = client(&shared, &policies).map_err(one)?;
        let name = settings.name.clone();
        let mode = settings.mode.name();
        let status = GateStatus { name: name.clone(), mode, suspended: settings.suspend, ..GateStatus::default() };
        metrics.policy_reload(Success::Ok);
        metrics.suspended(settings.suspend);
        Ok(Self {
            settings,
            metrics,
            git: Arc::new(Mutex::new(git)),
            reader: Arc::default(),
            policies: Policies { set: Arc::new(policies), broken: Vec::new() },
            client,
            target: None,
            seat: None,
            term: None,
            state,
            provisional: None,
            newest: None,
            attempts: 0,
            retry_at: None,
            gave_up: false,
            turned_away: false,
            failures: Vec::new(),
            tags_looked_at: None,
            told: shared.store.told(&name).as_deref().and_then(Told::of_line),
            last_status: None,
            standing: None,
            status,
            stop,
            shared,
        })
    }

    /// Reads again where the gate stands: one of the same name may have worked since this one was made.
    pub(super) fn recall(&mut self) {
        match self.shared.store.gate_state(&self.settings.name) {
            Ok(Some(state)) => self.state = state,
            Ok(None) => {}
            Err(problem) => tracing::warn!(gate = self.settings.name, error = %problem, "state cannot be read again"),
        }
        self.remember();
    }

    /// Loads the policies again; says whether other ones are in force now. Broken files leave those in force.
    pub(super) async fn reload_policies(&mut self) -> bool {
        let loaded = trusting::policies(&self.settings.policies, &self.shared.trust).await;
        let client = loaded.and_then(|set| match client(&self.shared, &set) {
            Ok(client) => Ok((set, client)),
            Err(problem) => Err(vec![problem]),
        });
        match client {
            Ok((set, client)) => {
                let mended = !std::mem::take(&mut self.policies.broken).is_empty();
                let changed = set.identities() != self.policies.set.identities();
                if changed {
                    self.client = client;
                }
                // The same policy may rest on a root that may be relied on for longer now.
                self.policies.set = Arc::new(set);
                if changed || mended {
                    self.metrics.policy_reload(Success::Ok);
                    tracing::info!(gate = self.settings.name, "policies loaded");
                }
                changed || mended
            }
            Err(problems) => {
                if self.policies.broken != problems {
                    self.metrics.policy_reload(Success::Failed);
                    for problem in &problems {
                        tracing::warn!(gate = self.settings.name, error = %problem, "policy cannot be loaded");
                    }
                }
                self.policies.broken = problems;
                false
            }
        }
    }

    /// Decides on a revision, from its files to the report, under the policies in force.
    ///
    /// # Errors
    /// When the source or the state directory does not give what is needed.
    pub(super) async fn assess(&self, revision: &Revision) -> Result<Assessed, Vec<Problem>> {
        let now = now();
        let good_until = self.policies.set.next_expiry(now);
        let assessed = |decided| Assessed { revision: revision.clone(), decided, good_until };
        let is_new = self.state.applied.as_ref() != Some(revision);
        if !self.policies.broken.is_empty() && is_new {
            return Ok(assessed(self.unanswered(revision, Answer::Undecided, &self.unavailable())));
        }
        let (snapshot, sources) = match self.snapshot(revision).await {
            Ok(snapshot) => snapshot,
            Err(problems) if problems.iter().any(|problem| problem.code == ErrorCode::SourceUnavailable) => {
                return Err(problems);
            }
            Err(problems) => {
                return Ok(assessed(self.unanswered(revision, Answer::Refuse, &problems)));
            }
        };
        let pins = self.shared.store.pins(&self.settings.name, &revision.id).map_err(|problem| vec![problem])?;
        let provisional = self.provisional.as_ref().filter(|it| it.revision == revision.id);
        let pins = pins.or(provisional.map(|it| it.pins.clone())).unwrap_or_default();
        let decided = self.decide(snapshot, sources, &pins, now).await?;
        if decided.pins != pins && provisional.is_none() {
            let kept = self.shared.store.keep_pins(&self.settings.name, &revision.id, &decided.pins);
            kept.map_err(|problem| vec![problem])?;
        }
        Ok(assessed(decided))
    }

    async fn decide(
        &self,
        snapshot: Snapshot,
        sources: Sources,
        pins: &pipeline::judge::Pins,
        now: Timestamp,
    ) -> Result<Decided, Vec<Problem>> {
        let limits = assembly::manifest_limits(&self.shared.settings.limits);
        let finder = Finder {
            rules: &self.shared.settings.discovery,
            namespace: self.settings.namespace.as_deref(),
            limits: &limits,
        };
        let rendered = render::renderings(&sources);
        let started = Instant::now();
        let reading = {
            let (shared, reader) = (Arc::clone(&self.shared), Arc::clone(&self.reader));
            let (namespace, files) = (self.settings.namespace.clone(), snapshot.files.clone());
            let read = move || {
                let limits = assembly::manifest_limits(&shared.settings.limits);
                let rules = &shared.settings.discovery;
                let finder = Finder { rules, namespace: namespace.as_deref(), limits: &limits };
                let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
                let mut reading = reader.read(&files, &finder, shared.metrics.as_ref());
                render::trace(&mut reading.sites, &sources);
                reading
            };
            tokio::task::spawn_blocking(read).await.map_err(|error| {
                vec![Problem::new(ErrorCode::YamlInvalid, format!("failed to read the manifests: {error}"))]
            })?
        };
        self.timed(Step::Discover, reading.problems.is_empty(), started);
        let judge = Judge {
            registry: &self.client,
            policies: &self.policies.set,
            store: Some(&self.shared.store),
            observer: self.shared.metrics.as_ref(),
            bounds: assembly::bounds(&self.shared.settings.limits),
            now,
        };
        let scope = Scope {
            gate: Some(&self.settings.name),
            mode: Some(self.status.mode),
            root: &self.settings.source.path,
            finder,
            images: self.shared.settings.limits.images,
        };
        let started = Instant::now();
        let mut decided = pipeline::decide(&snapshot, &reading, &judge, &scope, pins).await;
        decided.report.rendered = rendered;
        let success = if decided.decision.answer() == Answer::Undecided { Success::Failed } else { Success::Ok };
        let verifying = started.elapsed().saturating_sub(decided.resolving);
        self.metrics.step(Step::Resolve, success, decided.resolving, now.as_second());
        self.metrics.step(Step::Verify, success, verifying, now.as_second());
        Ok(decided)
    }

    /// The revision's files, with rendered ones in the place of their sources.
    async fn snapshot(&self, revision: &Revision) -> Result<(Snapshot, Sources), Vec<Problem>> {
        let (git, id) = (Arc::clone(&self.git), revision.id.clone());
        let plan = assembly::rendering(&self.shared.settings.render, &self.settings);
        let read = move || {
            let snapshot = git.lock().unwrap_or_else(PoisonError::into_inner).snapshot(&id)?;
            let Rendered { files, sources, problems } = render::render(snapshot.files, &plan);
            let snapshot = Snapshot { files, ..snapshot };
            if problems.is_empty() { Ok((snapshot, sources)) } else { Err(problems) }
        };
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(vec![panicked(&error)]))
    }

    /// What is wrong with the policies, as a revision's report tells it.
    fn unavailable(&self) -> Vec<Problem> {
        let broken = self.policies.broken.iter().cloned();
        broken.map(|problem| Problem { code: ErrorCode::PolicyUnavailable, ..problem }).collect()
    }

    /// A decision without any image judged.
    fn unanswered(&self, revision: &Revision, answer: Answer, problems: &[Problem]) -> Decided {
        let subject = Subject {
            gate: Some(self.settings.name.clone()),
            mode: Some(self.status.mode),
            revision: Some(revision.id.clone()),
            policies: pipeline::policies(&self.policies.set),
        };
        let Judging { judged, pins, retry_after, resolving } = Judging::default();
        let decision = match answer {
            Answer::Undecided => Decision::Undecided,
            Answer::Pass | Answer::Refuse => Decision::Refuse(problems.to_vec()),
        };
        let report = Report::new(subject, &judged, &[], problems, Some(decision.answer()));
        Decided { decision, report, pins, judged, retry_after, resolving }
    }
}

/// A problem that stands for a panic in work of ours: never a pass.
pub(super) fn panicked(error: &tokio::task::JoinError) -> Problem {
    Problem::new(ErrorCode::SourceUnavailable, format!("failed to read the source: {error}"))
        .with_help("please report this as a bug; nothing was let through")
}

/// A report that is no JSON: a mistake of ours.
pub(super) fn unkept(error: &serde_json::Error) -> Problem {
    Problem::new(ErrorCode::FileUnreadable, format!("failed to keep the decision: {error}"))
        .with_help("please report this as a bug; nothing was let through")
}

fn client(shared: &Shared, policies: &PolicySet) -> Result<Client, Problem> {
    let metrics = Arc::clone(&shared.metrics);
    let observer: Arc<dyn Observer> = metrics;
    shared.plan.client(assembly::access(policies), shared.settings.limits.image_timeout, observer)
}

/// The time now: the daemon's one clock for decisions.
#[expect(clippy::disallowed_methods, reason = "the daemon is where time enters")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}
