//! What single values of the configuration may be.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use globset::GlobBuilder;
use url::Url;

use super::quantity;
use crate::fields::Complaint;
use crate::image::{Host, Repository};

/// Longest text in bytes: a path, a URL, a name.
const MAX_TEXT: usize = 4096;
/// What a size may be: from a byte to what a small machine can hold.
const SIZES: RangeInclusive<usize> = 1..=1 << 30;
/// How often something is looked at again.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);
/// How long something may take.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);

/// How a Git repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Local,
    Http,
    Https,
    Ssh,
}

pub(super) fn text(text: &str) -> Result<(), Complaint> {
    if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        let message = format!("the text must have 1 to {MAX_TEXT} bytes on one line");
        return Err(Complaint::new(message, "write something, or leave the field out"));
    }
    Ok(())
}

/// A group may be empty: that is Kubernetes' core group.
pub(super) fn group(group: &str) -> Result<(), Complaint> {
    if group.is_empty() { Ok(()) } else { text(group) }
}

pub(super) fn listen(text: &str) -> Result<(), Complaint> {
    let help = "write an IP address and a port, such as `127.0.0.1:8080` or `0.0.0.0:8080`";
    let wrong = |_| Complaint::new(format!("`{text}` is no address to listen on"), help);
    text.parse::<SocketAddr>().map(drop).map_err(wrong)
}

/// A gate's name is a metric label and a file name.
pub(super) fn label(text: &str) -> Result<(), Complaint> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let whole = !text.is_empty() && text.len() <= 63 && text.bytes().all(fits);
    if whole && !text.starts_with('-') && !text.ends_with('-') {
        return Ok(());
    }
    let help = "write up to 63 lower-case letters, digits and `-`, with no `-` at either end";
    Err(Complaint::new(format!("`{}` is no such name", text.escape_debug()), help))
}

pub(super) fn size(text: &str) -> Result<(), Complaint> {
    let size = quantity::size(text)?;
    if SIZES.contains(&size) {
        return Ok(());
    }
    Err(Complaint::new(format!("`{text}` is out of bounds"), "write a size from `1B` to `1GiB`"))
}

/// What a renderer may use: below the least, no Go program starts.
pub(super) fn memory(text: &str) -> Result<(), Complaint> {
    let size = quantity::size(text)?;
    if ((64 << 20)..=(64 << 30)).contains(&size) {
        return Ok(());
    }
    Err(Complaint::new(format!("`{text}` is out of bounds"), "write a size from `64MiB` to `64GiB`"))
}

pub(super) fn interval(text: &str) -> Result<(), Complaint> {
    between(text, &INTERVALS)
}

pub(super) fn timeout(text: &str) -> Result<(), Complaint> {
    between(text, &TIMEOUTS)
}

fn between(text: &str, range: &RangeInclusive<Duration>) -> Result<(), Complaint> {
    if range.contains(&quantity::duration(text)?) {
        return Ok(());
    }
    let help =
        format!("write a duration from `{}ms` to `{}h`", range.start().as_millis(), range.end().as_secs() / 3600);
    Err(Complaint::new(format!("`{text}` is out of bounds"), help))
}

/// Where something is mounted: a path of plain segments.
pub(super) fn mount(text: &str) -> Result<(), Complaint> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(fits);
    if text.len() <= MAX_TEXT && text.split('/').all(plain) {
        return Ok(());
    }
    Err(Complaint::new(format!("`{}` is no mount", text.escape_debug()), "write a path such as `transit`"))
}

/// The URL of a service.
pub(super) fn service(text: &str) -> Result<(), Complaint> {
    let wrong =
        |why: &str| Complaint::new(format!("`{text}` {why}"), "write a URL such as `https://tuf.example.com/path`");
    let url = Url::parse(text).map_err(|_| wrong("is no URL"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("is no `https` URL with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than host and path"));
    }
    Ok(())
}

