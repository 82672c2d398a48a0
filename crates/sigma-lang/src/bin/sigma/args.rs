//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Compress, decompress, inspect, train, bench and archive with sigma-lang.
#[derive(Debug, Parser)]
#[command(name = "sigma", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Print results as one JSON object instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress bar and no summary
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compress a file or standard input into a container
    Compress(Compress),
    /// Decompress a container
    Decompress(Decompress),
    /// Say what is in a container
    Inspect(Inspect),
    /// Train a dictionary from samples
    Train(Train),
    /// Measure ratio and speed beside zstd on your own files
    Bench(Bench),
    /// Put files and folders into an archive, equal parts once
    Archive(Archive),
    /// Take files out of an archive
    Extract(Extract),
    /// List the files of an archive
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct Compress {
    /// File to compress; `-` is standard input
    #[arg(default_value = "-")]
    pub(crate) input: PathBuf,
    /// Where to; `-` is standard output [default: the input's name with `.sigma` behind, `-` for `-`]
    #[arg(long, short)]
    pub(crate) output: Option<PathBuf>,
    /// zstd level, -7..=22
    #[arg(long, short, default_value_t = 3, allow_negative_numbers = true)]
    pub(crate) level: i32,
    /// Dictionary file
    #[arg(long, short = 'D')]
    pub(crate) dictionary: Option<PathBuf>,
    /// Content bytes per frame, such as 512K or 4M
    #[arg(long, default_value = "4M", value_parser = parse_bytes)]
    pub(crate) frame_bytes: u64,
    /// Threads; each holds a frame. The bytes do not depend on it
    #[arg(long, short = 'T', default_value_t = 1)]
    pub(crate) threads: usize,
    /// Only frames that stock zstd reads
    #[arg(long)]
    pub(crate) plain: bool,
    /// Replace the output if it is there
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Decompress {
    /// Container; `-` is standard input
    #[arg(default_value = "-")]
    pub(crate) input: PathBuf,
    /// Where to; `-` is standard output [default: the input's name without `.sigma`, `-` for `-`]
    #[arg(long, short)]
    pub(crate) output: Option<PathBuf>,
    /// Dictionary files that the container may need
    #[arg(long, short = 'D')]
    pub(crate) dictionary: Vec<PathBuf>,
    /// Most content bytes to give, such as 64M
    #[arg(long, default_value = "64G", value_parser = parse_bytes)]
    pub(crate) output_bytes_max: u64,
    /// Only the content from one offset up to another, such as 1000..2000; reads only the frames needed
    #[arg(long, value_parser = parse_range)]
    pub(crate) range: Option<(u64, u64)>,
    /// Replace the output if it is there
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Container
    pub(crate) input: PathBuf,
    /// Every frame, not only sums
    #[arg(long)]
    pub(crate) frames: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Sample files
    #[arg(required = true)]
    pub(crate) samples: Vec<PathBuf>,
    /// Where to write the dictionary
    #[arg(long, short)]
    pub(crate) output: PathBuf,
    /// Longest dictionary
    #[arg(long, default_value = "110K", value_parser = parse_bytes)]
    pub(crate) bytes_max: u64,
    /// Every line of the files is a sample, instead of every file
    #[arg(long)]
    pub(crate) lines: bool,
    /// Replace the output if it is there
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Files to measure on
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// zstd levels
    #[arg(long, short, value_delimiter = ',', default_values_t = [1, 3, 9], allow_negative_numbers = true)]
    pub(crate) levels: Vec<i32>,
    /// Repetitions; the fastest counts
    #[arg(long, default_value_t = 5)]
    pub(crate) repetitions: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Archive {
    /// Files and folders
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Where to write the archive
    #[arg(long, short)]
    pub(crate) output: PathBuf,
    /// zstd level, -7..=22
    #[arg(long, short, default_value_t = 3, allow_negative_numbers = true)]
    pub(crate) level: i32,
    /// Replace the output if it is there
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Extract {
    /// Archive
    pub(crate) input: PathBuf,
    /// Only these paths, as `list` prints them [default: all]
    pub(crate) paths: Vec<String>,
    /// Folder to extract into
    #[arg(long, short = 'C', default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Most content bytes to write in all
    #[arg(long, default_value = "64G", value_parser = parse_bytes)]
    pub(crate) output_bytes_max: u64,
    /// Replace files that are there
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Archive
    pub(crate) input: PathBuf,
}

/// A number of bytes with an optional suffix K, M or G (powers of 1024).
fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text
        .trim_end_matches(['B', 'b'])
        .split_at_checked(text.trim_end_matches(['B', 'b']).len().saturating_sub(1))
    {
        Some((digits, "K" | "k")) => (digits, 10),
        Some((digits, "M" | "m")) => (digits, 20),
        Some((digits, "G" | "g")) => (digits, 30),
        _ => (text, 0),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a number of bytes such as 4096, 512K, 64M or 2G".to_string())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "is over 2^64 bytes".to_string())
}

/// `start..end`.
fn parse_range(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once("..");
    let parsed = parts.and_then(|(start, end)| Some((start.parse().ok()?, end.parse().ok()?)));
    parsed.ok_or_else(|| "expected two offsets such as 1000..2000".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn bytes_and_ranges() {
        assert_eq!(parse_bytes("110K"), Ok(110 << 10));
        assert_eq!(parse_bytes("7"), Ok(7));
        assert_eq!(parse_bytes("2GB"), Ok(2 << 30));
        for bad in ["", "K", "1.5M", "-1", "99999999999G", "4T"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_range("5..9"), Ok((5, 9)));
        assert!(parse_range("5-9").is_err());
    }
}
