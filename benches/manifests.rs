//! How fast manifests are read, searched and pinned: 10,000 documents, 10 MB, on one core.
//!
//! `cargo bench --bench manifests` measures; with `-- --write FOLDER` the same files are written to a folder instead.
//! Times are CPU time of the one thread that works, the best of several rounds: a busy machine disturbs them least.

#![expect(clippy::print_stdout, clippy::unwrap_used, clippy::panic, reason = "a program for developers that may stop")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use sealgate::discovery::site::{Action, Site};
use sealgate::discovery::{Rules, discover};
use sealgate::gate::Finder;
use sealgate::image::Digest;
use sealgate::manifest::{self, Document, Edit, Limits};
use sealgate::outcome::Unobserved;
use sealgate::pipeline::reading::Reader;
use sealgate::snapshot::File;

const DOCUMENTS: usize = 10_000;
const ROUNDS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, write, folder, ..] = arguments.as_slice()
        && write == "--write"
    {
        return write_files(Path::new(folder));
    }
    measure("a mixed repository: half of the documents name images", &files(mixed));
    measure("the worst case: every document is pinned", &files(deployment));
    reread(&files(mixed));
}

fn write_files(folder: &Path) {
    let manifests = folder.join("manifests");
    fs::create_dir_all(&manifests).unwrap();
    let mut list = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n".to_owned();
    for file in files(mixed) {
        fs::write(manifests.join(file.path.as_ref()), &file.bytes).unwrap();
        writeln!(list, "- manifests/{}", file.path).unwrap();
    }
    fs::write(folder.join("kustomization.yaml"), list).unwrap();
}

fn files(document: fn(usize) -> String) -> Vec<File> {
    let file = |number| File { path: format!("{number:05}.yaml").into(), bytes: document(number).into() };
    (0..DOCUMENTS).map(file).collect()
}

/// What reading, searching and pinning take, each the best of the rounds.
fn measure(title: &str, files: &[File]) {
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    let mut best = [Duration::MAX; 5];
    let mut pinned = 0;
    for _ in 0..ROUNDS {
        let (times, count) = round(files);
        pinned = count;
        for (best, time) in best.iter_mut().zip(times) {
            *best = time.min(*best);
        }
    }
    let [bare, read, found, pin, all] = best.map(|time| speed(bytes, time));
    println!("{title}: {} files, {} KB, {pinned} scalars pinned", files.len(), bytes / 1000);
    println!("  the parser's events alone {bare} MB/s");
    println!("  read {read} MB/s, search {found} MB/s, pin {pin} MB/s; together {all} MB/s");
}

fn round(files: &[File]) -> ([Duration; 5], usize) {
    let (limits, rules) = (Limits::default(), Rules::default());
    let digest = Digest::of(b"image");
    let start = cpu_time();
    for file in files {
        let text = std::str::from_utf8(&file.bytes).unwrap();
        for event in granit_parser::Parser::new_from_str(text) {
            std::hint::black_box(event.unwrap());
        }
    }
    let bare = cpu_time().saturating_sub(start);
    let start = cpu_time();
    let documents: Vec<Vec<Document>> = files.iter().map(|file| manifest::read(file, &limits).unwrap()).collect();
    let read = cpu_time().saturating_sub(start);
    let search = |documents: &Vec<Document>| -> Vec<Site> {
        documents.iter().flat_map(|document| discover(document, None, &rules).unwrap()).collect()
    };
    let sites: Vec<Vec<Site>> = documents.iter().map(search).collect();
    let found = cpu_time().saturating_sub(start);
    let mut pinned = 0;
    for ((file, documents), sites) in files.iter().zip(&documents).zip(&sites) {
        let sites = sites.iter().filter(|site| site.action == Action::Pin);
        let edits: Vec<Edit<'_>> =
            sites.map(|site| Edit { site, text: site.image.as_ref().unwrap().pinned(&digest) }).collect();
        if !edits.is_empty() {
            pinned += edits.len();
            std::hint::black_box(manifest::pin(file, documents, &edits, &limits).unwrap());
        }
    }
    let all = cpu_time().saturating_sub(start);
    ([bare, read, found.saturating_sub(read), all.saturating_sub(found), all], pinned)
}

