//! A folder as target: `path` is a link to the applied release's folder.
//!
//! Releases lie in a hidden folder beside the link, each under its revision and the digest of its contents. One is
//! written whole and flushed under a name that nothing reads, renamed, and then the link is swapped by one rename: a
//! reader sees the old set or the new one, whatever happens to this process. Nothing is ever written through the link.

mod disk;
mod layout;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{Retry, Target, TargetError};
use crate::gate::release::ApprovedRelease;
use crate::outcome::{Action, Outcome};
use crate::reason::{ErrorCode, Problem};

use layout::{Folder, Layout};

/// The files of a release, by their paths.
type Files = BTreeMap<String, Bytes>;

/// A folder into which releases are written.
#[derive(Debug, Clone)]
pub struct Directory {
    layout: Arc<Layout>,
}

impl Directory {
    /// The target at this path; nothing is written yet.
    ///
    /// # Errors
    /// `config-invalid` when the path has no name, or something other than a link is there.
    pub fn new(path: &Path) -> Result<Self, Problem> {
        let layout = Layout::new(path)?;
        disk::check_link(&layout)?;
        Ok(Self { layout: Arc::new(layout) })
    }

    /// The link that readers open.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.layout.link
    }

    /// Disk work, off the threads that serve everything else.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Layout) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, TargetError> {
        let layout = Arc::clone(&self.layout);
        match tokio::task::spawn_blocking(move || work(&layout)).await {
            Ok(result) => result.map_err(failed),
            Err(error) => Err(failed(unavailable(&self.layout.link, &error.to_string()))),
        }
    }

    /// Writes the release into a folder of its own, file by file, and gives the folder's name.
    async fn write(
        &self,
        files: &Files,
        folder: &Folder,
        go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<(), TargetError> {
        let partial = self.work(disk::start).await?;
        for (path, bytes) in files {
            if !go_on() {
                return Err(self.left_off());
            }
            let (root, path, bytes) = (partial.clone(), path.clone(), bytes.clone());
            self.work(move |_| disk::write_file(&root, &path, &bytes)).await?;
        }
        if !go_on() {
            return Err(self.left_off());
        }
        let folder = folder.clone();
        self.work(move |layout| disk::finish(layout, &partial, &folder)).await
    }

    fn left_off(&self) -> TargetError {
        failed(unavailable(&self.layout.link, "left off when asked to; what was there stays"))
    }
}

impl Target for Directory {
    async fn dry_run(&self, release: &ApprovedRelease) -> Result<(), TargetError> {
        files(release)?;
        self.work(disk::check_writable).await
    }

    async fn apply(
        &self,
        release: &ApprovedRelease,
        go_on: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Vec<Outcome>, TargetError> {
        let files = files(release)?;
        let wanted = layout::names(&release.revision().id, &layout::digest(&files)).map_err(rejected)?;
        let (before, folder) = self.work(move |layout| disk::survey(layout, &wanted)).await?;
        let outcomes = outcomes(&before.files, &files);
        if before.whole && before.folder.as_ref() == Some(&folder.name) {
            self.work(move |layout| {
                disk::sweep(layout, &folder.name, None);
                Ok(())
            })
            .await?;
            return Ok(outcomes);
        }
        if !folder.ready {
            self.write(&files, &folder.name, go_on).await?;
        }
        if !go_on() {
            return Err(self.left_off());
        }
        self.work(move |layout| {
            disk::swap(layout, &folder.name)?;
            disk::sweep(layout, &folder.name, before.folder.as_ref());
            Ok(())
        })
        .await?;
        Ok(outcomes)
    }

    async fn applied(&self) -> Result<Option<String>, TargetError> {
        self.work(|layout| {
            let held = read::held(layout)?;
            Ok(held.folder.filter(|_| held.whole).map(|folder| folder.revision))
        })
        .await
    }

    async fn drift(&self, release: &ApprovedRelease) -> Result<Vec<String>, TargetError> {
        let wanted = files(release)?;
        let held = self.work(read::held).await?;
        let mut different: BTreeSet<String> = held.odd.iter().cloned().collect();
        different.extend(
            outcomes(&held.files, &wanted)
                .into_iter()
                .filter(|outcome| outcome.action != Action::Unchanged)
                .map(|outcome| outcome.object),
        );
        Ok(different.into_iter().collect())
    }
}

/// The release's files; every path that is unsafe or in the way of another is told.
fn files(release: &ApprovedRelease) -> Result<Files, TargetError> {
    let mut files = Files::new();
    let mut problems = Vec::new();
    for file in release.files() {
        let wrong = |message: String| Problem::new(ErrorCode::TargetRejected, message).in_file(&*file.path);
        if let Err(message) = layout::check_path(&file.path) {
            problems.push(wrong(message));
        } else if files.insert(file.path.to_string(), file.bytes.clone()).is_some() {
            problems.push(wrong("two files have this path".to_owned()));
        }
    }
    for path in files.keys() {
        let in_the_way =
            path.match_indices('/').filter_map(|(end, _)| path.get(..end)).find(|above| files.contains_key(*above));
        if let Some(above) = in_the_way {
            let message = format!("`{above}` is a file, so nothing can lie below it");
            problems.push(Problem::new(ErrorCode::TargetRejected, message).in_file(path));
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(TargetError { problems, ..failed_empty(Retry::Never) }) }
}

/// What becomes of each file.
fn outcomes(before: &Files, after: &Files) -> Vec<Outcome> {
    let outcome = |path: &String, action| Outcome::new(path, action);
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    paths
        .into_iter()
        .map(|path| match (before.get(path), after.get(path)) {
            (Some(old), Some(new)) if old == new => outcome(path, Action::Unchanged),
            (Some(_), Some(_)) => outcome(path, Action::Configured),
            (None, _) => outcome(path, Action::Created),
            (Some(_), None) => outcome(path, Action::Pruned),
        })
        .collect()
}

fn unavailable(path: &Path, what: &str) -> Problem {
    Problem::new(ErrorCode::TargetUnavailable, format!("failed to write the target: {what}"))
        .in_file(path.display().to_string())
}

/// An error of the disk; the configuration's own, and what is wrong with the release, do not go away by themselves.
fn failed(problem: Problem) -> TargetError {
    let retry = if problem.code == ErrorCode::TargetUnavailable { Retry::Later(None) } else { Retry::Never };
    TargetError { problems: vec![problem], ..failed_empty(retry) }
}

fn rejected(message: String) -> TargetError {
    failed(Problem::new(ErrorCode::TargetRejected, message))
}

fn failed_empty(retry: Retry) -> TargetError {
    TargetError { problems: Vec::new(), foreign_images: Vec::new(), outcomes: Vec::new(), retry }
}

#[cfg(test)]
mod tests;
