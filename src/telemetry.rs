//! Logs: events with fields on stderr, as JSON or as text.
//!
//! What comes from outside (a commit's message, a server's answer) cannot forge a line or steer a terminal: control
//! characters are escaped in both formats. Libraries that would log tokens or headers are held at `info`, whatever
//! is asked for.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, FilterFn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::reason::{ErrorCode, Problem};

/// What is logged where nothing is asked for.
pub const DEFAULT_DIRECTIVES: &str = "info";
/// Libraries whose finer levels hold headers, tokens or every byte on the wire.
const CAPPED: [&str; 12] = [
    "oci_client",
    "reqwest",
    "hyper",
    "hyper_util",
    "h2",
    "rustls",
    "kube",
    "kube_client",
    "kube_runtime",
    "tower",
    "tower_http",
    "git2",
];

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For a person.
    Text,
}

/// Starts logging to stderr, for the whole process, once.
///
/// # Errors
/// `usage` when the directives are none, or logging was started already.
pub fn start(format: Format, directives: &str) -> Result<(), Problem> {
    init(subscriber(format, directives, io::stderr)?)
}

/// Starts logging to a file, for the whole process, once.
///
/// # Errors
/// As [`start`].
pub fn start_in(file: File, format: Format, directives: &str) -> Result<(), Problem> {
    init(subscriber(format, directives, Arc::new(file))?)
}

fn init(subscriber: impl Subscriber + Send + Sync) -> Result<(), Problem> {
    let failed = |error| Problem::new(ErrorCode::Usage, format!("failed to start logging: {error}"));
    subscriber.try_init().map_err(failed)
}

/// A subscriber that writes to `writer`.
///
/// # Errors
/// `usage` when the directives are none, such as `debug` or `info,sealgate::registry=debug`.
pub fn subscriber<W>(format: Format, directives: &str, writer: W) -> Result<impl Subscriber + Send + Sync, Problem>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted = EnvFilter::builder().parse(directives).map_err(|error| {
        Problem::new(ErrorCode::Usage, format!("`{}` is no log level: {error}", directives.escape_debug()))
            .with_help("write error, warn, info, debug or trace, or `info,sealgate::registry=debug`")
    })?;
    let filter = wanted.and(FilterFn::new(is_harmless));
    let layer = tracing_subscriber::fmt::layer().with_writer(Escaping(writer));
    let layer = match format {
        Format::Json => layer.json().flatten_event(true).boxed(),
        // Colours would be control characters among those that are escaped.
        Format::Text => layer.with_ansi(false).boxed(),
    };
    Ok(tracing_subscriber::registry().with(layer.with_filter(filter)))
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !CAPPED.contains(&library)
}

/// Hands out writers that escape.
struct Escaping<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Escaping<W> {
    type Writer = EscapingWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapingWriter(self.0.make_writer())
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        EscapingWriter(self.0.make_writer_for(metadata))
    }
}

/// Writes one event a call, as the layer above does.
struct EscapingWriter<W>(W);

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(escape(&String::from_utf8_lossy(event)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The event with each control character but its last line end as `\u….`, which JSON strings know too.
fn escape(event: &str) -> String {
    let (line, end) = match event.strip_suffix('\n') {
        Some(line) => (line, "\n"),
        None => (event, ""),
    };
    let mut escaped = String::with_capacity(event.len());
    for c in line.chars() {
        if c.is_control() || is_invisible(c) {
            // Writing to a string does not fail.
            let _written = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped.push_str(end);
    escaped
}

/// Characters that turn the direction of a text, end lines or hide; all are below U+10000.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, directives: &str, log: impl FnOnce()) -> String {
        let page = Page::default();
        let writer = page.clone();
        tracing::subscriber::with_default(subscriber(format, directives, move || writer.clone()).unwrap(), log);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    const FORGED: &str = "x\n2026-01-01 INFO fine\u{1b}[2J\u{9b}1m\u{202e}\r\0";

    #[test]
    fn nothing_from_outside_forges_a_line_or_steers_a_terminal() {
        for format in [Format::Json, Format::Text] {
            let text = logged(format, "info", || tracing::info!(field = %FORGED, debug = ?FORGED, "{FORGED}"));
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(text.ends_with('\n'));
            assert!(!text.trim_end_matches('\n').chars().any(|c| c.is_control() || is_invisible(c)), "{text:?}");
        }
    }

    #[test]
    fn json_says_what_was_logged() {
        let text = logged(Format::Json, "info", || tracing::warn!(error = %FORGED, count = 3, "failed"));
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["message"], "failed");
        assert_eq!(event["count"], 3);
        assert_eq!(event["error"], FORGED);
        assert!(event["timestamp"].is_string());
    }

    #[test]
    fn libraries_that_log_secrets_are_held_at_info() {
        for directives in ["trace", "info,hyper=trace,oci_client::client=trace"] {
            let text = logged(Format::Text, directives, || {
                tracing::debug!(target: "hyper", "secret");
                tracing::debug!(target: "oci_client::client", "secret");
                tracing::info!(target: "hyper", "plain");
            });
            assert!(text.contains("plain") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn directives_choose_levels_by_target() {
        let text = logged(Format::Text, "warn,sealgate::registry=debug", || {
            tracing::info!(target: "sealgate::gate", "one");
            tracing::debug!(target: "sealgate::registry", "two");
            tracing::error!(target: "sealgate::gate", "three");
        });
        assert!(!text.contains("one") && text.contains("two") && text.contains("three"), "{text}");
    }

    #[test]
    fn what_is_no_directive_is_bad_usage() {
        for directives in ["loud=very", "info,=", "sealgate=9x"] {
            let problem = subscriber(Format::Json, directives, io::stderr).err().unwrap();
            assert_eq!(problem.code, ErrorCode::Usage, "{directives}");
        }
    }
}
