//! Credentials and tokens: who sees them, how often they are asked for, what happens when they are not taken.

use base64::Engine as _;
use sealgate::image::Host;
use sealgate::outcome::RegistryOperation;
use sealgate::reason::Reason;
use sealgate::registry::{Credentials, HostOptions, Options};

use super::{client, options, resolve, with_host};
use crate::support::fake_registry::{FakeRegistry, Guard, Misdeed};
use crate::support::token_server::TokenServer;

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

fn realms(realm: &TokenServer, credentials: Option<Credentials>) -> HostOptions {
    HostOptions { auth_realms: vec![Host::parse(&realm.authority()).unwrap()], credentials, ..HostOptions::default() }
}

async fn guarded() -> (FakeRegistry, TokenServer) {
    let (registry, tokens) = (FakeRegistry::start().await, TokenServer::start().await);
    registry.image("team/app", "v1", "one");
    registry.image("team/web", "v1", "two");
    registry.guard(tokens.guard());
    (registry, tokens)
}

#[tokio::test]
async fn an_anonymous_token_is_fetched_once_for_each_repository() {
    let (registry, tokens) = guarded().await;
    let (client, ear) = client(with_host(options(&[]), registry.host(), realms(&tokens, None)));
    for _ in 0..3 {
        resolve(&client, &registry, "team/app:v1").await.unwrap();
        resolve(&client, &registry, "team/web:v1").await.unwrap();
    }
    let asked: Vec<String> = tokens.requests().into_iter().map(|request| request.path).collect();
    let expected = |name: &str| format!("/token?service=fake%2C+really&scope=repository%3Ateam%2F{name}%3Apull");
    assert_eq!(asked, [expected("app"), expected("web")]);
    // One refusal teaches how to ask; the second repository is asked with its token at once.
    assert_eq!(registry.requests().len(), 7);
    let heard = ear.0.lock().unwrap().clone();
    assert_eq!(heard.iter().filter(|(operation, _)| *operation == RegistryOperation::Token).count(), 2);
    assert_eq!(heard[0], (RegistryOperation::Resolve, 401));
}

#[tokio::test]
async fn side_by_side_questions_share_one_token() {
    let (registry, tokens) = guarded().await;
    let (client, _) = client(with_host(options(&[]), registry.host(), realms(&tokens, None)));
    let asked = (0..20).map(|_| resolve(&client, &registry, "team/app:v1"));
    assert!(futures::future::join_all(asked).await.iter().all(Result::is_ok));
    assert_eq!(tokens.requests().len(), 1);
}

#[tokio::test]
async fn a_token_taken_back_is_renewed_once() {
    let (registry, tokens) = guarded().await;
    let (client, _) = client(with_host(options(&[]), registry.host(), realms(&tokens, None)));
    resolve(&client, &registry, "team/app:v1").await.unwrap();
    tokens.revoke();
    resolve(&client, &registry, "team/app:v1").await.unwrap();
    assert_eq!(tokens.requests().len(), 2);
    // An expired one is not even tried.
    tokens.expire_in(0);
    tokens.revoke();
    resolve(&client, &registry, "team/app:v1").await.unwrap();
    registry.take_requests();
    resolve(&client, &registry, "team/app:v1").await.unwrap();
    assert_eq!(registry.requests().len(), 1);
    assert_eq!(tokens.requests().len(), 4);
}

#[tokio::test]
async fn credentials_go_to_the_token_server_and_only_tokens_to_the_registry() {
    let (registry, tokens) = guarded().await;
    tokens.require(&basic("canary", "secret"));
    let right = Credentials::basic("canary".into(), "secret".into());
    let (client_right, _) = client(with_host(options(&[]), registry.host(), realms(&tokens, Some(right))));
    resolve(&client_right, &registry, "team/app:v1").await.unwrap();
    assert!(
        registry.requests().iter().filter_map(|r| r.authorization.as_deref()).all(|value| value.starts_with("Bearer "))
    );
    let wrong = Credentials::basic("canary".into(), "wrong".into());
    let (client_wrong, _) = client(with_host(options(&[]), registry.host(), realms(&tokens, Some(wrong))));
    let fault = resolve(&client_wrong, &registry, "team/app:v1").await.unwrap_err();
    assert_eq!(fault.reason, Reason::RegistryUnauthorized);
    assert!(!fault.message.contains("canary") && !fault.message.contains("wrong"), "{fault}");
}

