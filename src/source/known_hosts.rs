//! The `known_hosts` file of OpenSSH: which host keys a server may show.
//!
//! Plain, hashed (`|1|salt|hash`) and wildcard entries, `[host]:port`, `@revoked`. Certificates of hosts
//! (`@cert-authority`) are not understood and vouch for nothing.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// The port that stands in no entry.
const DEFAULT_PORT: u16 = 22;

/// What a file says about the key that a server showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the server's.
    Known,
    /// The server has other keys, this one is not among them.
    Changed,
    /// Nothing is said about the server.
    Unknown,
    /// The key is marked as revoked.
    Revoked,
}

/// What the file says about `key` (the key's blob, as SSH sends it) shown by this host and port.
pub(super) fn standing(file: &str, host: &str, port: u16, key: &[u8]) -> Standing {
    let name = name(host, port);
    let mut standing = Standing::Unknown;
    for entry in file.lines().filter_map(entry) {
        let same = STANDARD.decode(entry.key).is_ok_and(|known| known == key);
        if !covers(entry.hosts, &name) {
            continue;
        }
        match (entry.mark, same) {
            (Mark::Revoked, true) => return Standing::Revoked,
            (Mark::None, true) => standing = Standing::Known,
            (Mark::None, false) if standing == Standing::Unknown => standing = Standing::Changed,
            (Mark::None | Mark::Revoked, false) => {}
        }
    }
    standing
}

/// The line that would make this key known.
pub(super) fn line(host: &str, port: u16, key: &[u8]) -> String {
    format!("{} {} {}", name(host, port), kind(key), STANDARD.encode(key))
}

/// The key's fingerprint, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// The kind of key: the first string of its blob.
fn kind(key: &[u8]) -> String {
    let name = key
        .split_first_chunk::<4>()
        .and_then(|(length, rest)| rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?));
    match name.map(std::str::from_utf8) {
        Some(Ok(name)) if name.bytes().all(|b| b.is_ascii_graphic()) => name.to_owned(),
        Some(Ok(_) | Err(_)) | None => "unknown-key-type".to_owned(),
    }
}

fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

struct Entry<'a> {
    mark: Mark,
    hosts: &'a str,
    key: &'a str,
}

enum Mark {
    None,
    Revoked,
}

/// One line; none where it is a comment, or says nothing that could make a key known or revoked.
fn entry(line: &str) -> Option<Entry<'_>> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split_ascii_whitespace();
    let first = words.next()?;
    let (mark, hosts) = match first {
        "@revoked" => (Mark::Revoked, words.next()?),
        marked if marked.starts_with('@') => return None,
        hosts => (Mark::None, hosts),
    };
    let _kind = words.next()?;
    Some(Entry { mark, hosts, key: words.next()? })
}

/// Whether an entry's comma-separated patterns are about this name; a `!pattern` that matches takes it out.
fn covers(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return is_hash_of(hashed, name);
    }
    let mut covered = false;
    for pattern in hosts.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern, name) => return false,
            Some(_) => {}
            None => covered |= matches(pattern, name),
        }
    }
    covered
}

/// `salt|hash`: HMAC-SHA1 of the name under the salt. It hides names in the file; nothing rests on its strength.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else { return false };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, name.as_bytes(), &hash).is_ok()
}

/// `*` is any run of characters, `?` any one; letters count without case.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let mut runs = pattern.split('*');
    let Some(first) = runs.next() else { return false };
    let Some(mut rest) = strip(name, first) else { return false };
    let mut runs: Vec<&str> = runs.collect();
    let Some(last) = runs.pop() else { return rest.is_empty() };
    for run in runs {
        match rest.char_indices().map(|(at, _)| at).chain([rest.len()]).find_map(|at| strip(rest.get(at..)?, run)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| rest.get(at..).and_then(|tail| strip(tail, last)).is_some_and(str::is_empty))
}

