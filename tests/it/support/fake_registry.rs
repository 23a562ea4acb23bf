//! A registry on loopback that can do what a real one will not: lie, hang, drip, redirect, forget.
//!
//! It serves what was put into it, by the pull side of the distribution specification, and notes every request. A
//! [`Misdeed`] is done to the requests whose path contains a text, a number of times or for ever.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use sealgate::image::{Digest, Host};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The registry; it ends with the test's runtime.
pub struct FakeRegistry {
    address: SocketAddr,
    ca: Option<String>,
    state: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    manifests: HashMap<(String, String), (String, Bytes)>,
    blobs: HashMap<(String, String), Bytes>,
    referrers: Option<Referrers>,
    listed: BTreeMap<(String, Digest), Vec<Value>>,
    guard: Guard,
    misdeeds: Vec<(String, Misdeed, usize)>,
    requests: Vec<Recorded>,
}

/// The native referrers API, with so many entries on a page.
#[derive(Clone, Copy)]
pub struct Referrers {
    pub page: usize,
}

/// Who is let in.
#[derive(Default, Clone)]
pub enum Guard {
    #[default]
    Open,
    Basic {
        authorization: String,
    },
    Bearer {
        realm: String,
        tokens: Arc<Mutex<HashSet<String>>>,
    },
}

/// What is done instead of answering.
#[derive(Clone)]
pub enum Misdeed {
    /// Another answer.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: &'static str },
    /// The right headers with other bytes: `Docker-Content-Digest` says what was asked for.
    Swap(&'static [u8]),
    /// The right bytes with a digest header that is wrong.
    WrongHeader,
    /// Half of the bytes that the length promises.
    Truncate,
    /// Bytes without end.
    Endless,
    /// One byte in a while, without end.
    Drip,
    /// Nothing at all.
    Silence,
    /// A length that is far too large.
    HugeLength,
    /// A content encoding that nobody asked for.
    Encoded,
    /// To another address.
    Redirect(String),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub path: String,
    pub authorization: Option<String>,
    pub accept: String,
}

impl FakeRegistry {
    /// A registry on plain HTTP.
    pub async fn start() -> Self {
        let state = Arc::<Shared>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router(&state)).into_future());
        Self { address, ca: None, state }
    }

    /// A registry on TLS, with a certificate for these names that its own CA signed.
    pub async fn start_tls(names: &[&str]) -> Self {
        let state = Arc::<Shared>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, ca) = acceptor(names);
        tokio::spawn(axum::serve(TlsListener { listener, acceptor }, router(&state)).into_future());
        Self { address, ca: Some(ca), state }
    }

    pub fn host(&self) -> Host {
        Host::parse(&self.address.to_string()).unwrap()
    }

    /// The CA's certificate, in PEM.
    pub fn ca(&self) -> Vec<u8> {
        self.ca.clone().unwrap().into_bytes()
    }

    pub fn url(&self) -> String {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.state.inner.lock().unwrap())
    }

    pub fn put_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        body: impl Into<Bytes>,
    ) -> Digest {
        let body = body.into();
        let digest = Digest::of(&body);
        self.with(|inner| {
            for name in tag.map(ToOwned::to_owned).into_iter().chain([digest.to_string()]) {
                inner.manifests.insert((repository.to_owned(), name), (media_type.to_owned(), body.clone()));
            }
        });
        digest
    }

    pub fn put_blob(&self, repository: &str, body: impl Into<Bytes>) -> Digest {
        let body = body.into();
        let digest = Digest::of(&body);
        self.with(|inner| inner.blobs.insert((repository.to_owned(), digest.to_string()), body));
        digest
    }

    /// A single image, told from others by `text`.
    pub fn image(&self, repository: &str, tag: &str, text: &str) -> Digest {
        let body = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
            "layers": [], "annotations": {"text": text}});
        self.put_manifest(repository, Some(tag), OCI_MANIFEST, body.to_string())
    }

    /// The `.sig` manifest of a digest, with one layer for each payload and signature.
    pub fn sign(&self, repository: &str, digest: &Digest, signatures: &[(&str, &str)]) -> Digest {
        let layer = |(payload, signature): &(&str, &str)| {
            self.put_blob(repository, (*payload).to_owned());
            let mut layer = descriptor(SIMPLE_SIGNING, payload.as_bytes());
            layer["annotations"] = json!({"dev.cosignproject.cosign/signature": signature});
            layer
        };
        let layers: Vec<Value> = signatures.iter().map(layer).collect();
        let body = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"), "layers": layers});
        self.put_manifest(repository, Some(&format!("sha256-{}.sig", digest.hex())), OCI_MANIFEST, body.to_string())
    }

    /// A bundle about a digest, listed where this registry lists referrers.
    pub fn attach(&self, repository: &str, digest: &Digest, bundle: &str) -> Digest {
        self.put_blob(repository, bundle.to_owned());
        let body = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": BUNDLE,
            "config": descriptor(EMPTY, b"{}"), "layers": [descriptor(BUNDLE, bundle.as_bytes())],
            "subject": {"mediaType": OCI_MANIFEST, "digest": digest.to_string(), "size": 1}})
        .to_string();
        let manifest = self.put_manifest(repository, None, OCI_MANIFEST, body.clone());
        let mut entry = descriptor(OCI_MANIFEST, body.as_bytes());
        // As cosign's clients write it, wrongly.
        entry["artifactType"] = json!(EMPTY);
        self.list(repository, digest, entry);
        manifest
    }

    /// Puts an entry into the list of referrers: the API's, or the index under the fallback tag.
    pub fn list(&self, repository: &str, digest: &Digest, entry: Value) {
        let (native, entries) = self.with(|inner| {
            let entries = inner.listed.entry((repository.to_owned(), *digest)).or_default();
            entries.push(entry);
            (inner.referrers.is_some(), entries.clone())
        });
        if !native {
            let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
            self.put_manifest(repository, Some(&format!("sha256-{}", digest.hex())), OCI_INDEX, index.to_string());
        }
    }

    /// Serves the referrers API from now on.
    pub fn serve_referrers(&self, page: usize) {
        self.with(|inner| inner.referrers = Some(Referrers { page }));
    }

    pub fn guard(&self, guard: Guard) {
        self.with(|inner| inner.guard = guard);
    }

    /// Does this to requests whose path contains `text`, so many times.
    pub fn misbehave(&self, text: &str, misdeed: Misdeed, times: usize) {
        self.with(|inner| inner.misdeeds.push((text.to_owned(), misdeed, times)));
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.with(|inner| inner.requests.clone())
    }

    /// Forgets the requests so far and gives them.
    pub fn take_requests(&self) -> Vec<Recorded> {
        self.with(|inner| std::mem::take(&mut inner.requests))
    }
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

