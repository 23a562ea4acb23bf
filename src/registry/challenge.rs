//! What a registry asks for when it says 401, and which token servers may be asked.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::{Host as UrlHost, Url};

use crate::image::Host;

/// Longest challenge that is read, in bytes.
const MAX_CHALLENGE: usize = 4096;

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token from this realm.
    Bearer {
        /// The token server.
        realm: Url,
        /// The service that the token is for.
        service: Option<String>,
    },
}

/// The challenge to answer: Bearer where it is offered, else Basic.
pub(super) fn of(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        for (scheme, parameters) in challenges(text) {
            match scheme.to_ascii_lowercase().as_str() {
                "basic" => basic = Some(Challenge::Basic),
                "bearer" => {
                    let get = |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    let realm = get("realm").and_then(|(_, realm)| Url::parse(realm).ok());
                    if let Some(realm) = realm {
                        let service = get("service").map(|(_, service)| service.clone());
                        return Some(Challenge::Bearer { realm, service });
                    }
                }
                _ => {}
            }
        }
    }
    basic
}

/// Splits a header into schemes with their parameters (RFC 9110, section 11.6.1).
fn challenges(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = if text.len() > MAX_CHALLENGE { "" } else { text };
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return found;
        }
        let value = after.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']));
                parameters.push((word.to_owned(), value));
                rest = after;
            }
            (Some(_), None) => return found,
            (None, _) => {
                found.push((word.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))).unwrap_or(text.len());
    text.split_at(end)
}

fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = token(text);
        return (word.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

/// Whether this realm may be asked for tokens of the registry at `registry`, and may see its credentials: the registry
/// itself, or one of the hosts that the configuration lists; never in plain text unless the registry itself is.
pub(super) fn check_realm(realm: &Url, registry: &Url, listed: &[Host]) -> Result<(), String> {
    let place = || super::fault::sanitised(&format!("{}://{}", realm.scheme(), realm.host_str().unwrap_or_default()));
    if !realm.username().is_empty() || realm.password().is_some() {
        return Err("the token server's address contains credentials".to_owned());
    }
    let scheme_fits = realm.scheme() == "https" || (realm.scheme() == "http" && registry.scheme() == "http");
    if !scheme_fits {
        return Err(format!("the token server `{}` is not on https", place()));
    }
    let same = same_authority(realm, registry);
    let is_listed = || {
        listed.iter().any(|host| {
            Url::parse(&format!("{}://{}/", realm.scheme(), host.as_str())).is_ok_and(|url| same_authority(realm, &url))
        })
    };
    if same || is_listed() {
        return Ok(());
    }
    Err(format!("the token server `{}` is neither the registry nor listed in its `authRealms`", place()))
}

/// Whether two URLs lead to the same host and port.
pub(super) fn same_authority(a: &Url, b: &Url) -> bool {
    let host = |url: &Url| url.host().map(|host| host.to_owned());
    host(a).is_some() && host(a) == host(b) && a.port_or_known_default() == b.port_or_known_default()
}

/// The host of a URL as configurations write it, with its port where it is not the scheme's own.
pub(super) fn host_of(url: &Url) -> Option<Host> {
    let name = match url.host()? {
        UrlHost::Domain(name) => name.to_owned(),
        UrlHost::Ipv4(address) => address.to_string(),
        UrlHost::Ipv6(address) => format!("[{address}]"),
    };
    let text = match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name,
    };
    Host::parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn of_values(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        of(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: Url::parse(realm).unwrap(), service: service.map(ToOwned::to_owned) }
    }

    #[test]
    fn challenges_are_read_in_every_shape() {
        let table: [(&[&str], Option<Challenge>); 10] = [
            (&[], None),
            (&["Basic realm=\"test\""], Some(Challenge::Basic)),
            (&["basic"], Some(Challenge::Basic)),
            (
                &[r#"Bearer realm="https://a.example/token",service="a.example",scope="repository:x/y:pull,push""#],
                Some(bearer("https://a.example/token", Some("a.example"))),
            ),
            (
                &[r#"BEARER realm = "https://a.example/t?x=1,2" , error="x\"y""#],
                Some(bearer("https://a.example/t?x=1,2", None)),
            ),
            (&[r#"Basic realm="x", Bearer realm="https://a.example/t""#], Some(bearer("https://a.example/t", None))),
            (
                &[r#"Basic realm="x""#, r#"Bearer realm="https://a.example/t""#],
                Some(bearer("https://a.example/t", None)),
            ),
            (&[r#"Bearer realm="not a url""#], None),
            (&[r"Bearer service=x"], None),
            (&["Negotiate", "=,=\"\""], None),
        ];
        for (values, expected) in table {
            assert_eq!(of_values(values), expected, "{values:?}");
        }
    }

    #[test]
    fn realms_are_the_registry_or_listed_and_never_less_secure() {
        let listed = [Host::parse("auth.example.com").unwrap(), Host::parse("127.0.0.1:7000").unwrap()];
        let table = [
            ("https://reg.example.com/token", "https://reg.example.com/", true),
            ("https://reg.example.com:443/token", "https://reg.example.com/", true),
            ("https://auth.example.com/token", "https://reg.example.com/", true),
            ("https://REG.example.com/token", "https://reg.example.com/", true),
            ("http://reg.example.com/token", "https://reg.example.com/", false),
            ("https://reg.example.com:444/token", "https://reg.example.com/", false),
            ("https://reg.example.com@evil.test/token", "https://reg.example.com/", false),
            ("https://u:p@reg.example.com/token", "https://reg.example.com/", false),
            ("https://evil.test/token", "https://reg.example.com/", false),
            ("https://auth.example.com.evil.test/", "https://reg.example.com/", false),
            ("https://169.254.169.254/latest", "https://reg.example.com/", false),
            ("https://[::ffff:169.254.169.254]/", "https://reg.example.com/", false),
            ("ftp://reg.example.com/", "https://reg.example.com/", false),
            ("file:///etc/passwd", "https://reg.example.com/", false),
            ("http://127.0.0.1:5000/token", "http://127.0.0.1:5000/", true),
            ("http://127.0.0.1:7000/token", "http://127.0.0.1:5000/", true),
            ("http://127.0.0.1:7001/token", "http://127.0.0.1:5000/", false),
            ("http://2130706433:5000/token", "http://127.0.0.1:5000/", true),
        ];
        for (realm, registry, allowed) in table {
            let checked = check_realm(&Url::parse(realm).unwrap(), &Url::parse(registry).unwrap(), &listed);
            assert_eq!(checked.is_ok(), allowed, "{realm} of {registry}");
        }
    }
}
