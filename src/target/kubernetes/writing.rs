//! The requests that write: server-side apply with our field manager, and deletion. No input or output.

use http::Request;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::Value;

use super::fault::Fault;

/// The name under which we own fields.
pub(super) const FIELD_MANAGER: &str = "sealgate";

/// How an apply is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// Only tried; nothing is kept.
    DryRun,
    /// Tried, taking fields over.
    ForcedDryRun,
    /// Meant.
    Real,
    /// Meant, taking fields over.
    Forced,
}

impl Write {
    /// The same, taking fields over.
    pub(super) fn forced(self) -> Self {
        match self {
            Self::DryRun | Self::ForcedDryRun => Self::ForcedDryRun,
            Self::Real | Self::Forced => Self::Forced,
        }
    }

    fn params(self) -> PatchParams {
        let params = PatchParams::apply(FIELD_MANAGER).validation_strict();
        match self {
            Self::DryRun => params.dry_run(),
            Self::ForcedDryRun => params.dry_run().force(),
            Self::Real => params,
            Self::Forced => params.force(),
        }
    }
}

/// An apply of one object. The body is JSON that we serialised: of several YAML documents a server takes only the first.
///
/// # Errors
/// When the request cannot be made.
pub(super) fn apply_request(path: &str, name: &str, body: &Value, write: Write) -> Result<Request<Vec<u8>>, Fault> {
    kube::core::Request::new(path)
        .patch(name, &write.params(), &Patch::Apply(body))
        .map_err(|error| Fault::unsendable(&error))
}

/// A deletion of exactly this object, its dependants in the background.
///
/// # Errors
/// When the request cannot be made.
pub(super) fn delete_request(path: &str, name: &str, uid: &str) -> Result<Request<Vec<u8>>, Fault> {
    let only = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    kube::core::Request::new(path)
        .delete(name, &DeleteParams::background().preconditions(only))
        .map_err(|error| Fault::unsendable(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_apply_names_its_manager_and_is_strict() {
        let table = [
            (Write::DryRun, "dryRun=All&fieldManager=sealgate&fieldValidation=Strict"),
            (Write::ForcedDryRun, "dryRun=All&force=true&fieldManager=sealgate&fieldValidation=Strict"),
            (Write::Real, "fieldManager=sealgate&fieldValidation=Strict"),
            (Write::Forced, "force=true&fieldManager=sealgate&fieldValidation=Strict"),
        ];
        for (write, query) in table {
            let request = apply_request("/api/v1/namespaces", "a", &json!({}), write).unwrap();
            assert_eq!(request.uri().query().unwrap().trim_start_matches('&'), query);
            assert_eq!(request.uri().path(), "/api/v1/namespaces/a");
        }
    }

    #[test]
    fn a_deletion_is_of_one_object_and_does_not_wait() {
        let request = delete_request("/api/v1/namespaces/a/configmaps", "b", "u-1").unwrap();
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(body, json!({"propagationPolicy": "Background", "preconditions": {"uid": "u-1"}}));
    }
}
