//! Credentials for a registry that stand in a Secret of the cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::gate::Gate;

const LOGIN: &str = "puller:canary-of-the-pull-secret";

/// A registry that answers nobody but who logs in, before the one that answers everybody.
#[derive(Clone)]
struct Door {
    behind: String,
    let_in: Arc<AtomicUsize>,
}

impl Door {
    async fn open(behind: &str) -> (String, Self) {
        let door = Self { behind: behind.to_owned(), let_in: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(pass).with_state(door.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (address, door)
    }
}

async fn pass(State(door): State<Door>, request: Request) -> Response {
    let expected = format!("Basic {}", STANDARD.encode(LOGIN));
    if request.headers().get("authorization").and_then(|it| it.to_str().ok()) != Some(&expected) {
        let challenge = Response::builder().status(401).header("www-authenticate", "Basic realm=\"door\"");
        return challenge.body(Body::empty()).unwrap();
    }
    door.let_in.fetch_add(1, Ordering::SeqCst);
    let mut forward = reqwest::Client::new().request(
        request.method().clone(),
        format!("http://{}{}", door.behind, request.uri().path_and_query().unwrap()),
    );
    for accept in request.headers().get_all("accept") {
        forward = forward.header("accept", accept);
    }
    let answer = forward.send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for name in ["content-type", "docker-content-digest"] {
        if let Some(value) = answer.headers().get(name) {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_secret_of_the_cluster_opens_its_registry_and_shows_nowhere() {
    let Some(gate) = Gate::new("it-pull-secret", json!({}), json!({})).await else { return };
    let (host, door) = Door::open(gate.images.host()).await;
    gate.change("policy.yaml", |policy| {
        policy["spec"]["registries"] = json!([host]);
        policy["spec"]["rules"][0]["images"] = json!([format!("{host}/app/**")]);
    });
    gate.configure(|configuration| {
        configuration["registries"] = json!({&host: {"pullSecret": {"namespace": gate.name, "name": "regcred"}}});
    });
    let login = json!({"auths": {&host: {"auth": STANDARD.encode(LOGIN)}}}).to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "regcred", "namespace": gate.name},
        "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": STANDARD.encode(login)},
    });
    gate.send("POST", "/api/v1/namespaces", "application/json", &gate.namespace()).await;
    gate.send("POST", "secrets", "application/json", &secret).await;
    let image = gate.images.signed(8).replace(gate.images.host(), &host);
    let commit = gate.commit(&[gate.namespace(), gate.deployment("web", &image)]);
    let daemon = gate.start().await;
    let report: Value = daemon.applied(&commit).await;
    assert_eq!(report["decision"], "pass");
    assert!(door.let_in.load(Ordering::SeqCst) > 0);
    for text in [daemon.log(), report.to_string(), daemon.ask("/metrics").await.1] {
        assert!(!text.contains("canary-of-the-pull-secret") && !text.contains(&STANDARD.encode(LOGIN)));
    }
}
