//! `sealgate images`: every site, offline, and what could not be classified.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::discovery::site::{Action, Layer, Site};
use crate::discovery::{self, settling_line};
use crate::gate::Finder;
use crate::manifest;
use crate::outcome::Unobserved;
use crate::pipeline::reading::Reader;
use crate::reason::Problem;
use crate::render;
use crate::report::text::{printable, rendered};
use crate::report::{Error, SiteEntry};
use crate::settings;
use crate::snapshot::Rendering;
use crate::source::{self, directory};

use super::Exit;
use super::output;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files or folders of manifests, `-` for the standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    rendering: super::rendering::RenderArgs,
    /// The daemon's configuration, for its `discovery` rules
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The namespace of objects that name none
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Files and folders to leave out (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// text or json
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

/// The inventory, in the contract's shape.
#[derive(Debug, Serialize)]
struct Inventory {
    schema: &'static str,
    sites: Vec<Listed>,
    unclassified: Vec<Listed>,
    errors: Vec<Error>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rendered: Vec<Rendering>,
}

#[derive(Debug, Serialize)]
struct Listed {
    reference: String,
    layer: Layer,
    #[serde(flatten)]
    site: SiteEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

pub(super) fn run(args: &Args) -> Exit {
    let inventory = match list(args) {
        Ok(inventory) => inventory,
        Err(problems) => inventory(&[], &problems),
    };
    let exit = inventory.errors.iter().map(|error| Exit::of_error(error.code)).fold(Exit::Ok, Exit::worst);
    let text = match args.output {
        Form::Text => text(&inventory),
        // Strings and numbers only: it cannot fail, and an empty answer would be none.
        Form::Json => serde_json::to_string_pretty(&inventory).unwrap_or_else(|_| "null".to_owned()) + "\n",
    };
    output::raw(text.as_bytes()).worst(exit)
}

fn list(args: &Args) -> Result<Inventory, Vec<Problem>> {
    let rules = match &args.config {
        Some(path) => settings::load(path, &BTreeMap::new())?.discovery,
        None => discovery::Rules::default(),
    };
    let found =
        directory::search(&args.paths, &args.exclude, &mut std::io::stdin().lock(), &source::Limits::default())?;
    let limits = manifest::Limits::default();
    let finder = Finder { rules: &rules, namespace: args.namespace.as_deref(), limits: &limits };
    let plan = args.rendering.over(render::Plan::default(), args.namespace.as_deref())?;
    let rendered = render::render(found.files, &plan);
    let mut reading = Reader::default().read(&rendered.files, &finder, &Unobserved);
    render::trace(&mut reading.sites, &rendered.sources);
    let problems = found.problems.into_iter().chain(rendered.problems).chain(reading.problems);
    let problems: Vec<Problem> = problems.collect();
    let rendered = render::renderings(&rendered.sources);
    Ok(Inventory { rendered, ..inventory(&reading.sites, &problems) })
}

fn inventory(sites: &[Site], problems: &[Problem]) -> Inventory {
    let (unclassified, sites): (Vec<&Site>, Vec<&Site>) =
        sites.iter().partition(|site| site.action == Action::Unclassified);
    Inventory {
        schema: "sealgate.dev/images/v1",
        sites: sites.into_iter().map(|site| listed(site, None)).collect(),
        unclassified: unclassified.into_iter().map(|site| listed(site, Some(settling_line(site)))).collect(),
        errors: problems.iter().map(Error::from).collect(),
        rendered: Vec::new(),
    }
}

fn listed(site: &Site, help: Option<String>) -> Listed {
    Listed { reference: site.written.clone(), layer: site.layer, site: SiteEntry::from(site), help }
}

/// By image, each with its places; then what was not classified, with the line that would settle it; then the errors.
fn text(inventory: &Inventory) -> String {
    let mut page = String::new();
    let mut by_image = BTreeMap::<&str, Vec<&Listed>>::new();
    for listed in &inventory.sites {
        by_image.entry(&listed.reference).or_default().push(listed);
    }
    for (reference, places) in &by_image {
        let _ = writeln!(page, "{}", printable(reference));
        for listed in places {
            place(&mut page, listed);
        }
    }
    for listed in &inventory.unclassified {
        let _ = writeln!(page, "unclassified {}", printable(&listed.reference));
        place(&mut page, listed);
        if let Some(help) = &listed.help {
            let _ = writeln!(page, "  help: {}", printable(help));
        }
    }
    for error in &inventory.errors {
        let file = error.file.as_deref().unwrap_or_default();
        let at = match (error.line, error.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            _ => String::new(),
        };
        let _ = writeln!(page, "error {}{at} {}: {}", printable(file), error.code, printable(&error.message));
        if !error.help.is_empty() {
            let _ = writeln!(page, "  help: {}", printable(&error.help));
        }
    }
    for rendering in &inventory.rendered {
        let _ = writeln!(page, "{}", printable(&rendered(rendering)));
    }
    let (images, sites) = (by_image.len(), inventory.sites.len());
    let (odd, errors) = (inventory.unclassified.len(), inventory.errors.len());
    let _ = writeln!(page, "{images} images in {sites} places, {odd} unclassified, {errors} errors");
    page
}

fn place(page: &mut String, listed: &Listed) {
    let SiteEntry { file, line, column, path, object, reason, .. } = &listed.site;
    let name = object.name.as_deref().unwrap_or("(unnamed)");
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let done = action(listed.site.action);
    let text = format!("{file}:{line}:{column} {} {name} {path} ({done}){reason}", object.kind);
    let _ = writeln!(page, "  {}", printable(&text));
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Pin => "pin",
        Action::Verify => "verify",
        Action::Ignore => "ignore",
        Action::Unclassified => "unclassified",
    }
}
