//! The referrers API of OCI 1.1 in front of a registry that has none: everything else is passed on to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::registry_server::{OCI_INDEX, descriptor};
use super::world::registry;

/// What refers to a manifest, by its repository and digest.
type Listed = Mutex<BTreeMap<(String, String), Vec<Value>>>;

struct Front {
    host: String,
    behind: String,
    client: reqwest::Client,
    listed: Listed,
}

/// The host of the one in front of the registry of this process.
pub fn referrers_host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| start(registry().host.clone()))
}

fn start(behind: String) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    listener.set_nonblocking(true).unwrap();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let front = Arc::new(Front { host: host.clone(), behind, client, listed: Listed::default() });
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let front = Arc::clone(&front);
                async move { front.answer(method, &uri, headers, body).await }
            };
            axum::serve(listener, Router::new().fallback(handler)).await.unwrap();
        });
    });
    host
}

impl Front {
    async fn answer(&self, method: Method, uri: &Uri, headers: HeaderMap, body: Bytes) -> Response {
        let rest = uri.path().trim_start_matches("/v2/");
        if let Some((repository, digest)) = rest.split_once("/referrers/") {
            let key = (repository.to_owned(), digest.to_owned());
            let manifests = self.listed.lock().unwrap().get(&key).cloned().unwrap_or_default();
            let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
            return ([(header::CONTENT_TYPE, OCI_INDEX)], index.to_string()).into_response();
        }
        let subject = match (&method, rest.split_once("/manifests/")) {
            (&Method::PUT, Some((repository, _))) => self.note(repository, &body),
            _ => None,
        };
        let mut answer = self.passed(method, uri, headers, body).await;
        if let Some(subject) = subject {
            answer.headers_mut().insert("oci-subject", subject.parse().unwrap());
        }
        answer
    }

    /// Notes what a manifest refers to; the digest of that.
    fn note(&self, repository: &str, manifest: &[u8]) -> Option<String> {
        let parsed: Value = serde_json::from_slice(manifest).ok()?;
        let subject = parsed["subject"]["digest"].as_str()?.to_owned();
        let mut entry = descriptor(parsed["mediaType"].as_str()?, manifest);
        let kind = parsed.get("artifactType").unwrap_or(&parsed["config"]["mediaType"]);
        entry["artifactType"] = kind.clone();
        if let Some(annotations) = parsed.get("annotations") {
            entry["annotations"] = annotations.clone();
        }
        self.listed.lock().unwrap().entry((repository.to_owned(), subject.clone())).or_default().push(entry);
        Some(subject)
    }

    async fn passed(&self, method: Method, uri: &Uri, mut headers: HeaderMap, body: Bytes) -> Response {
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        // The registry tells places by the name under which it was asked.
        headers.insert(header::HOST, self.host.parse().unwrap());
        let url = format!("http://{}{}", self.behind, uri.path_and_query().unwrap());
        let answer = self.client.request(method, url).headers(headers).body(body).send().await.unwrap();
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove(header::TRANSFER_ENCODING);
        headers.remove(header::CONNECTION);
        let body = answer.bytes().await.unwrap();
        let mut response = (StatusCode::from_u16(status.as_u16()).unwrap(), body).into_response();
        *response.headers_mut() = headers;
        response
    }
}
