//! Credential helpers: programs called `docker-credential-NAME` that are told a server and print its credentials.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::{Credentials, Secret};

/// Most that a helper may print, in bytes.
const MAX_OUTPUT: u64 = 64 << 10;
/// The user name that says that the secret is a refresh token.
const TOKEN_USER: &str = "<token>";
/// What helpers print when they know nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: Secret,
    secret: Secret,
}

/// Asks a helper; `None` where it knows none.
pub(super) async fn get(name: &str, server: &str, time: Duration) -> Result<Option<Credentials>, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("a credential helper is named by letters, digits, `-`, `_` and `.`".to_owned());
    }
    let program = format!("docker-credential-{name}");
    let asked = ask(Command::new(&program), server, time).await;
    asked.map_err(|message| format!("the credential helper `{program}` failed: {message}"))
}

/// Runs a helper, and ends it when it takes too long.
async fn ask(mut program: Command, server: &str, time: Duration) -> Result<Option<Credentials>, String> {
    let mut child = program
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(time, talk(&mut child, server)).await {
        Ok(Ok((true, output))) => Ok(Some(answer(&output)?)),
        Ok(Ok((false, output))) if knows_nothing(&output) => Ok(None),
        Ok(Ok((false, _))) => Err("it ended with an error".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", time.as_secs())),
    }
}

/// Tells the server, reads what is printed, and waits for the end: whether it was a success, and the output.
async fn talk(child: &mut Child, server: &str) -> std::io::Result<(bool, Zeroizing<Vec<u8>>)> {
    if let Some(mut input) = child.stdin.take() {
        // A helper that needs no input may have closed it already.
        match input.write_all(format!("{server}\n").as_bytes()).await {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let mut output = Zeroizing::new(Vec::new());
    if let Some(printed) = child.stdout.take() {
        printed.take(MAX_OUTPUT + 1).read_to_end(&mut output).await?;
    }
    if u64::try_from(output.len()).map_or(true, |length| length > MAX_OUTPUT) {
        return Err(std::io::Error::other(format!("it printed more than {MAX_OUTPUT} bytes")));
    }
    Ok((child.wait().await?.success(), output))
}

fn knows_nothing(output: &[u8]) -> bool {
    std::str::from_utf8(output).is_ok_and(|text| text.trim() == NOT_FOUND)
}

fn answer(output: &[u8]) -> Result<Credentials, &'static str> {
    let Answer { username, secret } = serde_json::from_slice(output).map_err(|_| "its answer is not well-formed")?;
    Ok(if username.expose() == TOKEN_USER {
        Credentials::identity(secret.expose().to_owned())
    } else {
        Credentials::basic(username.expose().to_owned(), secret.expose().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_strictly() {
        let token = answer(br#"{"ServerURL":"a","Username":"<token>","Secret":"refresh"}"#).unwrap();
        assert_eq!(token.refresh_token(), Some("refresh"));
        assert!(answer(br#"{"ServerURL":"a","Username":"u","Secret":"p"}"#).unwrap().basic_header().is_some());
        for bad in [&b""[..], b"{}", b"canary", br#"{"Username":"u"}"#] {
            assert!(answer(bad).is_err());
        }
        assert!(knows_nothing(b"credentials not found in native keychain\n"));
        assert!(!knows_nothing(b"something else"));
    }

    #[tokio::test]
    async fn names_that_are_paths_are_not_run() {
        for name in ["", "../x", "a/b", "a b", "a;b"] {
            assert!(get(name, "reg.example.com", Duration::from_secs(1)).await.is_err(), "{name}");
        }
        assert!(get("surely-not-installed", "reg.example.com", Duration::from_secs(1)).await.is_err());
    }

    async fn run(script: &str, time: Duration) -> Result<Option<Credentials>, String> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script);
        ask(shell, "reg.example.com", time).await
    }

    #[tokio::test]
    async fn a_helper_is_told_the_server_and_bounded() {
        let minute = Duration::from_mins(1);
        let echo = r#"read server; printf '{"Username":"%s","Secret":"%s"}' "$server" "$0""#;
        let told = run(echo, minute).await.unwrap().unwrap().basic_header().unwrap();
        let expected = Credentials::basic("reg.example.com".into(), "get".into()).basic_header().unwrap();
        assert_eq!(told, expected);
        assert!(run("echo credentials not found in native keychain; exit 1", minute).await.unwrap().is_none());
        assert!(run("exit 1", minute).await.is_err());
        assert!(run("yes", minute).await.is_err());
        assert!(run("exec sleep 60", Duration::from_millis(50)).await.is_err());
    }
}
