//! What a gate may do in a cluster, and as whom: as checked, as valid.

use std::path::PathBuf;

use super::checks;
use crate::fields::{Complaint, Record, Shape, nothing, required};

/// What a gate may do in a cluster, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantSettings {
    /// The kubeconfig file; none for the process's own, or the cluster that we run in.
    pub kubeconfig: Option<PathBuf>,
    /// The service account that objects are read and written as; none for our own credentials.
    pub service_account: Option<AccountSettings>,
    /// The namespaces that it may write into, `*` at the end for all that begin so; none for all.
    pub namespaces: Option<Vec<String>>,
    /// The kinds that it may write, as `Kind`, `group/Kind`, `group/*` or `*`; none for all but those of RBAC.
    pub kinds: Option<Vec<String>>,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountSettings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A service account in the configuration.
pub(super) static ACCOUNT: Record = Record {
    fields: &[required("namespace", Shape::Text(checks::label)), required("name", Shape::Text(account))],
    between: nothing,
};

/// The name of a service account: it becomes part of a header, and of who we are.
fn account(text: &str) -> Result<(), Complaint> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    if (1..=253).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(());
    }
    let message = format!("`{}` is no service account", text.escape_debug());
    Err(Complaint::new(message, "write its name: lower-case letters, digits, `-` and `.`"))
}

/// A namespace, or the beginning of some.
pub(super) fn namespaces(text: &str) -> Result<(), Complaint> {
    let stem = text.strip_suffix('*').unwrap_or(text);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !text.is_empty() && text.len() <= 63 && stem.bytes().all(plain) {
        return Ok(());
    }
    let message = format!("`{}` cannot be the name of a namespace", text.escape_debug());
    Err(Complaint::new(message, "write a namespace such as `shop`, or the beginning of some, such as `shop-*`"))
}

/// A kind, or the kinds of a group.
pub(super) fn kinds(text: &str) -> Result<(), Complaint> {
    let (group, kind) = text.rsplit_once('/').unwrap_or(("", text));
    let plain_group = group.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    let plain_kind = kind == "*" || !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric());
    if text.len() <= 317 && plain_group && plain_kind && !text.starts_with('/') {
        return Ok(());
    }
    let message = format!("`{}` is no kind", text.escape_debug());
    Err(Complaint::new(message, "write `ConfigMap`, `apps/Deployment`, `networking.k8s.io/*`, or `*`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_named_is_checked() {
        type Row = (fn(&str) -> Result<(), Complaint>, &'static [&'static str], &'static [&'static str]);
        let table: [Row; 3] = [
            (account, &["deployer", "a.b-1"], &["", "A", "a/b", "a\nb", "a:b"]),
            (namespaces, &["shop", "shop-*", "*"], &["", "a*b", "**", "Shop", "a.b"]),
            (
                kinds,
                &["ConfigMap", "apps/Deployment", "apps/*", "*"],
                &["", "apps/", "/Pod", "Apps/X", "a/b/c d", "apps/v1/X-"],
            ),
        ];
        for (check, good, bad) in table {
            for text in good {
                assert_eq!(check(text), Ok(()), "{text}");
            }
            for text in bad {
                assert!(check(text).is_err(), "{text}");
            }
        }
    }
}
