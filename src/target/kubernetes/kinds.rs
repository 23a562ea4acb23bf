//! Which kinds a cluster serves, and how their objects are addressed.
//!
//! Only the group-versions that are needed are asked for; a 404 means that one is not served, or not yet.

use std::collections::{BTreeMap, BTreeSet};

use http::Request;
use serde::Deserialize;

use super::connection::Connection;
use super::fault::{Fault, Kind};
use super::plan::Id;
use super::window::Window;

/// The kinds of some group-versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    served: BTreeMap<String, BTreeMap<String, Resource>>,
}

/// How objects of a kind are addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    /// The plural.
    pub(super) plural: String,
    /// Whether they live in namespaces.
    pub(super) scope: Scope,
}

/// Where objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// In the cluster.
    Cluster,
    /// In namespaces.
    Namespaced,
}

#[derive(Deserialize)]
struct List {
    resources: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    kind: String,
    namespaced: bool,
}

#[derive(Deserialize)]
struct Group {
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion {
    version: String,
}

impl Kinds {
    /// Asks for the kinds of these group-versions.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(super) async fn load(connection: &Connection, api_versions: BTreeSet<String>) -> Result<Self, Fault> {
        let mut window = Window::new();
        for api_version in api_versions {
            window.push(kinds_of(connection, api_version)).await;
        }
        let served = window.finish().await.into_iter().collect::<Result<_, Fault>>()?;
        Ok(Self { served })
    }

    /// How objects of this kind are addressed; none where it is not served.
    pub(super) fn resource(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.served.get(api_version)?.get(kind)
    }
}

/// The versions of a group that the server knows, the preferred one first; none where it knows no such group.
///
/// # Errors
/// When the server cannot be asked.
pub(super) async fn versions(connection: &Connection, group: &str) -> Result<Vec<String>, Fault> {
    if group.is_empty() {
        return Ok(vec!["v1".to_owned()]);
    }
    match connection.send(get(&format!("/apis/{group}"))?).await {
        Ok(answer) => serde_json::from_value::<Group>(answer.body)
            .map(|group| group.versions.into_iter().map(|it| it.version).collect())
            .map_err(|_| Fault::garbled(200, "the answer is no list of versions")),
        Err(fault) if fault.kind == Kind::NotServed => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// The path of a kind's objects in a namespace or in the cluster.
pub(super) fn path(api_version: &str, resource: &Resource, namespace: Option<&str>) -> String {
    let root = root(api_version);
    match namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{}", resource.plural),
        None => format!("{root}/{}", resource.plural),
    }
}

/// A request for an object at this path.
///
/// # Errors
/// When the path cannot be one.
pub(super) fn get(path: &str) -> Result<Request<Vec<u8>>, Fault> {
    Request::get(path).body(Vec::new()).map_err(|error| Fault::unsendable(&error))
}

/// A request for an object's metadata alone.
///
/// # Errors
/// When the path cannot be one.
pub(super) fn get_metadata(path: &str, id: &Id) -> Result<Request<Vec<u8>>, Fault> {
    kube::core::Request::new(path)
        .get_metadata(&id.name, &kube::api::GetParams::default())
        .map_err(|error| Fault::unsendable(&error))
}

fn root(api_version: &str) -> String {
    if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") }
}

async fn kinds_of(connection: &Connection, api_version: String) -> Result<(String, BTreeMap<String, Resource>), Fault> {
    let answer = match connection.send(get(&root(&api_version))?).await {
        Ok(answer) => answer,
        Err(fault) if fault.kind == Kind::NotServed => return Ok((api_version, BTreeMap::new())),
        Err(fault) => return Err(fault),
    };
    let list: List = serde_json::from_value(answer.body)
        .map_err(|_| Fault::garbled(200, &format!("the answer for {api_version} is no list of kinds")))?;
    Ok((api_version, read(list)))
}

/// Names with a slash are parts of objects (`deployments/scale`), not kinds to apply.
fn read(list: List) -> BTreeMap<String, Resource> {
    let mut kinds = BTreeMap::new();
    for listed in list.resources.into_iter().filter(|listed| !listed.name.contains('/')) {
        let scope = if listed.namespaced { Scope::Namespaced } else { Scope::Cluster };
        kinds.entry(listed.kind).or_insert(Resource { plural: listed.name, scope });
    }
    kinds
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_objects_are_no_kinds() {
        let list = json!({"resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true},
            {"name": "namespaces", "kind": "Namespace", "namespaced": false},
        ]});
        let kinds = read(serde_json::from_value(list).unwrap());
        let found: Vec<(&str, Scope)> = kinds.iter().map(|(kind, it)| (kind.as_str(), it.scope)).collect();
        assert_eq!(found, [("Deployment", Scope::Namespaced), ("Namespace", Scope::Cluster)]);
    }

    #[test]
    fn paths_follow_group_and_scope() {
        let resource = Resource { plural: "things".to_owned(), scope: Scope::Namespaced };
        assert_eq!(path("v1", &resource, None), "/api/v1/things");
        assert_eq!(path("v1", &resource, Some("a")), "/api/v1/namespaces/a/things");
        assert_eq!(path("x.io/v1", &resource, Some("a")), "/apis/x.io/v1/namespaces/a/things");
    }
}
