//! The registry client against registries that behave, and against ones that do not.

mod auth;
mod evidence;
mod faults;
mod network;
mod real;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealgate::artifact::{Artifact, Content, Evidence, Fault, Lookup, Sought};
use sealgate::image::{Digest, Host, ImageRef, PinnedImage, Repository};
use sealgate::outcome::{Event, Observer, RegistryOperation};
use sealgate::registry::{Access, Client, HostOptions, Options, Registry as _};

use crate::support::fake_registry::FakeRegistry;

/// Listens to requests.
#[derive(Default)]
struct Ear(Mutex<Vec<(RegistryOperation, u16)>>);

impl Observer for Ear {
    fn observe(&self, event: &Event<'_>) {
        if let Event::RegistryRequest { operation, code, .. } = event {
            self.0.lock().unwrap().push((*operation, *code));
        }
    }
}

/// Options that allow these hosts, and give up soon.
fn options(hosts: &[Host]) -> Options {
    let hosts: BTreeSet<Host> = hosts.iter().cloned().collect();
    let mut options = Options::new(Access { hosts, any_loopback: false });
    options.limits.backoff = Duration::from_millis(1);
    options
}

fn client(options: Options) -> (Client, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    (Client::new(options, Arc::<Ear>::clone(&ear)).unwrap(), ear)
}

fn client_of(registry: &FakeRegistry) -> Client {
    client(options(&[registry.host()])).0
}

fn with_host(mut options: Options, host: Host, settings: HostOptions) -> Options {
    options.hosts.insert(host, settings);
    options
}

fn image(registry: &FakeRegistry, rest: &str) -> ImageRef {
    ImageRef::parse(&format!("{}/{rest}", registry.host().as_str())).unwrap()
}

fn lookup(registry: &FakeRegistry, path: &str, digest: Digest) -> Lookup {
    Lookup {
        repository: Repository::new(registry.host(), path).unwrap(),
        digest,
        hints: Vec::new(),
        sought: Sought::signatures(),
    }
}

async fn resolve(client: &Client, registry: &FakeRegistry, rest: &str) -> Result<PinnedImage, Fault> {
    client.resolve(&image(registry, rest)).await
}

/// Everything that is held about a digest.
async fn all(client: &Client, registry: &FakeRegistry, path: &str, digest: Digest) -> Evidence {
    client.evidence(&lookup(registry, path, digest), &|_| false).await
}

fn usable(artifacts: &[Artifact]) -> usize {
    artifacts.iter().filter(|artifact| matches!(artifact.content, Content::Bytes(_))).count()
}