#[tokio::test]
async fn a_foreign_realm_is_never_asked() {
    let (registry, tokens) = guarded().await;
    let credentials = Some(Credentials::basic("canary".into(), "secret".into()));
    let settings = HostOptions { credentials, ..HostOptions::default() };
    let (client, _) = client(with_host(options(&[]), registry.host(), settings));
    let fault = resolve(&client, &registry, "team/app:v1").await.unwrap_err();
    assert_eq!(fault.reason, Reason::RegistryUnauthorized);
    assert!(tokens.requests().is_empty());
    assert!(registry.requests().iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn a_token_servers_words_are_never_shown() {
    let table = [
        (500, Reason::RegistryUnavailable),
        (429, Reason::RateLimited),
        (403, Reason::RegistryUnauthorized),
        (404, Reason::RegistryUnauthorized),
        (200, Reason::RegistryUnavailable),
    ];
    for (status, reason) in table {
        let (registry, tokens) = guarded().await;
        tokens.answer_instead(status, r#"{"errors":[{"code":"X","message":"db-password=hunter2"}]}"#);
        let (client, _) = client(with_host(options(&[]), registry.host(), realms(&tokens, None)));
        let fault = resolve(&client, &registry, "team/app:v1").await.unwrap_err();
        assert_eq!(fault.reason, reason, "{status}");
        assert!(!fault.message.contains("hunter2"), "{fault}");
    }
}

#[tokio::test]
async fn a_registry_that_refuses_for_ever_is_asked_twice() {
    let registry = FakeRegistry::start().await;
    registry.guard(Guard::Basic { authorization: basic("u", "right") });
    let settings = |password: &str| HostOptions {
        credentials: Some(Credentials::basic("u".into(), password.into())),
        ..HostOptions::default()
    };
    let (wrong, _) = client(with_host(options(&[]), registry.host(), settings("wrong")));
    let fault = resolve(&wrong, &registry, "team/app:v1").await.unwrap_err();
    assert_eq!(fault.reason, Reason::RegistryUnauthorized);
    assert_eq!(registry.take_requests().len(), 2);
    let (none, _) = client(options(&[registry.host()]));
    assert_eq!(resolve(&none, &registry, "team/app:v1").await.unwrap_err().reason, Reason::RegistryUnauthorized);
    assert_eq!(registry.take_requests().len(), 1);
    let (right, _) = client(with_host(options(&[]), registry.host(), settings("right")));
    assert_eq!(resolve(&right, &registry, "team/app:v1").await.unwrap_err().reason, Reason::ImageNotFound);
}

#[tokio::test]
async fn a_docker_configuration_is_read_and_read_again() {
    let registry = FakeRegistry::start().await;
    registry.image("team/app", "v1", "one");
    registry.guard(Guard::Basic { authorization: basic("u", "new") });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let write = |password: &str| {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("u:{password}"));
        let text = format!(
            r#"{{"auths":{{"{}":{{"auth":"{auth}"}},"evil.test":{{"auth":"eDp5"}}}}}}"#,
            registry.host().as_str()
        );
        std::fs::write(&file, text).unwrap();
    };
    let options =
        Options { docker_config: vec![folder.path().join("absent.json"), file.clone()], ..options(&[registry.host()]) };
    let (client, _) = client(options);
    write("old");
    assert_eq!(resolve(&client, &registry, "team/app:v1").await.unwrap_err().reason, Reason::RegistryUnauthorized);
    // A refusal makes the file be read again.
    write("new");
    resolve(&client, &registry, "team/app:v1").await.unwrap();
    std::fs::write(&file, "canary {").unwrap();
    let (fresh, _) = super::client(Options { docker_config: vec![file], ..super::options(&[registry.host()]) });
    let fault = resolve(&fresh, &registry, "team/app:v1").await.unwrap_err();
    assert_eq!(fault.reason, Reason::RegistryUnauthorized);
    assert!(!fault.message.contains("canary"), "{fault}");
}

#[tokio::test]
async fn credentials_stay_behind_on_redirects() {
    let (registry, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let digest = registry.image("team/app", "v1", "one");
    other.image("team/app", "v1", "one");
    registry.guard(Guard::Basic { authorization: basic("u", "p") });
    registry.misbehave("/manifests/", Misdeed::Redirect(format!("{}/v2/team/app/manifests/v1", other.url())), 1);
    let settings =
        HostOptions { credentials: Some(Credentials::basic("u".into(), "p".into())), ..HostOptions::default() };
    let (client, _) = client(with_host(options(&[other.host()]), registry.host(), settings));
    assert_eq!(resolve(&client, &registry, "team/app:v1").await.unwrap().digest, digest);
    assert_eq!(other.requests().len(), 1);
    assert_eq!(other.requests()[0].authorization, None);
}
