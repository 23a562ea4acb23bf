//! The services' HTTP, on one port: their paths do not meet.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Services;

/// Serves until the process ends; the base address.
pub fn start(services: &'static Services) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
                let work = move || answer(services, &method, uri.path(), &headers, &body);
                tokio::task::spawn_blocking(work)
                    .await
                    .unwrap_or_else(|panic| (StatusCode::INTERNAL_SERVER_ERROR, format!("{panic}")).into_response())
            };
            axum::serve(listener, Router::new().fallback(handler)).await.unwrap();
        });
    });
    url
}

fn answer(services: &Services, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let token = || headers[header::AUTHORIZATION].to_str().unwrap().trim_start_matches("Bearer ");
    let request = || serde_json::from_slice::<Value>(body).unwrap();
    match (method.as_str(), path) {
        ("POST", "/api/v1/signingCert") => {
            let pem = services.authority.answer_v1(token(), &request());
            (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/pem-certificate-chain")], pem).into_response()
        }
        ("POST", "/api/v2/signingCert") => {
            json_with(StatusCode::OK, &services.authority.answer_v2(token(), &request()))
        }
        ("GET", "/api/v2/trustBundle") => {
            json_with(StatusCode::OK, &json!({"chains": [{"certificates": [services.authority.chain()]}]}))
        }
        ("GET", "/api/v1/log/publicKey") => {
            ([(header::CONTENT_TYPE, "application/x-pem-file")], services.log.key()).into_response()
        }
        ("POST", "/api/v1/log/entries") => match services.log.answer(&request()) {
            Some((name, entry)) => {
                let mut response = json_with(StatusCode::CREATED, &json!({name.clone(): entry}));
                let headers = response.headers_mut();
                headers.insert(header::ETAG, name.parse().unwrap());
                headers.insert(header::LOCATION, format!("/api/v1/log/entries/{name}").parse().unwrap());
                response
            }
            None => refused(body),
        },
        ("POST", "/api/v2/log/entries") => match services.log2.answer(&request()) {
            Some(entry) => json_with(StatusCode::CREATED, &entry),
            None => refused(body),
        },
        ("POST", "/api/v1/timestamp") => {
            let reply = services.timestamps.answer(body);
            (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/timestamp-reply")], reply).into_response()
        }
        _ => json_with(StatusCode::NOT_FOUND, &json!({"code": 404, "message": format!("{method} {path}")})),
    }
}

fn json_with(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn refused(body: &[u8]) -> Response {
    let message = format!("no entry of that kind: {}", String::from_utf8_lossy(body));
    json_with(StatusCode::BAD_REQUEST, &json!({"code": 400, "message": message}))
}
