//! Configurations that load, and ones that do not.

use super::*;

fn file(text: &str) -> File {
    File { path: "s.yaml".into(), bytes: text.to_owned().into() }
}

fn parsed(text: &str, environment: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    parse(&file(text), Path::new("/etc/sealgate/s.yaml"), &environment)
}

const SOURCE: &str = "source: {git: https://git.example.com/x.git}";

/// A configuration with one gate, whose fields begin in line 3.
fn gate(fields: &str) -> String {
    format!("gates:\n- name: g\n  {}\n", fields.replace('\n', "\n  "))
}

/// A good configuration of five lines, and more.
fn with(more: &str) -> String {
    format!("{}{more}", gate(&format!("{SOURCE}\npolicies: [p.yaml]\ntarget: {{directory: {{path: out}}}}")))
}

#[test]
fn the_example_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/sealgate.yaml");
    let settings = load(&path, &BTreeMap::new()).unwrap();
    assert_eq!(settings.gates[0].policies, [path.parent().unwrap().join("policy.yaml")]);
    assert_eq!(settings.discovery.fields.len(), 1);
    let registry = &settings.registries[&Host::parse("registry.example.com").unwrap()];
    assert_eq!(registry.mirrors[0].path.as_deref(), Some("proxy"));
    assert_eq!(registry.auth_realms, [Host::parse("auth.example.com").unwrap()]);
}

#[test]
fn what_is_left_out_has_its_default() {
    let settings = parsed(&with(""), &[]).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(settings.state_dir, Path::new("/var/lib/sealgate"));
    assert_eq!(settings.discovery, discovery::Rules::default());
    assert_eq!(settings.proxy, ProxySettings::default());
    assert!(settings.registries.is_empty());
    let limits = LimitSettings {
        file_bytes: 10 << 20,
        files: 50_000,
        images: 5000,
        manifest_bytes: 4 << 20,
        blob_bytes: 32 << 20,
        signatures: 64,
        image_timeout: Duration::from_mins(2),
        decision_timeout: Duration::from_mins(10),
    };
    assert_eq!(settings.limits, limits);
    let gate = GateSettings {
        name: "g".to_owned(),
        source: SourceSettings {
            url: "https://git.example.com/x.git".to_owned(),
            branch: "main".to_owned(),
            path: String::new(),
            interval: Duration::from_secs(30),
            exclude: Vec::new(),
            allow_rewrite: false,
            auth: AuthSettings::default(),
        },
        policies: vec![PathBuf::from("/etc/sealgate/p.yaml")],
        target: TargetSettings::Directory { path: PathBuf::from("/etc/sealgate/out") },
        namespace: None,
        mode: Mode::Enforce,
        drift: DriftSettings { objects: ObjectDrift::Correct, tags: None },
        render: Vec::new(),
        hook: None,
        suspend: false,
        statuses: None,
    };
    assert_eq!(settings.gates, [gate]);
}

/// The cluster of the next test.
fn cluster() -> KubernetesSettings {
    let selector = |group: &str, kind: &str, namespace: Option<&str>, name: Option<&str>| ObjectSelector {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
    };
    KubernetesSettings {
        context: Some("prod".to_owned()),
        tenant: TenantSettings {
            kubeconfig: Some(PathBuf::from("/etc/sealgate/tenant.yaml")),
            service_account: Some(AccountSettings { namespace: "shop".to_owned(), name: "deployer".to_owned() }),
            namespaces: Some(vec!["shop-*".to_owned()]),
            kinds: Some(vec!["*".to_owned(), "apps/Deployment".to_owned()]),
        },
        events: Some(false),
        inventory_namespace: "ops".to_owned(),
        prune: PruneSettings {
            enabled: true,
            empty: true,
            namespaces: true,
            definitions: true,
            keep: vec![selector("", "PersistentVolumeClaim", None, None)],
        },
        force: true,
        force_objects: vec![selector("apps", "Deployment", Some("shop"), Some("web"))],
        recreate: vec![selector("batch", "Job", None, None)],
        foreign_images: ForeignImages::Report,
        health: Some(Duration::from_secs(90)),
    }
}