/// What is left of `text` after `run`, in which `?` is any character.
fn strip<'a>(text: &'a str, run: &str) -> Option<&'a str> {
    let mut chars = text.chars();
    let matches = run.chars().all(|wanted| chars.next().is_some_and(|found| wanted == '?' || wanted == found));
    if matches { Some(chars.as_str()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A blob of this kind with some bytes behind.
    fn key(kind: &str, byte: u8) -> Vec<u8> {
        let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        blob.extend(kind.bytes());
        blob.extend([byte; 32]);
        blob
    }

    #[test]
    fn a_key_is_known_only_by_an_entry_for_its_host_and_port() {
        let ours = key("ssh-ed25519", 1);
        let text = STANDARD.encode(&ours);
        let other = STANDARD.encode(key("ssh-ed25519", 2));
        for (file, port, expected) in [
            (format!("git.example.com ssh-ed25519 {text} comment"), 22, Standing::Known),
            (format!("GIT.example.com ssh-ed25519 {text}"), 22, Standing::Known),
            (format!("a,git.example.com,b ssh-ed25519 {text}"), 22, Standing::Known),
            (format!("*.example.com ssh-ed25519 {text}"), 22, Standing::Known),
            (format!("g?t.*.com ssh-ed25519 {text}"), 22, Standing::Known),
            (format!("*,!git.example.com ssh-ed25519 {text}"), 22, Standing::Unknown),
            (format!("[git.example.com]:2222 ssh-ed25519 {text}"), 2222, Standing::Known),
            (format!("git.example.com ssh-ed25519 {text}"), 2222, Standing::Unknown),
            (format!("[git.example.com]:2222 ssh-ed25519 {text}"), 22, Standing::Unknown),
            (format!("git.example.com ssh-ed25519 {other}"), 22, Standing::Changed),
            (format!("git.example.com ssh-ed25519 {other}\ngit.example.com ssh-ed25519 {text}"), 22, Standing::Known),
            (format!("git.example.com ssh-ed25519 {text}\n@revoked * ssh-ed25519 {text}"), 22, Standing::Revoked),
            (format!("@cert-authority * ssh-ed25519 {text}"), 22, Standing::Unknown),
            (format!("# git.example.com ssh-ed25519 {text}"), 22, Standing::Unknown),
            (format!("evil-git.example.com ssh-ed25519 {text}"), 22, Standing::Unknown),
            ("git.example.com ssh-ed25519 !!!".to_owned(), 22, Standing::Changed),
            ("garbage".to_owned(), 22, Standing::Unknown),
            (String::new(), 22, Standing::Unknown),
        ] {
            assert_eq!(standing(&file, "git.example.com", port, &ours), expected, "{file} {port}");
        }
    }

    #[test]
    fn hashed_entries_are_compared_by_their_salt() {
        let ours = key("ssh-rsa", 3);
        let salt = [7; 20];
        let hash = |name: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
            let tag = hmac::sign(&key, name.as_bytes());
            format!("|1|{}|{} ssh-rsa {}", STANDARD.encode(salt), STANDARD.encode(tag.as_ref()), STANDARD.encode(&ours))
        };
        assert_eq!(standing(&hash("h"), "h", 22, &ours), Standing::Known);
        assert_eq!(standing(&hash("[h]:2222"), "h", 2222, &ours), Standing::Known);
        assert_eq!(standing(&hash("g"), "h", 22, &ours), Standing::Unknown);
    }

    #[test]
    fn the_line_makes_its_key_known() {
        let ours = key("ssh-ed25519", 4);
        for port in [22, 2222] {
            let line = line("h", port, &ours);
            assert!(line.contains(" ssh-ed25519 "), "{line}");
            assert_eq!(standing(&line, "h", port, &ours), Standing::Known);
        }
        assert!(fingerprint(&ours).starts_with("SHA256:"));
        assert_eq!(kind(&[0, 0]), "unknown-key-type");
        assert_eq!(kind(&[255, 255, 255, 255, 1]), "unknown-key-type");
    }
}
