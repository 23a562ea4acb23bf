//! The metrics of the contract. Labels come from closed enums and configured names only, so that their number is bounded.
//!
//! Each gate has a registry of its own: a gate that goes takes its series along.

pub mod gate;
pub mod labels;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::Timestamp;
use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::outcome::{Cache, Event, HookResult, Observer};

pub use gate::GateMetrics;
pub use labels::{Drift, Stage, State, Step, Success};

/// The label of registries that the configuration does not name.
const OTHER: &str = "other";
/// Seconds: from one request on loopback to a decision that used up its time.
const BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The metrics of one process.
pub struct Metrics {
    registry: Registry,
    gates: Mutex<BTreeMap<String, Arc<GateMetrics>>>,
    hosts: RwLock<BTreeSet<String>>,
    requests: IntCounterVec,
    request_durations: HistogramVec,
    lookups: IntCounterVec,
    roots: Roots,
    hooks: IntCounterVec,
    history_faults: IntGaugeVec,
}

/// The trust roots that are kept up to date; a series each from the first time that one is used.
struct Roots {
    refreshed: prometheus::IntGaugeVec,
    expiry: prometheus::IntGaugeVec,
    refreshes: IntCounterVec,
}

impl Roots {
    fn new(set: &Set<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            refreshed: set.gauge(
                "trust_root_refreshed_timestamp_seconds",
                "When a trust root was last refreshed from its mirror; 0 where it never was.",
                &["root"],
            )?,
            expiry: set.gauge(
                "trust_root_expiry_timestamp_seconds",
                "Until when a trust root may be relied on.",
                &["root"],
            )?,
            refreshes: set.counter(
                "trust_root_refresh_total",
                "Attempts to refresh a trust root from its mirror.",
                &["root", "result"],
            )?,
        })
    }

    fn known(&self, root: &str, refreshed: Option<Timestamp>, good_until: Option<Timestamp>) {
        let seconds = |time: Option<Timestamp>| time.map_or(0, Timestamp::as_second);
        self.refreshed.with_label_values(&[root]).set(seconds(refreshed));
        self.expiry.with_label_values(&[root]).set(seconds(good_until));
        for success in Success::ALL {
            self.refreshes.with_label_values(&[root, success.name()]);
        }
    }
}

impl Metrics {
    /// The process-wide metrics, with no gate yet.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let set = Set { registry: &registry, gate: None };
        let metrics = Self {
            requests: set.counter(
                "registry_requests_total",
                "Requests to registries; code 0 where no answer came.",
                &["registry", "operation", "code"],
            )?,
            request_durations: set.histogram(
                "registry_request_duration_seconds",
                "Time of a request to a registry.",
                &["registry", "operation", "code"],
                BUCKETS,
            )?,
            roots: Roots::new(&set)?,
            lookups: set.counter("cache_lookups_total", "Looks into caches.", &["cache", "result"])?,
            hooks: set.counter("hook_requests_total", "Push events.", &["result"])?,
            history_faults: set.gauge(
                "history_faults",
                "Entries of the decision log that are altered or missing, as found at the start.",
                &[],
            )?,
            gates: Mutex::default(),
            hosts: RwLock::default(),
            registry,
        };
        let info = Gauge::with_opts(
            Opts::new("sealgate_build_info", "1, with the version and revision of this program.")
                .const_label("version", env!("CARGO_PKG_VERSION"))
                .const_label("revision", option_env!("SEALGATE_REVISION").unwrap_or("unknown")),
        )?;
        info.set(1.0);
        metrics.registry.register(Box::new(info))?;
        for result in HookResult::ALL {
            metrics.hooks.with_label_values(&[result.name()]);
        }
        metrics.history_faults(0);
        for cache in Cache::ALL {
            for result in ["hit", "miss"] {
                metrics.lookups.with_label_values(&[cache.name(), result]);
            }
        }
        Ok(metrics)
    }

    /// What is altered or missing in the decision log.
    pub fn history_faults(&self, count: usize) {
        self.history_faults.with_label_values::<&str>(&[]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Names the configured registries: all others share one label.
    pub fn name_registries(&self, hosts: BTreeSet<String>) {
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// The metrics of a gate, with every series at zero where the gate is new.
    ///
    /// # Errors
    /// When a metric cannot be made.
    pub fn gate(&self, name: &str) -> Result<Arc<GateMetrics>, prometheus::Error> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(name) {
            return Ok(Arc::clone(gate));
        }
        let gate = Arc::new(GateMetrics::new(name)?);
        gates.insert(name.to_owned(), Arc::clone(&gate));
        Ok(gate)
    }

    /// Drops the series of all gates but these.
    pub fn keep_gates(&self, names: &BTreeSet<String>) {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| names.contains(name));
    }

    /// All series in the text format of Prometheus.
    ///
    /// # Errors
    /// When a metric cannot be written as text.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        for gate in self.gates.lock().unwrap_or_else(PoisonError::into_inner).values() {
            families.extend(gate.gather());
        }
        families.extend(ProcessCollector::for_self().collect());
        TextEncoder::new().encode_to_string(&merged(families))
    }
}

