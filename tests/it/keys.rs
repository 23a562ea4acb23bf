//! Keys that lie elsewhere: in secrets of a cluster, and in key management services.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::support::kube::server;
use crate::support::process::{self, Done};
use crate::support::tuf::{Answer, Mirror};
use crate::support::world::{World, gate, good, pod, policy, reasons};

/// Verifies an image that `ci` signed, as the gate would.
fn verify(world: &World) -> Done {
    let image = good().by_digest();
    world.run(&["verify", &image, "--config", "sealgate.yaml", "--gate", "production", "--output", "json"])
}

/// A world whose policy names this key, with these key services.
fn world(reference: &str, kms: Value) -> World {
    let world = World::new();
    for name in ["token", "secret"] {
        world.write(name, &format!("{name} of the test\n"));
    }
    world.write("aws", "[default]\naws_access_key_id = AKID\naws_secret_access_key = SECRET\n");
    world.write("policy.yaml", &policy(&format!("{{name: ci, key: {{kms: '{reference}'}}}}")));
    let settings = json!({"stateDir": "state", "listen": "127.0.0.1:0", "gates": [gate("production")], "kms": kms});
    world.write("sealgate.yaml", &settings.to_string());
    world
}

/// The key of `ci` in PEM.
fn ci() -> String {
    let world = World::new();
    std::fs::read_to_string(world.path("ci.pub")).unwrap()
}

/// The key of `ci` as base64 of its SPKI.
fn spki() -> String {
    ci().lines().filter(|line| !line.starts_with('-')).collect()
}

/// The coordinates of `ci`'s point as JSON web keys have them.
fn point() -> (String, String) {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let der = STANDARD.decode(spki()).unwrap();
    let point = &der[der.len() - 64..];
    (URL_SAFE_NO_PAD.encode(&point[..32]), URL_SAFE_NO_PAD.encode(&point[32..]))
}

fn answer(value: &Value) -> Answer {
    Answer::Bytes(value.to_string().into_bytes())
}

const GCP: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";

/// A reference, the services with `MIRROR` for their address, the path that is asked, what is answered there, and what
/// stands in the head of the request.
struct Service {
    reference: String,
    kms: Value,
    path: &'static str,
    answer: Value,
    head: &'static str,
}

fn services(mirror: &Mirror) -> Vec<Service> {
    let url = &mirror.url;
    let (x, y) = point();
    vec![
        // <https://developer.hashicorp.com/vault/api-docs/secret/transit#read-key>
        Service {
            reference: "hashivault://release".to_owned(),
            kms: json!({"hashivault": {"address": url, "tokenFile": "token", "mount": "signing/transit"}}),
            path: "v1/signing/transit/keys/release",
            answer: json!({"data": {"type": "ecdsa-p256", "latest_version": 2, "name": "release",
                "keys": {"1": {"public_key": "old"}, "2": {"name": "P-256", "public_key": ci()}}}}),
            head: "x-vault-token: token of the test\r\n",
        },
        // <https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions/getPublicKey>
        Service {
            reference: format!("gcpkms://{GCP}"),
            kms: json!({"gcp": {"endpoint": url, "tokenFile": "token"}}),
            path: "v1/projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1/publicKey",
            answer: json!({"pem": ci(), "algorithm": "EC_SIGN_P256_SHA256", "pemCrc32c": "1", "name": GCP,
                "protectionLevel": "SOFTWARE"}),
            head: "authorization: Bearer token of the test\r\n",
        },
        // <https://learn.microsoft.com/en-us/rest/api/keyvault/keys/get-key/get-key>
        Service {
            reference: "azurekms://acme.vault.azure.net/release".to_owned(),
            kms: json!({"azure": {"endpoint": url, "tokenFile": "token"}}),
            path: "keys/release?api-version=7.4",
            answer: json!({"key": {"kid": "https://acme.vault.azure.net/keys/release/1", "kty": "EC",
                "key_ops": ["sign", "verify"], "crv": "P-256", "x": x, "y": y}, "attributes": {"enabled": true}}),
            head: "authorization: Bearer token of the test\r\n",
        },
        // <https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html>
        Service {
            reference: "awskms:///alias/release".to_owned(),
            kms: json!({"aws": {"endpoint": url, "region": "eu-west-1", "credentialsFile": "aws"}}),
            path: "",
            answer: json!({"KeyId": "arn:aws:kms:eu-west-1:111122223333:key/1", "PublicKey": spki(),
                "KeyUsage": "SIGN_VERIFY", "KeySpec": "ECC_NIST_P256", "SigningAlgorithms": ["ECDSA_SHA_256"]}),
            head: "x-amz-target: TrentService.GetPublicKey\r\n",
        },
    ]
}

