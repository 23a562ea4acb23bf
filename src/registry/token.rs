//! Authorisation: a name and a password with each request, or a token from the registry's token server.
//!
//! The token server's address comes from the registry, so it is checked before it is asked, and nothing of what it
//! answers is ever shown.

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

use super::challenge::{Challenge, check_realm, host_of, same_authority};
use super::client::{Ask, Client, redirect_target};
use super::credentials::{Credentials, Secret, sensitive};
use super::exchange::{Answer, Outgoing};
use super::fault::{self, Again, Trouble, fault};
use super::host::{HostState, Token};
use crate::artifact::Fault;
use crate::image::Host;
use crate::outcome::RegistryOperation;
use crate::reason::{Reason, Weight};

/// Bytes of a token server's answer.
const MAX_ANSWER: usize = 64 << 10;
/// How long a token lives where its server does not say.
const DEFAULT_LIFE: u64 = 60;
/// How long a token is used at most.
const MAX_LIFE: u64 = 24 * 60 * 60;

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    access_token: Option<Secret>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Client {
    /// The header that the host is known to want; `None` where it wants none, or we have none.
    pub(super) async fn authorization(
        &self,
        ask: &Ask<'_>,
        state: &HostState,
        base: &Url,
    ) -> Result<Option<HeaderValue>, Trouble> {
        match state.challenge() {
            None => Ok(None),
            Some(Challenge::Basic) => {
                Ok(self.credentials(ask).await?.and_then(|credentials| credentials.basic_header()))
            }
            Some(Challenge::Bearer { realm, service }) => {
                let slot = state.token(ask.path);
                let mut kept = slot.lock().await;
                if let Some(token) = kept.as_ref().filter(|token| token.until > Instant::now()) {
                    return Ok(Some(token.header.clone()));
                }
                let token = self.fetch_token(ask, base, &realm, service.as_deref()).await?;
                let header = token.header.clone();
                *kept = Some(token);
                Ok(Some(header))
            }
        }
    }

    /// Forgets a token or credentials that were not taken.
    pub(super) async fn forget(&self, ask: &Ask<'_>, state: &HostState, rejected: &HeaderValue) {
        let slot = state.token(ask.path);
        let mut kept = slot.lock().await;
        // Another task may have fetched a new one meanwhile.
        if kept.as_ref().is_some_and(|token| token.header == *rejected) {
            *kept = None;
        }
        self.wallet.forget(ask.host, ask.path);
    }

    async fn credentials(&self, ask: &Ask<'_>) -> Result<Option<Arc<Credentials>>, Trouble> {
        self.wallet.find(ask.host, ask.path).await.map_err(|message| {
            Trouble::last(fault(Reason::RegistryUnauthorized, format!("{}: {message}", ask.subject())))
        })
    }

    async fn fetch_token(
        &self,
        ask: &Ask<'_>,
        base: &Url,
        realm: &Url,
        service: Option<&str>,
    ) -> Result<Token, Trouble> {
        let subject = format!("a token for {}", ask.subject());
        let listed = self.realms(ask.host);
        let refused =
            |message: String| Trouble::last(fault(Reason::RegistryUnauthorized, format!("{subject}: {message}")));
        check_realm(realm, base, &listed).map_err(refused)?;
        let credentials = self.credentials(ask).await?;
        let refresh = credentials.as_ref().and_then(|credentials| credentials.refresh_token());
        let (url, form) = request(realm, service, ask.path, refresh);
        let basic = credentials.as_ref().and_then(|credentials| credentials.basic_header());
        let mut answer = self.send_token(ask, &subject, &url, basic.as_ref(), form.as_deref()).await?;
        if let Some(target) = redirect_target(&answer, &url) {
            let target = target.map_err(refused)?;
            check_realm(&target, base, &listed).map_err(refused)?;
            let same = target.scheme() == url.scheme() && same_authority(&target, &url);
            let form = form.as_deref().filter(|_| same);
            answer = self.send_token(ask, &subject, &target, basic.as_ref().filter(|_| same), form).await?;
        }
        if answer.status != StatusCode::OK {
            return Err(of_token_status(&subject, &answer));
        }
        read(&answer.body).ok_or_else(|| {
            Trouble::last(fault(
                Reason::RegistryUnavailable,
                format!("{subject}: the token server's answer holds no token"),
            ))
        })
    }

    async fn send_token(
        &self,
        ask: &Ask<'_>,
        subject: &str,
        url: &Url,
        authorization: Option<&HeaderValue>,
        form: Option<&str>,
    ) -> Result<Answer, Trouble> {
        // The realm is the registry itself or listed, so it is named literally.
        let route = self.exchanger.route(&host_of(url).unwrap_or_else(|| ask.host.clone()));
        let outgoing = Outgoing {
            url,
            route: &route,
            accept: "application/json",
            authorization,
            form,
            cap: MAX_ANSWER,
            deadline: ask.deadline,
        };
        self.observed(ask.host, RegistryOperation::Token, &outgoing)
            .await
            .map_err(|broken| undecided(fault::of_broken(subject, &broken)))
    }

    /// The hosts besides itself that may issue a host's tokens.
    fn realms(&self, host: &Host) -> Vec<Host> {
        let mut realms = self.settings(host).auth_realms.clone();
        if host.is_docker_hub() {
            realms.extend(Host::parse("auth.docker.io"));
        }
        realms
    }
}

