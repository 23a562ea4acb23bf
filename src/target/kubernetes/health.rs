//! How one object fares, by kstatus' rules. No input or output.
//!
//! Two rules are stricter than kstatus', as those who deploy expect them: a job that runs is not done yet, and a pod that
//! failed has failed. A pod that cannot be scheduled is still coming about: a node may join.

mod view;

use serde_json::Value;

use self::view::View;
use crate::outcome::health::Status;

/// What is said of an object that is as it should be.
const FINE: (Status, String) = (Status::Current, String::new());

/// How an object fares, and what is missing.
pub(super) type Fare = (Status, String);

/// Whether objects of this kind are as they should be as soon as they are there.
pub(super) fn is_at_once(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(
            kind,
            "ConfigMap"
                | "Secret"
                | "ServiceAccount"
                | "LimitRange"
                | "ResourceQuota"
                | "Endpoints"
                | "PodTemplate"
                | "Namespace"
        ),
        "batch" => kind == "CronJob",
        "rbac.authorization.k8s.io"
        | "admissionregistration.k8s.io"
        | "scheduling.k8s.io"
        | "storage.k8s.io"
        | "node.k8s.io"
        | "discovery.k8s.io"
        | "coordination.k8s.io" => true,
        "networking.k8s.io" => kind == "NetworkPolicy" || kind == "IngressClass",
        _ => false,
    }
}

/// How an object fares.
pub(super) fn of(group: &str, kind: &str, object: &Value) -> Fare {
    let view = View(object);
    if let Some(fare) = general(view) {
        return fare;
    }
    match (group, kind) {
        ("apps" | "extensions", "Deployment") => deployment(view),
        ("apps", "StatefulSet") => stateful_set(view),
        ("apps" | "extensions", "DaemonSet") => daemon_set(view),
        ("apps" | "extensions", "ReplicaSet") => replica_set(view),
        ("", "Pod") => pod(view),
        ("", "PersistentVolumeClaim") => claim(view),
        ("", "Service") => service(view),
        ("batch", "Job") => job(view),
        ("policy", "PodDisruptionBudget") => budget(view),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(view),
        _ => ready(view),
    }
}

/// Whether an object that is gone was done: a finished job may be removed by its time to live.
pub(super) fn may_be_gone(group: &str, kind: &str, object: &Value) -> bool {
    group == "batch" && kind == "Job" && View(object).whole("/spec/ttlSecondsAfterFinished").is_some()
}

fn coming(message: impl Into<String>) -> Fare {
    (Status::InProgress, message.into())
}

fn failed(message: impl Into<String>) -> Fare {
    (Status::Failed, message.into())
}

/// Asks for at least so many; says what is missing.
fn at_least(what: &str, have: i64, wanted: i64) -> Option<Fare> {
    (have < wanted).then(|| coming(format!("{what}: {have} of {wanted}")))
}

/// Asks for no more than so many.
fn at_most(have: i64, wanted: i64) -> Option<Fare> {
    (have > wanted).then(|| coming(format!("replicas that still have to go: {}", have.saturating_sub(wanted))))
}

/// What holds for every kind.
fn general(view: View<'_>) -> Option<Fare> {
    if view.text("/metadata/deletionTimestamp").is_some() {
        return Some((Status::Terminating, "it is being deleted".to_owned()));
    }
    if let (Some(wished), Some(seen)) = (view.whole("/metadata/generation"), view.whole("/status/observedGeneration"))
        && wished != seen
    {
        return Some(coming(format!("generation {wished} is not observed yet, {seen} is")));
    }
    if let Some(condition) = view.condition("Reconciling").filter(|it| it.is("True")) {
        return Some(coming(condition.message()));
    }
    view.condition("Stalled").filter(|it| it.is("True")).map(|condition| failed(condition.message()))
}

fn ready(view: View<'_>) -> Fare {
    match view.condition("Ready") {
        Some(condition) if !condition.is("True") => coming(condition.message()),
        Some(_) | None => FINE,
    }
}

fn deployment(view: View<'_>) -> Fare {
    let progressing = view.condition("Progressing");
    if let Some(condition) = progressing.filter(|it| it.reason() == "ProgressDeadlineExceeded") {
        return failed(condition.message());
    }
    let status = |field: &str| view.count(&format!("/status/{field}"), 0);
    let wanted = view.count("/spec/replicas", 1);
    let updated = status("updatedReplicas");
    let missing = at_least("replicas", status("replicas"), wanted)
        .or_else(|| at_least("updated replicas", updated, wanted))
        .or_else(|| at_most(status("replicas"), wanted))
        .or_else(|| at_least("available replicas", status("availableReplicas"), updated))
        .or_else(|| at_least("ready replicas", status("readyReplicas"), wanted));
    if let Some(missing) = missing {
        return missing;
    }
    // Without a deadline the controller sets no such condition.
    let has_deadline = view.whole("/spec/progressDeadlineSeconds").is_some_and(|it| it < i64::from(i32::MAX));
    let rolled_out = progressing.is_some_and(|it| it.is("True") && it.reason() == "NewReplicaSetAvailable");
    if has_deadline && !rolled_out {
        return coming("its new ReplicaSet is not available");
    }
    match view.condition("Available") {
        Some(condition) if condition.is("True") => FINE,
        Some(condition) => coming(condition.message()),
        None => coming("it is not available"),
    }
}

