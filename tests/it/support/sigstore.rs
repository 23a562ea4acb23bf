//! A sigstore of the tests' own on loopback: Fulcio with its log of certificates, Rekor v1, Rekor v2 and an authority
//! for timestamps, as far as cosign 2 and 3 ask them for anything. Real cosigns sign with it and verify what it issued.
//!
//! The timestamps are made by `openssl ts`; the rest is written here after what the real services answer. Whoever
//! asks is believed: a token counts without its signature.

mod authority;
mod log;
mod server;
mod timestamps;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::process::{Done, program, run, shared_folder};
use authority::Authority;
use log::{Log, LogV2};
use timestamps::Timestamps;

/// Who signs, by the tokens of the tests.
pub const ISSUER: &str = "https://token.example.com";
pub const SUBJECT: &str = "https://example.com/acme/app/release.yml@refs/tags/v1";
/// Since when everything of it is trusted.
const START: &str = "2025-01-01T00:00:00Z";

/// What vouches for a signature beside who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Witness {
    /// An entry of Rekor v1, which tells the time too.
    RekorV1,
    /// An entry of Rekor v2, and a timestamp, since that log tells none.
    RekorV2,
    /// A timestamp alone.
    Tsa,
    Nothing,
}

impl Witness {
    pub const ALL: [Self; 4] = [Self::RekorV1, Self::RekorV2, Self::Tsa, Self::Nothing];

    pub fn name(self) -> &'static str {
        match self {
            Self::RekorV1 => "Rekor v1",
            Self::RekorV2 => "Rekor v2 + TSA",
            Self::Tsa => "TSA only",
            Self::Nothing => "neither",
        }
    }

    /// The name of its signing config.
    fn file(self) -> &'static str {
        match self {
            Self::RekorV1 => "v1.json",
            Self::RekorV2 => "v2.json",
            Self::Tsa => "tsa.json",
            Self::Nothing => "none.json",
        }
    }
}

/// The services, and the files that name them.
pub struct Sigstore {
    folder: PathBuf,
    pub url: String,
    pub services: &'static Services,
}

/// Everything that has a key.
pub struct Services {
    pub authority: Authority,
    pub log: Log,
    pub log2: LogV2,
    pub timestamps: Timestamps,
}

/// The one of this process.
pub fn sigstore() -> &'static Sigstore {
    static SIGSTORE: OnceLock<Sigstore> = OnceLock::new();
    SIGSTORE.get_or_init(|| {
        let folder = shared_folder().join("sigstore");
        std::fs::create_dir(&folder).unwrap();
        Sigstore::start(folder)
    })
}

impl Sigstore {
    fn start(folder: PathBuf) -> Self {
        let timestamps = Timestamps::new(&folder);
        let authority = Authority::new();
        let services =
            Box::leak(Box::new(Services { authority, log: Log::new(), log2: LogV2::new("127.0.0.1"), timestamps }));
        let url = server::start(services);
        let sigstore = Self { folder, url, services };
        sigstore.write_files();
        sigstore
    }

    fn write_files(&self) {
        let Services { authority, log, log2, timestamps } = self.services;
        let write = |name: &str, text: &str| std::fs::write(self.path(name), text).unwrap();
        write("fulcio.pem", &authority.chain());
        write("ct.pub", &authority.log_key());
        write("rekor.pub", &log.key());
        write("rekor2.pub", &log2.key());
        write("tsa.pem", &timestamps.chain());
        let url = &self.url;
        let root = [
            format!("--fulcio=url={url},certificate-chain=fulcio.pem,start-time={START}"),
            format!("--ctfe=url={url}/ct,public-key=ct.pub,start-time={START}"),
            format!("--rekor=url=http://rekor.example.com,public-key=rekor.pub,start-time={START}"),
            format!("--rekor=url={url},public-key=rekor2.pub,start-time={START},origin=127.0.0.1"),
            format!("--tsa=url={url}/api/v1/timestamp,certificate-chain=tsa.pem,start-time={START}"),
        ];
        let root: Vec<&str> = root.iter().map(String::as_str).collect();
        self.made(&[&["trusted-root", "create", "--out", "root.json"], &root[..]].concat());
        self.made(&["trusted-root", "create", "--out", "empty.json"]);
        let service = |flag: &str, path: &str, version: u8| {
            format!("--{flag}=url={url}{path},api-version={version},start-time={START},operator=tests")
        };
        let fulcio = service("fulcio", "", 1);
        let (rekor, rekor2) = (service("rekor", "", 1), service("rekor", "", 2));
        let tsa = service("tsa", "/api/v1/timestamp", 1);
        for witness in Witness::ALL {
            let wanted: &[&str] = match witness {
                Witness::RekorV1 => &[&rekor, "--rekor-config=ANY"],
                Witness::RekorV2 => &[&rekor2, "--rekor-config=ANY", &tsa, "--tsa-config=ANY"],
                Witness::Tsa => &[&tsa, "--tsa-config=ANY"],
                Witness::Nothing => &[],
            };
            let start = ["signing-config", "create", "--out", witness.file(), &fulcio];
            self.made(&[&start[..], wanted].concat());
        }
    }

    /// Lets cosign 3 write a file.
    fn made(&self, arguments: &[&str]) {
        run(&mut cosign(&self.folder, "TEST_COSIGN3", "cosign3", arguments)).exits(0);
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its trusted root.
    pub fn root(&self) -> PathBuf {
        self.path("root.json")
    }

    /// The signing config of cosign 3 that asks for this witness.
    pub fn config(&self, witness: Witness) -> PathBuf {
        self.path(witness.file())
    }

    /// What tells cosign 2 the keys of the services.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("SIGSTORE_ROOT_FILE", self.path("fulcio.pem")),
            ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", self.path("ct.pub")),
            ("SIGSTORE_REKOR_PUBLIC_KEY", self.path("rekor.pub")),
            ("SIGSTORE_TSA_CERTIFICATE_FILE", self.path("tsa.pem")),
        ]
    }

    /// A token for this subject; without a signature that anyone could check.
    pub fn token(&self, subject: &str) -> String {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let expires = jiff::Timestamp::now().as_second() + 600;
        let claims = json!({"iss": ISSUER, "sub": subject, "aud": "sigstore", "exp": expires, "iat": expires - 700});
        format!("{}.{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims), URL_SAFE_NO_PAD.encode("none"))
    }
}

/// Runs cosign 2 with the keys of the private services, and with this in its environment.
#[track_caller]
pub fn cosign2(arguments: &[&str], environment: &[(&str, &str)]) -> Done {
    let sigstore = sigstore();
    let mut command = cosign(&sigstore.folder, "TEST_COSIGN2", "cosign2", arguments);
    run(command.envs(sigstore.environment()).envs(environment.iter().copied()))
}

/// Runs cosign 3. What it should know of the services, its arguments tell.
#[track_caller]
pub fn cosign3(arguments: &[&str]) -> Done {
    run(&mut cosign(&sigstore().folder, "TEST_COSIGN3", "cosign3", arguments))
}

fn cosign(folder: &Path, variable: &str, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(variable, name));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder).env("PATH", "/usr/bin:/bin");
    command.env("COSIGN_PASSWORD", "x");
    command
}

/// A path as arguments name it.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
