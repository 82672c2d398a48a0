//! Spans of a workflow's tasks, sent to an OpenTelemetry collector.
//!
//! `cargo run --release --example traces` starts a collector of its own, which keeps what it receives,
//! and prints the spans by team. `--endpoint http://localhost:4318/v1/traces` sends them to yours
//! (OTLP over HTTP, protobuf). agent-collective makes a span `task` for each task; nothing in the
//! workflow knows about OpenTelemetry. The example fails where a task's span did not arrive.

mod http;

use clap::Parser;
use neurectomy::{Collective, CollectiveConfig};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use prost::Message as _;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Spans that may wait for the collector; more would be dropped.
const SPANS_MAX: usize = 1 << 16;

/// Sends the spans of a workflow to a collector.
#[derive(Parser)]
struct Options {
    /// The collector; without one, the example starts one of its own.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Files and folders to work through; by default this repository's documents.
    inputs: Vec<PathBuf>,
    /// Tokens that the model writes for each document.
    #[arg(long, default_value_t = 4)]
    tokens: usize,
}

/// What a span says, as far as the table needs it.
struct Received {
    name: String,
    team: String,
    milliseconds: f64,
}

/// A collector that keeps all spans.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Received>>>,
}

impl Collector {
    /// Listens on a free port of this machine and returns where.
    fn start(&self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/v1/traces", listener.local_addr()?);
        let collector = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let served = stream.and_then(|stream| match collector.take(&stream) {
                    Ok(()) => http::answer(&stream, "200 OK", "application/x-protobuf", &[]),
                    Err(error) => {
                        let message = error.to_string();
                        http::answer(&stream, "400 Bad Request", "text/plain", message.as_bytes())
                    }
                });
                if let Err(error) = served {
                    eprintln!("collector: {error}");
                }
            }
        });
        Ok(url)
    }

    fn take(&self, stream: &std::net::TcpStream) -> Result<()> {
        let message = http::read(stream)?;
        if !message.first_line.starts_with("POST /v1/traces ") {
            return Err(format!("not a request for traces: {}", message.first_line).into());
        }
        let request = ExportTraceServiceRequest::decode(message.body.as_slice())?;
        let scopes = request.resource_spans.into_iter();
        let spans = scopes
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans);
        let mut kept = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(spans.map(received));
        Ok(())
    }
}

fn received(span: Span) -> Received {
    let team = span.attributes.into_iter().find_map(|attribute| {
        let value = attribute.value?.value?;
        match value {
            Value::StringValue(team) if attribute.key == "team" => Some(team),
            _ => None,
        }
    });
    let nanoseconds = span
        .end_time_unix_nano
        .saturating_sub(span.start_time_unix_nano);
    #[expect(clippy::cast_precision_loss, reason = "a duration far below 2^52 ns")]
    let milliseconds = nanoseconds as f64 / 1e6;
    Received {
        name: span.name,
        team: team.unwrap_or_default(),
        milliseconds,
    }
}

/// Posts what the exporter has encoded, and keeps the first failure: the exporter only logs it.
#[derive(Debug, Clone, Default)]
struct Client {
    failure: Arc<Mutex<Option<String>>>,
}

impl Client {
    fn failure(&self) -> Option<String> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: Request<Bytes>,
    ) -> std::result::Result<Response<Bytes>, HttpError> {
        let url = request.uri().to_string();
        let called = http::call(&url, "application/x-protobuf", Some(request.body()));
        let failure = match &called {
            Ok((status, _)) if (200..300).contains(status) => None,
            Ok((status, body)) => Some(format!("{status} {}", String::from_utf8_lossy(body))),
            Err(error) => Some(error.to_string()),
        };
        if let Some(failure) = failure {
            let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(format!("{url}: {failure}"));
        }
        let (status, body) = called?;
        Ok(Response::builder().status(status).body(body.into())?)
    }
}

fn provider(endpoint: &str, client: Client) -> Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(endpoint)
        .build()?;
    let config = BatchConfigBuilder::default().with_max_queue_size(SPANS_MAX);
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(config.build())
        .build();
    let resource = Resource::builder().with_service_name("neurectomy").build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_resource(resource)
        .build())
}

fn main() -> Result<()> {
    let options = Options::parse();
    let collector = Collector::default();
    let endpoint = match &options.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => collector.start()?,
    };
    let client = Client::default();
    let provider = provider(&endpoint, client.clone())?;
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("agent_collective"));
    let targets = Targets::new()
        .with_target("agent_collective", LevelFilter::TRACE)
        .with_target("traces", LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .init();

    let tasks = work(&options)?;
    // What still waits is sent.
    let shut_down = provider.shutdown();
    if let Some(failure) = client.failure() {
        return Err(format!("spans were lost: {failure}").into());
    }
    shut_down?;
    println!("{tasks} tasks ended; their spans went to {endpoint}");
    if options.endpoint.is_none() {
        let spans = collector
            .spans
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        print(&spans);
        let arrived = spans.iter().filter(|span| span.name == "task").count() as u64;
        if arrived != tasks {
            return Err(format!("{arrived} spans of tasks arrived, {tasks} tasks ended").into());
        }
    }
    Ok(())
}

/// Runs the workflow and returns how many tasks ended.
fn work(options: &Options) -> Result<u64> {
    let _span = tracing::info_span!(target: "traces", "workflow").entered();
    let inputs = if options.inputs.is_empty() {
        vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")]
    } else {
        options.inputs.clone()
    };
    let vault = tempfile::tempdir()?;
    let config = CollectiveConfig::new(vault.path())
        .model_path(neurectomy_examples::shipped_model())
        .continuation_tokens_max(options.tokens);
    let collective = Collective::open(config)?;
    let report = collective.run_workflow(&inputs, Arc::new(()))?;
    if let Some(failure) = report.failures.first() {
        return Err(failure.error.clone().into());
    }
    let statistics = collective.statistics();
    collective.close()?;
    Ok(statistics.teams.iter().map(|team| team.finished()).sum())
}

fn print(spans: &[Received]) {
    let mut groups: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for span in spans {
        let group = groups.entry((&span.name, &span.team)).or_default();
        group.push(span.milliseconds);
    }
    println!(
        "{:<10} {:<12} {:>7} {:>10} {:>10} {:>10}",
        "span", "team", "count", "p50 ms", "p99 ms", "sum ms"
    );
    for ((name, team), mut times) in groups {
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        let sum: f64 = times.iter().sum();
        println!(
            "{name:<10} {team:<12} {:>7} {:>10.3} {:>10.3} {sum:>10.1}",
            times.len(),
            at(50),
            at(99)
        );
    }
}
