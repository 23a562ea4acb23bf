//! Gates that are not the administrator: an account of their own, a reach of their own, credentials from a plugin.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{World, always};
use crate::reason::ErrorCode;
use crate::target::kubernetes::{Account, Cluster, Kubernetes};
use crate::target::{Retry, Target as _};

impl World {
    async fn as_account(&self, change: impl FnOnce(&mut super::Options)) -> Kubernetes {
        let account = Account { namespace: self.name.to_owned(), name: "deployer".to_owned() };
        self.target_with(|options| {
            options.account = Some(account);
            change(options);
        })
        .await
    }

    /// Gives the account of the gate all rights in its own namespace.
    async fn let_in(&self) {
        self.send("POST", "/api/v1/namespaces", "application/json", &self.namespace().json).await;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "deployer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": self.name, "name": "deployer"}],
        });
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", self.name);
        self.send("POST", &path, "application/json", &binding).await;
    }
}

#[tokio::test]
async fn a_gate_with_an_account_of_its_own_can_do_what_the_account_can_and_no_more() {
    let Some(world) = World::new("tenant").await else { return };
    world.let_in().await;
    let target = world.as_account(|_| {}).await;
    let release = world.release("r1", vec![world.config_map("a", "1")]);
    target.apply(&release, &always).await.unwrap();
    assert_eq!(target.applied().await, Ok(Some("r1".to_owned())), "the inventory is ours, not the account's");
    let user = format!("system:serviceaccount:{}:deployer", world.name);
    let by: Vec<Value> = world
        .server
        .audit()
        .into_iter()
        .filter(|event| event["objectRef"]["namespace"] == world.name && event["objectRef"]["name"] == "a")
        .filter(|event| event["verb"] == "patch")
        .map(|event| event["impersonatedUser"]["username"].clone())
        .collect();
    assert!(by.len() >= 2 && by.iter().all(|it| *it == user), "{by:?}");

    let mut elsewhere = world.config_map("b", "1");
    elsewhere.json["metadata"]["namespace"] = "default".into();
    let elsewhere = super::object(elsewhere.json, &[]);
    let error = target.dry_run(&world.release("r2", vec![elsewhere])).await.unwrap_err();
    assert_eq!((error.problems[0].code, error.retry), (ErrorCode::TargetRejected, Retry::Never));
}

#[tokio::test]
async fn what_lies_beyond_a_gates_reach_is_refused_at_once_with_its_places_before_any_write() {
    let Some(world) = World::new("reach").await else { return };
    let target = world.target_with(|options| options.reach.namespaces = Some(vec![world.name.to_owned()])).await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "r", "namespace": world.name}, "rules": [],
    });
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "reach"}, "value": 1});
    let elsewhere = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "default"}});
    let mut objects = vec![world.namespace(), world.config_map("a", "1")];
    objects.extend([role.clone(), class, elsewhere].map(|json| super::object(json, &[])));
    let error = target.apply(&world.release("r1", objects), &always).await.unwrap_err();
    assert_eq!((error.problems.len(), error.retry), (3, Retry::Never), "{error:?}");
    for problem in &error.problems {
        assert_eq!(problem.code, ErrorCode::TargetRejected);
        assert!(problem.file.as_deref() == Some("app.yaml") && problem.place.is_some(), "{problem:?}");
    }
    assert_eq!(world.config("a").await, None);
    assert_eq!(target.applied().await, Ok(None));

    let target = world
        .target_with(|options| {
            options.reach.namespaces = Some(vec![format!("{}*", world.name)]);
            options.reach.kinds = Some(vec!["*".to_owned(), "rbac.authorization.k8s.io/Role".to_owned()]);
        })
        .await;
    let objects = vec![world.namespace(), world.config_map("a", "1"), super::object(role, &[])];
    target.apply(&world.release("r2", objects), &always).await.unwrap();
    assert!(world.config("a").await.is_some());
}

#[tokio::test]
async fn credentials_may_come_from_a_plugin() {
    let Some(world) = World::new("plugin").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut kubeconfig: Value = serde_json::from_slice(&std::fs::read(world.server.admin()).unwrap()).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"].clone();
    let answer = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token},
    });
    let plugin = folder.path().join("plugin");
    std::fs::write(&plugin, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o700)).unwrap();
    kubeconfig["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "interactiveMode": "Never",
    }});
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let target = world
        .target_with(|options| options.cluster = Cluster { kubeconfig: Some(path), context: Some("test".to_owned()) })
        .await;
    target.apply(&world.release("r1", vec![world.namespace(), world.config_map("a", "1")]), &always).await.unwrap();
    assert!(world.config("a").await.is_some());
}
