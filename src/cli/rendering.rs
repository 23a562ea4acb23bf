//! What is typed about renderers.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::reason::{ErrorCode, Problem};
use crate::render::{Plan, Values};
use crate::snapshot::{File, Renderer};

/// Longest file of values, in bytes.
const MAX_VALUES: u64 = 10 << 20;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Rendering")]
pub(super) struct RenderArgs {
    /// What builds a folder that both could build
    #[arg(long, value_enum, value_name = "NAME")]
    renderer: Option<Choice>,
    /// Values for every chart, over the chart's own (repeatable, the last one wins)
    #[arg(long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// The name of every chart's release [default: the chart's name]
    #[arg(long, value_name = "NAME")]
    release: Option<String>,
    /// The version of Kubernetes that charts see
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// A version of the API that charts see besides Helm's own (repeatable, or with commas)
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    api_versions: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    Kustomize,
    Helm,
}

impl RenderArgs {
    /// What was typed, over what the configuration says.
    ///
    /// # Errors
    /// Every file of values that cannot be read.
    pub(super) fn over(&self, mut plan: Plan, namespace: Option<&str>) -> Result<Plan, Vec<Problem>> {
        let chosen = self.renderer.map(|choice| match choice {
            Choice::Kustomize => Renderer::Kustomize,
            Choice::Helm => Renderer::Helm,
        });
        plan.renderer = chosen.or(plan.renderer);
        let mut problems = Vec::new();
        for path in &self.values {
            match given(path) {
                Ok(file) => plan.helm.values.push(Values::Given(file)),
                Err(problem) => problems.push(problem),
            }
        }
        plan.helm.release = self.release.clone().or(plan.helm.release);
        plan.helm.namespace = namespace.map(str::to_owned).or(plan.helm.namespace);
        plan.helm.kube_version = self.kube_version.clone().or(plan.helm.kube_version);
        if !self.api_versions.is_empty() {
            plan.helm.api_versions.clone_from(&self.api_versions);
        }
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }
}

fn given(path: &Path) -> Result<File, Problem> {
    let mut bytes = Vec::new();
    let name = path.display().to_string();
    let failed = |error: std::io::Error| {
        Problem::new(ErrorCode::FileUnreadable, format!("failed to read the values: {error}"))
            .in_file(name.clone())
            .with_help("check the path and its permissions")
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_VALUES.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_VALUES) {
        let message = format!("the file has more than {MAX_VALUES} bytes");
        return Err(Problem::new(ErrorCode::LimitExceeded, message).in_file(name));
    }
    Ok(File { path: name.into(), bytes: bytes.into() })
}
