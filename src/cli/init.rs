//! `sealgate init`: a first configuration and policy for a repository, from what its images are signed with today.
//!
//! A rule is proposed only for signatures that were verified just now, and asks for all that every image of a repository
//! had. What could not be proven is a comment: without a rule it is refused. No file is written over.

mod proposal;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::assembly::{self, RegistryPlan};
use crate::discovery;
use crate::discovery::site::Action;
use crate::gate::Finder;
use crate::image::{Host, ImageRef};
use crate::manifest;
use crate::outcome::Observer;
use crate::pipeline;
use crate::pipeline::judge::{Bounds, Entry, Judge};
use crate::pipeline::reading::Reader;
use crate::policy::{PolicySet, material};
use crate::reason::{ErrorCode, Problem};
use crate::registry::{Access, Client, default_credential_files};
use crate::render;
use crate::report::{self, Report};
use crate::settings;
use crate::signer::PublicKey;
use crate::signer::identity::{Expected, Identity};
use crate::signer::root::TrustRoot;
use crate::source::worktree::WorkTree;
use crate::source::{self, directory};
use crate::trust;

use super::output::{self, Output};
use super::progress::Progress;
use super::setup::usage;
use super::{Environment, Exit, block_on};

use proposal::{Proof, Proposal, Seen};

