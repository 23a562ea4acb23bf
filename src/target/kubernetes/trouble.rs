//! Gathers what went wrong, object by object, into one error. No input or output.

use std::collections::BTreeSet;
use std::time::Duration;

use super::fault::{Fault, Kind, Mends};
use super::plan::{Id, Item};
use crate::outcome::Outcome;
use crate::reason::{ErrorCode, Problem};
use crate::target::{Retry, TargetError};

/// Everything that went wrong so far.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    problems: Vec<Problem>,
    foreign: Vec<(String, String)>,
    lasting: Lasting,
    wait: Option<Duration>,
}

/// Whether anything in it lasts until the revision changes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    #[default]
    No,
    Yes,
}

impl Trouble {
    /// Whether nothing went wrong.
    pub(super) fn is_none(&self) -> bool {
        self.problems.is_empty() && self.foreign.is_empty()
    }

    /// An object that was refused.
    pub(super) fn object(&mut self, item: &Item, fault: &Fault) {
        let problem = item.problem(code(fault), &text(&item.id, fault)).with_help(help(fault.kind));
        self.problem(problem, fault);
    }

    /// An object that was accepted in the dry run and refused in earnest, for a reason that may go by.
    pub(super) fn object_later(&mut self, item: &Item, fault: &Fault) {
        self.passing(item.problem(code(fault), &text(&item.id, fault)).with_help(help(fault.kind)));
    }

    /// An object that left the release and could not be deleted. The release itself is not at fault.
    pub(super) fn pruning(&mut self, id: &Id, fault: &Fault) {
        let message = format!("failed to delete {id}, which left the repository: {}", text(id, fault));
        self.passing(Problem::new(code(fault), message).with_help(help(fault.kind)));
    }

    /// A refusal that is about no object of the release.
    pub(super) fn other(&mut self, doing: &str, fault: &Fault) {
        let message = format!("failed to {doing}: {}", said(fault));
        self.problem(Problem::new(code(fault), message).with_help(help(fault.kind)), fault);
    }

    /// A problem that only another revision, or other rights, can mend.
    pub(super) fn lasting(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.lasting = Lasting::Yes;
    }

