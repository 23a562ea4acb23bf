//! Asking a registry: every request with its authorisation, redirects, retries and waits.
//!
//! What comes out is the registry's final answer, success or "no such thing"; everything else is a fault here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderValue, LOCATION};
use tokio::time::{Instant, sleep_until, timeout_at};
use url::Url;

use super::cache::Cache;
use super::challenge::{self, host_of, same_authority};
use super::credentials::Wallet;
use super::exchange::{Answer, Broken, Cause, Exchanger, Outgoing, Route};
use super::fault::{self, Again, Trouble, fault};
use super::host::HostState;
use super::options::{HostOptions, Options};
use super::scheme::{self, Scheme};
use crate::artifact::Fault;
use crate::image::Host;
use crate::image::address::is_public;
use crate::outcome::{Event, Observer, RegistryOperation};
use crate::reason::{Problem, Reason};

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 3;
/// The longest pause between two attempts that nobody asked for.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// The registry client.
pub struct Client {
    pub(super) options: Options,
    pub(super) exchanger: Exchanger,
    pub(super) wallet: Wallet,
    pub(super) cache: Cache,
    observer: Arc<dyn Observer>,
    hosts: Mutex<HashMap<Host, Arc<HostState>>>,
    default_host: HostOptions,
}

/// A question to a registry.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) host: &'a Host,
    /// The repository's path, which is also what a token is for.
    pub(super) path: &'a str,
    /// What stands behind the repository's path: `manifests/latest`.
    pub(super) what: &'a str,
    pub(super) operation: RegistryOperation,
    pub(super) accept: &'a str,
    pub(super) cap: usize,
    pub(super) deadline: Instant,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Ask<'_> {
    /// What is asked, for messages.
    pub(super) fn subject(&self) -> String {
        format!("`{}/{}` ({})", self.host.as_str(), self.path, self.what)
    }
}

impl Client {
    /// A client. No host is asked before the first question.
    ///
    /// # Errors
    /// When a root certificate or the proxy of the options is unusable.
    pub fn new(options: Options, observer: Arc<dyn Observer>) -> Result<Self, Problem> {
        Ok(Self {
            exchanger: Exchanger::new(&options)?,
            wallet: Wallet::new(&options),
            cache: Cache::new(options.limits.cache_bytes),
            observer,
            hosts: Mutex::new(HashMap::new()),
            default_host: HostOptions::default(),
            options,
        })
    }

