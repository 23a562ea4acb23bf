//! What a registry's misdeeds come to: a reason, and never an image that was not hashed.

use std::time::Duration;

use sealgate::image::{Digest, Platform};
use sealgate::reason::{Reason, Weight};
use sealgate::registry::{HostOptions, Mirror, MirrorTags, Registry as _};

use super::{client, client_of, image, options, resolve, with_host};
use crate::support::fake_registry::{FakeRegistry, Misdeed, OCI_INDEX, OCI_MANIFEST};

fn answer(status: u16, body: &'static str) -> Misdeed {
    Misdeed::Answer { status, headers: vec![("content-type", "application/json".to_owned())], body }
}

#[tokio::test]
async fn a_tag_and_a_digest_resolve_to_what_was_hashed() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let client = client_of(&registry);
    let by_tag = resolve(&client, &registry, "team/app:v1").await.unwrap();
    assert_eq!((by_tag.digest, by_tag.media_type.as_str()), (digest, OCI_MANIFEST));
    let accept = &registry.requests()[0].accept;
    for kind in ["oci.image.index.v1", "oci.image.manifest.v1", "manifest.list.v2", "distribution.manifest.v2"] {
        assert!(accept.contains(kind), "{accept}");
    }
    registry.image("team/app", "v1", "two");
    let by_digest = resolve(&client, &registry, &format!("team/app:v1@{digest}")).await.unwrap();
    assert_eq!(by_digest, by_tag);
    assert_eq!(registry.requests().len(), 1, "a digest that was hashed before needs no request");
    assert_ne!(resolve(&client, &registry, "team/app:v1").await.unwrap().digest, digest);
}

#[tokio::test]
async fn an_index_is_pinned_as_an_index() {
    let registry = FakeRegistry::start().await;
    let leaf = registry.image("team/app", "leaf", "amd64");
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": leaf.to_string(), "size": 1, "platform": {"os": "linux", "architecture": "amd64"}}]});
    let digest = registry.put_manifest("team/app", Some("v1"), OCI_INDEX, index.to_string());
    let image = resolve(&client_of(&registry), &registry, "team/app:v1").await.unwrap();
    assert_eq!(image.digest, digest);
    assert_eq!(image.leaves[0].digest, leaf);
    assert_eq!(image.leaves[0].platform, Some("linux/amd64".parse::<Platform>().unwrap()));
}

