//! Paths given on the command line, as files: files, folders, and `-` for the standard input.
//!
//! A file that is named is read whatever it is called; in a folder, those called `.yaml`, `.yml` or `.json`. No
//! link out of a folder is followed.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::exclude::{self, Exclude};
use super::{Limits, Taken, is_manifest_name};
use crate::reason::{ErrorCode, Problem};
use crate::snapshot::File;

/// How the standard input is named, in arguments and in reports.
pub const STDIN: &str = "-";
/// Most problems told of one call.
const MAX_PROBLEMS: usize = 100;

/// What was found under the paths that were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The files that could be read.
    pub files: Vec<File>,
    /// What could not.
    pub problems: Vec<Problem>,
}

/// Reads what these paths name, in their order, each folder's files sorted by path; what is named twice is read once.
///
/// # Errors
/// Everything that cannot be read.
pub fn read(
    paths: &[PathBuf],
    exclude: &[String],
    stdin: &mut dyn Read,
    limits: &Limits,
) -> Result<Vec<File>, Vec<Problem>> {
    let Found { files, problems } = search(paths, exclude, stdin, limits)?;
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// As [`read`], with what could be read beside what could not.
///
/// # Errors
/// When a pattern is none.
pub fn search(
    paths: &[PathBuf],
    exclude: &[String],
    stdin: &mut dyn Read,
    limits: &Limits,
) -> Result<Found, Vec<Problem>> {
    let exclude = Exclude::new(exclude, ErrorCode::Usage)?;
    let mut walk =
        Walk { exclude, limits, files: Vec::new(), problems: Vec::new(), seen: HashSet::new(), entries: 0, bytes: 0 };
    for path in paths {
        // The one reason to end early is a limit, which is among the problems.
        if walk.argument(path, stdin).is_err() {
            break;
        }
    }
    Ok(Found { files: walk.files, problems: walk.problems })
}

/// Where a walk stands.
#[derive(Debug, Clone, Copy)]
struct Below {
    depth: usize,
    taken: Taken,
}

struct Walk<'a> {
    exclude: Exclude,
    limits: &'a Limits,
    files: Vec<File>,
    problems: Vec<Problem>,
    seen: HashSet<String>,
    entries: usize,
    bytes: usize,
}

/// A limit was reached; the problem says which.
struct Enough;

/// A folder that was named, and what keeps links inside.
struct Root<'a> {
    named: &'a Path,
    real: PathBuf,
}

