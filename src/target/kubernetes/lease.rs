//! Leases as the cluster keeps them (`coordination.k8s.io/v1`): one for each gate, and one for each replica, by which the
//! replicas know each other. No input or output.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Request;
use serde_json::{Value, json};

use super::fault::Fault;

/// The label that says what a lease is for.
const LABEL: &str = "sealgate.dev/lease";
/// The annotation of a replica's lease that names the gates which it can serve.
const GATES: &str = "sealgate.dev/gates";
/// A lease lasts so long after its last renewal, as others see it.
pub(super) const LASTS: Duration = Duration::from_secs(12);
/// The most leases: those of 256 gates, and of as many replicas.
const MAX_LEASES: usize = 600;

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// Its holder alone writes for a gate.
    Gate,
    /// A replica is alive.
    Replica,
}

/// What a lease says. Its times are those of other machines: they are compared, never believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Who holds it; empty where nobody does.
    pub(super) holder: String,
    /// How long it lasts after a renewal.
    pub(super) lasts: Duration,
    /// When it was taken.
    pub(super) acquired: String,
    /// When it was renewed last.
    pub(super) renewed: String,
    /// How often the holder changed.
    pub(super) transitions: u64,
}

/// A lease in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    /// Its name.
    pub(super) name: String,
    /// What it is for.
    pub(super) purpose: Purpose,
    /// Its version in the cluster; empty where it is not there.
    pub(super) version: String,
    /// What it says.
    pub(super) record: Record,
    /// The gates that a replica can serve, by the names of their leases.
    pub(super) gates: BTreeSet<String>,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Replica => "replica",
        }
    }
}

impl Record {
    /// Held from now on.
    pub(super) fn taken(&self, me: &str, now: &str) -> Self {
        let same = self.holder == me;
        Self {
            holder: me.to_owned(),
            lasts: LASTS,
            acquired: if same { self.acquired.clone() } else { now.to_owned() },
            renewed: now.to_owned(),
            transitions: if same { self.transitions } else { self.transitions.saturating_add(1) },
        }
    }

    /// Held by nobody.
    pub(super) fn released(&self, now: &str) -> Self {
        Self { holder: String::new(), lasts: Duration::from_secs(1), renewed: now.to_owned(), ..self.clone() }
    }
}

/// The name of a gate's lease.
pub(super) fn gate_lease(gate_label: &str) -> String {
    format!("sealgate.{gate_label}")
}

/// The name of a replica's lease. The names of gates hold no dot, so it is no gate's.
pub(super) fn replica_lease(me: &str) -> String {
    format!("sealgate.replica.{me}")
}

fn path(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}

impl Lease {
    /// One that is not in the cluster yet.
    pub(super) fn absent(name: &str, purpose: Purpose) -> Self {
        let (version, record, gates) = (String::new(), Record::default(), BTreeSet::new());
        Self { name: name.to_owned(), purpose, version, record, gates }
    }

    /// Reads one; none where it is none of ours.
    pub(super) fn read(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let metadata = object.get("metadata")?;
        let purpose = match metadata.get("labels")?.get(LABEL)?.as_str()? {
            "gate" => Purpose::Gate,
            "replica" => Purpose::Replica,
            _ => return None,
        };
        let gates = metadata.get("annotations").and_then(|it| it.get(GATES)).and_then(Value::as_str);
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
        Some(Self {
            name: metadata.get("name")?.as_str()?.to_owned(),
            purpose,
            version: text("/metadata/resourceVersion"),
            record: Record {
                holder: text("/spec/holderIdentity"),
                // One that does not say how long it lasts must not last for ever, nor a moment.
                lasts: number("/spec/leaseDurationSeconds").map_or(LASTS, Duration::from_secs).min(LASTS * 10),
                acquired: text("/spec/acquireTime"),
                renewed: text("/spec/renewTime"),
                transitions: number("/spec/leaseTransitions").unwrap_or_default(),
            },
            gates: gates.unwrap_or_default().split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        })
    }

    /// The leases in an answer to [`list`].
    ///
    /// # Errors
    /// When the answer is no list, or too long.
    pub(super) fn read_all(list: &Value) -> Result<Vec<Self>, Fault> {
        let items = match list.get("items") {
            Some(Value::Array(items)) => items.as_slice(),
            Some(Value::Null) | None => &[],
            Some(_) => return Err(Fault::garbled(200, "the answer is no list")),
        };
        if list.pointer("/metadata/continue").and_then(Value::as_str).is_some_and(|it| !it.is_empty()) {
            return Err(Fault::garbled(200, &format!("there are more than {MAX_LEASES} leases of ours")));
        }
        Ok(items.iter().filter_map(Self::read).collect())
    }