#[test]
fn a_key_service_gives_the_key_that_counts() {
    let mirror = Mirror::start();
    for Service { reference, kms, path, answer: value, head } in services(&mirror) {
        let world = world(&reference, kms);
        mirror.answer(path, answer(&value));
        verify(&world).exits(0);
        let heads = mirror.heads();
        assert!(heads.last().unwrap().contains(head), "{reference}: {heads:?}");
        // Another key refuses the same image.
        let other = std::fs::read_to_string(world.path("release.pub")).unwrap();
        let before = value.to_string();
        let text = before.replace(&json!(ci()).to_string(), &json!(other).to_string());
        let lines: String = other.lines().filter(|line| !line.starts_with('-')).collect();
        let text = text.replace(&spki(), &lines);
        if text != before {
            mirror.answer(path, Answer::Bytes(text.into_bytes()));
            assert_eq!(reasons(&verify(&world).exits(1).json()), ["signature-invalid"], "{reference}");
        }
    }
}

#[test]
fn a_key_service_that_gives_none_leaves_everything_undecided() {
    let mirror = Mirror::start();
    for Service { reference, kms, path, .. } in services(&mirror) {
        let world = world(&reference, kms);
        let bad = [
            Answer::Status(403),
            Answer::Status(404),
            Answer::Status(500),
            Answer::Endless,
            Answer::Bytes(b"{}".to_vec()),
            Answer::Bytes(b"<html>".to_vec()),
            Answer::Redirect(format!("{}/elsewhere", mirror.url)),
        ];
        for answer in bad {
            mirror.answer(path, answer);
            let done = verify(&world).exits(3);
            assert_eq!(done.json()["errors"][0]["code"], "policy-unavailable", "{reference}");
            assert!(!done.stdout.contains("of the test"), "a secret is told: {done:?}");
            assert!(!mirror.heads().iter().any(|head| head.contains("/elsewhere")));
        }
    }
}

#[test]
fn no_key_service_is_asked_offline_or_without_being_named() {
    let mirror = Mirror::start();
    for Service { reference, kms, path, answer: value, .. } in services(&mirror) {
        mirror.answer(path, answer(&value));
        let world = world(&reference, kms);
        let image = good().by_digest();
        let by_gate = ["verify", &image, "--config", "sealgate.yaml", "--gate", "production", "--offline"];
        world.run(&by_gate).exits(3);
        world.run(&["policy", "check", "policy.yaml"]).exits(3);
    }
    assert_eq!(mirror.requests(), 0);
}

#[test]
fn while_a_key_service_is_away_no_new_revision_passes() {
    let mirror = Mirror::start();
    let Service { reference, mut kms, path, answer: value, .. } = services(&mirror).remove(0);
    kms["interval"] = json!("100ms");
    mirror.answer(path, answer(&value));
    let world = world(&reference, kms);
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    mirror.answer(path, Answer::Status(503));
    daemon.nudge();
    daemon.await_gate("the key is away", "production", |report| {
        report["status"]["errors"].as_array().is_some_and(|errors| !errors.is_empty())
    });
    let second = world.repository.commit(&[("a.yaml", &pod("b", &good().tagged()))]);
    let report = daemon.decides("production", "undecided", &second);
    assert_eq!(report["errors"][0]["code"], "policy-unavailable");
    assert_eq!(report["status"]["applied"], first);
    mirror.answer(path, answer(&value));
    daemon.nudge();
    daemon.applies("production", &second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_from_a_secret_as_it_is_now() {
    let name = "it-key-in-secret";
    let Some(server) = server(name).await else { return };
    let client = server.client().await;
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(client, name);
    let world = World::new();
    let key = |file: &str| ByteString(std::fs::read(world.path(file)).unwrap());
    world.write("policy.yaml", &policy(&format!("{{name: ci, key: {{secret: {{namespace: {name}, name: keys}}}}}}")));
    let verify = || {
        let image = good().by_digest();
        let mut command = world.command(&["verify", &image, "--policy", "policy.yaml", "--output", "json"]);
        process::run(command.env("KUBECONFIG", server.admin()))
    };
    let unavailable = |done: Done| assert_eq!(done.exits(3).json()["errors"][0]["code"], "policy-unavailable");
    unavailable(verify());
    let mut secret =
        Secret { data: Some(BTreeMap::from([("cosign.pub".to_owned(), key("ci.pub"))])), ..Secret::default() };
    secret.metadata.name = Some("keys".to_owned());
    secret = secrets.create(&PostParams::default(), &secret).await.unwrap();
    verify().exits(0);
    secret.data = Some(BTreeMap::from([("cosign.pub".to_owned(), key("stranger.pub"))]));
    secret = secrets.replace("keys", &PostParams::default(), &secret).await.unwrap();
    assert_eq!(reasons(&verify().exits(1).json()), ["signature-invalid"]);
    secret.data = Some(BTreeMap::from([("other".to_owned(), key("ci.pub"))]));
    secrets.replace("keys", &PostParams::default(), &secret).await.unwrap();
    unavailable(verify());
    secrets.delete(&secret.name_any(), &DeleteParams::default()).await.unwrap();
    unavailable(verify());
}
