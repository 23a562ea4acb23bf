//! What is at the target, read back byte for byte. No link but the target's own is followed, and nothing is written.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;

use super::layout::{self, Folder, Layout};
use super::{Files, disk, unavailable};
use crate::reason::Problem;

/// Most bytes and entries that are read back of a release; what is beyond was not written by us.
const MAX_BYTES: u64 = 1 << 30;
const MAX_ENTRIES: usize = 1_000_000;

/// What the link leads to.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The release's folder; none where there is no link, or it leads elsewhere.
    pub(super) folder: Option<Folder>,
    /// Whether the folder's contents are those that its name says.
    pub(super) whole: bool,
    /// The files in it.
    pub(super) files: Files,
    /// What is in it and is neither a file nor a folder, or has a name that no file of a release has.
    pub(super) odd: Vec<String>,
}

/// What the link leads to, read whole.
pub(super) fn held(layout: &Layout) -> Result<Held, Problem> {
    let text = match fs::read_link(&layout.link) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::default()),
        Err(error) => {
            disk::check_link(layout)?;
            return Err(unavailable(&layout.link, &error.to_string()));
        }
    };
    let name = text.file_name().and_then(|name| name.to_str()).and_then(Folder::parse);
    match name.filter(|name| layout.link_text(name) == text) {
        Some(folder) => contents(layout, folder),
        None => Ok(Held::default()),
    }
}

/// The contents of a release's folder. A folder that is not there is not whole.
pub(super) fn contents(layout: &Layout, folder: Folder) -> Result<Held, Problem> {
    let root = layout.dir(&folder);
    let mut reading = Reading { files: Files::new(), odd: Vec::new(), bytes: 0, entries: 0 };
    match reading.folder(&root, "") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Held { folder: Some(folder), ..Held::default() });
        }
        Err(error) => return Err(unavailable(&root, &error.to_string())),
    }
    let whole = reading.odd.is_empty() && layout::digest(&reading.files) == folder.digest;
    Ok(Held { folder: Some(folder), whole, files: reading.files, odd: reading.odd })
}

struct Reading {
    files: Files,
    odd: Vec<String>,
    bytes: u64,
    entries: usize,
}

impl Reading {
    fn folder(&mut self, root: &Path, below: &str) -> io::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            self.entries = self.entries.saturating_add(1);
            if self.entries > MAX_ENTRIES {
                return Err(io::Error::other(format!("more than {MAX_ENTRIES} entries")));
            }
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let path = if below.is_empty() { shown.into_owned() } else { format!("{below}/{shown}") };
            let kind = entry.file_type()?;
            if layout::check_path(&path).is_err() || name.to_str().is_none() {
                self.odd.push(path);
            } else if kind.is_dir() {
                self.folder(root, &path)?;
            } else if kind.is_file() {
                self.file(&root.join(&path), path)?;
            } else {
                self.odd.push(path);
            }
        }
        Ok(())
    }

    fn file(&mut self, at: &Path, path: String) -> io::Result<()> {
        let mut bytes = Vec::new();
        let left = MAX_BYTES.saturating_sub(self.bytes);
        File::open(at)?.take(left.saturating_add(1)).read_to_end(&mut bytes)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.bytes > MAX_BYTES {
            return Err(io::Error::other(format!("more than {MAX_BYTES} bytes")));
        }
        self.files.insert(path, Bytes::from(bytes));
        Ok(())
    }
}