    /// When a call that begins now has to end.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    pub(super) fn settings(&self, host: &Host) -> &HostOptions {
        self.options.hosts.get(host).unwrap_or(&self.default_host)
    }

    pub(super) fn state(&self, host: &Host) -> Arc<HostState> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let state =
            hosts.entry(host.clone()).or_insert_with(|| Arc::new(HostState::new(self.settings(host).concurrency)));
        Arc::clone(state)
    }

    /// Asks until there is a final answer, or no time.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        if !self.options.allow(ask.host) {
            let name = ask.host.as_str();
            return Err(fault(
                Reason::UntrustedRegistry,
                format!("{}: `{name}` is not named by configuration or policy, so it is not asked", ask.subject()),
            ));
        }
        match timeout_at(ask.deadline, self.attempts(ask)).await {
            Ok(answer) => answer,
            Err(_) => Err(fault(Reason::TimedOut, format!("{}: no time is left", ask.subject()))),
        }
    }

    async fn attempts(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let state = self.state(ask.host);
        let mut attempt = 0;
        loop {
            let trouble = match self.attempt(ask, &state).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            match self.pause(&trouble, attempt, ask.deadline) {
                Some(until) => sleep_until(until).await,
                None => return Err(given_up(trouble.fault, ask.deadline)),
            }
            attempt += 1;
        }
    }

    /// When to try again, where that makes sense.
    fn pause(&self, trouble: &Trouble, attempt: u32, deadline: Instant) -> Option<Instant> {
        if trouble.again == Again::No || attempt >= self.options.limits.retries {
            return None;
        }
        let wait = trouble.fault.retry_after.unwrap_or_else(|| backoff(self.options.limits.backoff, attempt));
        Some(Instant::now() + wait).filter(|until| *until < deadline)
    }

    async fn attempt(&self, ask: &Ask<'_>, state: &HostState) -> Result<Answer, Trouble> {
        if let Some(until) = state.blocked() {
            if until >= ask.deadline {
                let wait = until.saturating_duration_since(Instant::now());
                let message =
                    format!("{}: the registry asked to be left alone for {} s", ask.subject(), wait.as_secs());
                return Err(Trouble::last(Fault { reason: Reason::RateLimited, message, retry_after: Some(wait) }));
            }
            sleep_until(until).await;
        }
        let _permit = state.permits.acquire().await.map_err(|_| {
            Trouble::last(fault(Reason::InternalError, format!("{}: the limit of requests is closed", ask.subject())))
        })?;
        let answer = self.authorised(ask, state).await?;
        let final_statuses = [
            StatusCode::BAD_REQUEST,
            StatusCode::NOT_FOUND,
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::NOT_IMPLEMENTED,
        ];
        if answer.status == StatusCode::OK || final_statuses.contains(&answer.status) {
            return Ok(answer);
        }
        let trouble = fault::of_status(&ask.subject(), &answer);
        if let Some(wait) = trouble.fault.retry_after {
            state.block(wait);
        }
        Err(trouble)
    }

    /// Asks with what is known to be needed, and once more when the registry wants something else.
    async fn authorised(&self, ask: &Ask<'_>, state: &HostState) -> Result<Answer, Trouble> {
        let base = self.base(ask.host, state).await.map_err(|broken| fault::of_broken(&ask.subject(), &broken))?;
        let first = self.authorization(ask, state, &base).await?;
        let answer = self.follow(ask, state, &base, first.as_ref()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(challenge) = challenge::of(&answer.headers) else {
            return Err(fault::of_status(&ask.subject(), &answer));
        };
        state.learn_challenge(challenge);
        if let Some(rejected) = &first {
            self.forget(ask, state, rejected).await;
        }
        match self.authorization(ask, state, &base).await? {
            Some(second) => self.follow(ask, state, &base, Some(&second)).await,
            None => Err(fault::of_status(&format!("{}: no credentials are configured", ask.subject()), &answer)),
        }
    }

    /// `scheme://authority/` of a host.
    pub(super) async fn base(&self, host: &Host, state: &HostState) -> Result<Url, Broken> {
        let authority = if host.is_docker_hub() { "registry-1.docker.io" } else { host.as_str() };
        let url = |scheme: Scheme| {
            Url::parse(&format!("{}://{authority}/", scheme.name()))
                .map_err(|error| Broken::new(Cause::Connect, format!("`{authority}` is no host: {error}")))
        };
        if !host.is_loopback() && !self.settings(host).insecure {
            return url(Scheme::Https);
        }
        let mut known = state.scheme.lock().await;
        if let Some(scheme) = HostState::believed(*known) {
            return url(scheme);
        }
        let scheme = self.scheme(&url(Scheme::Https)?).await?;
        *known = Some((scheme, Instant::now()));
        url(scheme)
    }

    async fn scheme(&self, url: &Url) -> Result<Scheme, Broken> {
        let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let limits = &self.options.limits;
        let asked =
            scheme::probe(name, url.port_or_known_default().unwrap_or(443), limits.connect, limits.first_byte).await;
        match asked {
            // Where no port is written, plain HTTP has one of its own.
            Err(broken) if broken.cause == Cause::Connect && url.port().is_none() => {
                scheme::probe(name, 80, limits.connect, limits.first_byte).await.map(|_| Scheme::Http)
            }
            other => other,
        }
    }

    /// Sends a question and follows where it is sent.
    async fn follow(
        &self,
        ask: &Ask<'_>,
        state: &HostState,
        base: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Trouble> {
        let subject = ask.subject();
        let mut url = base
            .join(&format!("v2/{}/{}", ask.path, ask.what))
            .map_err(|_| Trouble::last(fault(Reason::RegistryUnavailable, format!("{subject}: no such address"))))?;
        let mut route = self.exchanger.route(ask.host);
        for _ in 0..=MAX_REDIRECTS {
            // Nothing secret goes anywhere but to the registry itself.
            let own = url.scheme() == base.scheme() && same_authority(&url, base);
            let outgoing = Outgoing {
                url: &url,
                route: &route,
                accept: ask.accept,
                authorization: authorization.filter(|_| own),
                form: None,
                cap: ask.cap,
                deadline: ask.deadline,
            };
            let answer = match self.observed(ask.host, ask.operation, &outgoing).await {
                Ok(answer) => answer,
                Err(broken) => {
                    forget_scheme(state, &broken).await;
                    return Err(fault::of_broken(&subject, &broken));
                }
            };
            let Some(next) = redirect_target(&answer, &url) else { return Ok(answer) };
            let checked = next.and_then(|next| self.check_redirect(ask, base, &next).map(|route| (next, route)));
            (url, route) = checked.map_err(|message| {
                Trouble::last(fault(Reason::RegistryUnavailable, format!("{subject}: {message}")))
            })?;
        }
        Err(Trouble::last(fault(
            Reason::RegistryUnavailable,
            format!("{subject}: more than {MAX_REDIRECTS} redirects"),
        )))
    }

    /// Whether a redirect may be followed, and how its target is reached.
    fn check_redirect(&self, ask: &Ask<'_>, base: &Url, target: &Url) -> Result<Route, String> {
        if !target.username().is_empty() || target.password().is_some() {
            return Err("redirected to an address with credentials in it".to_owned());
        }
        if !(target.scheme() == "https" || (target.scheme() == "http" && base.scheme() == "http")) {
            return Err(format!("redirected from https to {}", fault::sanitised(target.scheme())));
        }
        if same_authority(target, base) {
            return Ok(self.exchanger.route(ask.host));
        }
        let host = host_of(target).ok_or("redirected to an address that is none")?;
        let name = host.as_str();
        if self.options.allow(&host) {
            return Ok(self.exchanger.route(&host));
        }
        if ask.operation != RegistryOperation::Blob {
            return Err(format!("redirected to `{name}`, which the configuration does not name"));
        }
        let literal = match target.host() {
            Some(url::Host::Ipv4(address)) => Some(address.into()),
            Some(url::Host::Ipv6(address)) => Some(address.into()),
            Some(url::Host::Domain(_)) | None => None,
        };
        if literal.is_some_and(|address| !is_public(address)) {
            return Err(format!("redirected to `{name}`, which is not public and not named in the configuration"));
        }
        Ok(Route::Foreign)
    }

    /// Sends one request, and tells the observer.
    pub(super) async fn observed(
        &self,
        host: &Host,
        operation: RegistryOperation,
        outgoing: &Outgoing<'_>,
    ) -> Result<Answer, Broken> {
        let begun = Instant::now();
        let sent = self.exchanger.send(outgoing).await;
        let status = match &sent {
            Ok(answer) => Some(answer.status),
            Err(broken) => broken.status,
        };
        self.observer.observe(&Event::RegistryRequest {
            registry: host.as_str(),
            operation,
            code: status.map_or(0, |status| status.as_u16()),
            duration: begun.elapsed(),
        });
        sent
    }
}

/// A port that no longer answers as it did is asked again how it is spoken to.
async fn forget_scheme(state: &HostState, broken: &Broken) {
    match broken.cause {
        Cause::Connect | Cause::Tls | Cause::Cut => *state.scheme.lock().await = None,
        Cause::Slow | Cause::TooLarge | Cause::Encoded => {}
    }
}

/// Where an answer sends us; `None` when it is no redirect.
pub(super) fn redirect_target(answer: &Answer, from: &Url) -> Option<Result<Url, String>> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let target = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(|text| from.join(text));
    Some(match target {
        Some(Ok(target)) => Ok(target),
        Some(Err(_)) | None => Err("redirected to no address".to_owned()),
    })
}

/// The fault at the end of all attempts. A wait beyond the time left is the registry's limit, whatever its status said.
fn given_up(fault: Fault, deadline: Instant) -> Fault {
    match fault.retry_after {
        Some(wait) if Instant::now() + wait >= deadline => Fault { reason: Reason::RateLimited, ..fault },
        Some(_) | None => fault,
    }
}

/// A pause with full jitter: anything up to the base doubled with each attempt.
fn backoff(base: Duration, attempt: u32) -> Duration {
    let most = base.saturating_mul(1 << attempt.min(16)).min(MAX_BACKOFF);
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
    // The keys of a fresh hasher are random: good enough to keep clients apart.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), attempt);
    Duration::from_micros(random % micros)
}
