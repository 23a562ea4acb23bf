//! Waits, by watch, until the definitions of a release are established.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;

use super::Kubernetes;
use super::connection::chain;
use super::kinds::Kinds;
use super::plan::Item;
use super::trouble::Trouble;
use crate::reason::{ErrorCode, Problem};

/// A definition is established within a fraction of a second, unless its names are taken.
const LIMIT: Duration = Duration::from_mins(1);
/// Between two questions whether a kind is served: the server's router follows a definition after a moment.
const PAUSE: Duration = Duration::from_millis(200);
/// How often that is asked.
const QUESTIONS: usize = 50;

impl Kubernetes {
    /// Waits for these definitions, all at the same time.
    pub(super) async fn wait_established(&self, definitions: &[&Item]) -> Trouble {
        let waits = definitions.iter().map(|item| async move { (*item, self.established(&item.id.name).await) });
        let mut trouble = Trouble::default();
        for (item, done) in future::join_all(waits).await {
            if let Err(message) = done {
                let help = "look at the definition's conditions: its names may be taken";
                trouble.passing(item.problem(ErrorCode::TargetRejected, &message).with_help(help));
            }
        }
        trouble
    }

    async fn established(&self, name: &str) -> Result<(), String> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.connection.client());
        let wait = await_condition(definitions, name, is_crd_established());
        match tokio::time::timeout(LIMIT, wait).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("failed to watch the definition: {}", chain(&error))),
            Err(_) => Err(format!("the definition was not established within {} s", LIMIT.as_secs())),
        }
    }

    /// Asks for the kinds of these objects until all of them are served.
    pub(super) async fn wait_served(&self, items: &[&Item]) -> Result<Kinds, Trouble> {
        let mut missing = BTreeSet::new();
        for _ in 0..QUESTIONS {
            let api_versions = items.iter().map(|item| item.api_version()).collect();
            let kinds = Kinds::load(&self.connection, api_versions).await.map_err(|fault| {
                let mut trouble = Trouble::default();
                trouble.other("ask for the kinds of the cluster", &fault);
                trouble
            })?;
            missing = items
                .iter()
                .filter(|item| item.resource(&kinds).is_none())
                .map(|item| format!("{} in {}", item.id.kind, item.api_version()))
                .collect();
            if missing.is_empty() {
                return Ok(kinds);
            }
            tokio::time::sleep(PAUSE).await;
        }
        let mut trouble = Trouble::default();
        for kind in missing {
            let message = format!("the cluster does not serve {kind}, though its definition is established");
            trouble.lasting(
                Problem::new(ErrorCode::TargetRejected, message)
                    .with_help("write a version that the definition serves"),
            );
        }
        Err(trouble)
    }
}
