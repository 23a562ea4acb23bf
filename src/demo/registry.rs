//! A small registry for the demo's images: it reads, and takes no uploads. Who asks it uses the same client code as for
//! any other registry.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tower_http::timeout::TimeoutLayer;

use super::images::{Held, Images, Name};
use crate::image::{Digest, Host, Repository, Tag};

/// Nothing that is served takes long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
enum Ask {
    Root,
    Manifest(String, Name),
    Blob(String, Digest),
    Unknown,
}

/// Serves until `shutdown` resolves.
pub(super) async fn serve(listener: TcpListener, images: Images, shutdown: impl Future<Output = ()> + Send + 'static) {
    let router = Router::new()
        .fallback(answer)
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        .with_state(images);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
        tracing::error!(error = %error, "the demo's registry failed");
    }
}

async fn answer(State(images): State<Images>, method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "this registry takes no uploads");
    }
    let (found, absent) = match ask(uri.path()) {
        Ask::Root => return axum::Json(json!({})).into_response(),
        Ask::Unknown => {
            return error(StatusCode::NOT_FOUND, "UNSUPPORTED", "this registry has manifests and blobs alone");
        }
        Ask::Manifest(path, name) => (read(move || images.manifest(&path, &name)).await, "MANIFEST_UNKNOWN"),
        Ask::Blob(path, digest) => (read(move || images.blob(&path, &digest)).await, "BLOB_UNKNOWN"),
    };
    match found {
        Ok(Some(held)) => show(held, &method),
        Ok(None) => error(StatusCode::NOT_FOUND, absent, "it is not held here"),
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", &failed.to_string()),
    }
}

/// Reads the disk, off the threads that serve everything else.
async fn read(work: impl FnOnce() -> io::Result<Option<Held>> + Send + 'static) -> io::Result<Option<Held>> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Every name is parsed before it becomes a path on the disk.
fn ask(path: &str) -> Ask {
    let Some(rest) = path.strip_prefix("/v2") else { return Ask::Unknown };
    let rest = rest.trim_start_matches('/');
    if rest.is_empty() {
        return Ask::Root;
    }
    let Some((rest, name)) = rest.rsplit_once('/') else { return Ask::Unknown };
    let Some((path, kind)) = rest.rsplit_once('/') else { return Ask::Unknown };
    let anywhere = Host::parse("127.0.0.1:1");
    if anywhere.and_then(|host| Repository::new(host, path)).is_err() {
        return Ask::Unknown;
    }
    let path = path.to_owned();
    let digest = name.parse::<Digest>();
    match (kind, digest) {
        ("manifests", Ok(digest)) => Ask::Manifest(path, Name::Digest(digest)),
        ("manifests", Err(_)) if Tag::parse(name).is_ok() => Ask::Manifest(path, Name::Tag(name.to_owned())),
        ("blobs", Ok(digest)) => Ask::Blob(path, digest),
        _ => Ask::Unknown,
    }
}

fn show(held: Held, method: &Method) -> Response {
    let Held { media_type, digest, bytes } = held;
    let length = bytes.len();
    let body = if method == Method::HEAD { Body::empty() } else { Body::from(bytes) };
    let response = Response::builder()
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_LENGTH, length)
        .header("docker-content-digest", digest.to_string())
        .body(body);
    response.unwrap_or_else(|failed| error(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", &failed.to_string()))
}

/// An error as the distribution specification writes it.
fn error(status: StatusCode, code: &str, message: &str) -> Response {
    (status, axum::Json(json!({ "errors": [{ "code": code, "message": message }] }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parsed_names_are_looked_up() {
        let digest = Digest::of(b"x");
        let table = [
            ("/v2/".to_owned(), Ask::Root),
            ("/v2".to_owned(), Ask::Root),
            (
                "/v2/shop/web/manifests/1.0".to_owned(),
                Ask::Manifest("shop/web".to_owned(), Name::Tag("1.0".to_owned())),
            ),
            (format!("/v2/web/manifests/{digest}"), Ask::Manifest("web".to_owned(), Name::Digest(digest))),
            (format!("/v2/shop/web/blobs/{digest}"), Ask::Blob("shop/web".to_owned(), digest)),
            (format!("/v2/shop/web/referrers/{digest}"), Ask::Unknown),
            ("/v2/shop/web/blobs/1.0".to_owned(), Ask::Unknown),
            ("/v2/../keys/manifests/1.0".to_owned(), Ask::Unknown),
            ("/v2/shop/../../keys/manifests/1.0".to_owned(), Ask::Unknown),
            ("/v2/shop//web/manifests/1.0".to_owned(), Ask::Unknown),
            ("/v2/shop/web/manifests/..".to_owned(), Ask::Unknown),
            ("/v2/%2e%2e/manifests/1.0".to_owned(), Ask::Unknown),
            ("/v2/manifests/1.0".to_owned(), Ask::Unknown),
            ("/v2/_catalog".to_owned(), Ask::Unknown),
            ("/".to_owned(), Ask::Unknown),
        ];
        for (path, expected) in table {
            assert_eq!(ask(&path), expected, "{path}");
        }
    }
}
