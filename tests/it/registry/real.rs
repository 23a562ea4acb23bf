//! The client against Debian's docker-registry, with what real cosigns put there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sealgate::artifact::{Content, Lookup, Sought, Where};
use sealgate::image::{Digest, Host, ImageRef, Repository};
use sealgate::reason::Reason;
use sealgate::registry::{Client, Credentials, HostOptions, Registry as _};
use serde_json::{Value, json};

use super::{client, options, with_host};
use crate::support::fake_registry::{BUNDLE, OCI_MANIFEST, SIMPLE_SIGNING, descriptor};
use crate::support::token_server::{ISSUER, TokenServer};

/// A running docker-registry; it ends with this value.
struct DockerRegistry {
    child: Child,
    host: Host,
    _folder: tempfile::TempDir,
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A program that `tests/setup` fetches.
fn program(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::vars_os().find(|(key, _)| key == variable) {
        return path.1.into();
    }
    let get = |name: &str| std::env::vars_os().find(|(key, _)| key == name).map(|(_, value)| PathBuf::from(value));
    let cache = get("TEST_CACHE")
        .or_else(|| Some(get("XDG_CACHE_HOME").or_else(|| Some(get("HOME")?.join(".cache")))?.join("sealgate-tests")));
    let places = [cache.unwrap().join("bin").join(name), Path::new("/usr/bin").join(name)];
    places
        .iter()
        .find(|place| place.exists())
        .unwrap_or_else(|| panic!("run tests/setup first: `{name}` is missing"))
        .clone()
}

impl DockerRegistry {
    fn start(auth: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = json!({"version": 0.1, "log": {"level": "info"}, "http": {"addr": "127.0.0.1:0", "secret": "test"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}}});
        if !auth.is_null() {
            settings["auth"] = auth.clone();
        }
        let file = folder.path().join("registry.yml");
        std::fs::write(&file, settings.to_string()).unwrap();
        let mut child = Command::new(program("TEST_DOCKER_REGISTRY", "docker-registry"))
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(['"', '\\']).next()?.to_owned())
        });
        // The log has to be read on, or the registry stops at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, host: Host::parse(&told.unwrap()).unwrap(), _folder: folder }
    }

    /// Pushes an image without layers.
    async fn push(&self, path: &str, tag: &str, text: &str, token: Option<&str>) -> Digest {
        let http = reqwest::Client::new();
        let base = format!("http://{}/v2/{path}", self.host.as_str());
        let authorised = |request: reqwest::RequestBuilder| match token {
            Some(token) => request.header("authorization", token),
            None => request,
        };
        let config =
            json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}})
                .to_string();
        let begun = authorised(http.post(format!("{base}/blobs/uploads/"))).send().await.unwrap();
        assert_eq!(begun.status(), 202);
        let place = begun.headers()["location"].to_str().unwrap();
        let put = format!("{place}&digest={}", Digest::of(config.as_bytes()));
        assert_eq!(authorised(http.put(put)).body(config.clone()).send().await.unwrap().status(), 201);
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [], "annotations": {"text": text},
            "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes())})
            .to_string();
        let put =
            http.put(format!("{base}/manifests/{tag}")).header("content-type", OCI_MANIFEST).body(manifest.clone());
        assert_eq!(authorised(put).send().await.unwrap().status(), 201);
        Digest::of(manifest.as_bytes())
    }
}

/// A cosign with a key of its own.
struct Cosign {
    program: PathBuf,
    folder: tempfile::TempDir,
}

