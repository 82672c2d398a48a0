//! Metrics of a running collective for Prometheus.
//!
//! `cargo run --release --example metrics` serves `/metrics` on a port of this machine while a
//! workflow runs, scrapes itself, and prints the last answer. `--listen 127.0.0.1:9400 --serve-s 600`
//! goes on for ten minutes, for a Prometheus of yours. Figures are read from the collective's own
//! statistics when they are asked for: between scrapes nothing is kept twice. The example fails where
//! the last scrape says something else than the collective.

mod http;

use agent_collective::TeamReport;
use clap::Parser;
use neurectomy::{Collective, CollectiveConfig};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The type of the text that Prometheus reads.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the metrics of a collective at work.
#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Seconds to go on after the workflow has ended.
    #[arg(long, default_value_t = 0)]
    serve_s: u64,
    /// Files and folders to work through; by default this repository's documents.
    inputs: Vec<PathBuf>,
    /// Tokens that the model writes for each document.
    #[arg(long, default_value_t = 4)]
    tokens: usize,
}

/// Reads the collective's statistics at each scrape.
#[derive(Debug)]
struct Statistics(Arc<Collective>);

/// A figure of a team.
type Figure = fn(&TeamReport) -> f64;

/// Sums that only grow.
const COUNTERS: [(&str, &str, Figure); 4] = [
    (
        "neurectomy_tasks_completed",
        "Tasks that returned a value",
        |team| whole(team.completed),
    ),
    ("neurectomy_tasks_failed", "Tasks that panicked", |team| {
        whole(team.failed)
    }),
    (
        "neurectomy_running_seconds",
        "Time inside tasks that did not wait",
        |team| team.running.as_secs_f64(),
    ),
    (
        "neurectomy_queued_seconds",
        "Time between acceptance and start",
        |team| team.queued.as_secs_f64(),
    ),
];
/// Figures that go up and down.
const GAUGES: [(&str, &str, Figure); 2] = [
    ("neurectomy_queue_depth", "Tasks in the queue now", |team| {
        whole(team.queue_depth as u64)
    }),
    (
        "neurectomy_task_p99_seconds",
        "99 of 100 tasks took no longer",
        |team| team.run_latency.p99.as_secs_f64(),
    ),
];

#[expect(clippy::cast_precision_loss, reason = "counts below 2^52")]
fn whole(count: u64) -> f64 {
    count as f64
}

impl Collector for Statistics {
    fn encode(
        &self,
        mut encoder: DescriptorEncoder<'_>,
    ) -> std::result::Result<(), std::fmt::Error> {
        let report = self.0.statistics();
        for (name, help, figure) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for team in &report.teams {
                let labels = [("team", team.name.as_str())];
                ConstCounter::new(figure(team)).encode(metric.encode_family(&labels)?)?;
            }
        }
        for (name, help, figure) in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for team in &report.teams {
                let labels = [("team", team.name.as_str())];
                ConstGauge::new(figure(team)).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Answers each connection with the metrics, or says what there is.
fn serve(listener: &TcpListener, registry: &Registry) {
    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(|stream| one(&stream, registry)) {
            eprintln!("metrics: {error}");
        }
    }
}

fn one(stream: &TcpStream, registry: &Registry) -> std::io::Result<()> {
    let request = http::read(stream)?;
    if !request.first_line.starts_with("GET /metrics ") {
        return http::answer(stream, "404 Not Found", "text/plain", b"see /metrics\n");
    }
    let mut text = String::new();
    encode(&mut text, registry).map_err(std::io::Error::other)?;
    http::answer(stream, "200 OK", TEXT, text.as_bytes())
}

fn scrape(url: &str) -> Result<String> {
    let (status, body) = http::call(url, "text/plain", None)?;
    let text = String::from_utf8(body)?;
    if status == 200 {
        Ok(text)
    } else {
        Err(format!("{url} answered {status}: {text}").into())
    }
}

/// The figure of a team in a scraped text.
fn figure(text: &str, name: &str, team: &str) -> Option<f64> {
    let begin = format!("{name}{{team=\"{team}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&begin))?;
    value.trim().parse().ok()
}

fn main() -> Result<()> {
    let options = Options::parse();
    let vault = tempfile::tempdir()?;
    let config = CollectiveConfig::new(vault.path())
        .model_path(neurectomy_examples::shipped_model())
        .continuation_tokens_max(options.tokens);
    let collective = Arc::new(Collective::open(config)?);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Statistics(Arc::clone(&collective))));
    let listener = TcpListener::bind(options.listen)?;
    let url = format!("http://{}/metrics", listener.local_addr()?);
    println!("serving {url}");
    std::thread::spawn(move || serve(&listener, &registry));

    let inputs = if options.inputs.is_empty() {
        vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")]
    } else {
        options.inputs.clone()
    };
    let scrapes = watch(&url, || {
        let report = collective.run_workflow(&inputs, Arc::new(()))?;
        match report.failures.first() {
            Some(failure) => Err(failure.error.clone().into()),
            None => Ok(()),
        }
    })?;
    let last = scrape(&url)?;
    print!("{last}");
    println!("scraped {} times", scrapes + 1);
    for team in &collective.statistics().teams {
        let said = figure(&last, "neurectomy_tasks_completed_total", &team.name);
        if said != Some(whole(team.completed)) {
            let (name, completed) = (&team.name, team.completed);
            return Err(format!("{name}: scraped {said:?}, completed {completed}").into());
        }
    }
    std::thread::sleep(Duration::from_secs(options.serve_s));
    Ok(())
}

/// Does the work and scrapes every 100 ms meanwhile; returns how often.
fn watch(url: &str, work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut scrapes = 0;
            while !is_done.load(Ordering::Acquire) {
                if let Err(error) = scrape(url) {
                    return Err(error.to_string());
                }
                scrapes += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(scrapes)
        });
        let worked = work();
        is_done.store(true, Ordering::Release);
        let scrapes = scraper.join().map_err(|_| "the scraper panicked")?;
        worked?;
        Ok(scrapes?)
    })
}
