//! What a repository holds about a digest, gathered place by place until it suffices.
//!
//! A candidate that is broken is listed as such: it is never an absence, and never spoils the others. What a registry
//! failed to answer is a fault. Nothing is dropped: what a limit leaves out is counted.

mod candidate;

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use oci_distribution::manifest::{OciDescriptor, OciImageManifest};

use self::candidate::{Carrier, Layer, content, rank_entry};
use super::client::Client;
use super::fault::sanitised;
use super::fetch::{Fetched, Wanted};
use super::manifest::{Body, Manifest};
use super::referrers::{Listed, Listing};
use crate::artifact::{Artifact, Content, Defect, Evidence, Fault, Lookup, Where};
use crate::image::Digest;
use crate::reason::{Reason, Weight};

/// Candidates fetched side by side, and between two questions whether it suffices.
const CHUNK: usize = 8;
/// Manifests of referrers read for each payload or bundle that may be fetched.
const MANIFESTS_PER_SIGNATURE: usize = 4;
/// Artifacts of one lookup: many signatures may share one payload.
const MAX_ARTIFACTS: usize = 20_000;

/// Asks whether what was found suffices.
pub(super) type Enough<'a> = &'a (dyn Fn(&[Artifact]) -> bool + Send + Sync);

/// What has been gathered so far.
struct Harvest<'a> {
    client: &'a Client,
    wanted: Wanted<'a>,
    lookup: &'a Lookup,
    enough: Enough<'a>,
    artifacts: Vec<Artifact>,
    faults: Vec<Fault>,
    left_out: usize,
    /// Manifests that were read, so that one in two lists counts once.
    manifests: BTreeSet<Digest>,
    /// Payloads that were fetched, by digest and size: many layers share one, and one that lies about the size spoils
    /// none of the others.
    contents: BTreeMap<(Digest, usize), Content>,
    fetches_left: usize,
    bytes_left: usize,
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Enough,
}

/// Gathers what a lookup asks for.
pub(super) async fn gather(client: &Client, lookup: &Lookup, enough: Enough<'_>) -> Evidence {
    let wanted = Wanted { repository: &lookup.repository, deadline: client.deadline() };
    let state = client.state(lookup.repository.host());
    let mut harvest = Harvest {
        client,
        wanted,
        lookup,
        enough,
        artifacts: Vec::new(),
        faults: Vec::new(),
        left_out: 0,
        manifests: BTreeSet::new(),
        contents: BTreeMap::new(),
        fetches_left: client.options.limits.signatures,
        bytes_left: client.options.limits.evidence_bytes,
    };
    for place in state.order() {
        let flow = match place {
            _ if !lookup.sought.may_lie_in(place) => Flow::GoOn,
            Where::SignatureTag => harvest.tag_of(place, "sig").await,
            Where::AttestationTag => harvest.tag_of(place, "att").await,
            // The fallback tag, asked in any case, stands in for an API that is missing.
            Where::Referrers if state.lacks_referrers() => Flow::GoOn,
            Where::Referrers => harvest.referrers().await,
            Where::FallbackTag => harvest.fallback_tag().await,
        };
        if flow == Flow::Enough {
            state.learn_place(place);
            break;
        }
        if harvest.faults.iter().any(|fault| fault.reason == Reason::UntrustedRegistry) {
            break;
        }
    }
    Evidence {
        repository: lookup.repository.clone(),
        digest: lookup.digest,
        artifacts: harvest.artifacts,
        faults: harvest.faults,
        left_out: harvest.left_out,
    }
}

