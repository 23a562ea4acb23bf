//! What renderers are told, as data: which programs, how much they may use, and what a chart is rendered with.

use std::path::PathBuf;
use std::time::Duration;

use crate::snapshot::{File, Renderer};

/// What renderers are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The programs of this machine.
    pub programs: Programs,
    /// How much one build may use.
    pub limits: Limits,
    /// What is demanded of the confinement.
    pub isolation: Isolation,
    /// What builds a folder that two renderers could build.
    pub renderer: Option<Renderer>,
    /// With what every chart is rendered, where its folder says nothing else.
    pub helm: HelmOptions,
    /// What single folders are told.
    pub folders: Vec<FolderPlan>,
    /// Whether all files of a source are there.
    pub extent: Extent,
}

/// The programs of this machine; those of the PATH where none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs {
    /// `kustomize`, or a `kubectl`.
    pub kustomize: Option<PathBuf>,
    /// `helm`.
    pub helm: Option<PathBuf>,
}

/// How much one build may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Time.
    pub time: Duration,
    /// Address space in bytes: Go's runtime reserves far more than it uses.
    pub memory: usize,
    /// Bytes that may be rendered.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(30), memory: 4 << 30, output: 64 << 20 }
    }
}

/// What is demanded of the confinement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// The network is cut where the kernel permits.
    #[default]
    BestEffort,
    /// Nothing is built where the network cannot be cut.
    Required,
}

/// Whether all files of a source are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extent {
    /// All: a folder that is told something must be there.
    Whole,
    /// What was named on a command line.
    #[default]
    Part,
}

/// What a single folder is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderPlan {
    /// The folder.
    pub path: String,
    /// What builds it; what it holds says so, where this does not.
    pub renderer: Option<Renderer>,
    /// With what it is rendered, where it is a chart.
    pub helm: HelmOptions,
}

/// With what a chart is rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HelmOptions {
    /// The name of the release; the chart's own, where none is given.
    pub release: Option<String>,
    /// The release's namespace.
    pub namespace: Option<String>,
    /// Files of values over the chart's own, the last one wins.
    pub values: Vec<Values>,
    /// The version of Kubernetes that templates see.
    pub kube_version: Option<String>,
    /// The versions of the API that templates see besides Helm's own.
    pub api_versions: Vec<String>,
}

/// A file of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// In the source, relative to the chart's folder.
    InSource(String),
    /// Given beside it.
    Given(File),
}

impl Plan {
    /// What a folder is told.
    pub(super) fn of_folder(&self, folder: &str) -> Option<&FolderPlan> {
        self.folders.iter().find(|plan| is_same(folder, &plan.path))
    }

    /// With what a chart is rendered: what its folder is told, over what every chart is told.
    pub(super) fn helm_of(&self, folder: &str) -> HelmOptions {
        let own = self.of_folder(folder).map(|plan| plan.helm.clone()).unwrap_or_default();
        let all = self.helm.clone();
        let or = |own: Vec<String>, all: Vec<String>| if own.is_empty() { all } else { own };
        HelmOptions {
            release: own.release.or(all.release),
            namespace: own.namespace.or(all.namespace),
            // Later files win, and what was typed comes last.
            values: own.values.into_iter().chain(all.values).collect(),
            kube_version: own.kube_version.or(all.kube_version),
            api_versions: or(own.api_versions, all.api_versions),
        }
    }
}

/// Whether a folder is the one that is meant; on a command line it may be named from further above.
pub(super) fn is_same(folder: &str, meant: &str) -> bool {
    let meant = meant.trim_matches('/').trim_start_matches("./");
    let meant = if meant == "." { "" } else { meant };
    folder == meant || (!meant.is_empty() && folder.strip_suffix(meant).is_some_and(|rest| rest.ends_with('/')))
}
