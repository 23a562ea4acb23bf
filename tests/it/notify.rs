//! Who is told of a gate hears each transition once, in the form of the service; nobody who does not answer holds up a
//! decision.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::process::eventually;
use crate::support::world::{World, gate, good, pod, unsigned};

/// A request that was heard.
#[derive(Debug, Clone)]
struct Heard {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A server that keeps what it hears, and answers the first requests with these statuses, then with 200.
struct Service {
    host: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Service {
    fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let mut statuses: VecDeque<u16> = statuses.iter().copied().collect();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                if reader.read_line(&mut line).is_err() {
                    continue;
                }
                let mut headers = Vec::new();
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    match header.trim_end().split_once(": ") {
                        Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
                        None => break,
                    }
                }
                let length = headers.iter().find(|(name, _)| name == "content-length");
                let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
                reader.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push(Heard { line: line.trim_end().to_owned(), headers, body });
                let status = statuses.pop_front().unwrap_or(200);
                let place = if status == 302 { "Location: http://169.254.169.254/\r\n" } else { "" };
                let answer = format!("HTTP/1.1 {status} X\r\n{place}Content-Length: 0\r\nConnection: close\r\n\r\n");
                let _left = stream.write_all(answer.as_bytes());
            }
        });
        Self { host, heard }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    #[track_caller]
    fn hears(&self, count: usize) -> Vec<Heard> {
        eventually(&format!("{count} requests"), || Some(self.heard()).filter(|heard| heard.len() >= count))
    }
}

fn configure(world: &World, gates: &[Value], notifications: &Value) {
    let settings =
        json!({"listen": "127.0.0.1:0", "stateDir": "state", "gates": gates, "notifications": notifications});
    world.write("sealgate.yaml", &settings.to_string());
}

#[test]
fn each_transition_is_told_once_to_each_service() {
    let world = World::new();
    let (chat, bus, alerts, forge) =
        (Service::start(&[]), Service::start(&[]), Service::start(&[]), Service::start(&[]));
    world.write("slack", &format!("http://{}/services/T/B/X\n", chat.host));
    world.write("secret", "hush\n");
    world.write("token", "forge-token\n");
    let mut settings = gate("production");
    settings["statuses"] = json!({"github": {"api": format!("http://{}", forge.host), "repository": "acme/manifests",
        "tokenFile": "token", "link": "https://gate.example.com/"}});
    let notifications = json!([
        {"name": "chat", "slack": {"urlFile": "slack"}},
        {"name": "bus", "webhook": {"url": format!("http://{}/in", bus.host), "secretFile": "secret"}, "gates": ["production"]},
        {"name": "alerts", "alertmanager": {"url": format!("http://{}", alerts.host)}},
    ]);
    configure(&world, &[settings], &notifications);
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    // That all is well from the start is a status, and no news.
    let status = &forge.hears(1)[0];
    assert_eq!(status.line, format!("POST /repos/acme/manifests/statuses/{first} HTTP/1.1"));
    assert_eq!(status.header("authorization"), Some("Bearer forge-token"));
    assert_eq!(
        (&status.json()["state"], &status.json()["context"]),
        (&json!("success"), &json!("sealgate/production"))
    );
    let second = world.repository.commit(&[("a.yaml", &pod("a", &unsigned().tagged()))]);
    daemon.decides("production", "refuse", &second);
    let text = chat.hears(1)[0].clone();
    assert_eq!(text.line, "POST /services/T/B/X HTTP/1.1");
    let text = text.json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("is refused") && text.contains("no-signature") && text.contains(&unsigned().tagged()),
        "{text}"
    );
    let event = bus.hears(1)[0].clone();
    assert_eq!(event.json()["type"], "dev.sealgate.gate.refused");
    assert_eq!(event.json()["subject"], second);
    assert!(event.header("sealgate-signature-256").unwrap().starts_with("sha256="));
    let alert = alerts.hears(1)[0].clone();
    assert_eq!(alert.line, "POST /api/v2/alerts HTTP/1.1");
    assert_eq!(alert.json()[0]["labels"]["gate"], "production");
    assert_eq!(forge.hears(2)[1].json()["state"], "failure");
    // Looking again says nothing new.
    daemon.nudge();
    daemon.nudge();
    let third = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    daemon.applies("production", &third);
    assert_eq!(forge.hears(3)[2].json()["state"], "success");
    assert!(chat.hears(2)[1].json()["text"].as_str().unwrap().contains("passes"));
    assert_eq!(bus.hears(2)[1].json()["data"]["previous"], "refuse");
    assert_eq!(alerts.hears(2).len(), 2);
    assert_eq!((chat.heard().len(), bus.heard().len(), forge.heard().len()), (2, 2, 3));
    assert_eq!(daemon.leave("TERM"), Some(0));
    // After a restart nothing is told anew but the status, which is the same.
    let daemon = world.daemon();
    daemon.applies("production", &third);
    assert_eq!(forge.hears(4)[3].json()["state"], "success");
    assert_eq!((chat.heard().len(), bus.heard().len()), (2, 2));
    let log = daemon.log().join("\n");
    assert!(!log.contains("hush") && !log.contains("forge-token") && !log.contains("/services/T"), "{log}");
}