/// An error in the specification's form.
pub fn error(status: StatusCode, code: &str) -> Response {
    let body = json!({"errors": [{"code": code, "message": "as told", "detail": {}}]});
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn router(state: &Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(Arc::clone(state))
}

async fn serve(State(state): State<Arc<Shared>>, request: Request) -> Response {
    let (answer, misdeed) = state.inner.lock().unwrap().hear(Recorded::of(&request));
    drop(request);
    match misdeed {
        Some(misdeed) => misdeed.instead_of(answer).await,
        None => answer,
    }
}

impl Recorded {
    pub fn of(request: &Request) -> Self {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        Self {
            path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            authorization: text(header::AUTHORIZATION),
            accept: text(header::ACCEPT).unwrap_or_default(),
        }
    }
}

impl Guard {
    fn refuse(&self, authorization: Option<&str>) -> Option<Response> {
        let challenge = match self {
            Self::Open => return None,
            Self::Basic { authorization: wanted } if authorization == Some(wanted) => return None,
            Self::Basic { .. } => "Basic realm=\"fake\"".to_owned(),
            Self::Bearer { realm, tokens } => {
                let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
                if token.is_some_and(|token| tokens.lock().unwrap().contains(token)) {
                    return None;
                }
                format!("Bearer realm=\"{realm}\",service=\"fake, really\",scope=\"repository:other/one:pull,push\"")
            }
        };
        let mut answer = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        Some(answer)
    }
}

impl Inner {
    /// Notes a request; gives the right answer to it, and what is to be done instead.
    fn hear(&mut self, recorded: Recorded) -> (Response, Option<Misdeed>) {
        let Recorded { path, authorization, .. } = recorded.clone();
        self.requests.push(recorded);
        if let Some(refused) = self.guard.refuse(authorization.as_deref()) {
            return (refused, None);
        }
        let found = self.misdeeds.iter_mut().find(|(text, _, times)| *times > 0 && path.contains(text.as_str()));
        let misdeed = found.map(|(_, misdeed, times)| {
            *times = times.saturating_sub(1);
            misdeed.clone()
        });
        (self.answer(&path), misdeed)
    }

    fn answer(&self, path: &str) -> Response {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let Some(rest) = path.strip_prefix("/v2/") else { return StatusCode::NOT_FOUND.into_response() };
        if let Some((repository, name)) = rest.split_once("/manifests/") {
            let Some((media_type, body)) = self.manifests.get(&(repository.to_owned(), name.to_owned())) else {
                return error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
            };
            let headers =
                [("content-type", media_type.clone()), ("docker-content-digest", Digest::of(body).to_string())];
            return (headers, body.clone()).into_response();
        }
        if let Some((repository, name)) = rest.split_once("/blobs/") {
            let Some(body) = self.blobs.get(&(repository.to_owned(), name.to_owned())) else {
                return error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
            };
            return ([("content-type", "application/octet-stream")], body.clone()).into_response();
        }
        if let (Some((repository, digest)), Some(api)) = (rest.split_once("/referrers/"), self.referrers) {
            return self.referrers(repository, digest, query, api);
        }
        (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
    }

    fn referrers(&self, repository: &str, digest: &str, query: &str, api: Referrers) -> Response {
        let key = (repository.to_owned(), digest.parse().unwrap());
        let all = self.listed.get(&key).cloned().unwrap_or_default();
        let from: usize = query.strip_prefix("from=").map_or(0, |from| from.parse().unwrap());
        let page: Vec<Value> = all.iter().skip(from).take(api.page).cloned().collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, OCI_INDEX.parse().unwrap());
        if from + page.len() < all.len() {
            let next = format!("</v2/{repository}/referrers/{digest}?from={}>; rel=\"next\"", from + page.len());
            headers.insert(header::LINK, next.parse().unwrap());
        }
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page});
        (headers, index.to_string()).into_response()
    }
}

