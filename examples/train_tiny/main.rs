//! Trains the small models that the other examples use, from text that it makes itself.
//!
//! `cargo run --release --example train_tiny -- --model target --out target/train_tiny` learns for
//! an hour or so on two cores, and goes on where it stood when it is started again; then
//! `--model draft`. `--check` does all of it at a small size in seconds. Written to `--out`:
//! `tokenizer.json`, and for each model a folder with its checkpoint, the loss curve as SVG, the
//! GGUF file and the card. With `RAYON_NUM_THREADS=1` the threads that each compute a part of the
//! batch do not also share one product, which is faster.

mod checkpoint;
mod corpus;
mod export;
mod grammar;
mod net;
mod ngram;
mod ops;
mod optimiser;
mod plot;
mod report;
mod rng;
mod train;
mod vocabulary;

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use ryot_inference::{EncodeOptions, LoadOptions, Model, Request, Sampling};

use checkpoint::Progress;
use corpus::{Corpus, Split};
use net::{Net, Shape};
use optimiser::AdamW;
use train::{Run, Schedule};
use vocabulary::Vocabulary;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Documents from which the vocabulary is learned.
const VOCABULARY_DOCUMENTS: usize = 3000;

/// Factor on the first weights in the check of the derivatives.
const CHECK_SCALE: f64 = 4.0;
/// Largest relative error of a derivative in it.
const CHECK_ERROR_MAX: f64 = 0.03;

/// Train a tiny model.
#[derive(Parser)]
struct Options {
    /// Which of the pair.
    #[arg(long, value_enum, default_value_t = Which::Target)]
    model: Which,
    /// Folder for checkpoints and results; a run in it goes on.
    #[arg(long, default_value = "target/train_tiny")]
    out: PathBuf,
    /// Steps in all; the rate falls to its end over them.
    #[arg(long, default_value_t = 4000)]
    steps: usize,
    /// Windows of 512 tokens per step.
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Highest learning rate.
    #[arg(long, default_value_t = 2e-3)]
    rate: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads that each compute a part of the batch.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Print this many documents of the corpus, and end.
    #[arg(long)]
    show: Option<usize>,
    /// Learn nothing: write the file, the curve and the card of the checkpoint.
    #[arg(long)]
    export: bool,
    /// A tiny network for a few steps, with every check, in a folder of its own.
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Target,
    Draft,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Draft => "draft",
        }
    }

    fn shape(self) -> Shape {
        let target = Shape {
            vocab: 1536,
            context: 512,
            hidden: 192,
            feed_forward: 640,
            layers: 6,
            heads: 6,
            kv_heads: 2,
            head_dim: 32,
        };
        match self {
            Self::Target => target,
            Self::Draft => Shape {
                hidden: 128,
                feed_forward: 352,
                layers: 2,
                heads: 4,
                ..target
            },
        }
    }
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    let mut shape = options.model.shape();
    if options.check {
        options.out = std::env::temp_dir().join(format!("train_tiny-check-{}", std::process::id()));
        (options.steps, options.batch) = (30, 4);
        (shape.vocab, shape.context, shape.hidden, shape.feed_forward) = (640, 64, 64, 96);
        (shape.layers, shape.heads) = (2, 2);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let corpus = Corpus::open(&root, options.seed)?;
    if let Some(count) = options.show {
        corpus.sample(count)?.iter().for_each(|d| println!("{d}\n"));
        return Ok(());
    }
    let folder = options.out.join(options.model.name());
    std::fs::create_dir_all(&folder)?;
    let vocabulary = vocabulary(&corpus, &options.out, shape.vocab)?;
    let (net, optimiser, progress) = match checkpoint::load(&folder)? {
        Some((net, optimiser, progress)) => {
            let same = progress.shape == shape && progress.seed == options.seed;
            if !same || progress.batch != options.batch {
                return Err("the checkpoint has another shape, seed or batch".into());
            }
            println!("going on after step {}", progress.step);
            (net, optimiser, progress)
        }
        None => fresh(shape, &options)?,
    };
    let mut run = Run {
        net,
        optimiser,
        progress,
        corpus: &corpus,
        vocabulary: &vocabulary,
        folder: &folder,
    };
    println!("{} parameters", run.net.count());
    if options.check {
        check_gradient(&run)?;
    }
    if !options.export {
        let schedule = Schedule {
            steps: options.steps,
            rate: options.rate,
            threads: options.threads,
        };
        run.train(&schedule)?;
    }
    finish(&run, options.model, options.check)?;
    if options.check {
        resumes(&run)?;
        std::fs::remove_dir_all(&options.out)?;
    }
    Ok(())
}

