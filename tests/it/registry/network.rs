//! How registries are reached: TLS and its absence, roots, redirects.

use sealgate::artifact::Content;
use sealgate::image::Host;
use sealgate::reason::Reason;
use sealgate::registry::HostOptions;

use super::{all, client, client_of, options, resolve, with_host};
use crate::support::fake_registry::{FakeRegistry, Misdeed};

#[tokio::test]
async fn loopback_on_tls_is_believed_only_with_its_roots() {
    let registry = FakeRegistry::start_tls(&["127.0.0.1"]).await;
    let digest = registry.image("team/app", "v1", "one");
    let fault = resolve(&client_of(&registry), &registry, "team/app:v1").await.unwrap_err();
    assert_eq!(fault.reason, Reason::RegistryUnavailable);
    assert!(registry.requests().is_empty(), "a certificate error never falls back to plain HTTP");
    let settings = HostOptions { ca: Some(registry.ca()), ..HostOptions::default() };
    let (client, _) = client(with_host(options(&[]), registry.host(), settings));
    assert_eq!(resolve(&client, &registry, "team/app:v1").await.unwrap().digest, digest);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let registry = FakeRegistry::start_tls(&["registry.example.com"]).await;
    registry.image("team/app", "v1", "one");
    let settings = HostOptions { ca: Some(registry.ca()), insecure: true, ..HostOptions::default() };
    let (client, _) = client(with_host(options(&[]), registry.host(), settings));
    assert_eq!(resolve(&client, &registry, "team/app:v1").await.unwrap_err().reason, Reason::RegistryUnavailable);
    assert!(registry.requests().is_empty());
}

#[tokio::test]
async fn broken_roots_are_a_configuration_error() {
    for ca in [&b""[..], b"no pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let settings = HostOptions { ca: Some(ca.to_vec()), ..HostOptions::default() };
        let options = with_host(options(&[]), Host::parse("reg.example.com").unwrap(), settings);
        let built = sealgate::registry::Client::new(options, std::sync::Arc::new(sealgate::outcome::Unobserved));
        // What is PEM but no certificate is noticed when the host is first asked.
        assert!(built.is_err() || ca.starts_with(b"-----"));
    }
}

#[tokio::test]
async fn nobody_listening_is_an_outage() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = Host::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    drop(listener);
    let image = sealgate::image::ImageRef::parse(&format!("{}/x:v1", host.as_str())).unwrap();
    let (client, _) = client(options(&[host]));
    let fault = sealgate::registry::Registry::resolve(&client, &image).await.unwrap_err();
    assert_eq!(fault.reason, Reason::RegistryUnavailable);
}

#[tokio::test]
async fn redirects_lead_only_where_they_may() {
    let (other, tls) = (FakeRegistry::start().await, FakeRegistry::start_tls(&["127.0.0.1"]).await);
    other.image("team/app", "v1", "one");
    let path = "/v2/team/app/manifests/v1";
    let table = [
        (format!("{}{path}", other.url()), "not named"),
        ("http://169.254.169.254/latest/meta-data".to_owned(), "metadata"),
        ("http://2852039166/latest".to_owned(), "metadata as a number"),
        ("http://[::ffff:169.254.169.254]/".to_owned(), "mapped"),
        ("http://user:canary@127.0.0.1/".to_owned(), "credentials"),
        ("ftp://127.0.0.1/".to_owned(), "another scheme"),
        ("file:///etc/passwd".to_owned(), "a file"),
        ("http://".to_owned(), "nothing"),
    ];
    for (target, what) in table {
        let registry = FakeRegistry::start().await;
        registry.image("team/app", "v1", "one");
        registry.misbehave("/manifests/", Misdeed::Redirect(target), usize::MAX);
        let fault = resolve(&client_of(&registry), &registry, "team/app:v1").await.unwrap_err();
        assert_eq!(fault.reason, Reason::RegistryUnavailable, "{what}");
        assert!(!fault.message.contains("canary"), "{fault}");
    }
    assert!(other.requests().is_empty());
    // From https to http: not even to a host that is named.
    tls.image("team/app", "v1", "one");
    tls.misbehave("/manifests/", Misdeed::Redirect(format!("{}{path}", other.url())), usize::MAX);
    let settings = HostOptions { ca: Some(tls.ca()), ..HostOptions::default() };
    let (client, _) = client(with_host(options(&[other.host()]), tls.host(), settings));
    assert_eq!(resolve(&client, &tls, "team/app:v1").await.unwrap_err().reason, Reason::RegistryUnavailable);
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let registry = FakeRegistry::start().await;
    registry.image("team/app", "v1", "one");
    registry.misbehave("/manifests/", Misdeed::Redirect("/v2/team/app/manifests/v1".into()), usize::MAX);
    let fault = resolve(&client_of(&registry), &registry, "team/app:v1").await.unwrap_err();
    assert_eq!(fault.reason, Reason::RegistryUnavailable);
    assert_eq!(registry.requests().len(), 4);
}

#[tokio::test]
async fn blobs_are_not_fetched_from_inside_by_redirect() {
    let (registry, inside) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let digest = registry.image("team/app", "v1", "one");
    registry.sign("team/app", &digest, &[("payload", "sig")]);
    let target = format!("{}/v2/team/app/blobs/x", inside.url());
    registry.misbehave("/blobs/", Misdeed::Redirect(target), usize::MAX);
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert!(inside.requests().is_empty());
    assert_eq!((evidence.artifacts.len(), evidence.faults[0].reason), (0, Reason::RegistryUnavailable));
    // Where the host is named, it may be inside, and sees no credentials.
    let payload = inside.put_blob("team/app", "payload");
    let target = format!("{}/v2/team/app/blobs/{payload}", inside.url());
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    registry.sign("team/app", &digest, &[("payload", "sig")]);
    registry.misbehave("/blobs/", Misdeed::Redirect(target), usize::MAX);
    let (client, _) = client(options(&[registry.host(), inside.host()]));
    let evidence = all(&client, &registry, "team/app", digest).await;
    assert_eq!(evidence.artifacts[0].content, Content::Bytes("payload".into()));
}
