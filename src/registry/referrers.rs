//! Lists of what refers to a digest: the referrers API, and the index under the fallback tag that stands in for it.
//!
//! Never filtered, neither by the registry nor here: what a list says of its entries is a hint, and some clients write
//! it wrongly. The manifests themselves are read.

use oci_distribution::manifest::ImageIndexEntry;
use reqwest::StatusCode;
use reqwest::header::LINK;
use url::Url;

use super::challenge::same_authority;
use super::client::{Ask, Client};
use super::exchange::Answer;
use super::fault::{self, fault};
use super::fetch::{Fetched, Wanted, content_type};
use super::manifest::Body;
use crate::artifact::Fault;
use crate::image::Digest;
use crate::outcome::RegistryOperation;
use crate::reason::Reason;

/// Pages of one list.
const MAX_PAGES: usize = 10;
/// Entries of one list.
const MAX_ENTRIES: usize = 1000;

/// A list of referrers.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Listed>,
    /// Entries that are not here because of a limit; a page that was not asked for counts as one.
    pub(super) left_out: usize,
    /// Why the list ends early, where it does.
    pub(super) fault: Option<Fault>,
}

/// One entry of a list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) entry: ImageIndexEntry,
    /// The digest of the list that it stands in.
    pub(super) list: Digest,
}

impl Listing {
    /// Takes the entries of one index, up to the limit.
    pub(super) fn take(&mut self, entries: Vec<ImageIndexEntry>, list: Digest) {
        let room = MAX_ENTRIES.saturating_sub(self.entries.len());
        self.left_out += entries.len().saturating_sub(room);
        self.entries.extend(entries.into_iter().take(room).map(|entry| Listed { entry, list }));
    }
}

impl Client {
    /// Asks the referrers API; `None` where there is none.
    pub(super) async fn referrers(&self, wanted: Wanted<'_>, digest: &Digest) -> Result<Option<Listing>, Fault> {
        let mut listing = Listing::default();
        let mut what = format!("referrers/{digest}");
        for page in 0..MAX_PAGES {
            let asked = self.page(wanted, &what).await;
            let (entries, list, next) = match asked {
                Ok(Some(found)) => found,
                Ok(None) if page == 0 => return Ok(None),
                Ok(None) => (Vec::new(), Digest::of(&[]), Next::Lost("a page of the list is missing")),
                Err(error) if page == 0 => return Err(error),
                Err(error) => {
                    listing.fault = Some(error);
                    return Ok(Some(listing));
                }
            };
            listing.take(entries, list);
            match next {
                Next::End => return Ok(Some(listing)),
                Next::Page(next) => what = next,
                Next::Lost(message) => {
                    let message = format!("the referrers of `{}@{digest}`: {message}", wanted.repository);
                    listing.fault = Some(fault(Reason::RegistryUnavailable, message));
                    return Ok(Some(listing));
                }
            }
            if listing.left_out > 0 {
                break;
            }
        }
        listing.left_out += 1;
        Ok(Some(listing))
    }

    async fn page(
        &self,
        wanted: Wanted<'_>,
        what: &str,
    ) -> Result<Option<(Vec<ImageIndexEntry>, Digest, Next)>, Fault> {
        let host = wanted.repository.host();
        let ask = Ask {
            host,
            path: wanted.repository.path(),
            what,
            operation: RegistryOperation::Referrers,
            accept: "application/vnd.oci.image.index.v1+json",
            cap: self.options.limits.manifest_bytes,
            deadline: wanted.deadline,
        };
        let answer = self.ask(&ask).await?;
        if fault::lacks_referrers(&answer) {
            // That this repository or manifest is unknown says nothing of the API.
            if !fault::is_absence(&answer) {
                self.state(host).learn_no_referrers();
            }
            return Ok(None);
        }
        if answer.status != StatusCode::OK {
            return Err(fault::of_status(&ask.subject(), &answer).fault);
        }
        let base = self
            .base(host, &self.state(host))
            .await
            .map_err(|broken| fault::of_broken(&ask.subject(), &broken).fault)?;
        let next = next_page(&answer, &base, ask.path, what);
        let fetched = Fetched { content_type: content_type(&answer.headers), bytes: answer.body };
        let manifest = fetched.manifest(wanted.repository)?;
        match manifest.body {
            Body::Index(index) => Ok(Some((index.manifests, manifest.digest, next))),
            Body::Image(_) => {
                Err(fault(Reason::Malformed, format!("{}: an image came where a list was asked for", ask.subject())))
            }
        }
    }
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    End,
    /// What to ask for, behind the repository's path.
    Page(String),
    /// There is more, but not where we may go.
    Lost(&'static str),
}

/// The next page by the `Link` header (RFC 8288): at the same registry and repository, or nowhere.
fn next_page(answer: &Answer, base: &Url, path: &str, what: &str) -> Next {
    let links = answer.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let Some(target) = links.flat_map(|links| links.split(',')).find_map(next_target) else { return Next::End };
    let prefix = format!("/v2/{path}/");
    let url = base.join(&format!("v2/{path}/{what}")).and_then(|here| here.join(target));
    let Ok(url) = url else { return Next::Lost("the next page has no address") };
    if url.scheme() != base.scheme() || !same_authority(&url, base) {
        return Next::Lost("the next page is at another host");
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    match url.path().strip_prefix(&prefix) {
        Some(rest) if format!("{rest}{query}") != what => Next::Page(format!("{rest}{query}")),
        Some(_) => Next::Lost("the next page is the same one again"),
        None => Next::Lost("the next page is of another repository"),
    }
}

/// The target of one link, if it is the next page's.
fn next_target(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let next = parameters.split(';').map(str::trim).any(|parameter| {
        let value = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"));
        value.is_some_and(|(_, value)| value.trim().trim_matches('"').eq_ignore_ascii_case("next"))
    });
    next.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use reqwest::header::{HeaderMap, HeaderValue};

    #[test]
    fn pages_stay_at_the_same_registry_and_repository() {
        let base = Url::parse("https://reg.example.com/").unwrap();
        let next = |link: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(link) = link {
                headers.insert(LINK, HeaderValue::from_str(link).unwrap());
            }
            let answer = Answer { status: StatusCode::OK, headers, body: Bytes::new() };
            next_page(&answer, &base, "team/app", "referrers/sha256:00")
        };
        let page = |what: &str| Next::Page(what.to_owned());
        assert_eq!(next(None), Next::End);
        assert_eq!(next(Some(r#"</x>; rel="prev""#)), Next::End);
        assert_eq!(
            next(Some(r#"</v2/team/app/referrers/sha256:00?last=a&n=2>; rel="next""#)),
            page("referrers/sha256:00?last=a&n=2")
        );
        assert_eq!(next(Some("<?last=a>; REL=next")), page("referrers/sha256:00?last=a"));
        assert_eq!(
            next(Some(r#"<https://reg.example.com/v2/team/app/referrers/sha256:00?p=2>; rel="next""#)),
            page("referrers/sha256:00?p=2")
        );
        for lost in [
            r#"<https://evil.test/v2/team/app/referrers/sha256:00?p=2>; rel="next""#,
            r#"<http://reg.example.com/v2/team/app/referrers/sha256:00?p=2>; rel="next""#,
            r#"<//evil.test/v2/team/app/x>; rel="next""#,
            r#"</v2/team/other/referrers/sha256:00?p=2>; rel="next""#,
            r#"</v2/team/app/../../admin>; rel="next""#,
            r#"</v2/team/app/referrers/sha256:00>; rel="next""#,
        ] {
            assert!(matches!(next(Some(lost)), Next::Lost(_)), "{lost}");
        }
    }
}
