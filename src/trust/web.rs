//! How mirrors and key services are reached: bounded in time, without redirects, and to public addresses only where
//! nobody named the host.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, redirect};

use crate::image::address::is_public;

/// For a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const IDLE: Duration = Duration::from_secs(15);
/// For one request.
const REQUEST: Duration = Duration::from_mins(1);
/// What we call ourselves.
const USER_AGENT: &str = concat!("sealgate/", env!("CARGO_PKG_VERSION"));

/// What all connections have in common.
#[derive(Clone, Default)]
pub struct Reach {
    /// The proxy for HTTPS, with the hosts that are reached without it. Its URL may hold credentials.
    pub proxy: Option<(String, Vec<String>)>,
    /// Further roots, in PEM.
    pub roots: Option<Vec<u8>>,
}

/// Whether a host was named literally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// By configuration or policy: wherever its name leads.
    Literal,
    /// It follows from something else: public addresses only.
    Derived,
}

/// A resolver that knows only public addresses.
struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                let why = format!("`{}` has no public address, and is not named in the configuration", name.as_str());
                return Err(why.into());
            }
            let addresses: Addrs = Box::new(public.into_iter());
            Ok(addresses)
        })
    }
}

impl Reach {
    /// A client for one service.
    ///
    /// # Errors
    /// When the roots or the proxy cannot be used.
    pub(super) fn client(&self, naming: Naming) -> Result<Client, String> {
        // Without roots on this machine no certificate counts; plain HTTP works still.
        let built = self
            .builder(naming)?
            .build()
            .or_else(|_| self.builder(naming)?.tls_certs_only([]).build().map_err(|error| chain(&error)));
        built.map_err(|error| format!("failed to prepare connections: {error}"))
    }

    fn builder(&self, naming: Naming) -> Result<reqwest::ClientBuilder, String> {
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(IDLE)
            .timeout(REQUEST)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_gzip()
            .no_proxy()
            .user_agent(USER_AGENT);
        if naming == Naming::Derived {
            builder = builder.dns_resolver(PublicResolver);
        }
        if let Some(pem) = &self.roots {
            let roots =
                Certificate::from_pem_bundle(pem).map_err(|error| format!("the roots cannot be used: {error}"))?;
            builder = builder.tls_certs_merge(roots);
        }
        if let Some((url, exceptions)) = &self.proxy {
            let proxy = reqwest::Proxy::https(url.as_str()).map_err(|_| "the proxy's URL is none".to_owned())?;
            builder = builder.proxy(proxy.no_proxy(reqwest::NoProxy::from_string(&exceptions.join(","))));
        }
        Ok(builder)
    }
}

/// An error with all that caused it, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text.chars().take(500).flat_map(char::escape_debug).collect()
}
