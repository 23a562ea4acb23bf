//! A Git server over HTTP: `git http-backend` behind a few lines of HTTP, with a password or TLS where wanted.
//!
//! It answers one request a connection and notes each, so that a test can see who was shown what.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use base64::Engine as _;

/// How the server behaves.
#[derive(Default)]
pub struct Options {
    /// User and password that it asks for.
    pub password: Option<(String, String)>,
    /// Speaks TLS, with a certificate for `localhost` that its own root issued.
    pub tls: bool,
    /// Sends every request on to this base URL.
    pub redirect: Option<String>,
    /// Sends so many bytes of each answer and then nothing more, the connection held open.
    pub stall_after: Option<usize>,
    /// Flips the byte at this place, counted from the end, of each pack that it sends.
    pub corrupt: Option<usize>,
}

/// What a client sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub authorization: Option<String>,
}

/// A running server; it ends when this is dropped.
pub struct GitHttp {
    address: SocketAddr,
    root_pem: Option<String>,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Server {
    repositories: PathBuf,
    options: Options,
    tls: Option<Arc<rustls::ServerConfig>>,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl GitHttp {
    /// Serves the repositories of a folder on loopback.
    pub fn start(repositories: &Path, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tls, root_pem) = if options.tls { tls() } else { (None, None) };
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let server = Arc::new(Server {
            repositories: repositories.to_owned(),
            options,
            tls,
            requests: Arc::clone(&requests),
            stop: Arc::clone(&stop),
        });
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if server.stop.load(Ordering::Acquire) {
                    break;
                }
                let server = Arc::clone(&server);
                thread::spawn(move || server.meet(stream.unwrap()));
            }
        });
        Self { address, root_pem, requests, stop, thread: Some(thread) }
    }

    /// The URL of a repository.
    pub fn url(&self, repository: &str) -> String {
        match self.root_pem {
            Some(_) => format!("https://localhost:{}/{repository}", self.address.port()),
            None => format!("http://{}/{repository}", self.address),
        }
    }

    /// The certificate of the root that issued the server's own.
    pub fn root_pem(&self) -> &str {
        self.root_pem.as_deref().unwrap()
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for GitHttp {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A connection wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A root, a certificate for `localhost`, and the root's PEM.
fn tls() -> (Option<Arc<rustls::ServerConfig>>, Option<String>) {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_key = rcgen::KeyPair::generate().unwrap();
    let root = parameters.self_signed(&root_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, root_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (Some(Arc::new(config)), Some(root.pem()))
}

impl Server {
    /// Serves one connection. A client that leaves in between is no failure of the server.
    fn meet(&self, stream: TcpStream) {
        let _gone = match &self.tls {
            Some(config) => {
                let connection = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                self.serve(Box::new(rustls::StreamOwned::new(connection, stream)))
            }
            None => self.serve(Box::new(stream)),
        };
    }

    fn serve(&self, stream: Box<dyn Stream>) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(()) };
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let request =
            Request { method: method.to_owned(), target: target.to_owned(), authorization: header("authorization") };
        self.requests.lock().unwrap().push(request.clone());
        if header("expect").is_some() {
            stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = read_body(&mut stream, header("content-length"), header("transfer-encoding").is_some())?;
        let answer =
            self.answer(&request, &header("content-type").unwrap_or_default(), header("content-encoding"), &body);
        match self.options.stall_after {
            Some(most) if answer.len() > most => {
                stream.get_mut().write_all(&answer[..most])?;
                stream.get_mut().flush()?;
                // The client leaves first.
                std::io::copy(&mut stream, &mut std::io::sink())?;
            }
            Some(_) | None => stream.get_mut().write_all(&answer)?,
        }
        stream.get_mut().flush()
    }

    fn answer(&self, request: &Request, content_type: &str, encoding: Option<String>, body: &[u8]) -> Vec<u8> {
        if let Some(base) = &self.options.redirect {
            return format!(
                "HTTP/1.1 302 Found\r\nLocation: {base}{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                request.target
            )
            .into_bytes();
        }
        if let Some((user, password)) = &self.options.password {
            let expected = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            if request.authorization.as_deref() != Some(&format!("Basic {expected}")) {
                return b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
            }
        }
        self.backend(request, content_type, encoding, body)
    }

    /// Runs `git http-backend` as a CGI program.
    fn backend(&self, request: &Request, content_type: &str, encoding: Option<String>, body: &[u8]) -> Vec<u8> {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.repositories)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            // The tests' repositories may belong to another user than the one who runs them.
            .envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", "*")])
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", &request.method)
            .env("CONTENT_TYPE", content_type)
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", encoding.unwrap_or_default())
            .env("REMOTE_ADDR", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sent = body.to_vec();
        let writer = thread::spawn(move || stdin.write_all(&sent));
        let output = child.wait_with_output().unwrap();
        // A backend that needs no more of the body closes its end.
        let _closed = writer.join().unwrap();
        let mut answer = output.stdout;
        if let Some(at) = self.options.corrupt
            && request.method == "POST"
        {
            let at = answer.len().saturating_sub(at + 1);
            answer[at] ^= 0x10;
        }
        http(&answer)
    }
}

/// The answer of a CGI program as one of HTTP.
fn http(cgi: &[u8]) -> Vec<u8> {
    let end = cgi.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let (head, body) = (String::from_utf8_lossy(&cgi[..end]), &cgi[end + 4..]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let mut answer = format!("HTTP/1.1 {status}\r\n");
    for line in head.lines().filter(|line| !line.starts_with("Status:")) {
        write!(answer, "{line}\r\n").unwrap();
    }
    write!(answer, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
    let mut answer = answer.into_bytes();
    answer.extend(body);
    answer
}

fn read_body(stream: &mut impl std::io::BufRead, length: Option<String>, chunked: bool) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if !chunked {
        let length = length.map_or(0, |length| length.parse().unwrap());
        stream.take(length).read_to_end(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut size = String::new();
        stream.read_line(&mut size)?;
        let size = u64::from_str_radix(size.trim(), 16).unwrap();
        stream.take(size).read_to_end(&mut body)?;
        let mut end = String::new();
        stream.read_line(&mut end)?;
        if size == 0 {
            return Ok(body);
        }
    }
}