    /// A problem that time can mend.
    pub(super) fn passing(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Images that nobody verified, in the answer about this object.
    pub(super) fn images(&mut self, item: &Item, images: BTreeSet<String>) {
        self.foreign.extend(images.into_iter().map(|image| (item.id.to_string(), image)));
    }

    /// We were asked to leave off.
    pub(super) fn left_off(&mut self) {
        let message = "left off in the middle of applying: asked to stop";
        self.problems.push(Problem::new(ErrorCode::TargetUnavailable, message).with_help("it is taken up again"));
    }

    /// The error, with what was done before.
    ///
    /// Foreign images alone leave the retry to time: who added the container may take it away without a new revision.
    pub(super) fn into_error(mut self, outcomes: Vec<Outcome>) -> TargetError {
        self.problems.sort();
        self.foreign.sort();
        self.foreign.dedup();
        let retry = match self.lasting {
            Lasting::Yes => Retry::Never,
            Lasting::No => Retry::Later(self.wait),
        };
        TargetError { problems: self.problems, foreign_images: self.foreign, outcomes, retry }
    }

    fn problem(&mut self, problem: Problem, fault: &Fault) {
        self.problems.push(problem);
        self.wait = self.wait.max(fault.retry_after);
        if fault.kind.mends() == Mends::Never {
            self.lasting = Lasting::Yes;
        }
    }
}

/// An error of one problem, before anything was done.
pub(super) fn error(doing: &str, fault: &Fault) -> TargetError {
    let mut trouble = Trouble::default();
    trouble.other(doing, fault);
    trouble.into_error(Vec::new())
}

/// What a refusal says about an object. K8S-08: a server quotes values, and those of a `Secret` are none of a report's.
pub(super) fn text(id: &Id, fault: &Fault) -> String {
    if fault.kind == Kind::Conflict && !fault.causes.is_empty() {
        let fields: Vec<String> =
            fault.causes.iter().map(|cause| format!("{} over `{}`", cause.message, cause.field)).collect();
        return fields.join("; ");
    }
    if id.is_secret() && !fault.kind.is_of_cluster() {
        let fields: Vec<&str> =
            fault.causes.iter().map(|cause| cause.field.as_str()).filter(|it| !it.is_empty()).collect();
        return format!("the cluster refuses it with {} {}", fault.code, fields.join(", ")).trim_end().to_owned();
    }
    said(fault)
}

fn said(fault: &Fault) -> String {
    match (fault.code, fault.message.as_str()) {
        (0, message) => message.to_owned(),
        (code, "") => format!("the cluster answers {code}"),
        (code, message) => format!("{message} ({code})"),
    }
}

fn code(fault: &Fault) -> ErrorCode {
    if fault.kind.is_of_cluster() { ErrorCode::TargetUnavailable } else { ErrorCode::TargetRejected }
}

fn help(kind: Kind) -> &'static str {
    match kind {
        Kind::Unreachable | Kind::Busy | Kind::Stale => "it is tried again",
        Kind::Garbled => "check what stands between here and the API server",
        Kind::Unauthorized => "check the credentials for the cluster",
        Kind::Forbidden => "give the gate's account this right, or change what the policy forbids",
        Kind::Terminating => "wait until the namespace is gone, or keep it",
        Kind::Quota => "raise the quota, or ask for less",
        Kind::NotFound => "somebody removed it meanwhile; it is tried again with the next revision",
        Kind::NoNamespace => "add the namespace to the repository, or create it",
        Kind::NotServed => {
            "add the kind's definition to the repository, or write an apiVersion that the cluster serves"
        }
        Kind::Conflict => "let the other manager give the field up, remove it from the manifest, or set `force: true`",
        Kind::Invalid => "correct the manifest",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::target::kubernetes::plan;
    use crate::target::kubernetes::tests::builders::{object, release};

    fn item(kind: &str) -> Item {
        let manifest = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a", "namespace": "n"}});
        plan::read(&release("r", vec![object(manifest, &[])]), "g").unwrap().remove(0)
    }

    fn fault(code: u16, message: &str, causes: &serde_json::Value) -> Fault {
        let body = json!({"kind": "Status", "message": message, "details": {"causes": causes}});
        Fault::read(code, body.to_string().as_bytes(), None)
    }

    #[test]
    fn one_lasting_problem_makes_trying_again_pointless() {
        let busy = fault(503, "busy", &json!([]));
        let invalid = fault(422, "invalid", &json!([]));
        let retry = |faults: &[&Fault]| {
            let mut trouble = Trouble::default();
            for fault in faults {
                trouble.object(&item("ConfigMap"), fault);
            }
            trouble.into_error(Vec::new()).retry
        };
        assert_eq!(retry(&[&busy]), Retry::Later(None));
        assert_eq!(retry(&[&busy, &invalid]), Retry::Never);
        let asked = Fault::read(429, b"", Some(9));
        assert_eq!(retry(&[&busy, &asked]), Retry::Later(Some(Duration::from_secs(9))));
    }

    #[test]
    fn a_conflict_names_manager_and_field() {
        let causes = json!([{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using v1", "field": ".data.a"}]);
        let mut trouble = Trouble::default();
        trouble.object(&item("ConfigMap"), &fault(409, "Apply failed with 1 conflict", &causes));
        let error = trouble.into_error(Vec::new());
        assert_eq!(error.problems[0].code, ErrorCode::TargetRejected);
        assert!(error.problems[0].message.contains("kubectl") && error.problems[0].message.contains(".data.a"));
    }

    #[test]
    fn the_values_of_a_secret_are_not_told() {
        let refusal = fault(422, "Invalid value: \"hunter2\"", &json!([{"field": "data[a]", "message": "hunter2"}]));
        let mut trouble = Trouble::default();
        trouble.object(&item("Secret"), &refusal);
        trouble.object(&item("Secret"), &fault(500, "failed to create typed patch object: hunter2", &json!([])));
        let error = trouble.into_error(Vec::new());
        assert!(error.problems.iter().all(|problem| !problem.message.contains("hunter2")), "{error:?}");
        assert!(error.problems.iter().any(|problem| problem.message.contains("data[a]")));
    }
}
