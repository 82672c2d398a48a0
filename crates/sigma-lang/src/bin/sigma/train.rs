//! `train`.

use std::io::Write;

use serde_json::json;
use sigma_lang::Dictionary;

use crate::args::Train;
use crate::error::CliError;
use crate::files::{Output, read};
use crate::report::{Report, Table};

pub(crate) fn train(command: &Train, report: &Report) -> Result<(), CliError> {
    let mut samples = Vec::new();
    for path in &command.samples {
        let bytes = read(path)?;
        if command.lines {
            let lines = bytes.split(|byte| *byte == b'\n');
            samples.extend(lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
        } else {
            samples.push(bytes);
        }
    }
    let bytes_max = usize::try_from(command.bytes_max).unwrap_or(usize::MAX);
    let dictionary = Dictionary::train(&samples, bytes_max)?;
    let mut output = Output::create(&command.output, command.force)?;
    output
        .write_all(dictionary.as_bytes())
        .map_err(|source| CliError::io("write", &command.output, &source))?;
    output.finish()?;
    let id = format!("{:#018x}", dictionary.id());
    let length = dictionary.as_bytes().len();
    let mut table = Table::new(&["dictionary", "id", "B", "samples"]);
    table.row(vec![
        command.output.display().to_string(),
        id.clone(),
        length.to_string(),
        samples.len().to_string(),
    ]);
    let json = json!({
        "output": command.output.display().to_string(),
        "id": id,
        "dictionary_bytes": length,
        "samples": samples.len(),
    });
    report.print(false, &table, &json);
    Ok(())
}
