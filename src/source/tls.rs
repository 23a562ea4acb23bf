//! Whether a Git server's certificate is vouched for by a source's own `caFile`.
//!
//! libgit2's TLS has one set of roots for the whole process; a source's roots must not count for another. So the
//! server's certificate is checked here against the source's file. libgit2 hands over that certificate alone: an
//! intermediate that the server sends along must stand in the file too.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is no PEM file of certificates: {error}"))?;
    if certificates.is_empty() {
        return Err("it holds no `BEGIN CERTIFICATE`".to_owned());
    }
    Ok(certificates)
}

/// Checks a server's certificate: issued by one of these, for this host, in its time.
///
/// # Errors
/// Why it is not.
pub(super) fn check(roots: &[CertificateDer<'static>], shown: &[u8], host: &str) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|error| format!("a certificate of `caFile` cannot be used: {error}"))?;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no server name"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|error| format!("`caFile` cannot be used: {error}"))?;
    let shown = CertificateDer::from(shown);
    verifier
        .verify_server_cert(&shown, roots, &name, &[], UnixTime::now())
        .map(|_| ())
        .map_err(|error| format!("no certificate of `caFile` vouches for the server's: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issue(name: &str) -> (CertificateDer<'static>, CertificateDer<'static>) {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let root = parameters.self_signed(&key).unwrap().der().clone();
        let issuer = rcgen::Issuer::new(parameters, key);
        let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap();
        (root, leaf.der().clone())
    }

    #[test]
    fn only_the_issuer_vouches_and_only_for_the_name() {
        let (root, leaf) = issue("git.example.com");
        let (other, _) = issue("git.example.com");
        assert_eq!(check(std::slice::from_ref(&root), &leaf, "git.example.com"), Ok(()));
        assert!(check(std::slice::from_ref(&other), &leaf, "git.example.com").is_err());
        assert!(check(&[other, root.clone()], &leaf, "git.example.com").is_ok());
        assert!(check(std::slice::from_ref(&root), &leaf, "evil.test").is_err());
        assert!(check(std::slice::from_ref(&root), b"junk", "git.example.com").is_err());
        assert!(check(&[root], &leaf, "not a name").is_err());
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        for pem in ["", "junk", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(certificates(pem.as_bytes()).is_err(), "{pem}");
        }
    }
}
