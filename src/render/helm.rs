//! How a chart is rendered, and what is refused before: values that are not there, sub-charts that nobody vendored, and
//! schemas that would be fetched.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::confine::Confined;
use super::folders::Folders;
use super::plan::{HelmOptions, Plan, Values};
use super::program::Told;
use super::{below, folder_of, resolved};
use crate::manifest::{Limits, Node, read};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::{File, Network};

/// Longest name of a release that Helm takes.
const MAX_RELEASE: usize = 53;

/// The files of values that the plan names in the source; they are no manifests, wherever they stand.
pub(super) fn values_in_source(folders: &Folders, plan: &Plan) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for folder in folders.charts() {
        for values in plan.helm_of(folder).values {
            match values {
                Values::InSource(path) => named.extend(resolved(folder, &path)),
                Values::Given(_) => {}
            }
        }
    }
    named
}

/// What is wrong with a chart before Helm sees it.
pub(super) fn refused(folder: &str, files: &[File]) -> Vec<Problem> {
    let path = below(folder, "Chart.yaml");
    let Some(chart) = files.iter().find(|file| file.path.as_ref() == path) else { return Vec::new() };
    let documents = match read(chart, &Limits::default()) {
        Ok(documents) => documents,
        Err(problems) => return problems,
    };
    let dependencies = documents.iter().filter_map(|document| document.root.get("dependencies")?.items());
    dependencies.flatten().filter_map(|wanted| missing(chart, folder, wanted, files)).collect()
}

/// A sub-chart that `Chart.yaml` names and that does not stand below `charts/`.
fn missing(chart: &File, folder: &str, wanted: &Node, files: &[File]) -> Option<Problem> {
    let name = wanted.get("name").and_then(Node::as_str).unwrap_or_default();
    let charts = below(folder, "charts");
    let unpacked = format!("{charts}/{name}/Chart.yaml");
    let archive = |path: &str| {
        let packed = path.strip_prefix(charts.as_str()).and_then(|path| path.strip_prefix('/'));
        let version = packed.and_then(|packed| packed.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".tgz"));
        version.is_some_and(|version| version.starts_with(|c: char| c == 'v' || c.is_ascii_digit()))
    };
    // A chart may be unpacked under another folder's name; then Helm tells.
    let vendored = files.iter().any(|file| {
        let path = file.path.as_ref();
        path == unpacked || archive(path) || (path.ends_with("/Chart.yaml") && is_child(path, &charts))
    });
    if vendored {
        return None;
    }
    let message = format!("the sub-chart `{name}` is named and not vendored: it stands not below `charts/`");
    let problem = Problem::new(ErrorCode::UnsupportedFile, message).in_file(chart.path.as_ref()).at(wanted.place);
    Some(
        problem
            .with_help("run `helm dependency update` and commit what it writes to `charts/`: nothing is fetched here"),
    )
}

fn is_child(path: &str, charts: &str) -> bool {
    folder_of(folder_of(path)) == charts
}

/// What the renderer is told to render a chart, and the files from which it does.
pub(super) fn arguments(
    confined: &Confined<'_>,
    folder: &str,
    inside: &[File],
    plan: &Plan,
) -> Result<(Vec<OsString>, Vec<File>), Problem> {
    let HelmOptions { release, namespace, values, kube_version, api_versions } = plan.helm_of(folder);
    let mut files = below_folder(folder, inside);
    if confined.network() == Network::Open {
        unreachable_schemas(&files)?;
    }
    let release = release.unwrap_or_else(|| release_name(folder, &files));
    let mut arguments: Vec<OsString> = vec![confined.programs().helm()?.into(), "template".into(), release.into()];
    arguments.push(confined.place(folder)?.into());
    // What is installed with a chart is rendered with it; its tests are never installed.
    arguments.extend(["--include-crds", "--skip-tests"].map(OsString::from));
    if let Some(namespace) = namespace {
        arguments.extend([OsString::from("--namespace"), namespace.into()]);
    }
    for (number, values) in values.iter().enumerate() {
        let place = match values {
            Values::Given(file) => {
                files.push(file.clone());
                confined.give(number, "values", &file.bytes)?
            }
            Values::InSource(path) => {
                let file = in_source(folder, path, inside)?;
                if !files.contains(file) {
                    files.push(file.clone());
                }
                confined.place(&file.path)?
            }
        };
        arguments.extend([OsString::from("--values"), place.into()]);
    }
    if let Some(version) = kube_version {
        arguments.extend([OsString::from("--kube-version"), version.into()]);
    }
    for version in api_versions {
        arguments.extend([OsString::from("--api-versions"), version.into()]);
    }
    Ok((arguments, files))
}

