//! All numbers as Prometheus reads them.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
        NoLabelSet, prometheus_text,
    },
    metrics::MetricType,
    registry::Registry,
};

use super::{
    Metrics,
    health::obstacles,
    histogram::Observed,
    process::Process,
    requests::{METHODS, OfRoute, Route, STATUSES},
    sandboxes::{End, FAULTS, RETIRED, Sum},
    stores::OUTCOMES,
    tenants::Totals,
};
use crate::state::{Stage, State};

/// The type of what [`Exporter::render`] writes.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Writes down what a server counts.
pub struct Exporter {
    state: Arc<State>,
    registry: Registry,
    ready: Arc<super::Gauge>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    /// Writes down what the server with this state counts.
    #[must_use]
    pub fn new(state: Arc<State>) -> Self {
        let ready = Arc::default();
        let mut registry = Registry::default();
        let server = Server {
            state: Arc::clone(&state),
            ready: Arc::clone(&ready),
        };
        let own = registry.sub_registry_with_prefix("tenantry");
        own.register_collector(Box::new(server));
        registry.register_collector(Box::new(Process));
        Self {
            state,
            registry,
            ready,
        }
    }

    /// All numbers of this moment, in Prometheus's text format 0.0.4. Asks the stores whether
    /// they are there, which takes a second at most.
    ///
    /// # Errors
    /// A number could not be written, which none of them causes.
    pub async fn render(&self) -> Result<String, fmt::Error> {
        let is_ready = obstacles(&self.state).await.is_empty();
        self.ready.set(is_ready.into());
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Everything that is about this server.
struct Server {
    state: Arc<State>,
    ready: Arc<super::Gauge>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl Collector for Server {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Writer(encoder);
        let metrics = &*self.state.metrics;
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
            ("commit", tenantry_commit::COMMIT),
        ];
        out.gauges(
            "build_info",
            "Always 1; the labels say what was built.",
            [(labels, 1)],
        )?;
        out.gauge(
            "ready",
            "1 where the server may get requests: it serves, does not drain, and its stores \
             answer.",
            self.ready.get(),
        )?;
        requests(&mut out, metrics)?;
        out.gauge(
            "connections_open",
            "Open connections.",
            metrics.connections.get(),
        )?;
        out.gauge(
            "connections_max",
            "Connections that may be open; further ones wait.",
            metrics.max_connections.get(),
        )?;
        out.gauge(
            "buffered_bytes",
            "Bytes that bodies, answers and buffers of connections hold.",
            metrics.buffered.get(),
        )?;
        out.gauge(
            "buffered_bytes_max",
            "Bytes that they may hold.",
            metrics.max_buffered.get(),
        )?;
        out.counter(
            "connections_evicted",
            "Connections that had to end because others needed their room.",
            metrics.evicted.load(Ordering::Relaxed),
        )?;
        out.gauge(
            "large_requests_waiting",
            "Requests with large bodies that wait for the thread beside their worker.",
            metrics.large_waiting.get(),
        )?;
        sandboxes(&mut out, metrics)?;
        if let Some(held) = self.state.sessions.held() {
            out.gauge(
                "sessions_held",
                "Sessions in memory, ended ones included that were not swept yet.",
                held,
            )?;
        }
        if let Some(sharing) = self.state.limiter.sharing() {
            out.gauge(
                "limits_shared",
                "1 where the limits are counted in Redis, 0 where this server holds them by \
                 itself.",
                u64::from(sharing.is_shared),
            )?;
            out.counters(
                "cache_errors",
                "Questions to Redis, and attempts to connect to it, that failed.",
                [
                    ([("operation", "ask")], sharing.failed_questions),
                    ([("operation", "connect")], sharing.failed_connections),
                ],
            )?;
        }
        if let Some(stages) = self.state.tenants.stages() {
            let stages = Stage::NAMES.iter().zip(stages);
            out.gauges(
                "tenants",
                "Tenants in each stage of their life.",
                stages.map(|((name, _), count)| ([("stage", *name)], count)),
            )?;
        }
        tenants(&mut out, metrics)?;
        stores(&mut out, metrics)?;
        out.gauge(
            "usage_rows_waiting",
            "Rows of usage, one for each tenant and minute, that no store has taken yet.",
            metrics.usage_waiting.get(),
        )?;
        out.counter(
            "usage_rows_lost",
            "Rows of usage that were given up.",
            metrics.usage_lost.load(Ordering::Relaxed),
        )?;
        let reloads = ["refused", "taken"].iter().zip(&metrics.reloads);
        out.counters(
            "config_reloads",
            "Times that the configuration was read anew.",
            reloads
                .map(|(outcome, count)| ([("outcome", *outcome)], count.load(Ordering::Relaxed))),
        )
    }
}

/// Requests of all workers, and what of them is a tenant's business.
fn requests(out: &mut Writer<'_>, metrics: &Metrics) -> fmt::Result {
    let workers = metrics.requests.lock();
    let of = |route: Route| {
        workers
            .iter()
            .filter_map(move |worker| worker.of_route(route))
    };
    let count = |route, method, status| {
        let add = |of_route: &OfRoute| of_route.count(method, status);
        of(route).map(add).sum::<u64>()
    };
    let mut answers = Vec::new();
    let mut durations = Vec::new();
    for (name, route) in Route::NAMES {
        for (method_at, method) in METHODS.into_iter().enumerate() {
            for (status_at, status) in STATUSES.into_iter().enumerate() {
                let count = count(route, method_at, status_at);
                if count > 0 {
                    let status = match status {
                        0 => "other".to_owned(),
                        status => status.to_string(),
                    };
                    let labels = [
                        ("route", name.to_owned()),
                        ("method", method.to_owned()),
                        ("status", status),
                    ];
                    answers.push((labels, count));
                }
            }
        }
        let mut observed = Observed::default();
        of(route).for_each(|of_route| observed.add(&of_route.durations));
        if observed.count() > 0 {
            durations.push(([("route", name)], observed));
        }
    }
    out.counters("http_requests", "Requests that were answered.", answers)?;
    out.histograms(
        "http_request_duration_seconds",
        "Time from the beginning of a request to its answer.",
        durations,
    )?;
    let place = |wanted: u16| STATUSES.iter().position(|status| *status == wanted);
    let posted = |route, status| match (place(status), METHODS.iter().position(|m| *m == "POST")) {
        (Some(status), Some(post)) => count(route, post, status),
        _ => 0,
    };
    out.counter(
        "chats",
        "Chats that were answered.",
        posted(Route::Chat, 200),
    )?;
    out.counter(
        "sessions_opened",
        "Sessions that were opened.",
        posted(Route::Session, 200),
    )?;
    out.counters(
        "limit_refusals",
        "Requests that were refused for a limit of their tenant.",
        [("chats", Route::Chat), ("sessions", Route::Session)]
            .map(|(limit, route)| ([("limit", limit)], posted(route, 429))),
    )
}

fn sandboxes(out: &mut Writer<'_>, metrics: &Metrics) -> fmt::Result {
    let mut sum = Sum::default();
    metrics.pools.lock().iter().for_each(|pool| sum.add(pool));
    out.gauge("sandboxes_live", "Sandboxes that there are.", sum.live())?;
    out.gauge(
        "sandboxes_idle",
        "Sandboxes that no request is using.",
        sum.idle,
    )?;
    out.counter("sandboxes_created", "Sandboxes that were made.", sum.made)?;
    out.counter(
        "sandboxes_evicted",
        "Sandboxes that were given up because another one needed their room.",
        sum.ended(End::Evicted),
    )?;
    out.counters(
        "sandboxes_retired",
        "Sandboxes that were not used again, by why not.",
        RETIRED.map(|(reason, end)| ([("reason", reason)], sum.ended(end))),
    )?;
    let faults = FAULTS.into_iter().zip(sum.faults);
    out.counters(
        "sandbox_faults",
        "Requests that were answered with 500 because their sandbox failed, by how it did.",
        faults.map(|(reason, count)| ([("reason", reason)], count)),
    )
}

/// A number that is told for each tenant: name, help, value.
type OfTenant<T> = (&'static str, &'static str, fn(&Totals) -> T);

fn tenants(out: &mut Writer<'_>, metrics: &Metrics) -> fmt::Result {
    const WHOLE: [OfTenant<u64>; 8] = [
        (
            "tenant_requests",
            "Requests of a tenant that were answered.",
            |totals| totals.traffic.requests,
        ),
        (
            "tenant_errors",
            "Requests of a tenant that were answered with 500 or above.",
            |totals| totals.traffic.errors,
        ),
        (
            "tenant_chats",
            "Chats of a tenant that were answered.",
            |totals| totals.usage.chats,
        ),
        (
            "tenant_limit_refusals",
            "Requests of a tenant that were refused for a limit.",
            |totals| totals.usage.refused,
        ),
        (
            "tenant_sessions_opened",
            "Sessions that a tenant has opened.",
            |totals| totals.usage.sessions,
        ),
        (
            "tenant_received_bytes",
            "Bytes of the bodies of a tenant's requests.",
            |totals| {
                let usage = totals.usage;
                usage.bytes_in.saturating_add(usage.refused_bytes_in)
            },
        ),
        (
            "tenant_refused_bytes",
            "Those of them that were not answered with 2xx.",
            |totals| totals.usage.refused_bytes_in,
        ),
        (
            "tenant_sent_bytes",
            "Bytes of the bodies of the answers to a tenant.",
            |totals| totals.usage.bytes_out,
        ),
    ];
    const SECONDS: [OfTenant<f64>; 2] = [
        (
            "tenant_request_duration_seconds",
            "Time from the beginnings of a tenant's requests to their answers.",
            |totals| totals.traffic.duration_ns as f64 / 1e9,
        ),
        (
            "tenant_busy_seconds",
            "Time that a tenant's sandboxes, or the native engine for it, were at work.",
            |totals| totals.usage.busy_ns as f64 / 1e9,
        ),
    ];
    let tenants = metrics.tenants.lock();
    for (name, help, value) in WHOLE {
        let series = tenants.series();
        out.counters(
            name,
            help,
            series.map(|(id, t)| ([("tenant", id)], value(t))),
        )?;
    }
    for (name, help, value) in SECONDS {
        let series = tenants.series();
        out.counters(
            name,
            help,
            series.map(|(id, t)| ([("tenant", id)], value(t))),
        )?;
    }
    Ok(())
}

fn stores(out: &mut Writer<'_>, metrics: &Metrics) -> fmt::Result {
    let operations = metrics.operations.lock();
    let mut durations = Vec::new();
    for ((store, operation), times) in &*operations {
        let outcomes = OUTCOMES.into_iter().zip(times.outcomes());
        for (outcome, histogram) in outcomes {
            let labels = [
                ("store", *store),
                ("operation", *operation),
                ("outcome", outcome),
            ];
            durations.push((labels, Observed::of(histogram)));
        }
    }
    // Whoever asks for the growth of the errors has to know that there were none.
    let is_told = |(labels, observed): &([(&str, &str); 3], Observed)| {
        labels[2].1 == "error" || observed.count() > 0
    };
    durations.retain(is_told);
    out.histograms(
        "store_operation_duration_seconds",
        "Time that an operation of a store took; what a store in memory answers at once is not \
         counted.",
        durations,
    )
}

/// Writes families of one kind each. Each has its help and type, also where it is empty.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        family.encode_gauge(&value)
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (impl EncodeLabelSet, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (labels, value) in series {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (impl EncodeLabelSet, impl EncodeCounterValue)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (labels, value) in series {
            let mut series = family.encode_family(&labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn histograms(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (impl EncodeLabelSet, Observed)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        for (labels, observed) in series {
            let mut series = family.encode_family(&labels)?;
            series.encode_histogram::<NoLabelSet>(
                observed.sum_ns as f64 / 1e9,
                observed.count(),
                &observed.in_seconds(),
                None,
            )?;
        }
        Ok(())
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}
