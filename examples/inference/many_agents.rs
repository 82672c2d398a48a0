//! Sixteen agents that share their instructions, served in one batch.
//!
//! `cargo run --release --example many_agents` takes the model that ships with the repository;
//! `-- --model model.gguf` another. The shared prefix is computed once and then restored from the
//! prefix store; how much that saved stands in the last lines.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use ryot_inference::{
    Completion, Engine, EngineConfig, LoadOptions, MemoryPrefixStore, Message, Model, Request,
    Sampling, ServeConfig, Server, Ticket,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What all agents read.
const INSTRUCTIONS: &str =
    "You are one of several agents. Answer in one short paragraph, from the report alone.";
const REPORT: &str = "Here is the report: the northern line carried 14,200 passengers on Monday, \
    13,900 on Tuesday and 15,100 on Wednesday; 2 of its 19 trains were out of service, one for its \
    brakes and one for its doors.";
const QUESTIONS: [&str; 8] = [
    "Question: how many passengers were there on Tuesday?",
    "Question: how many trains were out of service?",
    "Why were trains out of service?",
    "What about Wednesday?",
    "Summarise it.",
    "Question: how many passengers did the northern line carry on Monday?",
    "Question: who drives the trains?",
    "Question: what follows for train 7?",
];

/// Many agents on one model.
#[derive(Parser)]
struct Options {
    /// A GGUF file, or a folder with config.json, tokenizer.json and safetensors; by default the
    /// shipped model.
    #[arg(long, default_value_os_t = neurectomy_examples::shipped_model())]
    model: PathBuf,
    #[arg(long, default_value_t = 16)]
    agents: usize,
    /// Most tokens that an agent generates.
    #[arg(long, default_value_t = 80)]
    max_tokens: usize,
    /// Time between two lines about the throughput, in milliseconds.
    #[arg(long, default_value_t = 50)]
    interval_ms: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let model = Model::load(&options.model, LoadOptions::new())?;
    println!("model: {}", model.info().name);
    let store = Arc::new(MemoryPrefixStore::new(256 << 20));
    let config = EngineConfig::new()
        .prefix_store(store)
        .prefix_block_tokens(16);
    let server = Engine::new(model, config)?.serve(
        ServeConfig::new()
            .batch_max(options.agents)
            .queue_max(options.agents),
    )?;
    let tickets = (0..options.agents)
        .map(|agent| {
            let question = QUESTIONS[agent % QUESTIONS.len()];
            let messages = vec![
                Message::system(INSTRUCTIONS),
                Message::user(format!("{REPORT} {question}")),
            ];
            let request = Request::new(messages)
                .max_tokens(options.max_tokens)
                .sampling(Sampling::random(agent as u64).temperature(0.3));
            server.submit(request)
        })
        .collect::<std::result::Result<Vec<Ticket>, _>>()?;
    throughput(&server, Duration::from_millis(options.interval_ms.max(1)));
    let done = tickets
        .into_iter()
        .map(Ticket::finish)
        .collect::<std::result::Result<Vec<_>, _>>()?;
    table(&done);
    for (completion, question) in done.iter().zip(QUESTIONS) {
        println!("{question}\n    {}", completion.text);
    }
    summary(&server);
    Ok(())
}

/// Prints tokens per second until nothing runs and nothing waits.
fn throughput(server: &Server, interval: Duration) {
    let start = Instant::now();
    let (mut tokens, mut at) = (0, Duration::ZERO);
    println!(
        "\n{:>9} {:>9} {:>8} {:>8}",
        "time, ms", "tokens/s", "running", "waiting"
    );
    loop {
        thread::sleep(interval);
        let (stats, now) = (server.stats(), start.elapsed());
        let rate = (stats.generated_tokens - tokens) as f64 / (now - at).as_secs_f64();
        println!(
            "{:>9} {rate:>9.0} {:>8} {:>8}",
            now.as_millis(),
            stats.running,
            stats.waiting
        );
        (tokens, at) = (stats.generated_tokens, now);
        if stats.running + stats.waiting == 0 {
            return;
        }
    }
}

fn ms(time: Option<Duration>) -> f64 {
    time.map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

/// One line per agent.
fn table(done: &[Completion]) {
    println!(
        "\n{:>5} {:>7} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9}",
        "agent", "prompt", "restored", "tokens", "queue ms", "first ms", "p50 ms", "p99 ms"
    );
    for (agent, completion) in done.iter().enumerate() {
        let m = &completion.metrics;
        println!(
            "{agent:>5} {:>7} {:>9} {:>7} {:>9.2} {:>9.2} {:>9.3} {:>9.3}",
            m.prompt_tokens,
            m.restored_tokens,
            m.generated_tokens,
            ms(Some(m.queue_time)),
            ms(m.time_to_first_token),
            ms(m.inter_token_quantile(0.5)),
            ms(m.inter_token_quantile(0.99)),
        );
    }
}

fn summary(server: &Server) {
    let stats = server.stats();
    println!(
        "\n{} prompt tokens ({:.0} %) were not computed again: another agent had read them",
        stats.restored_tokens,
        100.0 * stats.restored_share().unwrap_or(0.0)
    );
    println!(
        "\n{} tokens in {:.1?}: {:.0} tokens/s, {:.1} requests per step; {} prompt tokens computed; \
         at most {} KiB of keys and values reserved",
        stats.generated_tokens,
        stats.busy,
        stats.tokens_per_second().unwrap_or(0.0),
        stats.batch_mean().unwrap_or(0.0),
        stats.prompt_tokens,
        stats.kv_bytes_reserved_peak >> 10,
    );
}