/// Time for one image with all its retries.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Images judged at once.
const JOBS: usize = 16;
/// The file of the public-good root, where it is what proved an identity.
const ROOT_FILE: &str = "trusted_root.json";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files or folders of manifests
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A registry that may be asked; no other one is (repeatable)
    #[arg(long, value_name = "HOST")]
    registry: Vec<String>,
    /// A file whose top-level key is `registries:`
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// A public key in PEM that may have signed (repeatable)
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// The sigstore trusted root, in JSON, for certificates [default: the public-good one that this program carries]
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// The namespace of objects that name none
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Files and folders to leave out (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Where `sealgate.yaml` and `policy.yaml` are written
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Everything that registries are asked with.
struct Probe {
    client: Client,
    observer: std::sync::Arc<Progress>,
    now: Timestamp,
}

pub(super) fn run(args: &Args, environment: &Environment, output: &Output) -> Exit {
    match propose(args, environment) {
        Ok(summary) => output::raw(summary.as_bytes()),
        Err(problems) => output.problems(&problems).worst(Exit::Bad),
    }
}

fn propose(args: &Args, environment: &Environment) -> Result<String, Vec<Problem>> {
    let files = ["sealgate.yaml", "policy.yaml", ROOT_FILE].map(|name| args.dir.join(name));
    free(&files)?;
    let images = images(args)?;
    let (root, root_text) = trusted_root(args.trusted_root.as_deref())?;
    let probe = Probe::new(args, environment)?;
    let named = hosts(args)?;
    let (asked, silent): (Vec<_>, Vec<_>) = images.into_iter().partition(|image| {
        let host = image.repository().host();
        named.contains(host) || host.is_loopback()
    });
    let mut seen: Vec<Seen> = block_on(look(&probe, args, &asked, &root)).map_err(|problem| vec![problem])??;
    seen.extend(silent.iter().map(Seen::not_asked));
    let root_file = match &args.trusted_root {
        Some(path) => absolute(path)?,
        None => ROOT_FILE.to_owned(),
    };
    let proposal = Proposal::new(&seen, &root_file);
    let policy = proposal.policy();
    prove(&probe, &proposal, &policy, &root_text).map_err(|why| vec![bug(&why)])?;
    let configuration = proposal::configuration(&gate_source(args)?);
    let path = files.first().cloned().unwrap_or_default();
    let text = crate::snapshot::File { path: "sealgate.yaml".into(), bytes: configuration.clone().into() };
    settings::parse(&text, &path, &BTreeMap::new()).map_err(|found| vec![bug(&format!("{found:?}"))])?;
    let [configuration_file, policy_file, carried_root] = &files;
    write(policy_file, &policy)?;
    write(configuration_file, &configuration)?;
    if args.trusted_root.is_none() && proposal.needs_root() {
        write(carried_root, &root_text)?;
    }
    Ok(proposal.summary(&args.dir))
}

/// No file of ours may stand there; asked first, so that nobody is asked in vain.
fn free(files: &[PathBuf]) -> Result<(), Vec<Problem>> {
    let taken = files.iter().filter(|path| path.symlink_metadata().is_ok());
    let problems: Vec<Problem> = taken
        .map(|path| {
            let problem = Problem::new(ErrorCode::Usage, "the file is there already, and is not written over");
            problem.in_file(path.display().to_string()).with_help("remove it, or write elsewhere with `--dir DIR`")
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The distinct references that manifests name, in their order.
fn images(args: &Args) -> Result<Vec<ImageRef>, Vec<Problem>> {
    let found = directory::read(&args.paths, &args.exclude, &mut std::io::empty(), &source::Limits::default())?;
    let render::Rendered { files, sources: _, problems } = render::render(found, &render::Plan::default());
    if !problems.is_empty() {
        return Err(problems);
    }
    let (rules, limits) = (discovery::Rules::default(), manifest::Limits::default());
    let finder = Finder { rules: &rules, namespace: args.namespace.as_deref(), limits: &limits };
    let reading = Reader::default().read(&files, &finder, &crate::outcome::Unobserved);
    if !reading.problems.is_empty() {
        return Err(reading.problems);
    }
    let mut images = BTreeMap::new();
    for site in reading.sites.iter().filter(|site| matches!(site.action, Action::Pin | Action::Verify)) {
        match &site.image {
            Ok(image) => {
                images.insert(site.written.clone(), image.clone());
            }
            Err(error) => {
                let problem = Problem::new(ErrorCode::YamlInvalid, format!("`{}`: {error}", site.written));
                return Err(vec![problem.in_file(site.file.to_string()).at(site.place)]);
            }
        }
    }
    Ok(images.into_values().collect())
}

fn hosts(args: &Args) -> Result<BTreeSet<Host>, Vec<Problem>> {
    let parse = |name: &String| Host::parse(name).map_err(|error| usage(format!("--registry: {error}")));
    args.registry.iter().map(parse).collect()
}

fn trusted_root(path: Option<&Path>) -> Result<(TrustRoot, String), Vec<Problem>> {
    let name = path.map_or_else(|| "the carried root".to_owned(), |path| path.display().to_string());
    let bytes = match path {
        Some(_) => trust::file::beside("", &name),
        None => Ok(sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT.as_bytes().to_vec()),
    };
    let read = bytes.and_then(|bytes| {
        let root = TrustRoot::from_json(&bytes).map_err(|error| error.to_string())?;
        root.issues().map_err(|error| error.to_string())?;
        Ok((root, String::from_utf8_lossy(&bytes).into_owned()))
    });
    read.map_err(|why| {
        let problem = Problem::new(ErrorCode::PolicyInvalid, format!("failed to read the trust root: {why}"));
        vec![problem.in_file(name).with_help("give a sigstore trusted root in JSON")]
    })
}

impl Probe {
    fn new(args: &Args, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let mut plan = RegistryPlan { credentials: default_credential_files(environment), ..RegistryPlan::default() };
        if let Some(path) = &args.registry_config {
            plan.hosts.extend(assembly::hosts(&settings::load_registries(path)?)?);
        }
        let observer = Progress::new();
        let access = Access { hosts: hosts(args)?, any_loopback: true };
        let listener: std::sync::Arc<dyn Observer> = observer.clone();
        let client = plan.client(access, TIMEOUT, listener).map_err(|problem| vec![problem])?;
        Ok(Self { client, observer, now: now() })
    }

    async fn verify(&self, images: &[ImageRef], policies: &PolicySet) -> Report {
        let bounds = Bounds { jobs: JOBS, image_timeout: TIMEOUT, decision_timeout: Duration::from_hours(24) };
        let judge = Judge {
            registry: &self.client,
            policies,
            store: None,
            observer: self.observer.as_ref(),
            bounds,
            now: self.now,
        };
        pipeline::verify(images.iter().map(entry).collect(), &judge).await
    }
}

fn entry(image: &ImageRef) -> Entry {
    Entry { reference: image.written().to_owned(), image: Ok(image.clone()), sites: Vec::new(), refused: None }
}

/// What can be seen of these images, with each key and with any certificate.
async fn look(probe: &Probe, args: &Args, images: &[ImageRef], root: &TrustRoot) -> Result<Vec<Seen>, Vec<Problem>> {
    let anyone = || Expected::matching(".+").map_err(|error| usage(error.to_string()));
    let anybody = Identity { issuer: anyone()?, subject: anyone()?, claims: BTreeMap::new() };
    let policies = PolicySet::from_identity(anybody, root.clone(), &BTreeMap::new());
    let report = probe.verify(images, &policies).await;
    let mut seen: Vec<Seen> = images.iter().zip(&report.images).map(|(image, found)| certified(image, found)).collect();
    for path in &args.key {
        let name = path.display().to_string();
        let pem = trust::file::beside("", &name);
        let key = pem.and_then(|pem| PublicKey::from_pem(&pem).map_err(|error| error.to_string()));
        let key = key.map_err(|why| {
            let problem = Problem::new(ErrorCode::PolicyInvalid, format!("failed to read the key: {why}"));
            vec![problem.in_file(&name).with_help("give a public key in PEM, such as cosign.pub")]
        })?;
        let policies = PolicySet::from_keys(vec![(name, key)], &BTreeMap::new()).map_err(|problem| vec![problem])?;
        let report = probe.verify(images, &policies).await;
        let proof = Proof::Key(absolute(path)?);
        for (seen, found) in seen.iter_mut().zip(&report.images) {
            if found.verdict == Some("verified") {
                seen.proofs.insert(proof.clone());
            }
        }
    }
    Ok(seen)
}

/// Whose certificates proved it, and for the rest what the candidates say of themselves.
fn certified(image: &ImageRef, found: &report::Image) -> Seen {
    let mut seen = Seen::new(image);
    for candidate in &found.candidates {
        let proven = candidate.failed.is_none().then_some(candidate.signer.as_deref()).flatten();
        if let Some((issuer, subject)) = proven.and_then(|signer| signer.split_once(' ')) {
            seen.proofs.insert(Proof::Identity { issuer: issuer.to_owned(), subject: subject.to_owned() });
        } else {
            let signer = candidate.signer.as_deref().unwrap_or("an unknown signer");
            seen.hints.insert(format!("{} that names {signer}: {}", candidate.kind, candidate.message));
        }
    }
    if found.verdict != Some("verified") {
        seen.hints.extend(found.reasons.iter().map(|reason| format!("{}: {}", reason.code, reason.message)));
    }
    seen
}

/// The proposal is what will be in force: it loads, and lets through what it was made from.
fn prove(probe: &Probe, proposal: &Proposal, policy: &str, root: &str) -> Result<(), String> {
    let file =
        crate::policy::PolicyFile { name: "policy.yaml".to_owned(), text: policy.to_owned().into_bytes().into() };
    let read = material::files(|_, path| match path {
        ROOT_FILE => Ok(root.as_bytes().to_vec()),
        path => trust::file::beside("", path),
    });
    let set = crate::policy::load(&[file], &read).map_err(|problems| format!("{problems:?}"))?;
    let covered = proposal.covered();
    let report = block_on(probe.verify(&covered, &set)).map_err(|problem| problem.to_string())?;
    match report.images.iter().find(|image| image.verdict != Some("verified")) {
        Some(image) => {
            Err(format!("`{}` does not pass the policy that was made from it: {:?}", image.reference, image.reasons))
        }
        None => Ok(()),
    }
}

/// Where the manifests lie: their repository, branch and folder; a folder in no repository stands for itself.
fn gate_source(args: &Args) -> Result<proposal::Source, Vec<Problem>> {
    let first = args.paths.first().cloned().unwrap_or_default();
    let Ok(tree) = WorkTree::around(&first) else {
        return Ok(proposal::Source { git: absolute(&first)?, branch: None, path: None, is_repository: false });
    };
    let one = |problem: Problem| vec![problem];
    let place = tree.place(&first).map_err(one)?.filter(|place| !place.is_empty());
    let path = match place {
        Some(place) if first.is_file() => place.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
        place => place,
    };
    Ok(proposal::Source { git: tree.folder(), branch: tree.branch(), path, is_repository: true })
}

fn absolute(path: &Path) -> Result<String, Vec<Problem>> {
    let wrong = |why: String| {
        vec![
            Problem::new(ErrorCode::FileUnreadable, format!("failed to find the path: {why}"))
                .in_file(path.display().to_string()),
        ]
    };
    let real = std::fs::canonicalize(path).map_err(|error| wrong(error.to_string()))?;
    real.to_str().map(str::to_owned).ok_or_else(|| wrong("its name is not UTF-8".to_owned()))
}

fn write(path: &Path, text: &str) -> Result<(), Vec<Problem>> {
    let written = std::fs::File::create_new(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| {
        let problem = Problem::new(ErrorCode::FileUnreadable, format!("failed to write the file: {error}"));
        vec![
            problem.in_file(path.display().to_string()).with_help("check the folder, or name another with `--dir DIR`"),
        ]
    })
}

fn bug(why: &str) -> Problem {
    Problem::new(ErrorCode::PolicyInvalid, format!("the proposal cannot be used, and nothing was written: {why}"))
        .with_help("try again: the registry may have changed meanwhile; else please report this as a bug")
}

#[expect(clippy::disallowed_methods, reason = "the command line is where time enters")]
fn now() -> Timestamp {
    Timestamp::now()
}