impl Walk<'_> {
    fn argument(&mut self, path: &Path, stdin: &mut dyn Read) -> Result<(), Enough> {
        if path == Path::new(STDIN) {
            return self.content(STDIN.to_owned(), stdin);
        }
        match fs::metadata(path) {
            Err(error) => self.unreadable(path, &error),
            Ok(metadata) if metadata.is_dir() => match fs::canonicalize(path) {
                Ok(real) => {
                    self.folder(&Root { named: path, real }, Path::new(""), Below { depth: 0, taken: Taken::Manifests })
                }
                Err(error) => self.unreadable(path, &error),
            },
            Ok(_) => self.open(path, named(path)),
        }
    }

    fn folder(&mut self, root: &Root<'_>, below: &Path, above: Below) -> Result<(), Enough> {
        let folder = root.named.join(below);
        if above.depth > self.limits.depth {
            return self
                .stop(limit(format!("folders are nested deeper than {}", self.limits.depth)).in_file(shown(&folder)));
        }
        let entries = match fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(&folder, &error),
        };
        self.entries = self.entries.saturating_add(entries.len());
        if self.entries > self.limits.entries {
            return self.stop(limit(format!("more than {} files and folders", self.limits.entries)));
        }
        let mut names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
        names.sort();
        let known = names.iter().filter_map(|name| name.to_str());
        let taken = above.taken.within(known, |name| self.excludes(root, &below.join(name)));
        let here = Below { taken, ..above };
        names.iter().try_for_each(|name| self.entry(root, &below.join(name), here))
    }

    /// Whether a name is left out; one that is no text is told elsewhere.
    fn excludes(&self, root: &Root<'_>, below: &Path) -> bool {
        match (below.to_str(), named(&root.named.join(below))) {
            (Some(below), Ok(named)) => self.exclude.covers(below, &named),
            (None, _) | (_, Err(_)) => false,
        }
    }

    fn entry(&mut self, root: &Root<'_>, below: &Path, here: Below) -> Result<(), Enough> {
        let path = root.named.join(below);
        let (kind, size) = match fs::symlink_metadata(&path) {
            Ok(metadata) => (metadata.file_type(), usize::try_from(metadata.len()).unwrap_or(usize::MAX)),
            Err(error) => return self.unreadable(&path, &error),
        };
        let (Some(below_text), Ok(named)) = (below.to_str(), named(&path)) else {
            return self.tell(Problem::new(ErrorCode::FileUnreadable, "the name is not UTF-8").in_file(shown(&path)));
        };
        let name = below.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if self.exclude.covers(below_text, &named) || (kind.is_dir() && name == ".git") {
            return Ok(());
        }
        if kind.is_dir() {
            return self.folder(root, below, Below { depth: here.depth.saturating_add(1), ..here });
        }
        if kind.is_symlink() {
            return self.link(root, &path, named, here.taken);
        }
        match (here.taken.takes(name, size), kind.is_file()) {
            (true, true) => self.open(&path, Ok(named)),
            (true, false) => self.tell(left_out("neither a file nor a folder", &named)),
            (false, _) => Ok(()),
        }
    }

    /// A link inside its folder shows what is read where it stands, unless it alone gives a file its ending.
    fn link(&mut self, root: &Root<'_>, path: &Path, named: String, taken: Taken) -> Result<(), Enough> {
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) => return self.tell(left_out(&format!("the symbolic link leads nowhere: {error}"), &named)),
        };
        if !real.starts_with(&root.real) {
            return self.tell(left_out("the symbolic link leads out of the folder", &named));
        }
        // A renderer finds a file where it is named, so a link is one more file of its folder.
        if taken != Taken::Manifests && !real.is_dir() {
            return self.open(&real, Ok(named));
        }
        let met = real.is_dir() || real.file_name().and_then(|name| name.to_str()).is_some_and(is_manifest_name);
        if met || !is_manifest_name(&named) { Ok(()) } else { self.open(&real, Ok(named)) }
    }

    fn open(&mut self, path: &Path, named: Result<String, Problem>) -> Result<(), Enough> {
        match (fs::File::open(path), named) {
            (Ok(mut file), Ok(named)) => self.content(named, &mut file),
            (Err(error), _) => self.unreadable(path, &error),
            (Ok(_), Err(problem)) => self.tell(problem),
        }
    }

    fn content(&mut self, named: String, from: &mut dyn Read) -> Result<(), Enough> {
        if !self.seen.insert(named.clone()) {
            return Ok(());
        }
        if self.files.len() >= self.limits.files {
            return self.stop(limit(format!("more than {} files", self.limits.files)));
        }
        let most = self.limits.file_bytes;
        let mut bytes = Vec::new();
        let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        if let Err(error) = from.take(bound).read_to_end(&mut bytes) {
            return self.unreadable(Path::new(&named), &error);
        }
        if bytes.len() > most {
            return self.tell(limit(format!("the file has more than {most} bytes")).in_file(named));
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > self.limits.total_bytes {
            return self.stop(limit(format!("the files have more than {} bytes together", self.limits.total_bytes)));
        }
        self.files.push(File { path: Arc::from(named), bytes: Bytes::from(bytes) });
        Ok(())
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) -> Result<(), Enough> {
        let problem = Problem::new(ErrorCode::FileUnreadable, format!("failed to read the file: {error}"));
        self.tell(problem.in_file(shown(path)).with_help("check the path and its permissions"))
    }

    fn tell(&mut self, problem: Problem) -> Result<(), Enough> {
        if self.problems.len() >= MAX_PROBLEMS {
            let more = Problem::new(problem.code, format!("there are more than {MAX_PROBLEMS} such problems"));
            return self.stop(more);
        }
        self.problems.push(problem);
        Ok(())
    }

    fn stop(&mut self, problem: Problem) -> Result<(), Enough> {
        self.problems.push(problem);
        Err(Enough)
    }
}