#[tokio::test]
async fn each_misdeed_has_its_reason() {
    let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#;
    let table = [
        (answer(404, unknown), Reason::ImageNotFound),
        (answer(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#), Reason::ImageNotFound),
        (answer(404, "<html>no such page</html>"), Reason::RegistryUnavailable),
        (answer(404, ""), Reason::RegistryUnavailable),
        (answer(401, unknown), Reason::RegistryUnauthorized),
        (answer(403, unknown), Reason::RegistryUnauthorized),
        (answer(429, unknown), Reason::RateLimited),
        (answer(500, unknown), Reason::RegistryUnavailable),
        (answer(502, "<html>bad gateway</html>"), Reason::RegistryUnavailable),
        (answer(503, ""), Reason::RegistryUnavailable),
        (answer(400, unknown), Reason::RegistryUnavailable),
        (answer(204, ""), Reason::RegistryUnavailable),
        (answer(206, "{}"), Reason::RegistryUnavailable),
        (answer(200, "{}"), Reason::Malformed),
        (
            Misdeed::Answer {
                status: 200,
                headers: vec![("content-type", "text/html".into())],
                body: "<html>log in</html>",
            },
            Reason::RegistryUnavailable,
        ),
        (Misdeed::WrongHeader, Reason::DigestMismatch),
        (Misdeed::Swap(b"{}"), Reason::DigestMismatch),
        (Misdeed::Truncate, Reason::RegistryUnavailable),
        (Misdeed::Endless, Reason::LimitExceeded),
        (Misdeed::HugeLength, Reason::LimitExceeded),
        (Misdeed::Encoded, Reason::Malformed),
    ];
    for (number, (misdeed, reason)) in table.into_iter().enumerate() {
        let registry = FakeRegistry::start().await;
        registry.image("team/app", "v1", "one");
        registry.misbehave("/manifests/", misdeed, usize::MAX);
        let fault = resolve(&client_of(&registry), &registry, "team/app:v1").await.unwrap_err();
        assert_eq!(fault.reason, reason, "row {number}: {fault}");
    }
}

#[tokio::test]
async fn bytes_of_another_digest_are_never_an_image() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let other = registry.image("team/app", "v2", "two");
    let table = [Misdeed::Swap(b"{\"schemaVersion\":2}"), Misdeed::WrongHeader];
    for misdeed in table {
        registry.misbehave("/manifests/", misdeed, 1);
        let fault = client_of(&registry).resolve(&image(&registry, &format!("team/app@{digest}"))).await.unwrap_err();
        assert_eq!(fault.reason, Reason::DigestMismatch);
    }
    let missing = Digest::of(b"missing");
    let fault = resolve(&client_of(&registry), &registry, &format!("team/app@{missing}")).await.unwrap_err();
    assert_eq!(fault.reason, Reason::ImageNotFound);
    assert_ne!(digest, other);
}

#[tokio::test]
async fn slowness_ends_at_its_deadline() {
    for misdeed in [Misdeed::Silence, Misdeed::Drip] {
        let registry = FakeRegistry::start().await;
        registry.image("team/app", "v1", "one");
        registry.misbehave("/manifests/", misdeed, usize::MAX);
        let mut options = options(&[registry.host()]);
        options.limits.first_byte = Duration::from_millis(100);
        options.limits.request = Duration::from_millis(200);
        let (client, _) = client(options);
        let fault = resolve(&client, &registry, "team/app:v1").await.unwrap_err();
        assert_eq!(fault.reason, Reason::TimedOut);
        assert_eq!(registry.requests().len(), 1);
    }
}

#[tokio::test]
async fn outages_that_pass_are_waited_for_within_a_budget() {
    for misdeed in [answer(503, ""), answer(500, ""), answer(429, ""), Misdeed::Truncate] {
        let registry = FakeRegistry::start().await;
        let digest = registry.image("team/app", "v1", "one");
        registry.misbehave("/manifests/", misdeed.clone(), 2);
        assert_eq!(resolve(&client_of(&registry), &registry, "team/app:v1").await.unwrap().digest, digest);
        assert_eq!(registry.requests().len(), 3);
        registry.misbehave("/manifests/", misdeed, usize::MAX);
        registry.take_requests();
        let fault = resolve(&client_of(&registry), &registry, "team/app:v1").await.unwrap_err();
        assert_eq!(fault.reason.weight(), Weight::Undecided);
        assert_eq!(registry.requests().len(), 5);
    }
}

#[tokio::test]
async fn a_wait_beyond_the_time_left_ends_at_once() {
    for status in [429, 503] {
        let registry = FakeRegistry::start().await;
        registry.image("team/app", "v1", "one");
        let headers = vec![("retry-after", "120".to_owned())];
        registry.misbehave("/manifests/", Misdeed::Answer { status, headers, body: "" }, usize::MAX);
        let client = client_of(&registry);
        let fault = resolve(&client, &registry, "team/app:v1").await.unwrap_err();
        assert_eq!((fault.reason, fault.retry_after), (Reason::RateLimited, Some(Duration::from_mins(2))));
        let fault = resolve(&client, &registry, "team/app:v1").await.unwrap_err();
        assert_eq!(fault.reason, Reason::RateLimited);
        assert_eq!(registry.requests().len(), 1, "the host asked to be left alone");
    }
}

#[tokio::test]
async fn mirrors_answer_by_digest_and_the_origin_has_the_last_word() {
    let origin = FakeRegistry::start().await;
    let mirror = FakeRegistry::start().await;
    let digest = origin.image("team/app", "v1", "one");
    mirror.image("proxy/team/app", "v1", "stale");
    let with = |tags| {
        let mirrors = vec![Mirror { host: mirror.host(), prefix: "proxy".into(), tags }];
        client(with_host(options(&[]), origin.host(), HostOptions { mirrors, ..HostOptions::default() })).0
    };
    let by_digest = format!("team/app@{digest}");
    // The mirror has it not, then wrongly, then rightly.
    assert_eq!(resolve(&with(MirrorTags::Ignore), &origin, &by_digest).await.unwrap().digest, digest);
    mirror.misbehave(&digest.to_string(), answer(200, "{}"), 1);
    assert_eq!(resolve(&with(MirrorTags::Ignore), &origin, &by_digest).await.unwrap().digest, digest);
    mirror.image("proxy/team/app", "v1-copy", "one");
    origin.take_requests();
    assert_eq!(resolve(&with(MirrorTags::Ignore), &origin, &by_digest).await.unwrap().digest, digest);
    assert!(origin.requests().is_empty());
    // Tags are the origin's, unless the mirror may say.
    mirror.take_requests();
    assert_eq!(resolve(&with(MirrorTags::Ignore), &origin, "team/app:v1").await.unwrap().digest, digest);
    assert!(mirror.requests().is_empty());
    let by_mirror = resolve(&with(MirrorTags::Resolve), &origin, "team/app:v1").await.unwrap();
    assert_ne!(by_mirror.digest, digest);
    assert_eq!(by_mirror.resolved_by, Some(mirror.host()), "who answered is told");
    origin.misbehave("/manifests/", answer(503, ""), usize::MAX);
    let fault = resolve(&with(MirrorTags::Ignore), &origin, "team/app").await;
    assert_eq!(fault.unwrap_err().reason, Reason::RegistryUnavailable);
}

#[tokio::test]
async fn a_host_that_nobody_named_is_not_asked() {
    let registry = FakeRegistry::start().await;
    registry.image("team/app", "v1", "one");
    let (client, ear) = client(options(&[]));
    let fault = resolve(&client, &registry, "team/app:v1").await.unwrap_err();
    assert_eq!(fault.reason, Reason::UntrustedRegistry);
    assert!(registry.requests().is_empty() && ear.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn manifests_too_large_to_take_are_told_at_the_limit() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let size = usize::try_from(resolve(&client_of(&registry), &registry, "team/app:v1").await.unwrap().size).unwrap();
    for (cap, fits) in [(size, true), (size - 1, false)] {
        let mut options = options(&[registry.host()]);
        options.limits.manifest_bytes = cap;
        let found = resolve(&client(options).0, &registry, "team/app:v1").await;
        match found {
            Ok(image) => assert!(fits && image.digest == digest),
            Err(fault) => assert!(!fits && fault.reason == Reason::LimitExceeded),
        }
    }
}
