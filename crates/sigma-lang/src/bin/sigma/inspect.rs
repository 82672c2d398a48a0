//! `inspect`.

use std::collections::BTreeMap;

use serde_json::json;

use crate::args::Inspect;
use crate::error::CliError;
use crate::files::read;
use crate::report::{Report, Table, ratio};

pub(crate) fn inspect(command: &Inspect, report: &Report) -> Result<(), CliError> {
    let bytes = read(&command.input)?;
    let found =
        sigma_lang::inspect(&bytes).map_err(|error| CliError::on(&command.input, &error))?;
    let mut table;
    if command.frames {
        table = Table::new(&["offset", "kind", "content B", "frame B", "ratio"]);
        for frame in &found.frames {
            table.row(vec![
                frame.offset.to_string(),
                format!("{:?}", frame.tag).to_lowercase(),
                frame.content_bytes.to_string(),
                frame.frame_bytes.to_string(),
                format!("{:.3}", ratio(frame.content_bytes, frame.frame_bytes)),
            ]);
        }
    } else {
        table = Table::new(&["frames", "kind", "content B", "frame B", "ratio"]);
        let mut kinds: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for frame in &found.frames {
            let sums = kinds
                .entry(format!("{:?}", frame.tag).to_lowercase())
                .or_default();
            let [frames, content, packed] = *sums;
            *sums = [
                frames + 1,
                content + frame.content_bytes,
                packed + frame.frame_bytes,
            ];
        }
        for (kind, [frames, content, packed]) in kinds {
            let ratio = format!("{:.3}", ratio(content, packed));
            table.row(vec![
                frames.to_string(),
                kind,
                content.to_string(),
                packed.to_string(),
                ratio,
            ]);
        }
        table.row(vec![
            found.frames.len().to_string(),
            "all, with header and table".to_string(),
            found.content_bytes.to_string(),
            found.container_bytes.to_string(),
            format!("{:.3}", found.ratio()),
        ]);
    }
    let frames: Vec<_> = found
        .frames
        .iter()
        .map(|frame| {
            json!({
                "offset": frame.offset,
                "kind": format!("{:?}", frame.tag).to_lowercase(),
                "content_bytes": frame.content_bytes,
                "frame_bytes": frame.frame_bytes,
            })
        })
        .collect();
    let json = json!({
        "version": found.version,
        "content_bytes": found.content_bytes,
        "container_bytes": found.container_bytes,
        "ratio": found.ratio(),
        "dictionary_id": found.dictionary_id.map(|id| format!("{id:#018x}")),
        "base_hash": found.base_hash.map(|hash| format!("{hash:#034x}")),
        "seek_table": found.seek_table,
        "stock_zstd_readable": found.stock_zstd_readable(),
        "frames": frames,
    });
    report.print(false, &table, &json);
    Ok(())
}