/// A path as reports name it: as given, without a `./` in front.
fn named(path: &Path) -> Result<String, Problem> {
    let text = path
        .to_str()
        .ok_or_else(|| Problem::new(ErrorCode::FileUnreadable, "the name is not UTF-8").in_file(shown(path)))?;
    Ok(text.strip_prefix("./").unwrap_or(text).to_owned())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn limit(message: String) -> Problem {
    Problem::new(ErrorCode::LimitExceeded, message).with_help("leave out what is no manifest with --exclude")
}

fn left_out(message: &str, named: &str) -> Problem {
    let help = format!("replace it by a plain file, or leave it out: {}", exclude::line(named));
    Problem::new(ErrorCode::UnsupportedFile, message).in_file(named).with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(
        paths: &[&Path],
        exclude: &[&str],
        stdin: &str,
        limits: &Limits,
    ) -> Result<Vec<String>, Vec<ErrorCode>> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).to_owned()).collect();
        let exclude: Vec<String> = exclude.iter().map(|glob| (*glob).to_owned()).collect();
        read(&paths, &exclude, &mut stdin.as_bytes(), limits)
            .map(|files| files.iter().map(|file| file.path.to_string()).collect())
            .map_err(|problems| problems.iter().map(|problem| problem.code).collect())
    }

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a: 1\n").unwrap();
        }
        root
    }

    fn below(root: &Path, result: Result<Vec<String>, Vec<ErrorCode>>) -> Vec<String> {
        let prefix = format!("{}/", root.display());
        result.unwrap().iter().map(|path| path.strip_prefix(&prefix).unwrap_or(path).to_owned()).collect()
    }

    #[test]
    fn folders_give_manifests_and_named_files_are_read_whatever_their_name() {
        let root = folder(&["b.yaml", "a/x.yml", "a/y.json", "Z.YAML", "notes.txt", ".git/config.yaml", "ci/c.yaml"]);
        let limits = Limits::default();
        let path = root.path();
        let found = read_all(&[path], &["ci/**"], "", &limits);
        assert_eq!(below(path, found), ["Z.YAML", "a/x.yml", "a/y.json", "b.yaml"]);
        let found = read_all(&[&path.join("notes.txt"), Path::new("-"), Path::new("-")], &[], "a: 1", &limits);
        assert_eq!(below(path, found), ["notes.txt", "-"]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let root = folder(&["a.yaml", "b.yaml"]);
        let path = root.path();
        let small = |file_bytes, files, total_bytes| Limits { file_bytes, files, total_bytes, ..Limits::default() };
        for (limits, expected) in [
            (small(4, 9, 99), vec![ErrorCode::LimitExceeded; 2]),
            (small(9, 1, 99), vec![ErrorCode::LimitExceeded]),
            (small(9, 9, 7), vec![ErrorCode::LimitExceeded]),
            (Limits { entries: 1, ..Limits::default() }, vec![ErrorCode::LimitExceeded]),
        ] {
            assert_eq!(read_all(&[path], &[], "", &limits), Err(expected));
        }
        let missing = read_all(&[&path.join("none.yaml")], &[], "", &Limits::default());
        assert_eq!(missing, Err(vec![ErrorCode::FileUnreadable]));
        assert_eq!(read_all(&[path], &["["], "", &Limits::default()), Err(vec![ErrorCode::Usage]));
    }

    #[test]
    fn links_stay_inside_their_folder() {
        let root = folder(&["data/a.yaml", "data/plain"]);
        let outside = folder(&["secret.yaml"]);
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
        link(Path::new("data"), "current");
        link(Path::new("data/a.yaml"), "same.yaml");
        link(Path::new("data/plain"), "plain.yaml");
        let found = read_all(&[root.path()], &[], "", &Limits::default());
        assert_eq!(below(root.path(), found), ["data/a.yaml", "plain.yaml"]);
        link(&outside.path().join("secret.yaml"), "out.yaml");
        link(outside.path(), "out");
        link(Path::new("nowhere"), "dangling");
        let found = read_all(&[root.path()], &[], "", &Limits::default());
        assert_eq!(found, Err(vec![ErrorCode::UnsupportedFile; 3]));
        let found = read_all(&[root.path()], &["out*", "dangling"], "", &Limits::default());
        assert_eq!(below(root.path(), found), ["data/a.yaml", "plain.yaml"]);
    }
}
