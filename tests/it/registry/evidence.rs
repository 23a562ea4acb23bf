//! Evidence: found in every place, no more asked than needed, bounded, and never silently less than there is.

use sealgate::artifact::{Artifact, Content, Where};
use sealgate::image::Digest;
use sealgate::reason::Reason;
use sealgate::registry::Registry as _;
use serde_json::json;

use super::{all, client, client_of, lookup, options, resolve, usable};
use crate::support::fake_registry::{
    BUNDLE, FakeRegistry, Misdeed, OCI_INDEX, OCI_MANIFEST, SIMPLE_SIGNING, descriptor,
};

fn defects(artifacts: &[Artifact]) -> Vec<Reason> {
    let reason = |artifact: &Artifact| match &artifact.content {
        Content::Bytes(_) => None,
        Content::Unusable(defect) => Some(defect.reason),
    };
    artifacts.iter().filter_map(reason).collect()
}

#[tokio::test]
async fn what_is_not_there_is_an_absence_without_faults() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!((evidence.artifacts.len(), evidence.faults.len(), evidence.left_out), (0, 0, 0));
    assert_eq!(registry.requests().len(), 3, "every place was asked");
}

#[tokio::test]
async fn each_place_gives_its_evidence() {
    for native in [false, true] {
        let registry = FakeRegistry::start().await;
        if native {
            registry.serve_referrers(100);
        }
        let digest = registry.image("team/app", "v1", "one");
        let signed = registry.sign("team/app", &digest, &[("payload", "sig-a"), ("payload", "sig-b")]);
        let bundle = registry.attach("team/app", &digest, "a bundle");
        let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
        assert_eq!((evidence.artifacts.len(), evidence.faults.len()), (3, 0));
        let place = if native { Where::Referrers } else { Where::FallbackTag };
        let found: Vec<_> =
            evidence.artifacts.iter().map(|a| (a.place, a.manifest, a.media_type.as_str(), a.subject)).collect();
        assert_eq!(found[0], (Where::SignatureTag, signed, SIMPLE_SIGNING, None));
        assert_eq!(found[2], (place, bundle, BUNDLE, Some(digest)));
        assert_eq!(evidence.artifacts[1].annotations["dev.cosignproject.cosign/signature"], "sig-b");
        assert_eq!(evidence.artifacts[2].artifact_type.as_deref(), Some(BUNDLE));
        assert_eq!(evidence.artifacts[2].content, Content::Bytes("a bundle".into()));
        assert_eq!(registry.requests().iter().filter(|request| request.path.contains("/blobs/")).count(), 2);
    }
}

#[tokio::test]
async fn requests_for_an_image_stay_within_the_budget() {
    for (bundle, budget) in [(false, 3), (true, 4)] {
        let registry = FakeRegistry::start().await;
        let client = client_of(&registry);
        let mut counts = Vec::new();
        for n in 0..3 {
            let text = format!("number {n}");
            let digest = registry.image("team/app", &format!("v{n}"), &text);
            if bundle {
                registry.attach("team/app", &digest, &text);
            } else {
                registry.sign("team/app", &digest, &[(text.as_str(), "sig")]);
            }
            registry.take_requests();
            let image = resolve(&client, &registry, &format!("team/app:v{n}")).await.unwrap();
            let found = client.evidence(&lookup(&registry, "team/app", image.digest), &|found| !found.is_empty()).await;
            assert_eq!(usable(&found.artifacts), 1);
            counts.push(registry.take_requests().len());
        }
        assert!(counts[1..].iter().all(|count| *count == budget), "{bundle}: {counts:?}");
    }
}

#[tokio::test]
async fn no_more_is_asked_once_it_suffices() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let signatures: Vec<String> = (0..40).map(|n| format!("payload {n}")).collect();
    let pairs: Vec<(&str, &str)> = signatures.iter().map(|payload| (payload.as_str(), "sig")).collect();
    registry.sign("team/app", &digest, &pairs);
    let found = client_of(&registry).evidence(&lookup(&registry, "team/app", digest), &|found| found.len() >= 3).await;
    assert_eq!(found.artifacts.len(), 8);
    assert_eq!(registry.requests().len(), 9);
}