fn stateful_set(view: View<'_>) -> Fare {
    if view.text("/spec/updateStrategy/type") == Some("OnDelete") {
        return FINE;
    }
    let status = |field: &str| view.count(&format!("/status/{field}"), 0);
    let wanted = view.count("/spec/replicas", 1);
    let missing = at_least("replicas", status("replicas"), wanted)
        .or_else(|| at_least("ready replicas", status("readyReplicas"), wanted))
        .or_else(|| at_most(status("replicas"), wanted));
    if let Some(missing) = missing {
        return missing;
    }
    if let Some(partition) = view.whole("/spec/updateStrategy/rollingUpdate/partition").filter(|it| *it > 0) {
        let updated = at_least("updated replicas", status("updatedReplicas"), wanted.saturating_sub(partition));
        return updated.unwrap_or(FINE);
    }
    if let Some(missing) = at_least("current replicas", status("currentReplicas"), wanted) {
        return missing;
    }
    let is_new = view.text("/status/currentRevision") == view.text("/status/updateRevision");
    if is_new { FINE } else { coming("its pods are not all of the new revision") }
}

fn daemon_set(view: View<'_>) -> Fare {
    if view.whole("/status/observedGeneration").is_none() {
        return coming("it is not observed yet");
    }
    let Some(wanted) = view.whole("/status/desiredNumberScheduled") else {
        return coming("how many pods it wants is not known yet");
    };
    let status = |field: &str| view.count(&format!("/status/{field}"), 0);
    at_least("scheduled pods", status("currentNumberScheduled"), wanted)
        .or_else(|| at_least("updated pods", status("updatedNumberScheduled"), wanted))
        .or_else(|| at_least("available pods", status("numberAvailable"), wanted))
        .or_else(|| at_least("ready pods", status("numberReady"), wanted))
        .unwrap_or(FINE)
}

fn replica_set(view: View<'_>) -> Fare {
    if let Some(condition) = view.condition("ReplicaFailure").filter(|it| it.is("True")) {
        return coming(condition.message());
    }
    let status = |field: &str| view.count(&format!("/status/{field}"), 0);
    let wanted = view.count("/spec/replicas", 1);
    at_least("labelled replicas", status("fullyLabeledReplicas"), wanted)
        .or_else(|| at_least("available replicas", status("availableReplicas"), wanted))
        .or_else(|| at_least("ready replicas", status("readyReplicas"), wanted))
        .or_else(|| at_most(status("replicas"), wanted))
        .unwrap_or(FINE)
}

fn pod(view: View<'_>) -> Fare {
    match view.text("/status/phase") {
        Some("Succeeded") => FINE,
        Some("Failed") => failed(view.text("/status/message").unwrap_or("it failed")),
        Some("Running") if view.condition("Ready").is_some_and(|it| it.is("True")) => FINE,
        Some(_) => match view.crashing().as_slice() {
            [] => coming(
                view.condition("PodScheduled")
                    .filter(|it| it.is("False"))
                    .map_or_else(|| "it is not ready".to_owned(), view::Condition::message),
            ),
            names => failed(format!("containers that crash again and again: {}", names.join(", "))),
        },
        None => coming("it is not observed yet"),
    }
}

fn claim(view: View<'_>) -> Fare {
    match view.text("/status/phase") {
        Some("Bound") => FINE,
        Some("Lost") => failed("its volume is lost"),
        Some(_) | None => coming("it is not bound"),
    }
}

fn service(view: View<'_>) -> Fare {
    let balanced = view.text("/spec/type") == Some("LoadBalancer");
    let has_address = view.text("/spec/clusterIP").is_some_and(|it| !it.is_empty());
    if balanced && !has_address { coming("it has no address yet") } else { FINE }
}

fn job(view: View<'_>) -> Fare {
    let is = |name: &str| view.condition(name).filter(|it| it.is("True"));
    if let Some(condition) = is("Failed") {
        return failed(condition.message());
    }
    if is("Complete").is_some() || is("Suspended").is_some() {
        return FINE;
    }
    let status = |field: &str| view.count(&format!("/status/{field}"), 0);
    coming(format!("active: {}, succeeded: {}, failed: {}", status("active"), status("succeeded"), status("failed")))
}

fn budget(view: View<'_>) -> Fare {
    match view.whole("/status/observedGeneration") {
        Some(_) => FINE,
        None => coming("it is not observed yet"),
    }
}

fn definition(view: View<'_>) -> Fare {
    if let Some(condition) = view.condition("NamesAccepted").filter(|it| it.is("False")) {
        return failed(condition.message());
    }
    match view.condition("Established") {
        Some(condition) if condition.is("True") => FINE,
        Some(condition) if condition.is("False") && condition.reason() != "Installing" => failed(condition.message()),
        Some(_) | None => coming("it is not established"),
    }
}

#[cfg(test)]
mod tests;