pub(super) fn host(text: &str) -> Result<(), Complaint> {
    Host::parse(text).map(drop).map_err(|error| Complaint::new(error.to_string(), "write `host` or `host:port`"))
}

pub(super) fn mirror(text: &str) -> Result<(), Complaint> {
    split_mirror(text).map(drop)
}

/// A mirror: its host, and the path under which it keeps the origin's repositories.
pub(super) fn split_mirror(text: &str) -> Result<(Host, Option<String>), Complaint> {
    let wrong = |error: crate::image::reference::ReferenceError| {
        Complaint::new(
            error.to_string(),
            "write `host[:port]` or `host[:port]/path`, such as `mirror.example.com/proxy`",
        )
    };
    let (host, path) = match text.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (text, None),
    };
    let host = Host::parse(host).map_err(wrong)?;
    if let Some(path) = path {
        Repository::new(host.clone(), path).map_err(wrong)?;
    }
    Ok((host, path.map(str::to_owned)))
}

pub(super) fn git(text: &str) -> Result<(), Complaint> {
    transport(text).map(drop)
}

/// How a repository is reached, by its URL or path.
///
/// # Errors
/// When it is none of ours, or carries a secret, which belongs into a file.
pub(super) fn transport(url: &str) -> Result<Transport, Complaint> {
    let help = "write `https://host/path.git`, `ssh://user@host/path.git`, or the path of a local repository";
    text(url)?;
    if url.contains("://") {
        return remote(url, help);
    }
    let head = url.split('/').next().unwrap_or(url);
    if let Some((login, path)) = head.split_once(':') {
        let rest = url.strip_prefix(head).unwrap_or("");
        let proposal = format!("write `ssh://{login}/{path}{rest}`");
        return Err(Complaint::new("the short form of ssh addresses is not read", proposal));
    }
    if url.starts_with('~') {
        return Err(Complaint::new(
            format!("`{url}` begins with `~`, which only a shell knows"),
            "write the whole path",
        ));
    }
    Ok(Transport::Local)
}

fn remote(url: &str, help: &str) -> Result<Transport, Complaint> {
    // The URL is not repeated: it may carry a secret.
    let parsed = Url::parse(url).map_err(|error| Complaint::new(format!("this is no URL: {error}"), help))?;
    if parsed.password().is_some() || (parsed.scheme() != "ssh" && !parsed.username().is_empty()) {
        let help = "write `auth: {username: …, passwordFile: …}` beside it";
        return Err(Complaint::new("the URL carries credentials, which belong into a file", help));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(Complaint::new("the URL has a query or a fragment, which no repository has", help));
    }
    let transport = match parsed.scheme() {
        "https" => Transport::Https,
        "http" => Transport::Http,
        "ssh" => Transport::Ssh,
        "file" => return Ok(Transport::Local),
        other => return Err(Complaint::new(format!("`{other}://` is not supported"), help)),
    };
    // The parser forgives a missing host and backslashes; who connects might not read them in the same way.
    let behind = url.split_once("://").map_or("", |(_, behind)| behind);
    if behind.starts_with('/') || url.contains('\\') || parsed.host_str().is_none_or(str::is_empty) {
        return Err(Complaint::new("the URL has no host", help));
    }
    Ok(transport)
}

pub(super) fn branch(name: &str) -> Result<(), Complaint> {
    text(name)?;
    let odd = |c: char| c.is_whitespace() || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let fits = !name.contains(odd) && !name.contains("..") && !name.contains("@{") && !name.contains("//");
    if fits && !name.starts_with(['-', '/', '.']) && !name.ends_with(['/', '.']) && !name.starts_with("refs/") {
        return Ok(());
    }
    Err(Complaint::new(format!("`{name}` is no branch"), "write the branch's short name, such as `main`"))
}

