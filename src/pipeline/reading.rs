//! Files are parsed and searched; what did not change since the last revision is not parsed again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::discovery::{self, site::Site};
use crate::gate::{Finder, ReadFile};
use crate::image::Digest;
use crate::manifest;
use crate::outcome::{Cache, Event, Observer};
use crate::reason::Problem;
use crate::snapshot::File;

/// All files of a revision, read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The files that could be read.
    pub files: Vec<ReadFile>,
    /// Every site, in the order of the files.
    pub sites: Vec<Site>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

/// Reads files, and remembers those of the last reading by their content.
#[derive(Debug, Default)]
pub struct Reader {
    kept: BTreeMap<Arc<str>, Kept>,
}

#[derive(Debug, Clone)]
struct Kept {
    content: Digest,
    outcome: Result<(ReadFile, Arc<Vec<Site>>), Vec<Problem>>,
}

impl Reader {
    /// Reads all files of a revision. The same reader must always be given the same finder.
    pub fn read(&mut self, files: &[File], finder: &Finder<'_>, observer: &dyn Observer) -> Reading {
        let mut reading = Reading { problems: manifest::unsupported(files), ..Reading::default() };
        let mut kept = BTreeMap::new();
        for file in files {
            let content = Digest::of(&file.bytes);
            let known = self.kept.remove(&file.path).filter(|known| known.content == content);
            observer.observe(&Event::CacheLookup { cache: Cache::Files, hit: known.is_some() });
            let known = known.unwrap_or_else(|| Kept { content, outcome: read_file(file, finder) });
            match &known.outcome {
                Ok((read, sites)) => {
                    reading.files.push(read.clone());
                    reading.sites.extend(sites.iter().cloned());
                }
                Err(problems) => reading.problems.extend(problems.iter().cloned()),
            }
            kept.insert(Arc::clone(&file.path), known);
        }
        self.kept = kept;
        reading
    }
}

fn read_file(file: &File, finder: &Finder<'_>) -> Result<(ReadFile, Arc<Vec<Site>>), Vec<Problem>> {
    let documents = manifest::read(file, finder.limits)?;
    let mut sites = Vec::new();
    let mut problems = Vec::new();
    for document in &documents {
        match discovery::discover(document, finder.namespace, finder.rules) {
            Ok(found) => sites.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok((ReadFile { file: file.clone(), documents: Arc::new(documents) }, Arc::new(sites)))
}