#[test]
fn every_field_is_taken_over() {
    let text = "\
listen: '[::1]:0'
stateDir: state
gates:
- name: g
  source: {git: ../repo, branch: release/1, path: ./a//b/, interval: 1m30s, exclude: ['x/**'], allowRewrite: true}
  policies: [a.yaml, /b.yaml]
  target:
    kubernetes:
      context: prod
      kubeconfig: tenant.yaml
      serviceAccount: {namespace: shop, name: deployer}
      namespaces: ['shop-*']
      kinds: ['*', apps/Deployment]
      events: false
      inventoryNamespace: ops
      prune: true
      pruneEmpty: true
      pruneNamespaces: true
      pruneDefinitions: true
      keep: [{group: '', kind: PersistentVolumeClaim}]
      force: true
      forceObjects: [{group: apps, kind: Deployment, namespace: shop, name: web}]
      recreate: [{group: batch, kind: Job}]
      foreignImages: report
      health: {timeout: 90s}
  namespace: shop
  mode: audit
  drift: {objects: off, tags: 6h}
  render: [{path: ./apps/web/, renderer: helm, release: r, namespace: ns, values: [../v.yaml], kubeVersion: '1.33', apiVersions: [a/v1]}]
  suspend: true
- name: h
  source:
    git: ssh://git@git.example.com/x.git
    auth: {username: git, sshKeyFile: key, knownHostsFile: known}
  policies: [a.yaml]
  target: {kubernetes: {}}
  drift: {objects: 'off', tags: off}
registries:
  Registry.Example.com:5000: {mirrors: [m.io/p, {location: n.io, resolveTags: true}], caFile: ca.pem, concurrency: 2, authRealms: [auth.io], pullSecret: {namespace: ns, name: s}}
  docker.io: {insecure: true}
discovery: {unclassified: warn}
limits: {fileBytes: 5, files: 7, imageTimeout: 500ms}
proxy: {https: 'http://proxy:3128', noProxy: [a.io]}
render: {helm: bin/helm, kustomize: /usr/bin/kubectl, time: 5s, memory: 1GiB, output: 1MiB, isolation: required}
";
    let settings = parsed(text, &[]).unwrap();
    assert_eq!(settings.listen, "[::1]:0".parse().unwrap());
    assert_eq!(settings.state_dir, Path::new("/etc/sealgate/state"));
    let gate = &settings.gates[0];
    assert_eq!(gate.source.url, "/etc/sealgate/../repo");
    assert_eq!((gate.source.path.as_str(), gate.source.interval), ("a/b", Duration::from_secs(90)));
    assert_eq!((gate.mode, gate.suspend, gate.namespace.as_deref()), (Mode::Audit, true, Some("shop")));
    assert_eq!(gate.drift, DriftSettings { objects: ObjectDrift::Off, tags: Some(Duration::from_hours(6)) });
    assert_eq!(gate.target, TargetSettings::Kubernetes(Box::new(cluster())));
    assert_eq!(gate.policies[1], Path::new("/b.yaml"));
    let other = &settings.gates[1];
    assert_eq!(other.drift, DriftSettings { objects: ObjectDrift::Off, tags: None });
    assert_eq!(other.source.auth.ssh_key_file.as_deref(), Some(Path::new("/etc/sealgate/key")));
    let registry = &settings.registries[&Host::parse("registry.example.com:5000").unwrap()];
    assert_eq!(registry.mirrors.len(), 2);
    assert!(registry.mirrors[1].resolve_tags && !registry.mirrors[0].resolve_tags);
    assert_eq!((registry.concurrency.get(), registry.insecure), (2, false));
    assert_eq!(registry.ca_file.as_deref(), Some(Path::new("/etc/sealgate/ca.pem")));
    assert_eq!(registry.pull_secret, Some(PullSecret { namespace: "ns".to_owned(), name: "s".to_owned() }));
    assert!(settings.registries[&Host::parse("index.docker.io").unwrap()].insecure);
    assert_eq!(settings.discovery.unclassified, discovery::Unclassified::Warn);
    assert_eq!((settings.limits.file_bytes, settings.limits.files, settings.limits.images), (5, 7, 5000));
    assert_eq!(settings.limits.image_timeout, Duration::from_millis(500));
    assert_eq!(settings.proxy.https.as_deref(), Some("http://proxy:3128"));
    let render = RenderSettings {
        kustomize: Some(PathBuf::from("/usr/bin/kubectl")),
        helm: Some(PathBuf::from("/etc/sealgate/bin/helm")),
        time: Duration::from_secs(5),
        memory: 1 << 30,
        output: 1 << 20,
        isolation: IsolationSetting::Required,
    };
    assert_eq!(settings.render, render);
    let folder = FolderSettings {
        path: "apps/web".to_owned(),
        renderer: Some(Renderer::Helm),
        release: Some("r".to_owned()),
        namespace: Some("ns".to_owned()),
        values: vec!["../v.yaml".to_owned()],
        kube_version: Some("1.33".to_owned()),
        api_versions: vec!["a/v1".to_owned()],
    };
    assert_eq!(gate.render, [folder]);
}

#[test]
fn the_environment_overrides_scalars_and_nothing_unknown() {
    let environment = [
        ("SEALGATE_LISTEN", "127.0.0.1:9"),
        ("SEALGATE_STATEDIR", "here"),
        ("sealgate_Limits__FileBytes", "1KiB"),
        ("SEALGATE_LIMITS__FILES", "9"),
        ("SEALGATE_DISCOVERY__UNCLASSIFIED", "ignore"),
        ("SEALGATE_LOG", "debug"),
        ("SEALGATE_VECTORS", "x"),
        ("PATH", "/bin"),
        ("HTTPS_PROXY", "http://x"),
    ];
    let settings = parsed(&with("limits: {files: 3, images: 4}\n"), &environment).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:9".parse().unwrap());
    assert_eq!(settings.state_dir, Path::new("here"));
    assert_eq!((settings.limits.file_bytes, settings.limits.files, settings.limits.images), (1024, 9, 4));
    assert_eq!(settings.discovery.unclassified, discovery::Unclassified::Ignore);
    assert_eq!(settings.proxy.https, None);
    let table = [
        ("SEALGATE_LISTENN", "127.0.0.1:9"),
        ("SEALGATE_", "x"),
        ("SEALGATE__LISTEN", "127.0.0.1:9"),
        ("SEALGATE_LIMITS_FILES", "9"),
        ("SEALGATE_LIMITS", "9"),
        ("SEALGATE_GATES", "x"),
        ("SEALGATE_GATES__0__NAME", "x"),
        ("SEALGATE_REGISTRIES__A", "x"),
        ("SEALGATE_LISTEN", ""),
        ("SEALGATE_LISTEN", "x"),
        ("SEALGATE_LIMITS__FILES", "0"),
        ("SEALGATE_LIMITS__FILES", "true"),
        ("SEALGATE_LIMITS__FILEBYTES", "x"),
        ("SEALGATE_DISCOVERY__UNCLASSIFIED", "Refuse"),
    ];
    for (name, value) in table {
        let problems = parsed(&with(""), &[(name, value)]).unwrap_err();
        assert_eq!(problems.len(), 1, "{name}={value}: {problems:?}");
        assert_eq!(problems[0].code, ErrorCode::ConfigInvalid);
        assert!(problems[0].message.contains(name), "{problems:?}");
    }
    let twice = [("SEALGATE_LISTEN", "127.0.0.1:9"), ("sealgate_listen", "127.0.0.1:8")];
    assert_eq!(parsed(&with(""), &twice).unwrap_err().len(), 1);
}

#[test]
fn a_wrong_configuration_is_refused_at_its_place() {
    let target = "target: {directory: {path: out}}";
    let source = |source: &str| gate(&format!("source: {source}\npolicies: [p.yaml]\n{target}"));
    let aim = |target: &str| gate(&format!("{SOURCE}\npolicies: [p.yaml]\ntarget: {target}"));
    let other = |name: &str, path: &str| {
        with(&format!("- {{name: {name}, {SOURCE}, policies: [p.yaml], target: {{directory: {{path: {path}}}}}}}\n"))
    };
    let table = [
        (String::new(), 1, 1, "empty"),
        ("[]\n".to_owned(), 1, 1, "must be a mapping"),
        ("listen: 127.0.0.1:80\n".to_owned(), 1, 1, "missing field `gates`"),
        ("gates: []\n".to_owned(), 1, 8, "empty list"),
        (with("---\na: 1\n"), 7, 1, "second document"),
        (with("stateDir: x\nstateDir: y\n"), 7, 1, ""),
        (with("statedir: x\n"), 6, 1, "unknown field"),
        (with("listen: 8080\n"), 6, 9, "must be a string"),
        (with("listen: localhost:8080\n"), 6, 9, "no address"),
        (with("hooks: {}\n"), 6, 1, "unknown field"),
        (with("admission: {}\n"), 6, 12, "not supported yet"),
        (with("limits: {fileBytes: 10Mib}\n"), 6, 21, "no size"),
        (with("limits: {fileBytes: 0}\n"), 6, 21, "out of bounds"),
        (with("limits: {imageTimeout: 30}\n"), 6, 24, "must be a string"),
        (with("limits: {imageTimeout: 0s}\n"), 6, 24, "out of bounds"),
        (with("limits: {signatures: 0}\n"), 6, 22, "from 1 to"),
        (with("limits: {signature: 1}\n"), 6, 10, "unknown field"),
        (with("proxy: {https: 'http://u:p@proxy'}\n"), 6, 16, "credentials"),
        (with("proxy: {http: 'http://proxy'}\n"), 6, 9, "unknown field"),
        (with("discovery: {unclassified: off}\n"), 6, 27, "cannot be"),
        (with("discovery: {fields: [{group: g, kind: K, path: 'a..b', action: pin}]}\n"), 6, 48, ""),
        (with("discovery: {fields: [{group: g, kind: K, path: a, action: drop}]}\n"), 6, 59, "cannot be `drop`"),
        (with("registries: {'a b': {}}\n"), 6, 14, "no registry host"),
        (with("registries: {a.io/x: {}}\n"), 6, 14, "no registry host"),
        (with("registries: {docker.io: {}, index.docker.io: {}}\n"), 6, 29, "registry of line 6"),
        (with("registries: {a.io: {insecure: true, caFile: x}}\n"), 6, 45, "both"),
        (with("registries: {a.io: {insecure: 'true'}}\n"), 6, 31, "`true` or `false`"),
        (with("registries: {a.io: {mirrors: ['https://m.io']}}\n"), 6, 31, ""),
        (with("registries: {a.io: {mirrors: [{location: m.io, tags: true}]}}\n"), 6, 48, "unknown field"),
        (with("registries: {a.io: {password: x}}\n"), 6, 21, "unknown field"),
        (with("registries: {a.io: {concurrency: 0}}\n"), 6, 34, "from 1 to"),
        (other("g", "out2"), 6, 10, "line 2 already"),
        (other("h", "out"), 6, 106, "line 5 already"),
        (gate(&format!("{SOURCE}\npolicies: []\n{target}")), 4, 13, "empty list"),
        (gate(&format!("{SOURCE}\n{target}")), 2, 3, "missing field `policies`"),
        (aim("{}"), 5, 11, "names no target"),
        (aim("{git: {url: x}}"), 5, 17, "not supported yet"),
        (aim("{kubernetes: {}, directory: {path: x}}"), 5, 11, "more than one"),
        (aim("{kubernetes: {pruneEmpty: true}}"), 5, 37, "without `prune: true`"),
        (aim("{kubernetes: {recreate: [{group: '', kind: Namespace}]}}"), 5, 36, "never made anew"),
        (aim("{kubernetes: {keep: [{kind: Job}]}}"), 5, 32, "missing field `group`"),
        (aim("{kubernetes: {namespaces: [A]}}"), 5, 38, "namespace"),
        (aim("{kubernetes: {kinds: [apps/]}}"), 5, 33, "no kind"),
        (aim("{kubernetes: {kinds: []}}"), 5, 32, "empty list"),
        (aim("{kubernetes: {serviceAccount: {namespace: a}}}"), 5, 41, "missing field `name`"),
        (aim("{kubernetes: {health: {mode: wait}}}"), 5, 40, "cannot be `wait`"),
        (aim("{kubernetes: {health: {timeout: 0s}}}"), 5, 43, "out of bounds"),
        (aim("{kubernetes: {foreignImages: pass}}"), 5, 40, "cannot be `pass`"),
        (with("  mode: dry-run\n"), 6, 9, "cannot be `dry-run`"),
        (with("  drift: {objects: on}\n"), 6, 20, "cannot be"),
        (with("  drift: {tags: 10}\n"), 6, 17, "`off`, or a string"),
        (with("  hook: {provider: svn, secretFile: x}\n"), 6, 20, "cannot be `svn`"),
        (with("  hook: {provider: github}\n"), 6, 9, "missing field `secretFile`"),
        (source("{git: 'https://bot:secret@git.example.com/x.git'}"), 3, 17, "credentials"),
        (source("{git: x, branch: 'a b'}"), 3, 28, "no branch"),
        (source("{git: x, path: ../y}"), 3, 26, "inside the repository"),
        (source("{git: x, interval: 30}"), 3, 30, "must be a string"),
        (source("{git: x, exclude: ['a[']}"), 3, 30, ""),
        (source("{git: x, auth: {passwordFile: f}}"), 3, 27, "means nothing"),
        (source("{git: 'https://a.io/x', auth: {sshKeyFile: key}}"), 3, 42, "means nothing"),
        (source("{git: 'https://a.io/x', auth: {password: y}}"), 3, 42, "unknown field"),
    ];
    let mut wrong = Vec::new();
    for (text, line, column, message) in table {
        let told: Vec<String> = match parsed(&text, &[]) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        let place = format!("s.yaml:{line}:{column}: ");
        if told.len() != 1 || !told[0].starts_with(&place) || !told[0].contains(message) {
            wrong.push(format!("{text}expected {place}{message}\nfound {told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn all_problems_of_file_and_environment_are_told_at_once() {
    let text = with("listen: x\nlisten: y\nstatedir: z\n");
    let problems = parsed(&text, &[("SEALGATE_X", "y"), ("SEALGATE_LIMITS__FILES", "z")]).unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(problems.iter().all(|problem| problem.code == ErrorCode::ConfigInvalid && !problem.help.is_empty()));
    assert!(!problems.iter().any(|problem| problem.message.contains("secret")));
}

#[test]
fn a_file_of_registries_holds_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.yaml");
    std::fs::write(&path, "registries: {'127.0.0.1:5000': {insecure: true}, a.io: {caFile: ca.pem}}\n").unwrap();
    let registries = load_registries(&path).unwrap();
    assert!(registries[&Host::parse("127.0.0.1:5000").unwrap()].insecure);
    assert_eq!(registries[&Host::parse("a.io").unwrap()].ca_file, Some(folder.path().join("ca.pem")));
    for bad in [
        "",
        "a.io: {}\n",
        "registries: []\n",
        "registries: {}\nlisten: x\n",
        "registries: {a.io: {insecure: true, caFile: x}}\n",
    ] {
        std::fs::write(&path, bad).unwrap();
        assert!(load_registries(&path).is_err(), "{bad}");
    }
    assert_eq!(load_registries(&folder.path().join("gone")).unwrap_err()[0].code, ErrorCode::ConfigInvalid);
    assert!(load_registries(folder.path()).is_err());
}
