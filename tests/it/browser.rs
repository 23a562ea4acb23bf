//! The status page in a real browser: refused and passed revisions, followed live, hostile names, narrow and wide, light
//! and dark, by keyboard, without script, and with no rule of axe broken.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::dashboards::server::{find, skipped};
use crate::support::world::{World, good, pod, unsigned};

const NAME: &str = "browser::the_page_is_followed_by_everybody_and_obeys_nobody";

#[test]
fn the_page_is_followed_by_everybody_and_obeys_nobody() {
    let (Some(playwright), Some(chromium)) = (find("TEST_PLAYWRIGHT", "playwright"), find("TEST_CHROMIUM", "chromium"))
    else {
        return skipped(NAME, "there is no browser, or nothing that drives it (tests/setup --only browser)");
    };
    let world = World::new();
    let first = world.repository.commit(&[("a.yaml", &pod("a", &good().tagged()))]);
    let daemon = world.daemon();
    daemon.applies("production", &first);
    let pictures = tempfile::tempdir().unwrap();
    let script = format!("{}/tests/browser/page.cjs", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(playwright);
    command.arg(script).arg(chromium).arg(&daemon.host).arg(pictures.path());
    let mut driver =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the driver runs");
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let passed = lines.next();
    if passed.as_ref().is_some_and(|line| line.as_ref().is_ok_and(|line| line == "passed")) {
        let hostile = "<img src=x onerror=window.pwned=1>";
        let second = world.repository.commit(&[
            ("b.yaml", &pod("b", &unsigned().tagged())),
            (&format!("{hostile}.yaml"), &pod("c", "\"<script>window.pwned=1</script>\"")),
        ]);
        daemon.decides("production", "refuse", &second);
        driver.stdin.take().unwrap().write_all(b"refused\n").unwrap();
    }
    let output = driver.wait_with_output().unwrap();
    assert!(output.status.success(), "{passed:?}\n{}", String::from_utf8_lossy(&output.stderr));
    for picture in ["360-light", "360-dark", "1440-light", "1440-dark"] {
        assert!(pictures.path().join(format!("{picture}.png")).metadata().unwrap().len() > 10_000, "{picture}");
    }
}