#[test]
fn a_service_that_fails_is_tried_again_and_one_that_refuses_or_redirects_is_not() {
    let world = World::new();
    let (slow, refusing, redirecting) = (Service::start(&[503, 429]), Service::start(&[400]), Service::start(&[302]));
    world.write("secret", "hush");
    let to = |name: &str, service: &Service| json!({"name": name, "webhook": {"url": format!("http://{}/", service.host), "secretFile": "secret"}});
    configure(
        &world,
        &[gate("production")],
        &json!([to("slow", &slow), to("refusing", &refusing), to("redirecting", &redirecting)]),
    );
    world.repository.commit(&[("a.yaml", &pod("a", &unsigned().tagged()))]);
    let daemon = world.daemon();
    let heard = slow.hears(3);
    // The same event each time, so that who listens can tell.
    assert!(heard.iter().all(|again| again.body == heard[0].body));
    assert_eq!((slow.heard().len(), refusing.heard().len(), redirecting.heard().len()), (3, 1, 1));
    let told =
        |channel: &str| daemon.events().iter().any(|event| event["channel"] == channel && event["level"] == "WARN");
    assert!(told("refusing") && told("redirecting") && !told("slow"));
}

#[test]
fn nobody_who_does_not_answer_holds_up_a_decision() {
    let world = World::new();
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    world.write("secret", "hush");
    let url = format!("http://{}/", silent.local_addr().unwrap());
    configure(
        &world,
        &[gate("production")],
        &json!([{"name": "silent", "webhook": {"url": url, "secretFile": "secret"}}]),
    );
    world.repository.commit(&[("a.yaml", &pod("a", &unsigned().tagged()))]);
    let daemon = world.daemon();
    let began = Instant::now();
    for round in 0..3 {
        let image = if round % 2 == 0 { unsigned() } else { good() };
        let name = format!("{round}.yaml");
        let revision =
            world.repository.commit(&[("a.yaml", &pod("a", &image.tagged())), (&name, &pod("b", &good().tagged()))]);
        daemon.decides("production", if round % 2 == 0 { "refuse" } else { "pass" }, &revision);
    }
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(daemon.leave("TERM"), Some(0));
}

#[test]
fn one_look_tells_before_it_leaves() {
    let world = World::new();
    let bus = Service::start(&[503]);
    world.write("secret", "hush");
    let url = format!("http://{}/", bus.host);
    configure(
        &world,
        &[gate("production")],
        &json!([{"name": "bus", "webhook": {"url": url, "secretFile": "secret"}}]),
    );
    world.repository.commit(&[("a.yaml", &pod("a", &unsigned().tagged()))]);
    world.once().exits(1);
    assert_eq!(bus.heard().len(), 2);
    // The same again is no news.
    world.once().exits(1);
    assert_eq!(bus.heard().len(), 2);
}

#[test]
fn settings_that_nobody_could_honour_are_load_errors() {
    let world = World::new();
    let good = json!([{"name": "a", "slack": {"urlFile": "x"}}]);
    for (notifications, statuses, code) in [
        (good.clone(), Value::Null, 0),
        (json!([{"name": "a"}]), Value::Null, 2),
        (
            json!([{"name": "a", "slack": {"urlFile": "x"}, "webhook": {"url": "https://a.io", "secretFile": "x"}}]),
            Value::Null,
            2,
        ),
        (json!([{"name": "a", "slack": {"url": "https://hooks.slack.com/x"}}]), Value::Null, 2),
        (json!([{"name": "a", "slack": {"urlFile": "x"}}, {"name": "a", "slack": {"urlFile": "x"}}]), Value::Null, 2),
        (json!([{"name": "a", "gates": ["none"], "slack": {"urlFile": "x"}}]), Value::Null, 2),
        (
            json!([{"name": "a", "alertmanager": {"url": "http://am:9093", "username": "u", "passwordFile": "x"}}]),
            Value::Null,
            2,
        ),
        (json!([{"name": "a", "webhook": {"url": "https://u:p@a.io", "secretFile": "x"}}]), Value::Null, 2),
        (good.clone(), json!({"gitlab": {"repository": "a/b/c", "tokenFile": "x"}}), 0),
        (good.clone(), json!({"gitea": {"repository": "a/b", "tokenFile": "x"}}), 2),
        (good.clone(), json!({"github": {"repository": "a", "tokenFile": "x"}}), 2),
        (
            good.clone(),
            json!({"github": {"repository": "a/b", "tokenFile": "x", "api": "http://forge.example.com"}}),
            2,
        ),
        (good, json!({}), 2),
    ] {
        let mut settings = gate("production");
        if !statuses.is_null() {
            settings["statuses"] = statuses.clone();
        }
        configure(&world, &[settings], &notifications);
        std::fs::create_dir_all(world.path("empty")).unwrap();
        let done = world.run(&["check", "empty", "--config", "sealgate.yaml", "--gate", "production"]);
        assert_eq!(done.code, code, "{notifications} {statuses}: {done:?}");
    }
}