    /// The request that makes the lease say this. It fails where somebody else changed it since it was read.
    ///
    /// # Errors
    /// When the request cannot be made.
    pub(super) fn write(&self, namespace: &str, record: &Record) -> Result<Request<Vec<u8>>, Fault> {
        let mut metadata = json!({
            "name": self.name,
            "namespace": namespace,
            "labels": {LABEL: self.purpose.name(), "app.kubernetes.io/managed-by": "sealgate"},
        });
        if let (Some(metadata), Purpose::Replica) = (metadata.as_object_mut(), self.purpose) {
            let gates: Vec<&str> = self.gates.iter().map(String::as_str).collect();
            metadata.insert("annotations".to_owned(), json!({GATES: gates.join(",")}));
        }
        if let (Some(metadata), false) = (metadata.as_object_mut(), self.version.is_empty()) {
            metadata.insert("resourceVersion".to_owned(), self.version.as_str().into());
        }
        let Record { holder, lasts, acquired, renewed, transitions } = record;
        let time = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        let body = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata,
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": lasts.as_secs(),
                "acquireTime": time(acquired), "renewTime": time(renewed), "leaseTransitions": transitions,
            },
        });
        let path = path(namespace);
        let builder = match self.version.as_str() {
            "" => Request::post(path),
            _ => Request::put(format!("{path}/{}", self.name)),
        };
        let request = builder.header("content-type", "application/json").body(body.to_string().into_bytes());
        request.map_err(|error| Fault::unsendable(&error))
    }

    /// The request that removes the lease.
    ///
    /// # Errors
    /// When the request cannot be made.
    pub(super) fn remove(&self, namespace: &str) -> Result<Request<Vec<u8>>, Fault> {
        let body = json!({"preconditions": {"resourceVersion": self.version}});
        let request = Request::delete(format!("{}/{}", path(namespace), self.name))
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes());
        request.map_err(|error| Fault::unsendable(&error))
    }
}

/// The request for all leases of ours.
///
/// # Errors
/// When the request cannot be made.
pub(super) fn list(namespace: &str) -> Result<Request<Vec<u8>>, Fault> {
    let request = Request::get(format!("{}?labelSelector=sealgate.dev%2Flease&limit={MAX_LEASES}", path(namespace)));
    request.body(Vec::new()).map_err(|error| Fault::unsendable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_comes_back_as_it_was_written() {
        let mut lease = Lease::absent(&replica_lease("a"), Purpose::Replica);
        lease.gates = BTreeSet::from(["sealgate.x".to_owned(), "sealgate.y".to_owned()]);
        let record = Record::default().taken("a", "2026-01-01T00:00:00.000000Z");
        let request = lease.write("sealgate", &record).unwrap();
        assert_eq!(request.method(), "POST");
        let mut object: Value = serde_json::from_slice(request.body()).unwrap();
        object["metadata"]["resourceVersion"] = "7".into();
        let read = Lease::read(&object).unwrap();
        assert_eq!(read, Lease { version: "7".to_owned(), record, ..lease });
        let again = read.write("sealgate", &read.record).unwrap();
        assert_eq!((again.method().as_str(), again.uri().path().ends_with("/sealgate.replica.a")), ("PUT", true));
        assert!(again.body().windows(19).any(|it| it == b"\"resourceVersion\":\"".as_slice()));
    }

    #[test]
    fn a_lease_that_changes_hands_counts_it_and_a_renewal_does_not() {
        let first = Record::default().taken("a", "1");
        let renewed = first.taken("a", "2");
        assert_eq!((first.transitions, renewed.transitions, renewed.acquired.as_str()), (1, 1, "1"));
        let other = renewed.taken("b", "3");
        assert_eq!((other.transitions, other.acquired.as_str()), (2, "3"));
        assert_eq!(other.released("4").holder, "");
    }

    #[test]
    fn what_is_none_of_ours_or_odd_is_not_believed() {
        assert_eq!(Lease::read(&json!({"metadata": {"name": "x"}})), None);
        let odd = json!({"metadata": {"name": "x", "labels": {LABEL: "gate"}}, "spec": {"holderIdentity": "a", "leaseDurationSeconds": 1_000_000}});
        assert_eq!(Lease::read(&odd).unwrap().record.lasts, LASTS * 10);
        assert!(Lease::read_all(&json!({"items": "x"})).is_err());
        assert!(Lease::read_all(&json!({"items": [], "metadata": {"continue": "x"}})).is_err());
        assert_eq!(Lease::read_all(&json!({"items": null})), Ok(Vec::new()));
    }
}
