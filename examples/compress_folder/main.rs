//! Compresses every file of a folder with sigma-lang, and reads everything back.
//!
//! ```text
//! cargo run --release -p neurectomy-examples --no-default-features \
//!     --features agent-collective,sigma-lang --example compress_folder
//! cargo run ... --example compress_folder -- FOLDER --output PACKED --mode workers --workers 4
//! cargo run ... --example compress_folder -- FOLDER --benchmark
//! ```
//!
//! Without a folder it takes the text of this repository, and without `--output` the result goes to
//! a temporary folder that is removed at the end. You see a progress bar with the time left, then
//! a table of sizes and times; `--benchmark` runs every mode and compares times and bytes.

use agent_collective::batch::{
    Batch, BatchConfig, BatchReport, FileBatch, InputFile, ItemError, Mapped, Mode, ModeComparison,
    Progress, WrittenFile,
};
use agent_collective::{CollectiveError, Runtime};
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use sigma_lang::{Config, Level, Limits};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Compresses every file of a folder and reads everything back.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder to compress; without one, the text of this repository.
    folder: Option<PathBuf>,
    /// Folder for the compressed files; without one, a temporary folder.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How to run.
    #[arg(long, value_enum, default_value_t = ModeName::Parallel)]
    mode: ModeName,
    /// Worker threads of the runtime, and of `--mode workers`; by default one per hardware thread.
    #[arg(long)]
    workers: Option<usize>,
    /// zstd level of the compression, -7 to 22.
    #[arg(long, default_value_t = 3, allow_negative_numbers = true)]
    level: i32,
    /// Runs every mode and compares times and bytes.
    #[arg(long)]
    benchmark: bool,
    /// Runs of each mode in the benchmark; the fastest counts.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Prints one JSON object instead of the tables.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeName {
    Sequential,
    Parallel,
    Workers,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Failed files that are printed one by one.
const ERROR_LINES_MAX: usize = 10;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), BoxError> {
    let mut builder = Runtime::builder();
    if let Some(workers) = arguments.workers {
        builder = builder.workers(workers);
    }
    let runtime = builder.build()?;
    let mode = match arguments.mode {
        ModeName::Sequential => Mode::Sequential,
        ModeName::Parallel => Mode::Parallel,
        ModeName::Workers => Mode::Workers(runtime.workers()),
    };
    let config = BatchConfig::default().mode(mode).repeats(arguments.repeats);
    let scratch = Scratch::new();
    let packed = arguments
        .output
        .clone()
        .unwrap_or_else(|| scratch.0.join("packed"));
    let files = inputs(arguments, &packed);
    let level = Level::Zstd(arguments.level);
    if arguments.benchmark {
        let batch = Batch::new(&runtime, config)?;
        let modes = files.benchmark(&batch, |_, bytes| compress(&bytes, level))?;
        return print_modes(arguments, &modes);
    }
    let bar = ProgressBar::no_length().with_style(style());
    let observer = |progress: &Progress| {
        bar.set_length(progress.weight_total.unwrap_or(0));
        bar.set_position(progress.weight_done);
        let left = progress
            .eta
            .map_or("?".to_owned(), |eta| format!("{eta:.1?}"));
        bar.set_message(left);
    };
    let batch = Batch::new(&runtime, config)?.observer(&observer);
    let written = files.run(&batch, |_, bytes| compress(&bytes, level))?;
    bar.reset();
    let restored = scratch.0.join("restored");
    let read_back = unpack(&packed, &restored).run(&batch, |_, bytes| {
        Ok(sigma_lang::decompress(&bytes, &Limits::default())?)
    })?;
    bar.finish_and_clear();
    fail_on_failures(&written)?;
    fail_on_failures(&read_back)?;
    let verified = verify(&files.inputs()?, &restored)?;
    print_result(arguments, &written, &read_back, verified)
}

/// The files to compress; for this repository those that are text.
fn inputs(arguments: &Arguments, packed: &Path) -> FileBatch {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let own = arguments.folder.is_none();
    let folder = arguments.folder.clone().unwrap_or(repository.to_owned());
    let wanted = move |path: &Path| {
        let text = ["rs", "md", "toml", "sh", "lock"];
        let extension = path.extension();
        !own || extension.is_some_and(|extension| text.iter().any(|text| extension == *text))
    };
    let skip = move |folder: &Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        own && (name == "target" || name.starts_with('.'))
    };
    FileBatch::new(folder, packed)
        .only(wanted)
        .skip_folders(skip)
        .rename(|relative| with_suffix(relative, ".sigma"))
}