/// A commit that changes one file of all.
fn reread(files: &[File]) {
    let (limits, rules) = (Limits::default(), Rules::default());
    let finder = Finder { rules: &rules, namespace: None, limits: &limits };
    let mut changed = files.to_vec();
    let last = changed.last_mut().unwrap();
    last.bytes = [last.bytes.as_ref(), b"# changed\n"].concat().into();
    let (mut full, mut again) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let mut reader = Reader::default();
        let start = cpu_time();
        let first = reader.read(files, &finder, &Unobserved);
        full = full.min(cpu_time().saturating_sub(start));
        let start = cpu_time();
        let second = reader.read(&changed, &finder, &Unobserved);
        again = again.min(cpu_time().saturating_sub(start));
        assert!(first.sites.len() == second.sites.len() && second.problems.is_empty());
    }
    println!("one of {} files changed: {again:?} after {full:?} for all, 1 / {}", files.len(), ratio(full, again));
}

fn speed(bytes: usize, time: Duration) -> String {
    let bytes = u32::try_from(bytes).unwrap();
    format!("{:.1}", f64::from(bytes) / 1e6 / time.as_secs_f64())
}

fn ratio(long: Duration, short: Duration) -> String {
    format!("{:.1}", long.as_secs_f64() / short.as_secs_f64())
}

/// The time that this thread has spent on a processor.
fn cpu_time() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_else(|error| {
        panic!("failed to read this thread's CPU time: {error}");
    });
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

/// Workloads, services, configuration and rights, as repositories have them.
fn mixed(number: usize) -> String {
    match number % 6 {
        0 | 2 | 4 => deployment(number),
        1 => service(number),
        3 => config_map(number),
        _ => role(number),
    }
}

fn deployment(number: usize) -> String {
    format!(
        "# Source: shop/templates/web.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web-{number}\n  \
         namespace: shop\n  labels:\n    app.kubernetes.io/name: web\n    app.kubernetes.io/instance: web-{number}\n\
         spec:\n  replicas: 3\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: web\n  template:\n    \
         metadata:\n      labels:\n        app.kubernetes.io/name: web\n        app.kubernetes.io/instance: \
         web-{number}\n    spec:\n      containers:\n      - name: web\n        image: \
         registry.example.com/shop/web:1.{number}\n        args: [\"--listen=:8080\", \"--log=json\"]\n        \
         ports:\n        - containerPort: 8080\n          name: http\n        env:\n        - name: MODE\n          \
         value: production\n        resources:\n          limits:\n            memory: 256Mi\n            cpu: 500m\n\
         {0:8}readinessProbe:\n          httpGet:\n            path: /healthz\n            port: http\n      - name: \
         proxy\n        image: \"registry.example.com/shop/proxy:2.0\" # the proxy\n        volumeMounts:\n        - \
         name: config\n          mountPath: /etc/proxy\n          readOnly: true\n      volumes:\n      - name: \
         config\n        configMap:\n          name: proxy-config\n          defaultMode: 0644\n",
        ""
    )
}

fn service(number: usize) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web-{number}\n  namespace: shop\n  annotations:\n    \
         prometheus.io/scrape: \"true\"\n    prometheus.io/path: '/metrics'\nspec:\n  type: ClusterIP\n  selector:\n    \
         app.kubernetes.io/name: web\n  ports:\n"
    );
    for port in 0..12 {
        writeln!(text, "  - name: port-{port}\n    port: {0}\n    targetPort: {0}\n    protocol: TCP", 8000 + port)
            .unwrap();
    }
    text
}

fn config_map(number: usize) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: config-{number}\n  namespace: shop\ndata:\n  a: |\n"
    );
    for line in 0..20 {
        writeln!(text, "    setting.{line} = value {line} of the service # and why it is so").unwrap();
    }
    text
}

fn role(number: usize) -> String {
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: role-{number}\n  namespace: shop\nrules:\n"
    );
    for kind in ["pods", "services", "secrets", "configmaps", "events", "endpoints", "jobs", "cronjobs", "leases"] {
        writeln!(text, "- apiGroups: [\"\"]\n  resources: [\"{kind}\"]\n  verbs: [\"get\", \"list\", \"watch\"]")
            .unwrap();
    }
    text
}