/// A path inside a repository: it cannot leave it.
pub(super) fn inside(path: &str) -> Result<(), Complaint> {
    text(path)?;
    if path.starts_with('/') || path.contains('\\') || path.split('/').any(|part| part == "..") {
        let message = format!("`{path}` is no path inside the repository");
        return Err(Complaint::new(message, "write it relative to the repository's root, without `..`"));
    }
    Ok(())
}

pub(super) fn exclude(pattern: &str) -> Result<(), Complaint> {
    inside(pattern)?;
    let help = "write a pattern on paths, such as `ci/**`";
    let wrong = |error: globset::Error| Complaint::new(error.to_string(), help);
    GlobBuilder::new(pattern).literal_separator(true).build().map(drop).map_err(wrong)
}

pub(super) fn proxy(url: &str) -> Result<(), Complaint> {
    let help = "write `http://host:port`";
    let parsed = Url::parse(url).map_err(|error| Complaint::new(format!("this is no URL: {error}"), help))?;
    if parsed.password().is_some() || !parsed.username().is_empty() {
        return Err(Complaint::new("the proxy's URL carries credentials, which no configuration may", help));
    }
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none_or(str::is_empty) {
        return Err(Complaint::new(format!("`{url}` is no proxy"), help));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_reached_without_secrets_in_their_url() {
        let table = [
            ("https://git.example.com/ops/manifests.git", Some(Transport::Https)),
            ("http://127.0.0.1:3000/x.git", Some(Transport::Http)),
            ("ssh://git@git.example.com:22/x.git", Some(Transport::Ssh)),
            ("file:///srv/x.git", Some(Transport::Local)),
            ("/srv/x.git", Some(Transport::Local)),
            ("../x", Some(Transport::Local)),
            (".", Some(Transport::Local)),
            ("https://bot:secret@git.example.com/x.git", None),
            ("https://token@git.example.com/x.git", None),
            ("ssh://git:secret@git.example.com/x.git", None),
            ("https://git.example.com/x.git?token=1", None),
            ("git@github.com:acme/x.git", None),
            ("git://github.com/acme/x.git", None),
            ("ext::sh -c x", None),
            ("https:///x", None),
            ("https://a.io\\@b.io/x", None),
            ("~/x", None),
            ("", None),
            ("a\nb", None),
        ];
        for (url, expected) in table {
            assert_eq!(transport(url).ok(), expected, "{url}");
        }
        let complaint = transport("https://bot:secret@git.example.com/x.git").unwrap_err();
        assert!(!format!("{complaint:?}").contains("secret@"));
        assert!(transport("git@github.com:acme/x.git").unwrap_err().help.contains("ssh://git@github.com/acme/x.git"));
    }

    #[test]
    fn single_values_are_checked() {
        type Row = (fn(&str) -> Result<(), Complaint>, &'static [&'static str], &'static [&'static str]);
        let table: [Row; 8] = [
            (listen, &["127.0.0.1:0", "[::]:8080"], &["localhost:80", ":8080", "8080", "1.2.3.4:99999"]),
            (label, &["a", "prod-1"], &["", "-a", "a-", "A", "a.b", "a/b", "a b"]),
            (size, &["1", "10MiB"], &["0", "2GiB", "x"]),
            (interval, &["30s", "24h"], &["0s", "25h", "30"]),
            (branch, &["main", "release/1.0"], &["", "-x", "a..b", "a b", "refs/heads/x", "a:b", "/a"]),
            (inside, &["clusters/prod", ".", "a/b/"], &["", "/a", "../a", "a/../b", "a\\b"]),
            (exclude, &["ci/**", "*.yaml"], &["", "a[", "/x"]),
            (proxy, &["http://proxy:3128"], &["proxy:3128", "http://u:p@proxy", "socks5://proxy", ""]),
        ];
        for (check, good, bad) in table {
            for text in good {
                assert_eq!(check(text), Ok(()), "{text}");
            }
            for text in bad {
                assert!(check(text).is_err(), "{text}");
            }
        }
    }
}
