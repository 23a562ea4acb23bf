//! Whether a port speaks TLS: asked with the first message of a TLS handshake, before any request is made.
//!
//! Plain HTTP is for ports that answer this with something else, on loopback or where the configuration says `insecure`.
//! What the handshake would say about certificates is not looked at here, so that a bad one can never mean plain HTTP.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::exchange::{Broken, Cause};

/// The record types that begin a TLS server's answer: alert and handshake.
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

/// How a port is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// Asks a port. `name` is a host name or an address without brackets.
pub(super) async fn probe(name: &str, port: u16, connect: Duration, answer: Duration) -> Result<Scheme, Broken> {
    let hello = client_hello(name)?;
    let mut stream = match timeout(connect, TcpStream::connect((name, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Broken::new(Cause::Connect, format!("cannot connect: {error}"))),
        Err(_) => return Err(Broken::new(Cause::Slow, "no connection in time")),
    };
    let mut first = [0u8; 1];
    let asked = async {
        stream.write_all(&hello).await?;
        stream.read(&mut first).await
    };
    match timeout(answer, asked).await {
        Ok(Ok(1)) if TLS_RECORDS.contains(&first[0]) => Ok(Scheme::Https),
        // Another protocol's answer, or a hang-up without a word, which no TLS server gives to a well-formed hello.
        Ok(_) => Ok(Scheme::Http),
        Err(_) => Err(Broken::new(Cause::Slow, "no answer in time")),
    }
}

fn client_hello(name: &str) -> Result<Vec<u8>, Broken> {
    let broken = |error: &dyn std::fmt::Display| Broken::new(Cause::Tls, format!("cannot begin TLS: {error}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(&error))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|error| broken(&error))?;
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(|error| broken(&error))?;
    let mut hello = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut hello).map_err(|error| broken(&error))?;
    }
    Ok(hello)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn ask(answer: &'static [u8]) -> Scheme {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 3];
            stream.read_exact(&mut hello).await.unwrap();
            assert_eq!(hello[..2], [0x16, 0x03]);
            stream.write_all(answer).await.unwrap();
        });
        let found = probe("127.0.0.1", port, Duration::from_secs(5), Duration::from_secs(5)).await.unwrap();
        server.await.unwrap();
        found
    }

    #[tokio::test]
    async fn only_a_port_that_answers_otherwise_is_plain() {
        assert_eq!(ask(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, Scheme::Http);
        assert_eq!(ask(b"").await, Scheme::Http);
        assert_eq!(ask(b"\x15\x03\x01\x00\x02\x02\x28").await, Scheme::Https);
        assert_eq!(ask(b"\x16\x03\x03").await, Scheme::Https);
    }

    #[tokio::test]
    async fn silence_is_not_plain() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broken = probe("127.0.0.1", port, Duration::from_secs(5), Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(broken.cause, Cause::Slow);
    }
}
