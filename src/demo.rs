//! The small local world, and the daemon on it: a repository, a registry, keys, a policy; no cluster and no network.
//!
//! The daemon here is the real one, and so is its way to the registry. The demo only makes what a user would have, and
//! tells what happens. Nothing else in the crate knows it.

mod guide;
mod images;
mod registry;
mod signer;
mod world;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::daemon::{Daemon, Ending, Invocation};
use crate::http::status::{GateStatus, Statuses};
use crate::reason::{ErrorCode, Problem};
use crate::report::Report;
use crate::report::text::{Colour, render};
use crate::trigger::Shutdown;

use guide::Guide;
use world::{Chapter, GATE};

pub use world::World;

/// The whole story takes a second or two; on a machine where it takes longer than this, something is wrong.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long the world stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Until the story is told.
    UntilTold,
    /// Until the user asks it to leave.
    UntilAsked,
}

/// How the story ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As it was told.
    CameTrue,
    /// With another decision than it was told.
    Otherwise,
    /// It did not: it took too long, or was broken off.
    Unfinished,
}

/// Where the story is told.
pub struct Stage<'a> {
    /// Takes each piece of text when it is time for it.
    pub tell: &'a dyn Fn(&str),
    /// Whether it may be coloured.
    pub colour: Colour,
    /// How the reader calls this program.
    pub program: &'a str,
}

/// Runs the world and tells the story.
///
/// # Errors
/// Everything that keeps the world from starting or the story from being told.
pub async fn run(world: &World, stage: &Stage<'_>, stay: Stay) -> Result<Ended, Vec<Problem>> {
    let failed = |error: io::Error| vec![Problem::new(ErrorCode::Usage, format!("failed to start the demo: {error}"))];
    let mut shutdown = Shutdown::listen().map_err(failed)?;
    let listener = world.listener().and_then(tokio::net::TcpListener::from_std).map_err(failed)?;
    // What the user's environment sets, and the credentials that it leads to, are about other worlds.
    let invocation = Invocation { config: world.config(), environment: BTreeMap::new() };
    let daemon = Daemon::open(&invocation).await?;
    let guide = Guide { world, program: stage.program, address: daemon.address() };
    let mut story = Story { world, stage, guide, board: daemon.follow() };
    let stop = CancellationToken::new();
    let play = async {
        let asked = async {
            tokio::select! { _ = shutdown.requested() => {}, () = stop.cancelled() => {} }
        };
        let played = story.play(stay, asked).await;
        stop.cancel();
        played
    };
    let run = async {
        let ending = daemon.run_until(stop.cancelled()).await;
        stop.cancel();
        ending
    };
    let serve = registry::serve(listener, world.images(), stop.clone().cancelled_owned());
    let (played, ending, ()) = tokio::join!(play, run, serve);
    match ending {
        Ending::Asked => played,
        Ending::Died => Ok(Ended::Unfinished),
    }
}

/// The story: who is in it, and how to see where the gate stands.
struct Story<'a> {
    world: &'a World,
    stage: &'a Stage<'a>,
    guide: Guide<'a>,
    board: watch::Receiver<Statuses>,
}

impl Story<'_> {
    /// Tells the story; then, where the world stays, every new decision until asked to leave.
    async fn play(&mut self, stay: Stay, asked: impl Future<Output = ()>) -> Result<Ended, Vec<Problem>> {
        tokio::pin!(asked);
        let told = tokio::select! {
            told = tokio::time::timeout(PATIENCE, self.tell()) => told,
            () = &mut asked => return Ok(Ended::Unfinished),
        };
        let ended = match told {
            Ok(told) => told.map_err(|problem| vec![problem])?,
            Err(_) => Ended::Unfinished,
        };
        match (ended, stay) {
            (Ended::CameTrue, Stay::UntilTold) => self.say(&self.guide.farewell()),
            (Ended::CameTrue, Stay::UntilAsked) => {
                self.say(&self.guide.play_on());
                tokio::select! { () = self.follow() => {}, () = asked => {} }
            }
            (Ended::Otherwise | Ended::Unfinished, _) => {
                self.show_now();
                self.say(&self.guide.went_wrong());
            }
        }
        Ok(ended)
    }

    /// A good revision, and a bad one.
    async fn tell(&mut self) -> Result<Ended, Problem> {
        self.say(&self.guide.opening());
        let good = self.commit(Chapter::Good).await?;
        self.say(&Guide::good(&good));
        let status = self.decided(&good).await;
        if answer(&status) != Some("pass") {
            return Ok(Ended::Otherwise);
        }
        self.show(&status);
        let before = self.world.running()?;
        self.say(&self.guide.applied(&before));

        let bad = self.commit(Chapter::Bad).await?;
        self.say(&Guide::bad(&bad));
        let status = self.decided(&bad).await;
        let unchanged = status.applied.as_ref() == Some(&good) && self.world.running()? == before;
        if answer(&status) != Some("refuse") || !unchanged {
            return Ok(Ended::Otherwise);
        }
        self.show(&status);
        self.say(&self.guide.unchanged(&good));
        Ok(Ended::CameTrue)
    }

    async fn commit(&self, chapter: Chapter) -> Result<String, Problem> {
        let manifests = self.world.manifests();
        let committed = tokio::task::spawn_blocking(move || manifests.commit(chapter)).await;
        committed.unwrap_or_else(|error| {
            Err(Problem::new(ErrorCode::SourceUnavailable, format!("failed to commit: {error}")))
        })
    }

    /// Waits until this revision is refused, or passed and is at the target.
    async fn decided(&mut self, revision: &str) -> GateStatus {
        let is_decided = |status: &GateStatus| {
            let about = status.report.as_ref().and_then(|report| report.revision.as_deref());
            let applied = status.applied.as_deref() == Some(revision);
            about == Some(revision) && (answer(status) == Some("refuse") || applied)
        };
        let found = self.board.wait_for(|gates| gates.get(GATE).is_some_and(is_decided)).await;
        match found.ok().and_then(|gates| gates.get(GATE).cloned()) {
            Some(status) => status,
            // The daemon is gone, which ends the story.
            None => std::future::pending().await,
        }
    }

    /// Shows every decision that differs from the one before.
    async fn follow(&mut self) {
        let mut before = self.board.borrow_and_update().get(GATE).and_then(shown);
        while self.board.changed().await.is_ok() {
            let now = self.board.borrow_and_update().get(GATE).cloned();
            let Some((status, now)) = now.and_then(|status| Some((shown(&status)?, status))) else { continue };
            if before.as_ref() == Some(&status) {
                continue;
            }
            self.say(&Guide::news(&now));
            self.show(&now);
            before = Some(status);
        }
    }

    /// Shows where the gate stands now.
    fn show_now(&self) {
        let status = self.board.borrow().get(GATE).cloned();
        if let Some(status) = &status {
            self.show(status);
        }
    }

    fn show(&self, status: &GateStatus) {
        if let Some(report) = shown(status) {
            self.say(&guide::indented(&render(&report, self.stage.colour)));
        }
    }

    fn say(&self, text: &str) {
        (self.stage.tell)(text);
    }
}

/// What is shown of a gate: the report on its newest revision, with what failed beside it.
fn shown(status: &GateStatus) -> Option<Report> {
    let mut report = status.report.as_deref()?.clone();
    report.errors.extend(status.errors.iter().cloned());
    Some(report)
}

fn answer(status: &GateStatus) -> Option<&'static str> {
    status.report.as_ref().and_then(|report| report.decision)
}
