//! Exact answers beside sketched ones, on real text: how many different words, was this word there,
//! how often, which most often, how long are lines, which documents are alike.
//!
//! ```text
//! cargo run --release --example pick_a_sketch                    # this workspace's own text
//! cargo run --release --example pick_a_sketch -- FILE_OR_DIR ... # yours
//! ```
//!
//! You see one table: both answers, how far they are apart, and what each cost in bytes and time. On a
//! short text the exact answer may be cheaper; the bytes of most sketches stay where they are while the
//! text grows.

mod questions;
mod table;
mod text;

use clap::Parser;
use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Asks the same questions exactly and by sketches.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Files and folders to read; without any, this workspace's sources and documents.
    inputs: Vec<PathBuf>,
    /// Words in the table of the most frequent ones.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    top: u8,
    /// Documents count as alike from this share of common word triples on, above 0 and below 1.
    #[arg(long, default_value_t = 0.5)]
    alike: f64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let own = [Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()];
    let inputs = match arguments.inputs.as_slice() {
        [] => own.as_slice(),
        given => given,
    };
    let text = text::read(inputs)?;
    let answers = questions::all(&text, usize::from(arguments.top), arguments.alike)?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} documents, {} lines, {} words, {}; {} files skipped, as they are no text\n",
        text.documents.len(),
        text.lines().count(),
        text.words().count(),
        table::bytes(text.bytes()),
        text.skipped,
    )?;
    write!(out, "{}", table::comparison(&answers.rows))?;
    writeln!(
        out,
        "\nexact bytes are those of hash tables with the words in them, and of sorted rows\n"
    )?;
    write!(out, "{}", table::frequent(&answers.frequent))?;
    if let Some(pair) = &answers.alike {
        let [a, b] = pair.documents.map(|at| &text.documents[at].name);
        let [exact, sketched] = [pair.exact, pair.sketched].map(|share| 100.0 * share);
        writeln!(
            out,
            "\nmost alike and not equal: {exact:.1} % exactly, {sketched:.1} % by signatures\n  {a}\n  {b}"
        )?;
    }
    Ok(())
}