impl Harvest<'_> {
    /// One of cosign's own tags: an image whose layers are signatures, or attestations.
    async fn tag_of(&mut self, place: Where, suffix: &str) -> Flow {
        let tag = format!("sha256-{}.{suffix}", self.lookup.digest.hex());
        let found = self.client.evidence_tag(self.wanted, &tag).await;
        let Some(manifest) = self.tagged(place, found) else { return Flow::GoOn };
        match &manifest.body {
            Body::Image(image) => {
                let layers = self.layers_of(place, manifest.digest, image);
                self.take_layers(layers).await
            }
            Body::Index(_) => {
                self.unusable(place, manifest.digest, Reason::Malformed, "an index stands where evidence is kept");
                Flow::GoOn
            }
        }
    }

    async fn referrers(&mut self) -> Flow {
        match self.client.referrers(self.wanted, &self.lookup.digest).await {
            Ok(Some(listing)) => self.take_listing(Where::Referrers, listing).await,
            Ok(None) => Flow::GoOn,
            Err(error) => {
                self.faults.push(error);
                Flow::GoOn
            }
        }
    }

    async fn fallback_tag(&mut self) -> Flow {
        let place = Where::FallbackTag;
        let tag = format!("sha256-{}", self.lookup.digest.hex());
        let found = self.client.evidence_tag(self.wanted, &tag).await;
        let Some(manifest) = self.tagged(place, found) else { return Flow::GoOn };
        let digest = manifest.digest;
        match manifest.body {
            Body::Index(index) => {
                let mut listing = Listing::default();
                listing.take(index.manifests, digest);
                self.take_listing(place, listing).await
            }
            Body::Image(_) => {
                self.unusable(place, digest, Reason::Malformed, "an image stands where a list of referrers is kept");
                Flow::GoOn
            }
        }
    }

    /// The manifest under a tag; what is broken about it is noted.
    fn tagged(&mut self, place: Where, found: Result<Option<Fetched>, Fault>) -> Option<Manifest> {
        let fetched = match found {
            Ok(found) => found?,
            Err(error) => {
                self.faults.push(error);
                return None;
            }
        };
        match fetched.manifest(&self.lookup.repository) {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                self.failed(place, Digest::of(&fetched.bytes), error);
                None
            }
        }
    }

    /// Notes a failure: one that lies in what the registry holds as a broken candidate, any other as a fault.
    fn failed(&mut self, place: Where, manifest: Digest, error: Fault) {
        match error.reason.weight() {
            Weight::Refused => self.unusable(place, manifest, error.reason, &error.message),
            Weight::Undecided => self.faults.push(error),
        }
    }

    fn unusable(&mut self, place: Where, manifest: Digest, reason: Reason, message: &str) {
        let carrier = Carrier { place, manifest, artifact_type: None, subject: None };
        let content = Content::Unusable(Defect { reason, message: message.to_owned() });
        let nothing = OciDescriptor { media_type: String::new(), ..OciDescriptor::default() };
        self.artifacts.push(carrier.artifact(None, &nothing, content));
    }

    async fn take_listing(&mut self, place: Where, listing: Listing) -> Flow {
        self.left_out += listing.left_out;
        self.faults.extend(listing.fault);
        let mut entries = listing.entries;
        entries.sort_by_key(|listed| rank_entry(&listed.entry, self.lookup));
        let most = self.client.options.limits.signatures.saturating_mul(MANIFESTS_PER_SIGNATURE);
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            if self.manifests.len() >= most {
                self.left_out += entries.count();
                break;
            }
            let chunk: Vec<Listed> = entries.by_ref().take(CHUNK).collect();
            let layers = self.read_manifests(place, chunk).await;
            if self.take_layers(layers).await == Flow::Enough {
                return Flow::Enough;
            }
        }
        Flow::GoOn
    }

    /// Reads the manifests of some entries, side by side, and gives the layers that are evidence.
    async fn read_manifests(&mut self, place: Where, chunk: Vec<Listed>) -> Vec<Layer> {
        let mut digests = Vec::new();
        for listed in chunk {
            match listed.entry.digest.parse::<Digest>() {
                Ok(digest) if self.manifests.insert(digest) => digests.push(digest),
                Ok(_) => {}
                Err(error) => {
                    let message = format!("it lists `{}`: {error}", sanitised(&listed.entry.digest));
                    self.unusable(place, listed.list, Reason::Malformed, &message);
                }
            }
        }
        let (client, wanted) = (self.client, self.wanted);
        let fetches = digests.into_iter().map(|digest| async move { (digest, client.manifest(wanted, &digest).await) });
        let read: Vec<_> = futures::stream::iter(fetches).buffered(CHUNK).collect().await;
        let mut layers = Vec::new();
        for (digest, manifest) in read {
            match manifest {
                Ok(Some(manifest)) => match &manifest.body {
                    Body::Image(image) => layers.extend(self.layers_of(place, digest, image)),
                    // No signature is an index; what else refers to an image is none of ours.
                    Body::Index(_) => {}
                },
                Ok(None) => {
                    self.unusable(place, digest, Reason::Malformed, "it is listed, but the registry does not hold it");
                }
                Err(error) => self.failed(place, digest, error),
            }
        }
        layers
    }

    /// The layers of a manifest that are evidence, or should be.
    fn layers_of(&mut self, place: Where, digest: Digest, image: &OciImageManifest) -> Vec<Layer> {
        self.manifests.insert(digest);
        candidate::layers(place, digest, image, self.lookup).unwrap_or_else(|message| {
            self.unusable(place, digest, Reason::Malformed, message);
            Vec::new()
        })
    }

    /// Fetches layers, some at a time, until it suffices or a limit is reached.
    async fn take_layers(&mut self, mut layers: Vec<Layer>) -> Flow {
        layers.sort_by_key(|layer| layer.rank);
        let mut rest = layers.into_iter().peekable();
        while rest.peek().is_some() {
            let (chunk, wanted_blobs) = self.next_chunk(&mut rest);
            let (client, wanted) = (self.client, self.wanted);
            let fetches = wanted_blobs
                .into_iter()
                .map(|(digest, size)| async move { ((digest, size), client.blob(wanted, &digest, size).await) });
            let answers: Vec<_> = futures::stream::iter(fetches).buffered(CHUNK).collect().await;
            let mut faults = BTreeMap::new();
            for (blob, found) in answers {
                match content(found) {
                    Ok(content) => drop(self.contents.insert(blob, content)),
                    Err(error) => drop(faults.insert(blob, error)),
                }
            }
            let before = self.artifacts.len();
            for layer in chunk {
                self.settle(&layer, &faults);
            }
            self.faults.extend(faults.into_values());
            if self.artifacts.len() > before && (self.enough)(&self.artifacts) {
                return Flow::Enough;
            }
        }
        Flow::GoOn
    }

    /// The next layers to settle, with the blobs to fetch for them: at most [`CHUNK`], within the limits.
    fn next_chunk(
        &mut self,
        rest: &mut std::iter::Peekable<std::vec::IntoIter<Layer>>,
    ) -> (Vec<Layer>, Vec<(Digest, usize)>) {
        let mut chunk = Vec::new();
        let mut fetches: Vec<(Digest, usize)> = Vec::new();
        while fetches.len() < CHUNK {
            let Some(layer) = rest.next() else { break };
            if self.artifacts.len() + chunk.len() >= MAX_ARTIFACTS {
                self.left_out += 1;
                continue;
            }
            let new = layer.blob(&self.client.options.limits).ok();
            let new = new.filter(|blob| !self.contents.contains_key(blob) && !fetches.contains(blob));
            if let Some((digest, size)) = new {
                if self.fetches_left == 0 || size > self.bytes_left {
                    self.left_out += 1;
                    continue;
                }
                self.fetches_left -= 1;
                self.bytes_left -= size;
                fetches.push((digest, size));
            }
            chunk.push(layer);
        }
        (chunk, fetches)
    }

    /// Makes an artifact of a layer whose blob was fetched, or cannot be.
    fn settle(&mut self, layer: &Layer, faults: &BTreeMap<(Digest, usize), Fault>) {
        let (digest, content) = match layer.blob(&self.client.options.limits) {
            Err(defect) => (layer.descriptor.digest.parse().ok(), Content::Unusable(defect)),
            Ok((digest, size)) => match self.contents.get(&(digest, size)) {
                Some(Content::Bytes(bytes)) if bytes.len() != size => {
                    let message = format!("it has {} bytes, and its manifest says {size}", bytes.len());
                    (Some(digest), Content::Unusable(Defect { reason: Reason::Malformed, message }))
                }
                Some(content) => (Some(digest), content.clone()),
                // It could not be had: the fault says so, and nothing is refused while there is one.
                None if faults.contains_key(&(digest, size)) => return,
                None => {
                    self.left_out += 1;
                    return;
                }
            },
        };
        self.artifacts.push(layer.carrier.artifact(digest, &layer.descriptor, content));
    }
}
