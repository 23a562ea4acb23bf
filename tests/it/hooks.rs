//! Push events: what the services send, written after their documentation, makes a gate look; nothing else does.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::http::request;
use crate::support::process;
use crate::support::world::{Daemon, World, gate, good, pod};

const SECRET: &str = "0123456789abcdef of a test";

fn payload(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/hooks/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn tag(secret: &str, message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message).as_ref().to_vec()
}

/// The headers with which a service sends this body, signed with this secret.
fn headers(provider: &str, secret: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let hex = hex::encode(tag(secret, body));
    match provider {
        "github" => vec![("X-GitHub-Event", "push".to_owned()), ("X-Hub-Signature-256", format!("sha256={hex}"))],
        "gitlab" => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().to_string();
            let message = [format!("f5e5f430.{now}.").as_bytes(), body].concat();
            let signature = format!("v1,{}", STANDARD.encode(tag(secret, &message)));
            vec![("webhook-id", "f5e5f430".to_owned()), ("webhook-timestamp", now), ("webhook-signature", signature)]
        }
        "gitea" => vec![("X-Gitea-Event", "push".to_owned()), ("X-Gitea-Signature", hex)],
        "forgejo" => vec![("X-Forgejo-Event", "push".to_owned()), ("X-Forgejo-Signature", hex)],
        "bitbucket" => vec![("X-Event-Key", "repo:push".to_owned()), ("X-Hub-Signature", format!("sha256={hex}"))],
        _ => vec![("X-Signature", format!("sha256={hex}"))],
    }
}

fn send(daemon: &Daemon, gate: &str, headers: &[(&str, String)], body: &[u8]) -> (u16, String) {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = request(&daemon.host, "POST", &format!("/hooks/{gate}"), &headers, body).unwrap();
    (answer.status, answer.text())
}

const PROVIDERS: [&str; 6] = ["github", "gitlab", "gitea", "forgejo", "bitbucket", "generic"];

/// A world with a gate for each provider, and one that listens to nothing.
fn world() -> World {
    let world = World::new();
    world.write("secret", &format!("{SECRET}\n"));
    world.write("token", &format!("whsec_{}", STANDARD.encode(SECRET)));
    let mut gates: Vec<Value> = PROVIDERS.map(gate).to_vec();
    for (gate, provider) in gates.iter_mut().zip(PROVIDERS) {
        let file = if provider == "gitlab" { "token" } else { "secret" };
        gate["hook"] = json!({"provider": provider, "secretFile": file});
    }
    gates.push(gate("deaf"));
    world.configure(&gates);
    world
}

fn looks(daemon: &Daemon, gate: &str) -> f64 {
    let text = daemon.get("/metrics").text();
    let wanted = format!("sealgate_source_fetch_total{{gate=\"{gate}\",result=\"success\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&wanted)).unwrap().parse().unwrap()
}

#[test]
fn an_event_of_each_service_makes_its_gate_look_and_only_that_one() {
    let world = world();
    let revision = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    for name in PROVIDERS.into_iter().chain(["deaf"]) {
        daemon.applies(name, &revision);
    }
    for provider in PROVIDERS {
        let body = payload(provider);
        let before = looks(&daemon, provider);
        let quiet = looks(&daemon, "deaf");
        let (status, _) = send(&daemon, provider, &headers(provider, SECRET, &body), &body);
        assert_eq!(status, 202, "{provider}");
        process::eventually("the gate looks", || (looks(&daemon, provider) > before).then_some(()));
        assert_eq!(looks(&daemon, "deaf"), quiet, "{provider}");
    }
    assert!(daemon.get("/metrics").text().contains("sealgate_hook_requests_total{result=\"accepted\"} 6\n"));
}

#[test]
fn what_is_not_signed_looks_like_a_gate_that_is_not_there() {
    let world = world();
    let revision = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("github", &revision);
    let body = payload("github");
    let wrong = headers("github", "another secret of 16 bytes", &body);
    let expected = send(&daemon, "nothing", &wrong, &body);
    assert_eq!(expected.0, 403);
    let right = headers("github", SECRET, &body);
    let twice = [right.clone(), wrong.clone()].concat();
    let token = vec![("X-Gitlab-Token", SECRET.to_owned())];
    type Try<'a> = (&'a str, &'a [(&'static str, String)], &'a [u8]);
    let tries: [Try<'_>; 7] = [
        ("github", &wrong, &body),
        ("github", &[], &body),
        ("github", &right, b"{}"),
        ("github", &twice, &body),
        ("gitea", &right, &body),
        ("gitlab", &token, &body),
        ("deaf", &right, &body),
    ];
    for (gate, headers, body) in tries {
        assert_eq!(send(&daemon, gate, headers, body), expected, "{gate} {headers:?}");
    }
    assert_eq!(request(&daemon.host, "GET", "/hooks/github", &[], b"").unwrap().status, 405);
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(send(&daemon, "github", &headers("github", SECRET, &large), &large).0, 413);
    let log = daemon.log().join("\n");
    assert!(!log.contains(SECRET) && !log.contains(&STANDARD.encode(SECRET)));
}

#[test]
fn a_flood_is_cut_off_and_a_secret_is_exchanged_without_a_restart() {
    let world = world();
    let revision = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("generic", &revision);
    let other = "another secret of sixteen";
    world.write("secret", other);
    let body = payload("generic");
    assert_eq!(send(&daemon, "generic", &headers("generic", other, &body), &body).0, 202);
    let answers: Vec<u16> = (0..60).map(|_| send(&daemon, "generic", &[], b"").0).collect();
    assert!(answers.contains(&403) && answers.contains(&429), "{answers:?}");
    assert!(answers.iter().all(|status| [403, 429].contains(status)), "{answers:?}");
}

#[test]
fn a_secret_that_cannot_be_one_keeps_the_daemon_from_starting() {
    let world = world();
    for secret in ["short\n", ""] {
        world.write("secret", secret);
        let done = world.run(&["run", "--config", "sealgate.yaml"]);
        assert!(done.code == 2 && done.stderr.contains("push events"), "{done:?}");
    }
}