/// Renders.
pub(super) fn run(confined: &Confined<'_>, arguments: &[OsString]) -> Result<Vec<u8>, Problem> {
    confined.run(arguments).map_err(|told| match told {
        Told::Limit(message) => Problem::new(ErrorCode::LimitExceeded, message),
        Told::Failed(what) => {
            Problem::new(ErrorCode::UnsupportedFile, format!("failed to render the chart with helm: {what}"))
                .with_help("see that `helm template` works on the chart as committed, with the same values")
        }
    })
}

fn below_folder(folder: &str, files: &[File]) -> Vec<File> {
    let prefix = below(folder, "");
    files.iter().filter(|file| file.path.starts_with(&prefix)).cloned().collect()
}

fn in_source<'f>(folder: &str, path: &str, files: &'f [File]) -> Result<&'f File, Problem> {
    let found = resolved(folder, path).and_then(|path| files.iter().find(|file| file.path.as_ref() == path));
    found.ok_or_else(|| {
        Problem::new(ErrorCode::UnsupportedFile, format!("there is no file of values `{path}` for this chart"))
            .with_help("name it relative to the chart's folder, inside the path of the gate and not excluded")
    })
}

/// The chart's own name, made a name that a release may have.
fn release_name(folder: &str, files: &[File]) -> String {
    let path = below(folder, "Chart.yaml");
    let chart = files.iter().find(|file| file.path.as_ref() == path);
    // What cannot be read was refused before.
    let documents = chart.map(|chart| read(chart, &Limits::default()).unwrap_or_default()).unwrap_or_default();
    let name = documents.first().and_then(|document| document.root.get("name")?.as_str()).unwrap_or_default();
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(fits).take(MAX_RELEASE).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "release".to_owned() } else { name.to_owned() }
}

/// Where the network is not cut, nothing may be left that Helm would fetch: a schema can name another one by its address.
fn unreachable_schemas(files: &[File]) -> Result<(), Problem> {
    let odd = files.iter().find(|file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let names_an_address = || {
            let text = String::from_utf8_lossy(&file.bytes);
            text.contains("$ref") && text.contains("://") || text.contains("\\u")
        };
        name.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("tgz"))
            || (name == "values.schema.json" && names_an_address())
    });
    let Some(file) = odd else { return Ok(()) };
    let message = format!("`{}` could make helm fetch a schema, and the network cannot be cut here", file.path);
    Err(Problem::new(ErrorCode::UnsupportedFile, message).with_help(
        "let this process make user namespaces; or unpack archives below `charts/`, and let schemas name no addresses",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), bytes: text.as_bytes().to_vec().into() }
    }

    #[test]
    fn a_sub_chart_that_is_not_vendored_is_refused() {
        let chart = "name: web\ndependencies:\n- {name: redis, version: 1.x, repository: 'https://example.com'}\n";
        let table = [
            (None, 1),
            (Some("a/charts/redis-1.2.3.tgz"), 0),
            (Some("a/charts/redis-v2.tgz"), 0),
            (Some("a/charts/redis-ha-1.2.3.tgz"), 1),
            (Some("a/charts/redis/Chart.yaml"), 0),
            (Some("a/charts/other-name/Chart.yaml"), 0),
            (Some("b/charts/redis/Chart.yaml"), 1),
        ];
        for (vendored, count) in table {
            let mut files = vec![file("a/Chart.yaml", chart)];
            files.extend(vendored.map(|path| file(path, "name: redis")));
            assert_eq!(refused("a", &files).len(), count, "{vendored:?}");
        }
        assert_eq!(refused("a", &[file("a/Chart.yaml", "a: !x y")]).len(), 1);
    }

    #[test]
    fn a_release_has_a_name_that_helm_takes() {
        for (name, expected) in
            [("web", "web"), ("Web_App", "web-app"), ("-", "release"), (&"x".repeat(90), &"x".repeat(53))]
        {
            let files = [file("Chart.yaml", &format!("name: \"{name}\""))];
            assert_eq!(release_name("", &files), expected);
        }
    }

    #[test]
    fn what_helm_would_fetch_is_refused_where_the_network_is_open() {
        let table = [
            ("a/values.schema.json", "{\"$ref\": \"https://example.com/x\"}", true),
            ("a/values.schema.json", "{\"$\\u0072ef\": \"https:\\u002f/example.com/x\"}", true),
            ("a/values.schema.json", "{\"$schema\": \"https://json-schema.org/draft-07/schema#\"}", false),
            ("a/values.schema.json", "{\"$ref\": \"#/definitions/x\"}", false),
            ("a/charts/b-1.0.0.tgz", "", true),
            ("a/values.yaml", "$ref: https://example.com", false),
        ];
        for (path, text, refused) in table {
            assert_eq!(unreachable_schemas(&[file(path, text)]).is_err(), refused, "{path} {text}");
        }
    }
}