/// The address to ask and, for a refresh token, the form to send there.
fn request(realm: &Url, service: Option<&str>, path: &str, refresh: Option<&str>) -> (Url, Option<String>) {
    let scope = format!("repository:{path}:pull");
    let mut url = realm.clone();
    url.set_fragment(None);
    if let Some(refresh) = refresh {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", "sealgate");
        form.append_pair("refresh_token", refresh).append_pair("scope", &scope);
        if let Some(service) = service {
            form.append_pair("service", service);
        }
        return (url, Some(form.finish()));
    }
    if let Some(service) = service {
        url.query_pairs_mut().append_pair("service", service);
    }
    url.query_pairs_mut().append_pair("scope", &scope);
    (url, None)
}

fn read(body: &[u8]) -> Option<Token> {
    let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
    let token = answer.token.filter(|token| !token.expose().is_empty()).or(answer.access_token)?;
    let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
    if token.expose().is_empty() {
        return None;
    }
    let life = answer.expires_in.unwrap_or(DEFAULT_LIFE).min(MAX_LIFE);
    // A tenth is left for the way and for clocks that run apart.
    let until = Instant::now() + Duration::from_secs(life) / 10 * 9;
    Some(Token { header: sensitive(&text)?, until })
}

/// Whatever is wrong with a token server, it says nothing about an image.
fn undecided(trouble: Trouble) -> Trouble {
    match trouble.fault.reason.weight() {
        Weight::Undecided => trouble,
        Weight::Refused => {
            let fault = Fault { reason: Reason::RegistryUnavailable, ..trouble.fault };
            Trouble { fault, ..trouble }
        }
    }
}

/// What a token server's status means; its body is not shown.
fn of_token_status(subject: &str, answer: &Answer) -> Trouble {
    let bare = Answer { status: answer.status, headers: answer.headers.clone(), body: bytes::Bytes::new() };
    let trouble = fault::of_status(subject, &bare);
    let refused = answer.status == StatusCode::BAD_REQUEST || answer.status == StatusCode::NOT_FOUND;
    if refused {
        let fault = Fault { reason: Reason::RegistryUnauthorized, ..trouble.fault };
        return Trouble { fault, again: Again::No };
    }
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tokens_are_read_under_either_name_and_live_as_long_as_said() {
        let now = Instant::now();
        let life = |body: &str| read(body.as_bytes()).map(|token| token.until.duration_since(now).as_secs());
        assert_eq!(life(r#"{"token":"a"}"#), Some(54));
        assert_eq!(life(r#"{"access_token":"a","expires_in":300}"#), Some(270));
        assert_eq!(life(r#"{"token":"","access_token":"a"}"#), Some(54));
        assert_eq!(life(r#"{"token":"a","expires_in":18446744073709551615}"#), Some(MAX_LIFE / 10 * 9));
        for bad in ["", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, r#"{"token":1}"#, "<html>"] {
            assert_eq!(life(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_request_is_for_pulling_this_repository() {
        let realm = Url::parse("https://a.example/token?x=1").unwrap();
        let (url, form) = request(&realm, Some("reg & co"), "team/app", None);
        assert_eq!(url.as_str(), "https://a.example/token?x=1&service=reg+%26+co&scope=repository%3Ateam%2Fapp%3Apull");
        assert_eq!(form, None);
        let (url, form) = request(&realm, None, "team/app", Some("s&cret"));
        assert_eq!(url, realm);
        assert!(form.unwrap().contains("refresh_token=s%26cret"));
    }
}
