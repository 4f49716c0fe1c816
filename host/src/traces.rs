//! Traces, for those who want them: a span for each request, for the sandbox's part of it, and
//! for each store that is asked elsewhere; sent to an OpenTelemetry collector.
//!
//! Nothing waits for the collector. Spans go to a thread of their own, which sends them a batch
//! at a time; what it does not get rid of in time is dropped. No span says what was asked or
//! answered, or has a session's id.

use std::{
    borrow::Cow,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _, TracerProvider as _},
};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    resource::EnvResourceDetector,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanLimits,
    },
};

/// Where traces go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSettings {
    /// The collector. Without a path, spans go to `/v1/traces`.
    pub collector: Uri,
    /// Which part of the requests is traced that come without a trace: from 0 to 1. Those that
    /// come with one are traced where that is. Default is 1.
    pub ratio: f64,
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[error("traces can't be sent to {collector}; --otlp names another collector")]
pub struct TracesError {
    collector: Uri,
    #[source]
    source: ExporterBuildError,
}

/// Spans that wait to be sent, at most. Where the collector does not keep up, further ones are
/// dropped.
const WAITING_SPANS: usize = 16 << 10;

/// Spans that are sent at a time.
const BATCH: usize = 512;

/// How often what there is is sent.
const PAUSE: Duration = Duration::from_secs(1);

/// For the collector to take a batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of the collector's answer that are read.
const MAX_ANSWER: u64 = 64 << 10;

/// Where spans stand.
const TRACES_PATH: &str = "/v1/traces";

/// Makes spans, and sends them to a collector.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Traces {
    /// Sends spans to a collector, whether it is there or not.
    ///
    /// # Errors
    /// The collector's URL is none to send to.
    pub fn start(settings: &TraceSettings) -> Result<Self, TracesError> {
        let collector = &settings.collector;
        let endpoint = match collector.path() {
            "" | "/" => format!(
                "{}{TRACES_PATH}",
                collector.to_string().trim_end_matches('/')
            ),
            _ => collector.to_string(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|source| TracesError {
                collector: collector.clone(),
                source,
            })?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING_SPANS)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(PAUSE)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let ratio = Box::new(Sampler::TraceIdRatioBased(settings.ratio));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(ratio))
            .with_span_limits(SpanLimits::default())
            .with_resource(resource())
            .build();
        Ok(Self {
            tracer: provider.tracer("tenantry"),
            provider,
            propagator: TraceContextPropagator::new(),
        })
    }

    /// A request that began so long ago: a part of the trace that its headers name, or of a new
    /// one where they name none.
    pub(crate) fn request(&self, headers: &HeaderMap, ago: Duration) -> Context {
        let headers = HeaderExtractor(headers);
        let parent = self
            .propagator
            .extract_with_context(&Context::new(), &headers);
        let now = SystemTime::now();
        let span = self
            .tracer
            .span_builder("request")
            .with_kind(SpanKind::Server)
            .with_start_time(now.checked_sub(ago).unwrap_or(now));
        let span = span.start_with_context(&self.tracer, &parent);
        parent.with_span(span)
    }

    /// A part of what the calling thread is doing; none where that is not traced.
    pub(crate) fn part(&self, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Option<Part> {
        Context::map_current(|context| {
            if !context.span().span_context().is_sampled() {
                return None;
            }
            let span = self.tracer.span_builder(name).with_kind(kind);
            let span = span.start_with_context(&self.tracer, context);
            Some(Part(context.with_span(span)))
        })
    }

    /// Sends what there is, which may take so long, and no more after that.
    pub fn stop(&self, time: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(time) {
            tracing::warn!(%error, "not all traces were sent");
        }
    }
}

/// What all spans of this process say: which service and which instance of it they are from.
/// `OTEL_RESOURCE_ATTRIBUTES` adds to that or changes it, and `OTEL_SERVICE_NAME` has the last
/// word on the name, as OpenTelemetry has it.
fn resource() -> Resource {
    let mut resource = Resource::builder_empty()
        .with_service_name("tenantry")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance_id()))
        .with_detector(Box::new(EnvResourceDetector::new()));
    let name = std::env::var("OTEL_SERVICE_NAME").ok();
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        resource = resource.with_service_name(name);
    }
    resource.build()
}

/// Tells this process from all others, those before it included: a random UUID.
fn instance_id() -> String {
    crate::random::session_id().to_string()
}

/// A span; it ends when this is dropped.
pub(crate) struct Part(Context);

impl Part {
    /// What is done within it is a part of it.
    pub(crate) fn context(&self) -> &Context {
        &self.0
    }

    pub(crate) fn set(&self, name: &'static str, value: &'static str) {
        self.0.span().set_attribute(KeyValue::new(name, value));
    }

    /// It failed, in this way.
    pub(crate) fn failed(&self, how: &'static str) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("error.type", how));
        span.set_status(Status::error(how));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.span().end();
    }
}

/// The methods that HTTP names itself; what else a client has made up is not told.
fn known(method: &http::Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "TRACE"
        | "CONNECT") => known,
        _ => "_OTHER",
    }
}

/// The trace of a request with this context, where it is traced.
pub(crate) fn trace_id(context: &Context) -> Option<TraceId> {
    let span = context.span();
    let context = span.span_context();
    context.is_sampled().then(|| context.trace_id())
}

/// What a span says of a request and its answer.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a http::Method,
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) request_id: &'a str,
}

/// The request of this context is answered.
pub(crate) fn answered(context: &Context, answered: &Answered<'_>) {
    let Answered {
        method,
        route,
        status,
        tenant,
        request_id,
    } = *answered;
    let span = context.span();
    if span.is_recording() {
        let method = known(method).to_owned();
        span.update_name(format!("{method} {route}"));
        span.set_attribute(KeyValue::new("http.request.method", method));
        span.set_attribute(KeyValue::new("http.route", route));
        let code = i64::from(status);
        span.set_attribute(KeyValue::new("http.response.status_code", code));
        let request_id = request_id.to_owned();
        span.set_attribute(KeyValue::new("tenantry.request.id", request_id));
        if let Some(tenant) = tenant {
            span.set_attribute(KeyValue::new("tenantry.tenant.id", tenant.to_owned()));
        }
        if status >= 500 {
            span.set_attribute(KeyValue::new("error.type", status.to_string()));
            span.set_status(Status::error(""));
        }
    }
    span.end();
}

/// Runs `future` within this context, wherever it is polled.
pub(crate) async fn within<F: Future>(context: Option<&Context>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let _attached = context.map(|context| context.clone().attach());
        future.as_mut().poll(cx)
    })
    .await
}

/// Sends batches, on the thread that calls it.
#[derive(Debug)]
struct Client {
    agent: ureq::Agent,
    has_failed: AtomicBool,
}

impl Client {
    fn new() -> Self {
        let agent = ureq::Agent::config_builder()
            // The collector is named, and is not somewhere else.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            agent: agent.into(),
            has_failed: AtomicBool::new(false),
        }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, body.to_vec());
        let (head, mut body) = self.agent.run(request)?.into_parts();
        let body = body.with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.send(request);
        let problem = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        // Said once, and not for each batch.
        match problem {
            Some(reason) => {
                if !self.has_failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!(reason, "traces can't be sent, and are dropped");
                }
            }
            None => {
                if self.has_failed.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces are sent again");
                }
            }
        }
        sent
    }
}
