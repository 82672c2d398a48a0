//! A conversation with a model: the answer is printed while it is generated.
//!
//! `cargo run --release --example chat`, then one line per turn; or one turn with `--prompt`. The
//! model that ships with the repository answers; it knows agent tasks, tool calls and short reports
//! (try "Count the lines of notes/coast.md that mention retry."). `--model` takes another. A tool
//! call is shown, not run. Speculation is on: what repeats is guessed from the conversation.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use ryot_inference::{
    Engine, EngineConfig, InferError, LoadOptions, MemoryPrefixStore, Message, Model, Prompt,
    Request, Sampling, Speculation, ToolCall,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Talk to a model.
#[derive(Parser)]
struct Options {
    /// A GGUF file, or a folder with config.json, tokenizer.json and safetensors; by default the
    /// shipped model.
    #[arg(long, default_value_os_t = neurectomy_examples::shipped_model())]
    model: PathBuf,
    /// One question; without it, every line of standard input is one.
    #[arg(long)]
    prompt: Option<String>,
    /// Instructions that stand before the conversation.
    #[arg(long)]
    system: Option<String>,
    /// Most tokens per answer.
    #[arg(long, default_value_t = 256)]
    max_tokens: usize,
    /// 0 always takes the most probable token.
    #[arg(long, default_value_t = 0.3)]
    temperature: f32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let model = Model::load(&options.model, LoadOptions::new())?;
    // the next turn begins with what was computed for the last one
    let config = EngineConfig::new()
        .prefix_store(Arc::new(MemoryPrefixStore::new(1 << 30)))
        .prefix_block_tokens(16)
        .prefix_keep_generated(true)
        .speculation(Speculation::prompt_lookup());
    let engine = Engine::new(model, config)?;
    let mut messages: Vec<Message> = Vec::new();
    messages.extend(options.system.as_deref().map(Message::system));
    if let Some(question) = &options.prompt {
        return turn(&engine, &options, &mut messages, question);
    }
    for line in std::io::stdin().lock().lines() {
        turn(&engine, &options, &mut messages, &line?)?;
    }
    Ok(())
}

/// One question and its answer; both join the conversation.
fn turn(
    engine: &Engine,
    options: &Options,
    messages: &mut Vec<Message>,
    question: &str,
) -> Result<()> {
    messages.push(Message::user(question));
    let prompt = match engine.model().chat_prompt(messages) {
        Ok(_) => Prompt::Chat(messages.clone()),
        // a base model goes on with the text
        Err(InferError::MissingChatTemplate) => Prompt::Text(question.to_owned()),
        Err(error) => return Err(error.into()),
    };
    let sampling = Sampling::random(options.seed).temperature(options.temperature);
    let request = Request::new(prompt)
        .max_tokens(options.max_tokens)
        .sampling(sampling);
    let mut generation = engine.generate(request)?;
    let mut answer = String::new();
    for piece in &mut generation {
        let text = piece?.text;
        print!("{text}");
        std::io::stdout().flush()?;
        answer.push_str(&text);
    }
    let metrics = generation.metrics();
    let first = metrics.time_to_first_token.unwrap_or_default();
    println!(
        "\n[{} prompt tokens, {} of them known; first token after {first:.1?}; {:.1} tokens/s; {} of {} \
         guesses kept]",
        metrics.prompt_tokens,
        metrics.restored_tokens,
        metrics.tokens_per_second().unwrap_or(0.0),
        metrics.speculation.accepted,
        metrics.speculation.proposed,
    );
    for call in ToolCall::parse(&answer) {
        println!(
            "[calls {} with {} arguments]",
            call.name,
            call.arguments.len()
        );
    }
    messages.push(Message::assistant(answer));
    Ok(())
}