#[tokio::test]
async fn what_a_registry_fails_to_answer_is_a_fault_and_spoils_nothing_else() {
    for (text, status) in [(".sig", 401), (".sig", 403), ("/referrers/", 500), ("/referrers/", 429), ("/blobs/", 503)] {
        let registry = FakeRegistry::start().await;
        let digest = registry.image("team/app", "v1", "one");
        registry.attach("team/app", &digest, "a bundle");
        registry.sign("team/app", &digest, &[("payload", "sig")]);
        let blob = Digest::of(b"payload").to_string();
        let text = if text == "/blobs/" { blob.as_str() } else { text };
        registry.misbehave(text, Misdeed::Answer { status, headers: Vec::new(), body: "" }, usize::MAX);
        let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
        assert_eq!(evidence.faults.len(), 1, "{text} {status}: {:?}", evidence.faults);
        let expected = if text == "/referrers/" { 2 } else { 1 };
        assert_eq!(usable(&evidence.artifacts), expected, "{text} {status}");
    }
}

#[tokio::test]
async fn a_404_of_somebody_else_is_no_absence() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let page = Misdeed::Answer { status: 404, headers: Vec::new(), body: "<html>not here</html>" };
    registry.misbehave("/manifests/sha256-", page, usize::MAX);
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!(evidence.artifacts.len(), 0);
    let reasons: Vec<Reason> = evidence.faults.iter().map(|fault| fault.reason).collect();
    assert_eq!(reasons, [Reason::RegistryUnavailable, Reason::RegistryUnavailable]);
}

#[tokio::test]
async fn a_missing_referrers_api_is_remembered_and_a_failing_one_is_not() {
    let unsupported = r#"{"errors":[{"code":"METHOD_UNKNOWN"}]}"#;
    for (status, body, asked) in
        [(404, "404 page not found", 1), (405, "", 1), (501, "", 1), (400, unsupported, 1), (403, "", 3)]
    {
        let registry = FakeRegistry::start().await;
        let digest = registry.image("team/app", "v1", "one");
        registry.misbehave("/referrers/", Misdeed::Answer { status, headers: Vec::new(), body }, usize::MAX);
        let client = client_of(&registry);
        for _ in 0..3 {
            let evidence = all(&client, &registry, "team/app", digest).await;
            assert_eq!(evidence.faults.is_empty(), asked == 1, "{status}");
        }
        let count = registry.requests().iter().filter(|request| request.path.contains("/referrers/")).count();
        assert_eq!(count, asked, "{status}");
    }
}

#[tokio::test]
async fn pages_of_referrers_are_followed() {
    let registry = FakeRegistry::start().await;
    registry.serve_referrers(3);
    let digest = registry.image("team/app", "v1", "one");
    for n in 0..10 {
        registry.attach("team/app", &digest, &format!("bundle {n}"));
    }
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!((usable(&evidence.artifacts), evidence.faults.len(), evidence.left_out), (10, 0, 0));
    // One page that fails is a fault; the others count.
    registry.misbehave("from=6", Misdeed::Answer { status: 500, headers: Vec::new(), body: "" }, usize::MAX);
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!((usable(&evidence.artifacts), evidence.faults.len()), (6, 1));
    // More pages than are asked for are counted as left out.
    let registry = FakeRegistry::start().await;
    registry.serve_referrers(1);
    for n in 0..12 {
        registry.attach("team/app", &digest, &format!("bundle {n}"));
    }
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!((usable(&evidence.artifacts), evidence.left_out), (10, 1));
}

#[tokio::test]
async fn ten_thousand_signatures_over_one_payload_cost_one_fetch() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let signatures: Vec<(&str, &str)> = (0..10_000).map(|_| ("payload", "junk")).collect();
    registry.sign("team/app", &digest, &signatures);
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!((usable(&evidence.artifacts), evidence.left_out), (10_000, 0));
    assert_eq!(registry.requests().iter().filter(|request| request.path.contains("/blobs/")).count(), 1);
}

#[tokio::test]
async fn payloads_beyond_the_cap_are_counted_and_not_fetched() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let payloads: Vec<String> = (0..70).map(|n| format!("payload {n}")).collect();
    let pairs: Vec<(&str, &str)> = payloads.iter().map(|payload| (payload.as_str(), "sig")).collect();
    registry.sign("team/app", &digest, &pairs);
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!((usable(&evidence.artifacts), evidence.left_out), (64, 6));
    assert_eq!(registry.requests().iter().filter(|request| request.path.contains("/blobs/")).count(), 64);
    // Manifests of strangers are bounded too.
    let digest = registry.image("team/app", "v2", "two");
    for n in 0..40 {
        registry.attach("team/app", &digest, &format!("bundle {n}"));
    }
    let mut options = options(&[registry.host()]);
    options.limits.signatures = 4;
    let evidence = all(&client(options).0, &registry, "team/app", digest).await;
    assert_eq!((usable(&evidence.artifacts), evidence.left_out), (4, 36));
}

