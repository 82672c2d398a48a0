//! `sigma`: compress, decompress, inspect, train, bench, and archive files with sigma-lang.

#![forbid(unsafe_code)]

mod archive;
mod args;
mod bench;
mod error;
mod files;
mod inspect;
mod report;
mod stream;
mod train;

use std::process::ExitCode;

use args::{Arguments, Command};
use clap::Parser;
use error::CliError;
use report::Report;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sigma: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), CliError> {
    let report = Report::new(arguments.json, arguments.quiet);
    match &arguments.command {
        Command::Compress(command) => stream::compress(command, &report),
        Command::Decompress(command) => stream::decompress(command, &report),
        Command::Inspect(command) => inspect::inspect(command, &report),
        Command::Train(command) => train::train(command, &report),
        Command::Bench(command) => bench::bench(command, &report),
        Command::Archive(command) => archive::archive(command, &report),
        Command::Extract(command) => archive::extract(command, &report),
        Command::List(command) => archive::list(command, &report),
    }
}
