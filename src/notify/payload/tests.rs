//! Each service's request, after the page that its function names.

use super::*;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

fn message(outcome: Outcome) -> Message {
    let trouble = Trouble {
        image: Some("x` <!channel> @all & nginx".to_owned()),
        code: "no-signature",
        message: "a\nb".to_owned(),
        help: "sign it".to_owned(),
    };
    Message {
        gate: "prod".to_owned(),
        mode: "enforce",
        revision: Some(REVISION.to_owned()),
        outcome,
        previous: Some(Outcome::Pass),
        counts: [3, 2, 1, 0],
        troubles: vec![trouble],
        more: 2,
        time: "2026-05-01T12:00:00Z".parse().unwrap(),
    }
}

fn now() -> Timestamp {
    "2026-05-01T12:01:00Z".parse().unwrap()
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str()).unwrap()
}

#[test]
fn chats_get_text_that_mentions_nobody() {
    let service = Service::Slack { url_file: "x".into() };
    let request = request(&service, &message(Outcome::Refuse), "https://hooks.example.com/T/B/X", now()).unwrap();
    assert_eq!(request.url, "https://hooks.example.com/T/B/X");
    let text = body(&request)["text"].as_str().unwrap().to_owned();
    assert!(text.contains("`prod`") && text.contains("is refused: 3 images") && text.contains("and 2 more"), "{text}");
    assert!(text.contains("`x' &lt;!channel&gt; @all &amp; nginx`") && text.contains("`a\\nb`"), "{text}");
    assert!(text.lines().all(|line| line.matches('`').count() % 2 == 0), "{text}");
}

#[test]
fn events_are_signed_over_their_bytes() {
    let service = Service::CloudEvents { url: "https://e.example.com/in".into(), secret_file: "x".into() };
    let request = request(&service, &message(Outcome::Refuse), "secret", now()).unwrap();
    let event = body(&request);
    for (name, value) in [
        ("specversion", "1.0"),
        ("type", "dev.sealgate.gate.refused"),
        ("source", "/gates/prod"),
        ("subject", REVISION),
        ("time", "2026-05-01T12:00:00Z"),
        ("datacontenttype", "application/json"),
    ] {
        assert_eq!(event[name], value);
    }
    assert_eq!((&event["data"]["state"], &event["data"]["previous"]), (&json!("refuse"), &json!("pass")));
    assert_eq!(header(&request, "content-type"), "application/cloudevents+json; charset=utf-8");
    let signature = header(&request, "sealgate-signature-256").strip_prefix("sha256=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    hmac::verify(&key, &request.body, &hex::decode(signature).unwrap()).unwrap();
    // RFC 4231 knows nothing of us; OpenSSL does: printf abc | openssl dgst -sha256 -hmac secret
    let known = hex::encode(hmac::sign(&key, b"abc"));
    assert_eq!(known, "9946dad4e00e913fc8be8e5d3f7e110a4a9e832f83fb09c345285d78638d8a0e");
}

#[test]
fn an_alert_stands_for_a_while_and_the_others_end() {
    let service = Service::Alertmanager { url: "http://am:9093/".into(), username: None, password_file: None };
    let refused = request(&service, &message(Outcome::Refuse), "", now()).unwrap();
    assert_eq!(refused.url, "http://am:9093/api/v2/alerts");
    let alerts = body(&refused);
    let state = |name: &str| {
        let all = alerts.as_array().unwrap();
        all.iter().find(|alert| alert["labels"]["state"] == name).unwrap().clone()
    };
    assert_eq!(state("refuse")["startsAt"], "2026-05-01T12:00:00Z");
    assert_eq!(state("refuse")["endsAt"], "2026-05-01T12:11:00Z");
    assert_eq!(state("undecided")["endsAt"], "2026-05-01T12:01:00Z");
    assert_eq!(state("error")["endsAt"], "2026-05-01T12:01:00Z");
    let passed = body(&request(&service, &message(Outcome::Pass), "", now()).unwrap());
    assert!(passed.as_array().unwrap().iter().all(|alert| alert["endsAt"] == "2026-05-01T12:01:00Z"));
    let login =
        Service::Alertmanager { url: "http://am".into(), username: Some("u".into()), password_file: Some("x".into()) };
    let request = request(&login, &message(Outcome::Pass), "p", now()).unwrap();
    assert_eq!(header(&request, "authorization"), "Basic dTpw");
}

#[test]
fn each_forge_has_its_own_words_for_a_status() {
    let status = |forge, api: &str| {
        let link = Some("https://gate.example.com/".to_owned());
        let (api, repository) = (api.to_owned(), "acme/manifests".to_owned());
        Service::Status(Status { forge, api, repository, token_file: "x".into(), link })
    };
    let words = |service: &Service, field: &str| -> Vec<String> {
        let state = |outcome| {
            let body = body(&request(service, &message(outcome), "t", now()).unwrap());
            assert_eq!(
                (&body[field], &body["target_url"]),
                (&json!("sealgate/prod"), &json!("https://gate.example.com/"))
            );
            assert!(body["description"].as_str().unwrap().chars().count() <= 140);
            body["state"].as_str().unwrap().to_owned()
        };
        Outcome::ALL.into_iter().map(state).collect()
    };
    let (github, gitlab, gitea) = (
        status(Forge::GitHub, "https://api.github.com"),
        status(Forge::GitLab, "https://gitlab.com/api/v4"),
        status(Forge::Gitea, "https://git.example.com/api/v1"),
    );
    assert_eq!(words(&github, "context"), ["success", "failure", "pending", "error"]);
    assert_eq!(words(&gitlab, "name"), ["success", "failed", "pending", "failed"]);
    assert_eq!(words(&gitea, "context"), ["success", "failure", "pending", "error"]);
    for (service, url, name, value) in [
        (
            &github,
            format!("https://api.github.com/repos/acme/manifests/statuses/{REVISION}"),
            "authorization",
            "Bearer t",
        ),
        (
            &gitlab,
            format!("https://gitlab.com/api/v4/projects/acme%2Fmanifests/statuses/{REVISION}"),
            "private-token",
            "t",
        ),
        (
            &gitea,
            format!("https://git.example.com/api/v1/repos/acme/manifests/statuses/{REVISION}"),
            "authorization",
            "token t",
        ),
    ] {
        let request = request(service, &message(Outcome::Pass), "t", now()).unwrap();
        assert_eq!((request.url.as_str(), header(&request, name)), (url.as_str(), value));
    }
    assert_eq!(request(&github, &Message { revision: None, ..message(Outcome::Error) }, "t", now()), None);
}