impl Cosign {
    fn new(variable: &str, name: &str) -> Self {
        let cosign = Self { program: program(variable, name), folder: tempfile::tempdir().unwrap() };
        cosign.run(&["generate-key-pair", "--output-key-prefix", "k"], &[]);
        cosign
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) {
        let output = Command::new(&self.program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("COSIGN_PASSWORD", "x")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn client_of(registry: &DockerRegistry) -> Client {
    client(options(std::slice::from_ref(&registry.host))).0
}

async fn found(client: &Client, registry: &DockerRegistry, path: &str, digest: Digest) -> Vec<(Where, String)> {
    let repository = Repository::new(registry.host.clone(), path).unwrap();
    let lookup = Lookup { repository, digest, hints: Vec::new(), sought: Sought::signatures() };
    let evidence = client.evidence(&lookup, &|_| false).await;
    assert!(evidence.faults.is_empty(), "{:?}", evidence.faults);
    let artifacts = evidence.artifacts.into_iter();
    artifacts
        .map(|artifact| {
            (
                artifact.place,
                if matches!(artifact.content, Content::Bytes(_)) { artifact.media_type } else { "unusable".into() },
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_cosigns_write_is_found() {
    let registry = DockerRegistry::start(&Value::Null);
    let (two, three) = (Cosign::new("TEST_COSIGN2", "cosign2"), Cosign::new("TEST_COSIGN3", "cosign3"));
    let none = ["--no-default-fulcio", "--no-default-rekor", "--no-default-tsa"];
    three.run(&[&["signing-config", "create", "--no-default-oidc", "--out", "sc.json"], &none[..]].concat(), &[]);
    three.run(&[&["trusted-root", "create", "--no-default-ctfe", "--out", "tr.json"], &none[..]].concat(), &[]);
    let name = |path: &str, digest: Digest| format!("{}/{path}@{digest}", registry.host.as_str());
    let client = client_of(&registry);

    let tagged = registry.push("app/sig", "v1", "one", None).await;
    two.run(&["sign", "--key", "k.key", "--tlog-upload=false", "-y", &name("app/sig", tagged)], &[]);
    assert_eq!(found(&client, &registry, "app/sig", tagged).await, [(Where::SignatureTag, SIMPLE_SIGNING.to_owned())]);

    let referrer = registry.push("app/oci", "v1", "two", None).await;
    let experimental = [("COSIGN_EXPERIMENTAL", "1")];
    let mode = "--registry-referrers-mode=oci-1-1";
    two.run(&["sign", "--key", "k.key", "--tlog-upload=false", mode, "-y", &name("app/oci", referrer)], &experimental);
    assert_eq!(found(&client, &registry, "app/oci", referrer).await, [(Where::FallbackTag, SIMPLE_SIGNING.to_owned())]);

    let bundled = registry.push("app/bundle", "v1", "three", None).await;
    let files = ["--signing-config", "sc.json", "--trusted-root", "tr.json"];
    three.run(&[&["sign", "--key", "k.key", "-y", &name("app/bundle", bundled)], &files[..]].concat(), &[]);
    assert_eq!(found(&client, &registry, "app/bundle", bundled).await, [(Where::FallbackTag, BUNDLE.to_owned())]);

    let unsigned = registry.push("app/none", "v1", "four", None).await;
    assert_eq!(found(&client, &registry, "app/none", unsigned).await, []);
    let image = ImageRef::parse(&format!("{}/app/none:v2", registry.host.as_str())).unwrap();
    assert_eq!(client.resolve(&image).await.unwrap_err().reason, Reason::ImageNotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_a_real_registry() {
    let tokens = TokenServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.pem");
    std::fs::write(&bundle, tokens.certificate()).unwrap();
    let auth = json!({"token": {"realm": tokens.realm(), "service": "a registry", "issuer": ISSUER, "rootcertbundle": bundle}});
    let registry = DockerRegistry::start(&auth);
    let push = reqwest::get(format!("{}?service=a+registry&scope=repository:team/app:pull,push", tokens.realm()));
    let token: Value = serde_json::from_slice(&push.await.unwrap().bytes().await.unwrap()).unwrap();
    let header = format!("Bearer {}", token["token"].as_str().unwrap());
    let digest = registry.push("team/app", "v1", "one", Some(&header)).await;
    tokens.require("Basic dTpw");
    let credentials = Some(Credentials::basic("u".into(), "p".into()));
    let settings = HostOptions {
        auth_realms: vec![Host::parse(&tokens.authority()).unwrap()],
        credentials,
        ..HostOptions::default()
    };
    let mut limited = with_host(options(&[]), registry.host.clone(), settings);
    limited.timeout = Duration::from_secs(10);
    let (client, _) = client(limited);
    let image = ImageRef::parse(&format!("{}/team/app:v1", registry.host.as_str())).unwrap();
    assert_eq!(client.resolve(&image).await.unwrap().digest, digest);
    assert_eq!(found(&client, &registry, "team/app", digest).await, []);
    let (stranger, _) = super::client(options(std::slice::from_ref(&registry.host)));
    assert_eq!(stranger.resolve(&image).await.unwrap_err().reason, Reason::RegistryUnauthorized);
}
