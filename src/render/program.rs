//! The programs of this machine: the renderers, and what confines them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::plan;
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::Network;

/// Why a renderer gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// A limit was reached.
    Limit(String),
    /// It failed, and said this.
    Failed(String),
}

/// The renderers, as they were named.
#[derive(Debug)]
pub(super) struct Programs<'p> {
    named: &'p plan::Programs,
}

impl<'p> Programs<'p> {
    pub(super) fn new(named: &'p plan::Programs) -> Self {
        Self { named }
    }

    /// What builds a kustomization, and its first argument.
    pub(super) fn kustomize(&self) -> Result<(PathBuf, &'static str), Problem> {
        let command = |path: PathBuf| {
            let is_kubectl = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubectl"));
            (path, if is_kubectl { "kustomize" } else { "build" })
        };
        let path = match &self.named.kustomize {
            Some(path) => Some(path.clone()),
            None => found("kustomize").or_else(|| found("kubectl")),
        };
        path.map(command)
            .ok_or_else(|| missing("a folder is to be built with kustomize", "`kustomize` and no `kubectl`"))
    }

    /// What renders a chart.
    pub(super) fn helm(&self) -> Result<PathBuf, Problem> {
        let path = self.named.helm.clone().or_else(|| found("helm"));
        path.ok_or_else(|| missing("a chart is to be rendered", "`helm`"))
    }
}

fn missing(what: &str, which: &str) -> Problem {
    Problem::new(ErrorCode::UnsupportedFile, format!("{what}, and there is no {which}")).with_help(
        "install it on the PATH, or name it under `render` in the configuration; or render the folder into plain \
         manifests, or `exclude` it",
    )
}

/// What cuts the network, and kills everything that a renderer started: `unshare`, where the kernel lets it.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    program: Option<(PathBuf, &'static [&'static str])>,
}

/// A user of its own, no network, and a process namespace that ends with its first process; or without the last.
const WAYS: [&[&str]; 2] = [&["-rnpf", "--kill-child"], &["-rn"]];

impl Cut {
    /// Tries what the kernel permits.
    pub(super) fn find() -> Self {
        let program = found("unshare").and_then(|unshare| {
            let way = WAYS.into_iter().find(|way| permitted(&unshare, way))?;
            Some((unshare, way))
        });
        Self { program }
    }

    /// Whether the network is cut.
    pub(super) fn network(&self) -> Network {
        if self.program.is_some() { Network::Cut } else { Network::Open }
    }

    /// A command that runs a shell inside.
    pub(super) fn shell(&self) -> Command {
        match &self.program {
            Some((unshare, way)) => {
                let mut command = Command::new(unshare);
                command.args(*way).arg("/bin/sh");
                command
            }
            None => Command::new("/bin/sh"),
        }
    }
}

fn permitted(unshare: &Path, way: &[&str]) -> bool {
    let mut trial = Command::new(unshare);
    trial.args(way).args(["/bin/sh", "-c", ":"]).env_clear();
    trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success())
}

/// A program, as a shell would find it; only in absolute folders of the PATH.
#[expect(clippy::disallowed_methods, reason = "the renderer is the user's own, found as a shell finds it")]
fn found(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
