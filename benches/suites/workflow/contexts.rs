//! Time to the first token of a context that an earlier request, or an earlier process, has read.
//!
//! Models have random weights of real shapes. The process that restores is another one than the one
//! that read; each answer is compared with that of a model without a store before a row is written.

use neurectomy::prefix::{PrefixConfig, PrefixForm, PrefixStats, VaultPrefixStore};
use neurectomy_bench::models::{LARGE, MEDIUM, Quantisation, Shape, TINY, write_gguf};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use ryot_inference::{Completion, Engine, EngineConfig, LoadOptions, Model, Request, Sampling};
use serde::{Deserialize, Serialize};
use sigma_vault::{Options, UncertainReads, Vault};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;

/// What a process that restores is asked; in its environment, as JSON.
const ASKED: &str = "NEURECTOMY_CONTEXT";
const GENERATED: usize = 4;
/// What is left over from whole blocks is computed, so that short blocks restore more.
const BLOCK_TOKENS: usize = 16;

/// A context to read or to restore.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    model: PathBuf,
    vault: PathBuf,
    tokens: usize,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Answer {
    first_token_ms: f64,
    restored_tokens: usize,
    tokens: Vec<u32>,
}

impl Answer {
    fn of(completion: &Completion) -> Result<Self, BenchError> {
        let first = completion.metrics.time_to_first_token.ok_or("no token")?;
        Ok(Self {
            first_token_ms: first.as_secs_f64() * 1e3,
            restored_tokens: completion.metrics.restored_tokens,
            tokens: completion.tokens.clone(),
        })
    }
}

/// What the environment asks of this process, where it does.
pub(crate) fn asked_of_this_process() -> Option<Asked> {
    let text = std::env::var(ASKED).ok()?;
    serde_json::from_str(&text).ok()
}

/// Restores a context as a process of its own, and prints the answer.
pub(crate) fn answer(asked: &Asked) -> ExitCode {
    let answered = || -> Result<String, BenchError> {
        let (engine, _) = open(asked, &PrefixConfig::new())?;
        Ok(serde_json::to_string(&read(&engine, asked.tokens)?)?)
    };
    match answered() {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("context: {error}");
            ExitCode::FAILURE
        }
    }
}

fn open(
    asked: &Asked,
    config: &PrefixConfig,
) -> Result<(Engine, Arc<VaultPrefixStore>), BenchError> {
    let options = Options::new().uncertain_reads(UncertainReads::Serve);
    let vault = Arc::new(Vault::open(&asked.vault, options)?);
    let store = Arc::new(VaultPrefixStore::open(vault, config.clone())?);
    let model = Model::load(&asked.model, LoadOptions::new())?;
    let config = EngineConfig::new()
        .prefix_store(store.clone())
        .prefix_block_tokens(BLOCK_TOKENS);
    let engine = Engine::new(model, config)?;
    Ok((engine, store))
}

fn read(engine: &Engine, tokens: usize) -> Result<Answer, BenchError> {
    let prompt: Vec<u32> = (0_u32..).map(|i| (i * 7919) % 250).take(tokens).collect();
    let request = Request::new(prompt)
        .max_tokens(GENERATED)
        .sampling(Sampling::greedy());
    Answer::of(&engine.generate(request)?.finish()?)
}

/// The rows of every model and length.
pub(crate) fn measure(suite: &mut Suite) -> Result<(), BenchError> {
    let dir = tempfile::tempdir()?;
    for (name, shape, lengths) in shapes(suite.smoke()) {
        let model = dir.path().join("model.gguf");
        write_gguf(&model, shape, Quantisation::Q8_0, 1)?;
        for tokens in lengths {
            let vault = dir.path().join(format!("{name}-{tokens}"));
            let asked = Asked {
                model: model.clone(),
                vault,
                tokens,
            };
            rows(
                suite,
                &asked,
                shape,
                &format!("{name} Q8_0, context of {tokens}"),
            )?;
        }
        std::fs::remove_file(&model)?;
    }
    Ok(())
}

fn shapes(smoke: bool) -> Vec<(&'static str, Shape, Vec<usize>)> {
    if smoke {
        return vec![("tiny", TINY, vec![100])];
    }
    let mut shapes = vec![("135M", MEDIUM, vec![256, 1000, 2000])];
    if std::env::var_os("NEURECTOMY_LARGE").is_some() {
        shapes.push(("1.2B", LARGE, vec![1000]));
    }
    shapes
}

fn rows(suite: &mut Suite, asked: &Asked, shape: Shape, name: &str) -> Result<(), BenchError> {
    let (engine, store) = open(asked, &PrefixConfig::new())?;
    let computed = read(&engine, asked.tokens)?;
    let memory = read(&engine, asked.tokens)?;
    store.flush()?;
    let lossless = store.stats();
    drop((engine, store));
    // Without memory: what this process has in the file system's cache.
    let (engine, store) = open(asked, &PrefixConfig::new().memory_bytes_max(0))?;
    let warm = read(&engine, asked.tokens)?;
    drop((engine, store));
    let cold = in_another_process(asked)?;
    for (from, answer) in [
        ("memory", &memory),
        ("the vault, same process", &warm),
        ("the vault, another process", &cold),
    ] {
        // A part of a block and the last token are computed.
        if answer.tokens != computed.tokens || 2 * answer.restored_tokens < asked.tokens {
            return Err(format!("{name} from {from}: {answer:?} instead of {computed:?}").into());
        }
        let sooner = computed.first_token_ms / answer.first_token_ms;
        let row = Row::new(
            &format!("{name}, first token sooner, from {from}"),
            "x",
            sooner,
        );
        suite.record(if from.ends_with("another process") && !suite.smoke() {
            row.goal(Goal::OursAtLeast(20.0))
        } else {
            row
        });
    }
    let row = Row::new(&format!("{name}, first token"), "ms", cold.first_token_ms);
    suite.record(row.against("computed", computed.first_token_ms));
    bytes(suite, asked, shape, name, lossless)
}

#[expect(clippy::cast_precision_loss, reason = "bytes")]
fn bytes(
    suite: &mut Suite,
    asked: &Asked,
    shape: Shape,
    name: &str,
    lossless: PrefixStats,
) -> Result<(), BenchError> {
    let head_dim = shape.hidden / shape.heads;
    let bf16 = 2 * 2 * shape.layers * shape.kv_heads * head_dim;
    let mut forms = vec![("lossless", lossless, 0.7)];
    for (form, prefix) in [("int8", PrefixForm::Int8), ("steps", PrefixForm::Steps)] {
        let mut lossy = asked.clone();
        lossy.vault.set_extension(form);
        let (engine, store) = open(&lossy, &PrefixConfig::new().form(prefix))?;
        read(&engine, asked.tokens)?;
        store.flush()?;
        forms.push((form, store.stats(), 0.35));
    }
    for (form, stats, goal) in forms {
        // Tokens are stored beside the numbers, four bytes each.
        let tokens = stats.written_bytes as f64 / (bf16 + 4) as f64;
        let per_token = stats.packed_bytes as f64 / tokens;
        let row = Row::new(
            &format!("{name}, stored a token, {form}"),
            "byte",
            per_token,
        );
        suite.record(
            row.against("bf16", bf16 as f64)
                .goal(Goal::RatioAtMost(goal)),
        );
    }
    Ok(())
}

fn in_another_process(asked: &Asked) -> Result<Answer, BenchError> {
    let output = Command::new(std::env::current_exe()?)
        .env(ASKED, serde_json::to_string(asked)?)
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the process that restores: {}: {said}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