/// The same metric of several gates becomes one family, as the text format demands.
fn merged(families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    let mut by_name = BTreeMap::<String, MetricFamily>::new();
    for mut family in families {
        match by_name.get_mut(family.name()) {
            Some(known) => known.mut_metric().append(family.mut_metric()),
            None => {
                by_name.insert(family.name().to_owned(), family);
            }
        }
    }
    by_name.into_values().collect()
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::RegistryRequest { registry, operation, code, duration } => {
                let known = self.hosts.read().unwrap_or_else(PoisonError::into_inner).contains(*registry);
                let labels = [if known { registry } else { OTHER }, operation.name(), &code_label(*code)];
                self.requests.with_label_values(&labels).inc();
                self.request_durations.with_label_values(&labels).observe(duration.as_secs_f64());
            }
            Event::Hook { result } => self.hooks.with_label_values(&[result.name()]).inc(),
            Event::CacheLookup { cache, hit } => {
                self.lookups.with_label_values(&[cache.name(), if *hit { "hit" } else { "miss" }]).inc();
            }
            Event::TrustRoot { root, refreshed, good_until } => self.roots.known(root, *refreshed, *good_until),
            Event::TrustRootRefresh { root, succeeded } => {
                let success = if *succeeded { Success::Ok } else { Success::Failed };
                self.roots.refreshes.with_label_values(&[*root, success.name()]).inc();
            }
        }
    }
}

/// The codes that registries use; what a hostile one makes up counts as its class.
fn code_label(code: u16) -> String {
    match code {
        0 | 200 | 206 | 301..=303 | 307 | 308 | 400 | 401 | 403..=406 | 408 | 416 | 429 | 500..=504 => code.to_string(),
        100..=599 => format!("{}xx", code / 100),
        _ => OTHER.to_owned(),
    }
}

/// Makes metrics with our prefix in one registry; with the gate as a constant label, where there is one.
struct Set<'a> {
    registry: &'a Registry,
    gate: Option<&'a str>,
}

impl Set<'_> {
    fn options(&self, name: &str, help: &str) -> Opts {
        let options = Opts::new(format!("sealgate_{name}"), help);
        match self.gate {
            Some(gate) => options.const_label("gate", gate),
            None => options,
        }
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        let metric = IntCounterVec::new(self.options(name, help), labels)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        let metric = IntGaugeVec::new(self.options(name, help), labels)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts { common_opts: self.options(name, help), buckets: buckets.to_vec() };
        let metric = HistogramVec::new(options, labels)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_goes_takes_its_series_along() {
        let metrics = Metrics::new().unwrap();
        metrics.gate("a").unwrap();
        metrics.gate("b").unwrap();
        let text = metrics.text().unwrap();
        assert!(text.contains("sealgate_gate_state{gate=\"a\",state=\"pass\"} 0"), "{text}");
        assert_eq!(text.matches("# TYPE sealgate_gate_state gauge").count(), 1);
        metrics.keep_gates(&BTreeSet::from(["b".to_owned()]));
        let text = metrics.text().unwrap();
        assert!(!text.contains("gate=\"a\"") && text.contains("gate=\"b\""), "{text}");
    }

    #[test]
    fn every_reason_has_a_series_from_the_start() {
        let metrics = Metrics::new().unwrap();
        metrics.gate("a").unwrap();
        let text = metrics.text().unwrap();
        for reason in crate::reason::Reason::ALL {
            assert!(text.contains(&format!("reason=\"{}\"", reason.code())), "{reason}");
        }
    }

    #[test]
    fn unknown_registries_share_a_label() {
        let metrics = Metrics::new().unwrap();
        metrics.name_registries(BTreeSet::from(["known.example".to_owned()]));
        for registry in ["known.example", "a.example", "b.example"] {
            metrics.observe(&Event::RegistryRequest {
                registry,
                operation: crate::outcome::RegistryOperation::Blob,
                code: 299,
                duration: std::time::Duration::from_millis(1),
            });
        }
        let text = metrics.text().unwrap();
        assert!(
            text.contains("sealgate_registry_requests_total{code=\"2xx\",operation=\"blob\",registry=\"other\"} 2")
        );
        assert!(text.contains("registry=\"known.example\"} 1"));
    }
}
