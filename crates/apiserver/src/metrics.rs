//! What the server counts, for `/metrics`.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// What tells requests apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The verb.
    pub verb: String,
    /// The API group; empty for core.
    pub group: String,
    /// The kind's plural; empty for requests that are not about objects.
    pub resource: String,
    /// The response's code.
    pub code: u16,
}

/// What tells durations apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DurationLabels {
    /// The verb.
    pub verb: String,
    /// The kind's plural; empty for requests that are not about objects.
    pub resource: String,
}

/// The server's own metrics. The names are those of Kubernetes' API server where it has the same.
pub struct Metrics {
    registry: Registry,
    /// How many requests were answered.
    pub requests: Family<RequestLabels, Counter>,
    /// How long they took, in seconds; watches are left out.
    pub durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    /// How many requests are being worked on.
    pub in_flight: Gauge,
    /// How many watches are open.
    pub watches: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        let durations = Family::new_with_constructor(buckets);
        let (in_flight, watches) = (Gauge::default(), Gauge::default());
        registry.register("apiserver_request", "Requests answered", requests.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "Time to answer, without watches",
            durations.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests being worked on",
            in_flight.clone(),
        );
        registry.register(
            "apiserver_longrunning_requests",
            "Open watches",
            watches.clone(),
        );
        Self {
            registry,
            requests,
            durations,
            in_flight,
            watches,
        }
    }
}

impl Metrics {
    /// Everything in the text format that Prometheus reads, with these lines of the moment after it.
    pub fn render(&self, moment: &[(&str, &str, u64)]) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        let end = text.rfind("# EOF").unwrap_or(text.len());
        text.truncate(end);
        for (name, help, value) in moment {
            text.push_str(&format!(
                "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}\n"
            ));
        }
        text.push_str("# EOF\n");
        text
    }
}
