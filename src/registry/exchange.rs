//! One HTTP request and its answer: the only place that opens a connection to a registry or token server.
//!
//! Nothing is read without a cap, and nothing awaited without a deadline. Redirects, retries and authorisation are not
//! decided here, and nothing here knows what an answer means.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Method, StatusCode, redirect, retry, tls};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::address::PublicResolver;
use super::options::{Limits, Options, Proxy};
use crate::image::Host;
use crate::reason::{ErrorCode, Problem};

/// Bytes read of an answer that is no success: enough for an error code.
const ERROR_BODY: usize = 8 << 10;
/// What we call ourselves.
const USER_AGENT: &str = concat!("sealgate/", env!("CARGO_PKG_VERSION"));

/// Opens connections; one pool for each way of reaching a host.
#[derive(Debug)]
pub(super) struct Exchanger {
    pools: Mutex<HashMap<Route, reqwest::Client>>,
    roots: BTreeMap<Host, Vec<Certificate>>,
    proxy: Option<reqwest::Proxy>,
    times: Times,
}

/// How long the parts of a request may last.
#[derive(Debug, Clone, Copy)]
struct Times {
    connect: Duration,
    first_byte: Duration,
    idle: Duration,
    request: Duration,
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Route {
    /// A host that is named literally: wherever its name leads.
    Named,
    /// The same, with roots of its own.
    WithRoots(Host),
    /// Loopback: never through a proxy.
    Loopback,
    /// A host that only a redirect named: public addresses only.
    Foreign,
}

/// A request.
pub(super) struct Outgoing<'a> {
    pub(super) url: &'a Url,
    pub(super) route: &'a Route,
    pub(super) accept: &'a str,
    pub(super) authorization: Option<&'a HeaderValue>,
    /// The body of a POST; without one it is a GET.
    pub(super) form: Option<&'a str>,
    /// Bytes of a successful answer at most.
    pub(super) cap: usize,
    pub(super) deadline: Instant,
}

/// What came back. The body of an answer that is no success may be cut.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why nothing usable came back.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) cause: Cause,
    /// The status, where one came before it broke.
    pub(super) status: Option<StatusCode>,
    pub(super) message: String,
}

/// The kinds of breaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No connection: name, route, refusal.
    Connect,
    /// No trusted connection.
    Tls,
    /// The answer ended too early.
    Cut,
    /// A deadline passed.
    Slow,
    /// More bytes than are taken.
    TooLarge,
    /// A content encoding that nobody asked for.
    Encoded,
}

impl Exchanger {
    /// Reads roots and proxy settings.
    pub(super) fn new(options: &Options) -> Result<Self, Problem> {
        let mut roots = BTreeMap::new();
        for (host, settings) in &options.hosts {
            if let Some(pem) = &settings.ca {
                roots.insert(host.clone(), certificates(host, pem)?);
            }
        }
        let Limits { connect, first_byte, idle, request, .. } = options.limits;
        let proxy = options.proxy.as_ref().map(proxy).transpose()?;
        Ok(Self {
            pools: Mutex::new(HashMap::new()),
            roots,
            proxy,
            times: Times { connect, first_byte, idle, request },
        })
    }

    /// How this literally named host is reached.
    pub(super) fn route(&self, host: &Host) -> Route {
        if self.roots.contains_key(host) {
            Route::WithRoots(host.clone())
        } else if host.is_loopback() {
            Route::Loopback
        } else {
            Route::Named
        }
    }

    /// Sends a request and reads its answer whole.
    pub(super) async fn send(&self, outgoing: &Outgoing<'_>) -> Result<Answer, Broken> {
        let end = outgoing.deadline.min(Instant::now() + self.times.request);
        let pool = self.pool(outgoing.route).map_err(|message| Broken::new(Cause::Tls, message))?;
        let request = build(&pool, outgoing).map_err(|error| Broken::of(&error, None))?;
        let first_byte = end.min(Instant::now() + self.times.first_byte);
        let mut response = match timeout_at(first_byte, pool.execute(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Broken::of(&error, None)),
            Err(_) => return Err(Broken::new(Cause::Slow, "no answer in time")),
        };
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let body = self
            .body(&mut response, &headers, outgoing.cap, end)
            .await
            .map_err(|broken| Broken { status: Some(status), ..broken })?;
        Ok(Answer { status, headers, body })
    }