/// The way back: packed files to plain ones.
fn unpack(packed: &Path, restored: &Path) -> FileBatch {
    let packed_only = |path: &Path| path.to_string_lossy().ends_with(".sigma");
    FileBatch::new(packed, restored)
        .only(packed_only)
        .rename(|relative| relative.with_extension(""))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn compress(bytes: &[u8], level: Level) -> Result<Vec<u8>, BoxError> {
    Ok(sigma_lang::compress(bytes, &Config::new().level(level))?)
}

/// Compares every input with what came back; how many bytes were compared.
fn verify(inputs: &[InputFile], restored: &Path) -> Result<u64, BoxError> {
    let mut verified = 0;
    for input in inputs {
        let (before, after) = (std::fs::read(&input.path)?, restored.join(&input.relative));
        if std::fs::read(&after)? != before {
            return Err(format!("{} came back different", input.path.display()).into());
        }
        verified += before.len() as u64;
    }
    Ok(verified)
}

fn fail_on_failures(mapped: &Mapped<WrittenFile, CollectiveError>) -> Result<(), BoxError> {
    let errors = mapped
        .results
        .iter()
        .filter_map(|result| result.as_ref().err());
    for error in errors.take(ERROR_LINES_MAX) {
        let cause = match error {
            ItemError::Failed(error) => std::error::Error::source(error),
            _ => None,
        };
        match cause {
            Some(cause) => eprintln!("error: {error}: {cause}"),
            None => eprintln!("error: {error}"),
        }
    }
    match mapped.report.failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} files failed", mapped.report.items).into()),
    }
}

fn print_modes(arguments: &Arguments, modes: &ModeComparison) -> Result<(), BoxError> {
    if !modes.all_identical() {
        return Err(format!("the modes give different bytes\n{modes}").into());
    }
    if !arguments.json {
        println!(
            "{} files, fastest of {} runs each",
            modes.items, modes.repeats
        );
        print!("{modes}");
        return Ok(());
    }
    let row = |row: &agent_collective::batch::ModeRow| {
        json!({
            "mode": format!("{:?}", row.mode),
            "workers": row.workers,
            "wall_ms": row.wall.as_secs_f64() * 1e3,
            "speedup": row.speedup,
            "efficiency": row.efficiency,
            "identical": row.identical,
        })
    };
    let rows: Vec<Value> = modes.rows.iter().map(row).collect();
    let report = json!({ "files": modes.items, "repeats": modes.repeats, "modes": rows });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

fn print_result(
    arguments: &Arguments,
    written: &Mapped<WrittenFile, CollectiveError>,
    read_back: &Mapped<WrittenFile, CollectiveError>,
    verified: u64,
) -> Result<(), BoxError> {
    let files = || written.results.iter().flatten();
    let (before, after): (u64, u64) = files().fold((0, 0), |(before, after), file| {
        (before + file.bytes_in, after + file.bytes_out)
    });
    let ratio = before as f64 / (after as f64).max(1.0);
    for report in [&written.report, &read_back.report] {
        let accounted = report.times.accounted_fraction();
        if (accounted - 1.0).abs() > 0.01 {
            return Err(format!("{:.2} % of the time accounted for", 100.0 * accounted).into());
        }
    }
    if arguments.json {
        let object = json!({
            "files": written.report.items,
            "bytes_in": before,
            "bytes_out": after,
            "ratio": ratio,
            "verified_bytes": verified,
            "compress": times(&written.report),
            "decompress": times(&read_back.report),
        });
        println!("{}", serde_json::to_string_pretty(&object)?);
        return Ok(());
    }
    println!("{:<12} {:>8} {:>8} {:>8}", "kind", "files", "KiB", "ratio");
    for (kind, count, bytes_in, bytes_out) in by_kind(files()) {
        let ratio = bytes_in as f64 / (bytes_out as f64).max(1.0);
        println!("{kind:<12} {count:>8} {:>8} {ratio:>8.2}", bytes_in / 1024);
    }
    println!(
        "{:<12} {:>8} {:>8} {ratio:>8.2}",
        "all",
        written.report.items,
        before / 1024
    );
    println!("compress:   {}", written.report);
    println!("decompress: {}", read_back.report);
    println!("{verified} bytes read back and found the same");
    Ok(())
}

fn times(report: &BatchReport) -> Value {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    json!({
        "wall_ms": ms(report.times.wall),
        "workers": report.times.lanes,
        "running_ms": ms(report.times.running),
        "overhead_ms": ms(report.times.overhead),
        "idle_ms": ms(report.times.idle),
        "cpu_ms": ms(report.times.cpu),
        "accounted_percent": 100.0 * report.times.accounted_fraction(),
    })
}

/// Files, bytes before and bytes after by file name extension.
fn by_kind<'a>(files: impl Iterator<Item = &'a WrittenFile>) -> Vec<(String, u64, u64, u64)> {
    let mut kinds: std::collections::BTreeMap<String, (u64, u64, u64)> = Default::default();
    for file in files {
        let extension = file.relative.extension().unwrap_or_default();
        let kind = kinds
            .entry(extension.to_string_lossy().into_owned())
            .or_default();
        *kind = (kind.0 + 1, kind.1 + file.bytes_in, kind.2 + file.bytes_out);
    }
    let row =
        |(kind, (count, before, after)): (String, (u64, u64, u64))| (kind, count, before, after);
    kinds.into_iter().map(row).collect()
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A folder of its own for this run, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("compress-folder-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
