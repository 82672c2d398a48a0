//! Five teams of agents work through real text files: sketch, pack, store and verify, continue with a
//! language model, report.
//!
//! ```text
//! cargo run --release --example collective_workflow                    # this workspace's own text
//! cargo run --release --example collective_workflow -- FILE_OR_DIR ... # yours
//! cargo run --release --example collective_workflow -- --model MODEL.gguf --tokens 32 notes/
//! ```
//!
//! You see a progress bar per team while it works, then a table in which every second of the wall
//! time stands. Kill it and start it again with the same `--vault`: it goes on where it was. The
//! default model is the one that ships with the repository.

mod progress;

use clap::Parser;
use neurectomy::{Collective, CollectiveConfig, NeurectomyError, WorkflowReport};
use progress::Progress;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Five teams work through text files and say where every second went.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Files and folders to work through; without any, this workspace's sources and documents.
    inputs: Vec<PathBuf>,
    /// Folder of the vault; a second run on the same vault resumes.
    #[arg(long, value_name = "DIR")]
    vault: Option<PathBuf>,
    /// GGUF file or safetensors folder; by default the shipped model.
    #[arg(long, value_name = "PATH", default_value_os_t = neurectomy_examples::shipped_model())]
    model: PathBuf,
    /// Tokens that the model writes per document; 0 turns inference off.
    #[arg(long, default_value_t = 16)]
    tokens: usize,
    /// Worker threads; by default one per hardware thread.
    #[arg(long)]
    workers: Option<usize>,
    /// Writes the synthesis team's report to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Prints `acknowledged ID PATH` to stderr as soon as a document is durable, `resumed ID PATH`
    /// for one that an earlier run had made durable.
    #[arg(long)]
    acknowledge: bool,
    /// Prints one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

/// Failures that are printed one by one; a full disk fails every document after it.
const ERROR_LINES_MAX: usize = 10;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) if report.failures.is_empty() => ExitCode::SUCCESS,
        Ok(report) => {
            for failure in report.failures.iter().take(ERROR_LINES_MAX) {
                eprintln!("error: {}", failure.error);
            }
            if report.failures.len() > ERROR_LINES_MAX {
                eprintln!("error: {} failures in all", report.failures.len());
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<WorkflowReport, NeurectomyError> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let vault = arguments
        .vault
        .clone()
        .unwrap_or_else(|| workspace.join("target/neurectomy/collective_workflow.vault"));
    let mut config = CollectiveConfig::new(vault)
        .continuation_tokens_max(arguments.tokens)
        .model_path(&arguments.model);
    if let Some(workers) = arguments.workers {
        config = config.workers(workers);
    }
    let inputs = if arguments.inputs.is_empty() {
        own_text(workspace)
    } else {
        arguments.inputs.clone()
    };
    let progress = Arc::new(Progress::new(arguments.acknowledge));
    let collective = Collective::open(config)?;
    let report = collective.run_workflow(&inputs, progress.clone())?;
    collective.close()?;
    progress.finish();
    if let Some(file) = &arguments.report {
        std::fs::write(file, &report.synthesis).map_err(|source| NeurectomyError::Output {
            path: file.clone(),
            source,
        })?;
    }
    print(&report, arguments.json).map_err(|source| NeurectomyError::Output {
        path: "standard output".into(),
        source,
    })?;
    Ok(report)
}

/// The text of this workspace: sources, documents, scripts.
fn own_text(workspace: &Path) -> Vec<PathBuf> {
    [
        "crates",
        "benches",
        "examples",
        "docs",
        "ci",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    ]
    .iter()
    .map(|entry| workspace.join(entry))
    .collect()
}

fn print(report: &WorkflowReport, json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        return writeln!(out, "{}", serde_json::to_string_pretty(report)?);
    }
    let untrained = if report.model_trained {
        ""
    } else {
        ", so its text means nothing"
    };
    writeln!(out, "{}", report.synthesis)?;
    writeln!(out, "model: {}{untrained}", report.model)?;
    writeln!(
        out,
        "{} documents: {} stored ({} by an earlier run), {} read back equal, {} failed; {} skipped",
        report.documents,
        report.documents_stored,
        report.documents_resumed,
        report.documents_verified,
        report.failures.len(),
        report.skipped,
    )?;
    writeln!(
        out,
        "vault: {}; wall {:.3} s on {} workers, {:.1} % of it accounted below\n",
        report.vault.display(),
        report.wall_s,
        report.workers,
        100.0 * report.accounted_fraction,
    )?;
    write!(out, "{}", report.table())
}
