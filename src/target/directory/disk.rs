//! The steps on the disk. Each leaves a state from which the next run goes on; none follows a link.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::layout::{Folder, Layout};
use super::read::{Held, contents};
use super::unavailable;
use crate::reason::{ErrorCode, Problem};

/// How the name of an unfinished release begins.
pub(super) const PARTIAL: &str = ".partial-";

/// The folder in which a release shall lie.
#[derive(Debug)]
pub(super) struct Place {
    /// Its name.
    pub(super) name: Folder,
    /// Whether the release is there, whole.
    pub(super) ready: bool,
}

/// Checks that a link, or nothing, is where the link shall be.
pub(super) fn check_link(layout: &Layout) -> Result<(), Problem> {
    let path = layout.link.display();
    match fs::symlink_metadata(&layout.link) {
        Ok(metadata) if metadata.is_symlink() => Ok(()),
        Ok(_) => {
            let message = format!("`{path}` is no link, but releases are shown by a link that is swapped");
            let help = format!("move it away (`mv {path} {path}.before`), or set another `target.directory.path`");
            Err(Problem::new(ErrorCode::ConfigInvalid, message).with_help(help))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unavailable(&layout.link, &error.to_string())),
    }
}

/// Checks that the parent folder, or the nearest above it that exists, takes files. No name appears in it.
pub(super) fn check_writable(layout: &Layout) -> Result<(), Problem> {
    check_link(layout)?;
    let releases = layout.releases_dir();
    for folder in [&releases, &layout.parent] {
        let above = folder.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/"));
        tempfile::tempfile_in(above).map_err(|error| {
            unavailable(above, &error.to_string()).with_help("make the folder, and let this user write to it")
        })?;
    }
    Ok(())
}

/// What the link leads to, and which folder the release is to have.
pub(super) fn survey(layout: &Layout, names: &[Folder; 2]) -> Result<(Held, Place), Problem> {
    check_link(layout)?;
    let before = super::read::held(layout)?;
    for name in names {
        if contents(layout, name.clone())?.whole {
            return Ok((before, Place { name: name.clone(), ready: true }));
        }
    }
    // A damaged copy that is being read stays until the link leads away from it.
    let [first, second] = names.clone();
    let name = if before.folder.as_ref() == Some(&first) { second } else { first };
    Ok((before, Place { name, ready: false }))
}

/// A new folder for a release, under a name that nothing reads.
pub(super) fn start(layout: &Layout) -> Result<PathBuf, Problem> {
    let releases = layout.releases_dir();
    let partial = releases.join(format!("{PARTIAL}release"));
    let make = || -> io::Result<()> {
        fs::create_dir_all(&releases)?;
        sync(&layout.parent)?;
        // Left by a run that was killed or asked to stop: one process writes here, and it is this one.
        remove(&partial)?;
        fs::create_dir(&partial)
    };
    make().map_err(|error| unavailable(&releases, &error.to_string()))?;
    Ok(partial)
}

/// Writes one file of an unfinished release, and flushes it.
pub(super) fn write_file(root: &Path, path: &str, bytes: &[u8]) -> Result<(), Problem> {
    let at = root.join(path);
    let write = || -> io::Result<()> {
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&at)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| unavailable(&at, &error.to_string()))
}

/// Gives an unfinished release its name, all of it being on the disk.
pub(super) fn finish(layout: &Layout, partial: &Path, folder: &Folder) -> Result<(), Problem> {
    let dir = layout.dir(folder);
    let rename = || -> io::Result<()> {
        sync_folders(partial)?;
        // What bears the name is damaged, and the link does not lead to it.
        remove(&dir)?;
        fs::rename(partial, &dir)?;
        sync(&layout.releases_dir())
    };
    rename().map_err(|error| unavailable(&dir, &error.to_string()))
}

/// Makes the link lead to a release, by one rename.
pub(super) fn swap(layout: &Layout, folder: &Folder) -> Result<(), Problem> {
    check_link(layout)?;
    let swap = || -> io::Result<()> {
        match fs::remove_file(&layout.new_link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::os::unix::fs::symlink(layout.link_text(folder), &layout.new_link)?;
        fs::rename(&layout.new_link, &layout.link)?;
        sync(&layout.parent)
    };
    swap().map_err(|error| unavailable(&layout.link, &error.to_string()))
}

/// Removes releases that nobody needs: all but this one and, for readers that have it open, the one before. Without
/// one before, all stay. What was not made here stays. A failure leaves rubbish, and is no failure of the release.
pub(super) fn sweep(layout: &Layout, current: &Folder, previous: Option<&Folder>) {
    let releases = layout.releases_dir();
    let sweep = || -> io::Result<()> {
        for entry in fs::read_dir(&releases)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let old = Folder::parse(name).is_some_and(|folder| folder != *current && Some(&folder) != previous);
            if name.starts_with(PARTIAL) || (old && previous.is_some()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    };
    if let Err(error) = sweep() {
        tracing::warn!(path = %releases.display(), %error, "failed to remove old releases");
    }
}

/// Removes a folder, where there is one.
fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Flushes a folder: the names in it.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Flushes the folders of a release, the innermost first.
fn sync_folders(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync(root)
}
