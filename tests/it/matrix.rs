//! Who signs × where it is kept × what vouches for it: every cell decided by us as documented, with cosign's own answer
//! beside it, and every difference explained in `docs/signature-matrix.md`.

mod cell;
mod forge;
mod keep;
mod keys;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use serde_json::Value;

use crate::support::sigstore::{ISSUER, SUBJECT, Witness, sigstore};
use crate::support::world::{World, registry};
use cell::{Cell, Log, Maker, Signer};
use table::{Answer, Answers};

/// How many cosigns run at a time.
const WORKERS: usize = 3;

#[test]
fn every_cell_is_decided_as_documented_with_cosign_beside_it() {
    let images = Mutex::new(BTreeMap::new());
    let cosign = Mutex::new(BTreeMap::new());
    let cells = Mutex::new(Cell::all().into_iter());
    let next = || cells.lock().unwrap().next();
    let work = || {
        while let Some(cell) = next() {
            let digest = registry().push(&cell.repository(), "v1", &cell.repository());
            let image = format!("{}/{}@{digest}", cell.host(), cell.repository());
            match cell.maker() {
                Maker::Cosign2 | Maker::Cosign3 => cell.sign(&image),
                Maker::Forged => forge::sign(cell, &image),
            }
            if std::env::var_os("TEST_WRITE_FIXTURES").is_some() {
                keep::keep(cell, &image);
            }
            for log in Log::ALL {
                let verified = cell.verified_by_cosign(&image, log);
                cosign.lock().unwrap().insert((log, cell), verified);
            }
            images.lock().unwrap().insert(cell, image);
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let (images, cosign) = (images.into_inner().unwrap(), cosign.into_inner().unwrap());
    let mut answers = Answers::new();
    for log in Log::ALL {
        let ours = ours(log, &images);
        for (cell, image) in &images {
            answers.insert((log, *cell), Answer { ours: ours.get(image).copied(), cosign: cosign[&(log, *cell)] });
        }
    }
    for ((log, cell), answer) in &answers {
        assert_eq!(answer.ours, documented(*log, *cell), "{log:?} {cell:?}");
    }
    let (path, page) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/signature-matrix.md"), table::page(&answers));
    if std::env::var_os("TEST_WRITE_MATRIX").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert_eq!(written, page, "the page is not what was found; TEST_WRITE_MATRIX=1 writes it anew");
}

/// What the documentation says of a cell.
fn documented(log: Log, cell: Cell) -> Option<bool> {
    let Cell { signer, form, witness } = cell;
    match (log, witness) {
        // A key's signature counts wherever it is, whatever lies beside it; a certificate never without a log.
        (Log::Ignored, _) => (signer != Signer::Keyless).then_some(true),
        (Log::Required, Witness::RekorV1) => Some(signer != Signer::P521),
        (Log::Required, Witness::RekorV2) => Some(form.is_bundle() && matches!(signer, Signer::P256 | Signer::Keyless)),
        (Log::Required, Witness::Tsa | Witness::Nothing) => Some(false),
    }
}

/// What we say of each image, by one policy for all; nothing of those that it cannot ask about.
fn ours(log: Log, images: &BTreeMap<Cell, String>) -> BTreeMap<String, bool> {
    let world = World::new();
    std::fs::copy(sigstore().root(), world.path("root.json")).unwrap();
    world.write("policy.yaml", &policy(&world, log));
    let asked = images.iter().filter(|(cell, _)| log == Log::Required || cell.signer != Signer::Keyless);
    let mut arguments = vec!["verify", "--policy", "policy.yaml", "--output", "json"];
    arguments.extend(asked.map(|(_, image)| image.as_str()));
    let done = world.run(&arguments);
    let report = done.json();
    let entry = |image: &Value| {
        let verdict = image["verdict"].as_str().unwrap();
        assert!(verdict != "undecided", "{image:#}");
        (image["reference"].as_str().unwrap().to_owned(), verdict == "verified")
    };
    report["images"].as_array().unwrap().iter().map(entry).collect()
}

/// A rule for each signer.
fn policy(world: &World, log: Log) -> String {
    let hosts = [&registry().host, crate::support::referrers::referrers_host()];
    let mut rules = String::new();
    for signer in Signer::ALL {
        let wanted = match (keys::keys().file(signer), log) {
            (Some(file), _) => {
                let name = format!("{signer:?}.pub");
                std::fs::copy(file.with_extension("pub"), world.path(&name)).unwrap();
                let log = match log {
                    Log::Ignored => "",
                    Log::Required => ", transparencyLog: require, trustRoot: {file: root.json}",
                };
                format!("key: {{file: {name}}}{log}")
            }
            (None, Log::Required) => format!(
                "keyless: {{identities: [{{issuer: '{ISSUER}', subject: '{SUBJECT}'}}]}}, trustRoot: {{file: root.json}}"
            ),
            (None, Log::Ignored) => continue,
        };
        let stem = format!("{signer:?}").to_lowercase();
        let images = hosts.map(|host| format!("'{host}/app/matrix-{stem}-*'")).join(", ");
        rules += &format!(
            "  - name: {stem}\n    images: [{images}]\n    signatures: {{authorities: [{{name: it, {wanted}}}]}}\n"
        );
    }
    format!(
        "apiVersion: sealgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: matrix}}\nspec:\n  rules:\n{rules}"
    )
}
