//! The kept bare repository of a source, as files: made, replaced, swept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::Repository;

/// A new bare repository, in which redirects are off: listing heads takes that from nowhere else.
pub(super) fn create(at: &Path) -> Result<Repository, git2::Error> {
    remove(at)?;
    let mut options = git2::RepositoryInitOptions::new();
    options.bare(true).mkpath(true).external_template(false);
    let repository = Repository::init_opts(at, &options)?;
    repository.config()?.set_str("http.followRedirects", "false")?;
    Ok(repository)
}

/// A sibling of the kept repository.
pub(super) fn beside(cache: &Path, suffix: &str) -> PathBuf {
    let mut name = cache.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a kept repository, whole or damaged, and nothing else that a wrong path could name.
pub(super) fn remove(folder: &Path) -> Result<(), git2::Error> {
    let foreign =
        fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) && !folder.join("objects").is_dir();
    if foreign {
        return Err(git2::Error::from_str(&format!("`{}` is in use for something else", folder.display())));
    }
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(git2::Error::from_str(&format!("failed to remove `{}`: {error}", folder.display()))),
    }
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), git2::Error> {
    fs::rename(from, to)
        .map_err(|error| git2::Error::from_str(&format!("failed to rename `{}`: {error}", from.display())))
}

/// How many packs a repository has.
pub(super) fn packs(cache: &Path) -> usize {
    let Ok(entries) = fs::read_dir(cache.join("objects/pack")) else { return 0 };
    entries
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "pack")))
        .count()
}

/// Removes what a fetch that was cut off left behind, once it is old enough to belong to none that still runs.
pub(super) fn sweep(cache: &Path) {
    const OLD: Duration = Duration::from_hours(1);
    let Ok(entries) = fs::read_dir(cache.join("objects/pack")) else { return };
    for entry in entries.flatten() {
        let partial = entry.file_name().to_string_lossy().contains("_git2_");
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OLD));
        if partial
            && old
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "failed to remove a partial pack");
        }
    }
}