fn fresh(shape: Shape, options: &Options) -> Result<(Net, AdamW, Progress)> {
    let net = Net::new(shape.clone(), options.seed)?;
    let optimiser = AdamW::new(&net);
    let progress = Progress {
        shape,
        seed: options.seed,
        batch: options.batch,
        step: 0,
        seconds: 0.0,
        curve: Vec::new(),
    };
    Ok((net, optimiser, progress))
}

/// Holds the derivatives of a network with large weights, where attention is sharp, to differences.
fn check_gradient(run: &Run<'_>) -> Result<()> {
    let net = Net::new(run.progress.shape.clone(), run.progress.seed + 1)?;
    net.scale_matrices(CHECK_SCALE)?;
    let worst = report::check_gradient(&net, &run.held_out_windows(Split::HeldOut, 1)?)?;
    println!("derivatives agree with differences within {worst:.1e}");
    match worst < CHECK_ERROR_MAX {
        true => Ok(()),
        false => Err("a derivative is wrong".into()),
    }
}

/// The vocabulary in `out`; learned if there is none.
fn vocabulary(corpus: &Corpus, out: &Path, size: usize) -> Result<Vocabulary> {
    let path = out.join("tokenizer.json");
    if path.exists() {
        return Vocabulary::load(&path);
    }
    let vocabulary = Vocabulary::train(&corpus.sample(VOCABULARY_DOCUMENTS)?, size)?;
    vocabulary.save(&path)?;
    Ok(vocabulary)
}

/// Writes the GGUF file, the curve and the card, and shows what the model writes.
fn finish(run: &Run<'_>, which: Which, check: bool) -> Result<()> {
    let name = format!("tiny-{}", which.name());
    let file = run.folder.join(format!("{name}.gguf"));
    export::write(&file, &name, &run.net, run.vocabulary)?;
    same_tokens(run, &file)?;
    let held = report::measure(run, &file)?;
    for h in &held {
        println!(
            "{}: loss {:.4}, as written {:.4}, 5-gram {:.4}: perplexity {:.2} times lower",
            h.name,
            h.network,
            h.written,
            h.ngram,
            (h.ngram - h.written).exp()
        );
        if (h.network - h.written).abs() > 0.05 {
            return Err("the written file is not the network that was trained".into());
        }
    }
    let baseline = held.first().map(|h| h.ngram);
    let title = format!("{name}: loss while training");
    plot::curve(
        &run.folder.join("loss.svg"),
        &title,
        &run.progress.curve,
        baseline,
    )?;
    std::fs::write(
        run.folder.join("CARD.md"),
        report::card(run, &name, &file, &held)?,
    )?;
    let curve = &run.progress.curve;
    if let (Some(first), Some(last)) = (curve.first(), curve.last())
        && check
        && last.train >= first.train
    {
        return Err("the loss did not fall".into());
    }
    let model = Model::load(&file, LoadOptions::new())?;
    let engine = ryot_inference::Engine::new(model, ryot_inference::EngineConfig::new())?;
    let question = vec![ryot_inference::Message::user("hello")];
    let request = Request::new(question)
        .max_tokens(if check { 8 } else { 60 })
        .sampling(Sampling::random(1).temperature(0.7));
    println!("hello -> {}", engine.generate(request)?.finish()?.text);
    Ok(())
}

/// Holds the written tokenizer to the one that was trained.
fn same_tokens(run: &Run<'_>, file: &Path) -> Result<()> {
    let model = Model::load(file, LoadOptions::new())?;
    for text in run.corpus.sample(50)? {
        let mut expected = Vec::new();
        run.vocabulary.encode(&text, &mut expected)?;
        let found = model
            .tokenizer()
            .encode_with(&text, EncodeOptions::default())?;
        if found != expected {
            return Err(format!("the written tokenizer splits otherwise: {text}").into());
        }
    }
    Ok(())
}

/// Holds a network out of the checkpoint to the one in memory.
fn resumes(run: &Run<'_>) -> Result<()> {
    let Some((net, _, progress)) = checkpoint::load(run.folder)? else {
        return Err("no checkpoint was written".into());
    };
    let windows = run.held_out_windows(Split::HeldOut, 1)?;
    let loss = |net: &Net| -> Result<f32> { Ok(net.loss(&windows)?.to_scalar()?) };
    if progress.step != run.progress.step || loss(&net)? != loss(&run.net)? {
        return Err("the checkpoint is not the network in memory".into());
    }
    println!("the checkpoint holds the same network");
    Ok(())
}
