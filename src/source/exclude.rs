//! Which files a source leaves out: the `exclude` patterns of the configuration and of `--exclude`.
//!
//! A pattern is a glob: `*` and `?` stay within one segment, `**` crosses them, `\` takes the next character literally. It is matched against the path below
//! the source's own path *and* against the path as reports name it; where it matches a folder, all below is left out.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::reason::{ErrorCode, Problem};

/// Most patterns of one source.
const MAX_PATTERNS: usize = 1_000;
/// Longest pattern in bytes.
const MAX_PATTERN: usize = 1_024;

/// Compiled `exclude` patterns.
#[derive(Debug, Clone, Default)]
pub struct Exclude {
    globs: GlobSet,
}

impl Exclude {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// Every pattern that is none, as a problem of this code.
    pub fn new(patterns: &[String], code: ErrorCode) -> Result<Self, Vec<Problem>> {
        if patterns.len() > MAX_PATTERNS {
            return Err(vec![Problem::new(code, format!("more than {MAX_PATTERNS} patterns to exclude"))]);
        }
        let mut set = GlobSetBuilder::new();
        let mut problems = Vec::new();
        for pattern in patterns {
            match compile(pattern) {
                Ok(glob) => {
                    set.add(glob);
                }
                Err(message) => problems.push(Problem::new(code, message)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let globs =
            set.build().map_err(|error| vec![Problem::new(code, format!("failed to compile `exclude`: {error}"))])?;
        Ok(Self { globs })
    }

    /// Whether a file or folder is left out: `below` is its path below the source's path, `named` as reports name it.
    #[must_use]
    pub fn covers(&self, below: &str, named: &str) -> bool {
        self.globs.is_match(below) || self.globs.is_match(named)
    }
}

/// The line that leaves out exactly this file or folder.
#[must_use]
pub fn line(named: &str) -> String {
    let pattern = globset::escape(named).replace('\\', "\\\\").replace('"', "\\\"");
    format!("exclude: [\"{pattern}\"]")
}

fn compile(pattern: &str) -> Result<globset::Glob, String> {
    let trimmed = pattern.trim_start_matches("./").trim_end_matches('/');
    if trimmed.is_empty() || pattern.len() > MAX_PATTERN {
        return Err(format!("`{pattern}` is no pattern to exclude: from 1 to {MAX_PATTERN} bytes, such as `ci/**`"));
    }
    if trimmed.starts_with('/') {
        return Err(format!("`{pattern}` begins with `/`, but paths to exclude are relative"));
    }
    GlobBuilder::new(trimmed)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| format!("`{pattern}` is no pattern to exclude: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, below: &str) -> bool {
        let exclude = Exclude::new(&[pattern.to_owned()], ErrorCode::ConfigInvalid).unwrap();
        exclude.covers(below, &format!("clusters/prod/{below}"))
    }

    #[test]
    fn patterns_cover_paths_below_the_source_and_as_reported() {
        for (pattern, path, expected) in [
            ("ci/**", "ci/a.yaml", true),
            ("ci/**", "ci/deep/a.yaml", true),
            ("ci/**", "cid/a.yaml", false),
            ("ci", "ci", true),
            ("ci/", "ci", true),
            ("./ci", "ci", true),
            ("*.json", "a.json", true),
            ("*.json", "ci/a.json", false),
            ("**/*.json", "ci/a.json", true),
            ("clusters/prod/ci/*", "ci/a.yaml", true),
            ("**/values.yaml", "values.yaml", true),
            ("[ab].yaml", "b.yaml", true),
            ("{a,b}.yaml", "b.yaml", true),
        ] {
            assert_eq!(covers(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_bad_pattern_is_a_problem_and_all_are_told() {
        let patterns = ["[", "", "/abs", "{a"].map(str::to_owned);
        let problems = Exclude::new(&patterns, ErrorCode::ConfigInvalid).unwrap_err();
        assert_eq!(problems.len(), 4);
        assert!(problems.iter().all(|problem| problem.code == ErrorCode::ConfigInvalid));
    }

    #[test]
    fn the_line_covers_its_own_path() {
        for path in ["a[1].yaml", "x*y.yaml", "plain/a.yaml", "q?{z}.yaml"] {
            let line = line(path);
            let pattern = line.strip_prefix("exclude: [\"").unwrap().strip_suffix("\"]").unwrap().replace("\\\\", "\\");
            let exclude = Exclude::new(&[pattern], ErrorCode::Usage).unwrap();
            assert!(exclude.covers(path, path), "{line}");
        }
    }
}
