//! What a Git server is shown and what it must show: credentials, TLS certificates, host keys.
//!
//! Secrets are read from their files at each use, overwritten afterwards and never logged. They are answered once, and
//! only to the configured scheme, host and port. (A server that was given them and then sends us on to another port of
//! its own host keeps them: libgit2 asks no second time.)

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use git2::cert::Cert;
use git2::{CertificateCheckStatus, Cred, CredentialType, RemoteCallbacks};
use zeroize::Zeroizing;

use super::address::{Address, Origin, Scheme};
use super::git::Auth;
use super::{known_hosts, tls};

/// Largest secret or CA file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// How one server is met.
#[derive(Debug, Clone)]
pub(super) struct Meeting {
    /// The server.
    pub(super) origin: Origin,
    /// Who we are to it.
    pub(super) user: Option<String>,
    /// The files.
    pub(super) auth: Auth,
}

/// Why we left a server, in our own words: libgit2 replaces what a callback says.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<Said>>>);

/// What is told to the reader.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) help: String,
    /// Which failure it explains.
    pub(super) about: About,
}

/// Which failure something explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The one that it led to.
    Ours,
    /// One of TLS, if the machine's own roots do not help.
    Tls,
}

impl Refusal {
    /// What was said, once.
    pub(super) fn take(&self) -> Option<Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes why, and gives the error that ends libgit2's work.
    pub(super) fn say(&self, message: impl Into<String>, help: impl Into<String>) -> git2::Error {
        let said = Said { message: message.into(), help: help.into(), about: About::Ours };
        let error = git2::Error::from_str(&said.message);
        self.note(said);
        error
    }

    fn note(&self, said: Said) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }
}

/// How a server is met; every option that it could not use is an error.
pub(super) fn meeting(address: &Address, mut auth: Auth) -> Result<Option<Meeting>, String> {
    let Address::Server { origin, user, url: _ } = address else {
        if auth == Auth::default() {
            return Ok(None);
        }
        return Err("a local repository needs no `auth`".to_owned());
    };
    let user = match (user, auth.username.take()) {
        (Some(written), Some(named)) if *written != named => {
            return Err(format!("the URL names the user `{written}`, `auth.username` names `{named}`"));
        }
        (written, named) => named.or_else(|| written.clone()),
    };
    let Auth { username: _, password_file, ca_file, ssh_key_file, known_hosts_file } = &auth;
    match origin.scheme {
        Scheme::Ssh if password_file.is_some() || ca_file.is_some() => {
            return Err(
                "`passwordFile` and `caFile` are not for ssh://: use `sshKeyFile` and `knownHostsFile`".to_owned()
            );
        }
        Scheme::Ssh if ssh_key_file.is_none() || known_hosts_file.is_none() => {
            return Err("ssh:// needs `auth.sshKeyFile` and `auth.knownHostsFile`".to_owned());
        }
        Scheme::Http | Scheme::Https if ssh_key_file.is_some() || known_hosts_file.is_some() => {
            return Err("`sshKeyFile` and `knownHostsFile` are for ssh:// only".to_owned());
        }
        Scheme::Http | Scheme::Https if password_file.is_some() && user.is_none() => {
            return Err("`auth.passwordFile` needs `auth.username`".to_owned());
        }
        Scheme::Http if ca_file.is_some() => return Err("`caFile` is for https:// only".to_owned()),
        Scheme::Http | Scheme::Https | Scheme::Ssh => {}
    }
    let loopback = matches!(origin.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    if origin.scheme == Scheme::Http && password_file.is_some() && !loopback {
        tracing::warn!(host = %origin.host, "the password of this Git source goes over plain HTTP: use https://");
    }
    Ok(Some(Meeting { origin: origin.clone(), user, auth }))
}

/// Callbacks for one conversation: they end it at `end` or beyond `most` bytes.
pub(super) fn callbacks<'a>(
    meeting: Option<&'a Meeting>,
    refusal: &'a Refusal,
    end: Instant,
    most: usize,
) -> RemoteCallbacks<'a> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks.sideband_progress(move |_| Instant::now() < end);
    callbacks.transfer_progress(move |progress| {
        let small = progress.received_bytes() <= most;
        if !small {
            refusal
                .say(format!("the server sends more than {most} bytes"), "keep manifests in a repository of their own");
        }
        small && Instant::now() < end
    });
    let Some(meeting) = meeting else { return callbacks };
    let mut answered = CredentialType::empty();
    callbacks.credentials(move |url, _, allowed| {
        let answer = credentials(meeting, refusal, url, allowed, answered)?;
        answered |= CredentialType::from_bits_truncate(answer.credtype());
        Ok(answer)
    });
    callbacks.certificate_check(move |cert, host| certificate(meeting, refusal, cert, host));
    callbacks
}