    async fn body(
        &self,
        response: &mut reqwest::Response,
        headers: &HeaderMap,
        cap: usize,
        end: Instant,
    ) -> Result<Bytes, Broken> {
        let success = response.status().is_success();
        if !success {
            return self.error_body(response, end).await;
        }
        if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Broken::new(Cause::Encoded, "the answer has a content encoding that was not asked for"));
        }
        let too_large = || Broken::new(Cause::TooLarge, format!("the answer has more than {cap} bytes"));
        if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |length| length > cap)) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece(response, end).await? {
            if piece.len() > cap.saturating_sub(body.len()) {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// The beginning of an error's body; that it breaks off changes nothing about the error.
    async fn error_body(&self, response: &mut reqwest::Response, end: Instant) -> Result<Bytes, Broken> {
        let mut body = BytesMut::new();
        while body.len() < ERROR_BODY {
            match self.piece(response, end).await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Err(broken) if broken.cause == Cause::Slow => return Err(broken),
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(ERROR_BODY);
        Ok(body.freeze())
    }

    async fn piece(&self, response: &mut reqwest::Response, end: Instant) -> Result<Option<Bytes>, Broken> {
        match timeout_at(end.min(Instant::now() + self.times.idle), response.chunk()).await {
            Ok(piece) => piece.map_err(|error| Broken::of(&error, None)),
            Err(_) => Err(Broken::new(Cause::Slow, "the answer did not end in time")),
        }
    }

    fn pool(&self, route: &Route) -> Result<reqwest::Client, String> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(route) {
            return Ok(pool.clone());
        }
        let pool = match self.builder(route).build() {
            Ok(pool) => pool,
            // A machine without any root certificate still reaches plain HTTP; over TLS it then trusts nobody.
            Err(_) => self.builder(route).tls_certs_only([]).build().map_err(|error| chain(&error))?,
        };
        pools.insert(route.clone(), pool.clone());
        Ok(pool)
    }

    fn builder(&self, route: &Route) -> reqwest::ClientBuilder {
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_gzip()
            .no_proxy()
            .tls_version_min(tls::Version::TLS_1_2)
            .connect_timeout(self.times.connect)
            .http1_max_headers(128)
            .http2_max_header_list_size(64 << 10);
        match route {
            Route::Named => {}
            Route::WithRoots(host) => {
                builder = builder.tls_certs_merge(self.roots.get(host).into_iter().flatten().cloned());
            }
            Route::Loopback => return builder,
            Route::Foreign => builder = builder.dns_resolver(Arc::new(PublicResolver)),
        }
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder,
        }
    }
}

impl Broken {
    pub(super) fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, status: None, message: message.into() }
    }

    fn of(error: &reqwest::Error, status: Option<StatusCode>) -> Self {
        let cause = if error.is_timeout() {
            Cause::Slow
        } else if is_tls(error) {
            Cause::Tls
        } else if error.is_connect() || error.is_builder() {
            Cause::Connect
        } else {
            Cause::Cut
        };
        Self { cause, status, message: chain(error) }
    }
}

fn build(pool: &reqwest::Client, outgoing: &Outgoing<'_>) -> reqwest::Result<reqwest::Request> {
    let method = if outgoing.form.is_some() { Method::POST } else { Method::GET };
    let mut request = pool
        .request(method, outgoing.url.clone())
        .header(ACCEPT, outgoing.accept)
        .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(value) = outgoing.authorization {
        request = request.header(AUTHORIZATION, value);
    }
    if let Some(form) = outgoing.form {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned());
    }
    request.build()
}

/// Whether TLS itself failed, as opposed to the connection under it.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if error.downcast_ref::<rustls::Error>().is_some() {
            return true;
        }
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// An error with its causes, without the URL: a URL may carry what is secret.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    let text = if causes.is_empty() { "the request failed".to_owned() } else { causes.join(": ") };
    super::fault::sanitised(&text)
}

fn certificates(host: &Host, pem: &[u8]) -> Result<Vec<Certificate>, Problem> {
    let wrong = || {
        Problem::new(ErrorCode::ConfigInvalid, format!("the roots of `{}` are no PEM certificates", host.as_str()))
            .with_help("give a file with one or more `-----BEGIN CERTIFICATE-----` blocks")
    };
    let certificates = Certificate::from_pem_bundle(pem).map_err(|_| wrong())?;
    if certificates.is_empty() { Err(wrong()) } else { Ok(certificates) }
}

fn proxy(proxy: &Proxy) -> Result<reqwest::Proxy, Problem> {
    let exceptions = reqwest::NoProxy::from_string(&proxy.no_proxy.join(","));
    reqwest::Proxy::https(proxy.url.as_str())
        .map(|built| built.no_proxy(exceptions))
        .map_err(|_| Problem::new(ErrorCode::ConfigInvalid, "the proxy's URL is none"))
}
