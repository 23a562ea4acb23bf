//! A token server on loopback. Its tokens are JWTs that Debian's docker-registry accepts (`auth.token`, with
//! [`TokenServer::certificate`] as `rootcertbundle`), and that the fake registry knows by their text.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use tokio::net::TcpListener;

use super::fake_registry::{Guard, Recorded};

/// Who issues the tokens, for `auth.token.issuer`.
pub const ISSUER: &str = "token-server";

/// The server; it ends with the test's runtime.
pub struct TokenServer {
    address: SocketAddr,
    state: Arc<Shared>,
}

struct Shared {
    key: EcdsaKeyPair,
    certificate: (String, String),
    tokens: Arc<Mutex<HashSet<String>>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    wanted: Option<String>,
    expires_in: Option<u64>,
    instead: Option<(u16, &'static str)>,
    requests: Vec<Recorded>,
}

impl TokenServer {
    pub async fn start() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der()).unwrap();
        let state = Arc::new(Shared {
            key: signer,
            certificate: (certificate.pem(), STANDARD.encode(certificate.der())),
            tokens: Arc::default(),
            inner: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { address, state }
    }

    /// `host:port`, for `authRealms`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    pub fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// The certificate that its tokens are signed by, in PEM.
    pub fn certificate(&self) -> &str {
        &self.state.certificate.0
    }

    /// A guard that lets in whoever has one of its tokens.
    pub fn guard(&self) -> Guard {
        Guard::Bearer { realm: self.realm(), tokens: Arc::clone(&self.state.tokens) }
    }

    /// Gives tokens only to who sends this `Authorization`.
    pub fn require(&self, authorization: &str) {
        self.state.inner.lock().unwrap().wanted = Some(authorization.to_owned());
    }

    pub fn expire_in(&self, seconds: u64) {
        self.state.inner.lock().unwrap().expires_in = Some(seconds);
    }

    /// Answers so from now on.
    pub fn answer_instead(&self, status: u16, body: &'static str) {
        self.state.inner.lock().unwrap().instead = Some((status, body));
    }

    /// Takes back every token so far.
    pub fn revoke(&self) {
        self.state.tokens.lock().unwrap().clear();
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.state.inner.lock().unwrap().requests.clone()
    }
}

async fn serve(State(state): State<Arc<Shared>>, request: Request) -> Response {
    let recorded = Recorded::of(&request);
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query).into_owned().collect();
    state.answer(recorded, &query)
}

impl Shared {
    fn answer(&self, recorded: Recorded, query: &[(String, String)]) -> Response {
        let (expires_in, count) = {
            let mut inner = self.inner.lock().unwrap();
            let authorization = recorded.authorization.clone();
            inner.requests.push(recorded);
            if let Some((status, body)) = inner.instead {
                return (StatusCode::from_u16(status).unwrap(), body).into_response();
            }
            if inner.wanted.is_some() && inner.wanted != authorization {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            (inner.expires_in, inner.requests.len())
        };
        let token = self.token(query, count);
        self.tokens.lock().unwrap().insert(token.clone());
        let mut answer = json!({"token": token});
        if let Some(seconds) = expires_in {
            answer["expires_in"] = json!(seconds);
        }
        ([(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response()
    }

    fn token(&self, query: &[(String, String)], count: usize) -> String {
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let service = get("service").unwrap_or_default();
        let access = get("scope").into_iter().filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
        });
        let access: Vec<_> = access.collect();
        let now = jiff::Timestamp::now().as_second();
        let head = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate.1]});
        let claims = json!({"iss": ISSUER, "sub": "test", "aud": service, "jti": count.to_string(),
            "iat": now - 1, "nbf": now - 1, "exp": now + 300, "access": access});
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