fn credentials(
    meeting: &Meeting,
    refusal: &Refusal,
    url: &str,
    allowed: CredentialType,
    answered: CredentialType,
) -> Result<Cred, git2::Error> {
    if !meeting.origin.is_of(url) {
        return Err(
            refusal.say("the server sends us on to another one, which gets no credentials", "write the final URL")
        );
    }
    let user = meeting.user.as_deref();
    if allowed.contains(CredentialType::USERNAME) && !answered.contains(CredentialType::USERNAME) {
        return Cred::username(user.unwrap_or("git"));
    }
    if answered.intersects(CredentialType::USER_PASS_PLAINTEXT | CredentialType::SSH_MEMORY | CredentialType::SSH_KEY) {
        return Err(refusal
            .say("the server refuses the credentials", "check `auth`: user, password or key, and what it may read"));
    }
    match (meeting.origin.scheme, &meeting.auth.ssh_key_file, &meeting.auth.password_file) {
        (Scheme::Ssh, Some(file), _) if allowed.intersects(CredentialType::SSH_MEMORY | CredentialType::SSH_KEY) => {
            let key = secret(file).map_err(|error| refusal.say(error, "check `auth.sshKeyFile`"))?;
            Cred::ssh_key_from_memory(user.unwrap_or("git"), None, &key, None).map_err(|error| {
                refusal.say(
                    format!("the key of `auth.sshKeyFile` cannot be used: {}", error.message()),
                    "use a key without passphrase",
                )
            })
        }
        (Scheme::Http | Scheme::Https, _, Some(file)) if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) => {
            let password = secret(file).map_err(|error| refusal.say(error, "check `auth.passwordFile`"))?;
            Cred::userpass_plaintext(user.unwrap_or_default(), password.trim_end_matches(['\r', '\n']))
        }
        (Scheme::Http | Scheme::Https | Scheme::Ssh, _, _) => Err(refusal.say(
            "the server asks for credentials of a kind that is not configured",
            "give `auth: {username, passwordFile}` or `auth: {sshKeyFile, knownHostsFile}`",
        )),
    }
}

fn certificate(
    meeting: &Meeting,
    refusal: &Refusal,
    cert: &Cert<'_>,
    host: &str,
) -> Result<CertificateCheckStatus, git2::Error> {
    if let Some(shown) = cert.as_hostkey() {
        let key = shown.hostkey().ok_or_else(|| refusal.say("the server shows no host key", ""))?;
        return host_key(meeting, refusal, key);
    }
    let Some(shown) = cert.as_x509() else {
        return Err(refusal.say("the server shows a certificate of an unknown kind", ""));
    };
    let Some(file) = &meeting.auth.ca_file else { return Ok(CertificateCheckStatus::CertificatePassthrough) };
    let pem = bounded(file).map_err(|error| refusal.say(error, "check `auth.caFile`"))?;
    let roots = tls::certificates(&pem)
        .map_err(|error| refusal.say(format!("failed to read `{}`: {error}", file.display()), "check `auth.caFile`"))?;
    match tls::check(&roots, shown.data(), host) {
        Ok(()) => Ok(CertificateCheckStatus::CertificateOk),
        // The machine's own roots may still vouch for it; where they do not, this is what is told.
        Err(message) => {
            let help = "put the certificate that issued the server's own into `auth.caFile`".to_owned();
            refusal.note(Said { message, help, about: About::Tls });
            Ok(CertificateCheckStatus::CertificatePassthrough)
        }
    }
}

fn host_key(meeting: &Meeting, refusal: &Refusal, key: &[u8]) -> Result<CertificateCheckStatus, git2::Error> {
    let Origin { scheme: _, host, port } = &meeting.origin;
    let Some(file) = &meeting.auth.known_hosts_file else {
        return Err(refusal.say("no `auth.knownHostsFile` says which host key is the server's", "give one"));
    };
    let text = secret(file).map_err(|error| refusal.say(error, "check `auth.knownHostsFile`"))?;
    let print = known_hosts::fingerprint(key);
    let add =
        format!("compare the fingerprint, then add to `{}`: {}", file.display(), known_hosts::line(host, *port, key));
    match known_hosts::standing(&text, host, *port, key) {
        known_hosts::Standing::Known => Ok(CertificateCheckStatus::CertificateOk),
        known_hosts::Standing::Unknown => Err(refusal.say(format!("the host key {print} of {host} is not known"), add)),
        known_hosts::Standing::Changed => {
            Err(refusal.say(format!("the host key {print} of {host} is none of those that are known"), add))
        }
        known_hosts::Standing::Revoked => {
            Err(refusal
                .say(format!("the host key {print} of {host} is revoked"), "find out who answers under this name"))
        }
    }
}

/// A text file that may hold a secret.
fn secret(path: &Path) -> Result<Zeroizing<String>, String> {
    let mut bytes = bounded(path)?;
    // The bytes move into the text; where they are no text, the text of the error holds none of them.
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(format!("failed to read `{}`: it is not UTF-8", path.display()))
        }
    }
}

fn bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to read `{}`: {error}", path.display());
    let file = File::open(path).map_err(|error| failed(&error))?;
    // Room for all at once: a vector that grows leaves copies behind.
    let length = file.metadata().map_err(|error| failed(&error))?.len().min(MAX_FILE);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default().saturating_add(64)));
    file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE) {
        return Ok(bytes);
    }
    Err(failed(&format!("it is larger than {MAX_FILE} bytes")))
}
