//! Many readers and many images: neither holds up a decision, or makes memory and metrics grow.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::world::{Daemon, World, gate, good, pod, unsigned};

/// Bytes of memory that the daemon holds.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Asks, and reads nothing.
fn slow(daemon: &Daemon, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&daemon.host).unwrap();
    // Asked for many times over, so that the answers are more than the system's buffers hold.
    let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.host);
    stream.write_all(request.repeat(10).as_bytes()).unwrap();
    stream
}

#[test]
fn two_hundred_slow_readers_hold_up_no_decision_and_cost_little() {
    let world = World::new();
    let many: String =
        (0..200).map(|number| format!("---\n{}", pod(&format!("a{number}"), &good().tagged()))).collect();
    let first = world.repository.commit(&[("a.yaml", &many)]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    let decide = |name: &str| {
        let revision = world.repository.commit(&[("b.yaml", &pod(name, &unsigned().tagged()))]);
        let started = Instant::now();
        daemon.decides("production", "refuse", &revision);
        started.elapsed()
    };
    let alone = decide("alone");
    let before = resident(&daemon);
    let readers: Vec<TcpStream> = (0..200)
        .map(|number| slow(&daemon, ["/", "/metrics", "/events", "/api/v1/gates/production"][number % 4]))
        .collect();
    let crowded = decide("crowded");
    assert!(crowded < alone * 5 + Duration::from_secs(5), "{crowded:?} with readers, {alone:?} without");
    assert_eq!(daemon.get("/healthz").status, 200);
    let grown = resident(&daemon).saturating_sub(before);
    assert!(grown < 96 << 20, "it grew by {} MiB", grown >> 20);
    let followers = readers.iter().skip(2).step_by(4).count();
    assert_eq!(followers, 50, "and every follower heard of it");
    for mut stream in readers.into_iter().skip(2).step_by(4) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut heard = String::new();
        let mut buffer = [0; 1024];
        while heard.matches("event: gates").count() < 2 {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }
}

#[test]
fn followers_are_bounded_and_do_not_hold_up_the_end() {
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    let answers: Vec<TcpStream> = (0..140)
        .map(|_| {
            let mut stream = TcpStream::connect(&daemon.host).unwrap();
            stream.write_all(format!("GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.host).as_bytes()).unwrap();
            stream
        })
        .collect();
    let status = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    let all: Vec<String> = answers.iter().map(status).collect();
    let count = |wanted: &str| all.iter().filter(|status| *status == wanted).count();
    assert_eq!((count("200"), count("503")), (128, 12));
    let started = Instant::now();
    assert_eq!(daemon.leave("TERM"), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn ten_thousand_image_names_add_no_series() {
    let world = World::new();
    let settings = json!({"listen": "127.0.0.1:0", "stateDir": "state", "gates": [gate("production")], "limits": {"images": 20000}});
    world.write("sealgate.yaml", &settings.to_string());
    let first = world.repository.commit(&[("a.yaml", &pod("a", "untrusted.example.com/app:1"))]);
    let daemon = world.daemon();
    daemon.decides("production", "refuse", &first);
    let series = || daemon.get("/metrics").text().lines().filter(|line| !line.starts_with('#')).count();
    let before = series();
    let name = |number: usize| format!("host-{number}.example.com/app-{number}:{number}");
    let pods =
        |file: usize| -> Vec<String> { (0..100).map(|at| pod(&format!("p{at}"), &name(file * 100 + at))).collect() };
    let files: Vec<(String, String)> =
        (0..100).map(|file| (format!("b{file}.yaml"), pods(file).join("---\n"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let second = world.repository.commit(&files);
    let report = daemon.decides("production", "refuse", &second);
    assert_eq!(report["summary"]["refused"], 10_001);
    let after = series();
    assert!(after <= before + 2 && after < 800, "{before} series before, {after} after");
    let page = daemon.get("/");
    assert!(page.status == 200 && page.body.len() < 2 << 20, "{} bytes", page.body.len());
}
