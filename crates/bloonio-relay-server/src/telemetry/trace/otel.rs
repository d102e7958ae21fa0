//! Traces by OpenTelemetry, over OTLP in protobuf.
//!
//! Spans say what log lines say, and no more: they have the same fields, and what is never logged is in no span.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Filtered, Targets};
use tracing_subscriber::registry::LookupSpan;

/// Decisions whose callbacks have not been made yet, at most; of more, the oldest begin traces of their own.
const MOST_CARRIED: usize = 4_096;
/// A collector that does not answer holds up nothing but its own spans.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What the end of the process waits for the last spans.
const LAST: Duration = Duration::from_secs(1);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The layer of the log's subscriber that makes spans of the relay's spans, and of theirs alone.
pub type TraceLayer<S> = Filtered<OpenTelemetryLayer<S, SdkTracer>, Targets, S>;

/// The layer, if a collector is named. To be called within the runtime, which sends the spans.
///
/// # Errors
/// Why the exporter cannot be built, such as an endpoint that is no URL.
pub fn layer<S>() -> anyhow::Result<Option<TraceLayer<S>>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if !super::is_wanted() {
        return Ok(None);
    }
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT);
    let sender = Sender { http: http.build()?, runtime: Handle::try_current()? };
    let exporter =
        SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_http_client(sender).build()?;
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES may say more.
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
    let resource = Resource::builder();
    let resource = if named { resource } else { resource.with_service_name("bloonio-relay") };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let tracer = PROVIDER.get_or_init(|| provider).tracer("bloonio-relay-server");
    let own = Targets::new().with_target("bloonio", Level::INFO).with_target("bloonio_relay_server", Level::DEBUG);
    Ok(Some(
        tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false).with_filter(own),
    ))
}

/// The exporter works on a thread of its own; what it sends is sent by the relay's runtime.
#[derive(Debug)]
struct Sender {
    http: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request.try_into()?).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut response = Response::new(answer.bytes().await?);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok::<_, reqwest::Error>(response)
        });
        Ok(sent.await??)
    }
}

/// Makes `span` a part of the caller's trace, if it names one.
pub fn accept(span: &Span, headers: &HeaderMap) {
    let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
    set_parent(span, caller);
}

/// The trace of now is to go on in the callback `delivery_id`.
pub fn carry(delivery_id: &str) {
    let now = Span::current().context();
    if now.span().span_context().is_valid() {
        carried().keep(delivery_id, now);
    }
}

/// Makes `span` a part of the trace that is carried for `delivery_id`.
pub fn follow(span: &Span, delivery_id: &str) {
    if let Some(carried) = carried().take(delivery_id) {
        set_parent(span, carried);
    }
}

/// Names the trace of now to whoever gets `headers`.
pub fn inject(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut HeaderInjector(headers));
}

/// Sends what is not sent yet, for a second at most.
pub async fn stop() {
    let Some(provider) = PROVIDER.get() else { return };
    let last = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(LAST));
    if !matches!(last.await, Ok(Ok(()))) {
        tracing::warn!("the last spans could not be sent");
    }
}

fn set_parent(span: &Span, parent: Context) {
    if parent.span().span_context().is_valid() {
        // Fails for a span that no layer wants.
        let _ = span.set_parent(parent);
    }
}

/// Traces on their way from decisions to callbacks.
#[derive(Debug, Default)]
struct Carried {
    contexts: HashMap<String, Context>,
    order: VecDeque<String>,
}

impl Carried {
    fn keep(&mut self, delivery_id: &str, context: Context) {
        if self.contexts.insert(delivery_id.to_owned(), context).is_none() {
            self.order.push_back(delivery_id.to_owned());
        }
        while self.order.len() > MOST_CARRIED {
            if let Some(oldest) = self.order.pop_front() {
                self.contexts.remove(&oldest);
            }
        }
    }

    fn take(&mut self, delivery_id: &str) -> Option<Context> {
        let found = self.contexts.remove(delivery_id)?;
        self.order.retain(|kept| kept != delivery_id);
        Some(found)
    }
}

fn carried() -> std::sync::MutexGuard<'static, Carried> {
    static CARRIED: OnceLock<Arc<Mutex<Carried>>> = OnceLock::new();
    CARRIED.get_or_init(Arc::default).lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_is_bounded_and_given_once() {
        let mut carried = Carried::default();
        for n in 0..MOST_CARRIED + 10 {
            carried.keep(&format!("dlv_{n}"), Context::new());
        }
        assert_eq!((carried.contexts.len(), carried.order.len()), (MOST_CARRIED, MOST_CARRIED));
        assert!(carried.take("dlv_9").is_none(), "the oldest are gone");
        assert!(carried.take("dlv_10").is_some());
        assert!(carried.take("dlv_10").is_none());
        assert_eq!(carried.contexts.len(), carried.order.len());
    }
}