impl Misdeed {
    async fn instead_of(self, answer: Response) -> Response {
        let (mut parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        match self {
            Self::Answer { status, headers, body } => {
                let mut answer = (StatusCode::from_u16(status).unwrap(), body).into_response();
                for (name, value) in headers {
                    answer.headers_mut().insert(name, value.parse().unwrap());
                }
                answer
            }
            Self::Swap(other) => {
                parts.headers.remove(header::CONTENT_LENGTH);
                Response::from_parts(parts, Body::from(other))
            }
            Self::WrongHeader => {
                parts.headers.insert("docker-content-digest", Digest::of(b"other").to_string().parse().unwrap());
                Response::from_parts(parts, Body::from(bytes))
            }
            Self::Truncate => {
                parts.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
                let half = bytes.slice(..bytes.len() / 2);
                let stream = futures::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]);
                Response::from_parts(parts, Body::from_stream(stream))
            }
            Self::Endless => {
                parts.headers.remove(header::CONTENT_LENGTH);
                let piece = Bytes::from(vec![b' '; 64 << 10]);
                let stream = futures::stream::repeat_with(move || Ok::<_, Infallible>(piece.clone()));
                Response::from_parts(parts, Body::from_stream(stream))
            }
            Self::Drip => {
                parts.headers.remove(header::CONTENT_LENGTH);
                let drops = futures::stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
                });
                Response::from_parts(parts, Body::from_stream(drops.boxed()))
            }
            Self::Silence => std::future::pending().await,
            Self::HugeLength => {
                parts.headers.insert(header::CONTENT_LENGTH, (600u64 << 20).into());
                let stream = futures::stream::pending::<Result<Bytes, Infallible>>();
                Response::from_parts(parts, Body::from_stream(stream))
            }
            Self::Encoded => {
                parts.headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
                Response::from_parts(parts, Body::from(bytes))
            }
            Self::Redirect(target) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, target)]).into_response(),
        }
    }
}

/// Accepts TLS; a failed handshake is somebody else's connection.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

fn acceptor(names: &[&str]) -> (TlsAcceptor, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca_pem)
}