#[tokio::test]
async fn broken_candidates_are_listed_beside_good_ones() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    registry.put_blob("team/app", "good");
    let layer = |media_type: &str, digest: String, size: usize| json!({"mediaType": media_type, "digest": digest, "size": size});
    let of = |bytes: &[u8]| Digest::of(bytes).to_string();
    registry.put_blob("team/app", "lie");
    registry.misbehave(&of(b"lie"), Misdeed::Swap(b"lix"), usize::MAX);
    let layers = [
        layer(SIMPLE_SIGNING, of(b"missing"), 7),
        layer(SIMPLE_SIGNING, of(b"lie"), 3),
        layer(SIMPLE_SIGNING, of(b"good"), 2),
        layer(SIMPLE_SIGNING, of(b"good"), 5),
        layer(SIMPLE_SIGNING, of(b"huge"), 1 << 30),
        layer(SIMPLE_SIGNING, "sha512:00".to_owned(), 4),
        layer("application/octet-stream", of(b"good"), 4),
        layer(SIMPLE_SIGNING, of(b"good"), 4),
    ];
    let body =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor("x/y", b"{}"), "layers": layers});
    registry.put_manifest("team/app", Some(&format!("sha256-{}.sig", digest.hex())), OCI_MANIFEST, body.to_string());
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!((evidence.faults.len(), evidence.left_out), (0, 0));
    assert_eq!((evidence.artifacts.len(), usable(&evidence.artifacts)), (8, 1));
    let reasons = defects(&evidence.artifacts);
    let (malformed, limit, mismatch) = (Reason::Malformed, Reason::LimitExceeded, Reason::DigestMismatch);
    assert_eq!(reasons, [malformed, mismatch, limit, malformed, limit, malformed, malformed]);
}

#[tokio::test]
async fn broken_lists_and_manifests_are_candidates_that_failed() {
    let index = |entries: serde_json::Value| {
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string()
    };
    let table = [
        ("not json", OCI_INDEX, String::from("{")),
        (
            "an image",
            OCI_MANIFEST,
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor("x/y", b"{}"), "layers": []})
                .to_string(),
        ),
        ("a wrong type", OCI_MANIFEST, index(json!([]))),
        ("a dangling entry", OCI_INDEX, index(json!([descriptor(OCI_MANIFEST, b"gone")]))),
        (
            "a digest that is none",
            OCI_INDEX,
            index(json!([{"mediaType": OCI_MANIFEST, "digest": "sha256:..", "size": 1}])),
        ),
    ];
    for (what, media_type, body) in table {
        let registry = FakeRegistry::start().await;
        let digest = registry.image("team/app", "v1", "one");
        registry.sign("team/app", &digest, &[("payload", "sig")]);
        registry.put_manifest("team/app", Some(&format!("sha256-{}", digest.hex())), media_type, body);
        let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
        assert_eq!(defects(&evidence.artifacts), [Reason::Malformed], "{what}");
        assert_eq!((usable(&evidence.artifacts), evidence.faults.len()), (1, 0), "{what}");
    }
}

#[tokio::test]
async fn what_is_no_signature_is_left_alone() {
    let registry = FakeRegistry::start().await;
    let digest = registry.image("team/app", "v1", "one");
    let sbom = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/spdx+json", "config": descriptor("x/y", b"{}"),
        "layers": [{"mediaType": "application/spdx+json", "digest": Digest::of(b"sbom").to_string(), "size": 1_u64 << 40}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": digest.to_string(), "size": 1}})
    .to_string();
    registry.put_manifest("team/app", None, OCI_MANIFEST, sbom.clone());
    registry.list("team/app", &digest, descriptor(OCI_MANIFEST, sbom.as_bytes()));
    registry.attach("team/app", &digest, "a bundle");
    let evidence = all(&client_of(&registry), &registry, "team/app", digest).await;
    assert_eq!((evidence.artifacts.len(), usable(&evidence.artifacts), evidence.left_out), (1, 1, 0));
}
