//! Policies and the key files that they name, read from disk with a bound on their size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::policy::PolicyFile;
use crate::reason::{ErrorCode, Problem};

/// Longest key file in bytes; what is longer is no key.
const MAX_KEY: u64 = 64 * 1024;
/// Longest policy file in bytes.
const MAX_POLICY: u64 = 1024 * 1024;

/// Reads a policy file; it is reported under its path as given.
///
/// # Errors
/// When it cannot be read, is no file, or is too long.
pub fn policy(path: &Path) -> Result<PolicyFile, Problem> {
    let name = path.display().to_string();
    match read(path, MAX_POLICY) {
        Ok(bytes) => Ok(PolicyFile { name, text: bytes.into() }),
        Err(why) => {
            let message = format!("failed to read the policy `{name}`: {why}");
            let help = "check the path, and that this user may read it";
            Err(Problem::new(ErrorCode::FileUnreadable, message).in_file(name).with_help(help))
        }
    }
}

/// Reads a key file that a policy names; a relative path is relative to the policy's folder.
///
/// # Errors
/// Why it cannot be read.
pub fn beside(policy: &str, path: &str) -> Result<Vec<u8>, String> {
    let folder = Path::new(policy).parent().unwrap_or(Path::new(""));
    read(&folder.join(path), MAX_KEY)
}

/// Reads a file of root certificates in PEM.
///
/// # Errors
/// Why it cannot be read.
pub fn certificates(path: &Path) -> Result<Vec<u8>, String> {
    read(path, MAX_POLICY)
}

/// Reads a token or credentials.
///
/// # Errors
/// Why it cannot be read.
pub fn secret(path: &Path) -> Result<Vec<u8>, String> {
    read(path, MAX_KEY)
}

/// Reads a TUF root or a trusted root.
///
/// # Errors
/// Why it cannot be read.
pub fn root(path: &Path) -> Result<Vec<u8>, String> {
    read(path, MAX_POLICY)
}

/// The bytes of a regular file, which a link may point at, as secrets in clusters do. A pipe could make us wait for ever.
fn read(path: &Path, longest: u64) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| error.to_string();
    if !std::fs::metadata(path).map_err(told)?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(told)?;
    file.take(longest.saturating_add(1)).read_to_end(&mut bytes).map_err(told)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= longest) {
        return Ok(bytes);
    }
    Err(format!("it has more than {longest} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_beside_their_policy_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("ci.pub"), "key").unwrap();
        std::fs::write(at("long.pub"), vec![b'x'; 65_537]).unwrap();
        assert_eq!(beside(&at("policy.yaml"), "ci.pub").unwrap(), b"key");
        assert_eq!(beside("elsewhere/policy.yaml", &at("ci.pub")).unwrap(), b"key");
        for bad in ["long.pub", "gone.pub", ".", "/dev/zero"] {
            assert!(beside(&at("policy.yaml"), bad).is_err(), "{bad}");
        }
        assert_eq!(policy(Path::new(&at("gone.yaml"))).unwrap_err().code, ErrorCode::FileUnreadable);
    }

    #[test]
    fn the_example_policy_loads_from_disk() {
        let file = policy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policy.yaml")).unwrap();
        crate::policy::load(&[file], &crate::policy::material::files(beside)).unwrap();
    }
}
