//! Search by meaning: paragraphs of a folder as vectors, and those nearest to a question.
//!
//! `cargo run --release --example embed -- --query "what happens after a crash?"` searches this
//! repository's documents with the model that ships with it, which was trained to write, not to
//! embed: it finds texts that look alike. `--model model.gguf` takes another. Before it answers, the
//! example asks for paragraphs that it knows, each of which must find itself; so it can fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use ryot_inference::{EmbedConfig, Embedder, LoadOptions, Model, Pooling};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Finds the paragraphs of a folder that are nearest to a question.
#[derive(Parser)]
struct Options {
    /// A GGUF file, or a folder with config.json, tokenizer.json and safetensors; by default the
    /// shipped model.
    #[arg(long, default_value_os_t = neurectomy_examples::shipped_model())]
    model: PathBuf,
    /// Where the texts are: files that end in .md, .txt or .rs.
    #[arg(long, default_value_os_t = documents())]
    folder: PathBuf,
    #[arg(
        long,
        default_value = "what is left of the store after the process was killed?"
    )]
    query: String,
    /// Paragraphs to show.
    #[arg(long, default_value_t = 5)]
    top: usize,
    /// How the states of a text's tokens become one vector.
    #[arg(long, value_enum, default_value_t = Pool::Mean)]
    pooling: Pool,
    /// Most paragraphs to read.
    #[arg(long, default_value_t = 200)]
    paragraphs_max: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pool {
    Mean,
    Last,
}

/// A paragraph and where it stands.
struct Paragraph {
    file: PathBuf,
    line: usize,
    text: String,
}

/// Bytes that a paragraph is cut to.
const TEXT_BYTES_MAX: usize = 600;
/// Shorter ones say too little.
const TEXT_BYTES_MIN: usize = 60;

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut paragraphs = Vec::new();
    read_folder(&options.folder, options.paragraphs_max, &mut paragraphs)?;
    if paragraphs.is_empty() {
        return Err(format!("no paragraphs in {}", options.folder.display()).into());
    }
    let config = EmbedConfig::new().pooling(match options.pooling {
        Pool::Mean => Pooling::Mean,
        Pool::Last => Pooling::Last,
    });
    let model = Model::load(&options.model, LoadOptions::new())?;
    println!("model: {}", model.info().name);
    let embedder = Embedder::new(model, config)?;
    let started = Instant::now();
    let texts: Vec<&str> = paragraphs.iter().map(|p| p.text.as_str()).collect();
    let index = embedder.embed_all(&texts)?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{} paragraphs as vectors of {} numbers in {:.0} ms: {:.0} a second",
        index.len(),
        embedder.dimensions(),
        seconds * 1e3,
        index.len() as f64 / seconds
    );
    check(&embedder, &index, &texts)?;
    println!("\n{}", options.query);
    let vector = embedder.embed(&options.query)?;
    for (score, at) in nearest(&index, &vector).into_iter().take(options.top) {
        let Paragraph { file, line, text } = &paragraphs[at];
        let start: String = text.chars().take(160).collect();
        println!("\n{score:.3}  {}:{line}\n    {start}", file.display());
    }
    Ok(())
}

/// Scores and places, best first; vectors have the length one, so products are cosines.
fn nearest(index: &[Vec<f32>], vector: &[f32]) -> Vec<(f32, usize)> {
    let cosine = |other: &Vec<f32>| other.iter().zip(vector).map(|(a, b)| a * b).sum();
    let mut scores: Vec<(f32, usize)> = index.iter().map(cosine).zip(0..).collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scores
}

/// Paragraphs must find themselves.
fn check(embedder: &Embedder, index: &[Vec<f32>], texts: &[&str]) -> Result<()> {
    for (at, text) in texts.iter().enumerate().step_by(texts.len().div_ceil(8)) {
        let vector = embedder.embed(text)?;
        let best = nearest(index, &vector);
        // another paragraph may have the same words
        let found = best.iter().take_while(|b| b.0 > 0.9999).any(|b| b.1 == at);
        if !found {
            return Err(format!("paragraph {at} does not find itself, but {:?}", best[0]).into());
        }
    }
    Ok(())
}

/// Adds the paragraphs of all texts below `folder`, in the order of names.
fn read_folder(folder: &Path, most: usize, paragraphs: &mut Vec<Paragraph>) -> Result<()> {
    let mut entries = fs::read_dir(folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            read_folder(&path, most, paragraphs)?;
        } else if path
            .extension()
            .is_some_and(|e| e == "md" || e == "txt" || e == "rs")
        {
            let text = fs::read_to_string(&path)?;
            read_text(&path, &text, most, paragraphs);
        }
    }
    Ok(())
}

/// Paragraphs are parted by empty lines.
fn read_text(path: &Path, text: &str, most: usize, paragraphs: &mut Vec<Paragraph>) {
    let file = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut start = 0;
    let mut own = String::new();
    for (number, line) in text.lines().chain([""]).enumerate() {
        if !line.trim().is_empty() {
            if own.is_empty() {
                start = number + 1;
            } else {
                own.push(' ');
            }
            own.push_str(line.trim());
            continue;
        }
        let mut end = own.len().min(TEXT_BYTES_MAX);
        while !own.is_char_boundary(end) {
            end -= 1;
        }
        own.truncate(end);
        let text = std::mem::take(&mut own);
        if text.len() >= TEXT_BYTES_MIN && paragraphs.len() < most {
            paragraphs.push(Paragraph {
                file: file.clone(),
                line: start,
                text,
            });
        }
    }
}
