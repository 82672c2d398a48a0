//! Text as templates and columns (tag 4): logs, tables, JSON.
//!
//! The content is a row of segments (lines, or fields). What segments have in common is a template:
//! literal text with holes. What goes into the holes stands in columns, values of one kind together,
//! numbers as numbers. How content is cut is up to the encoder; the decoder only fills holes in.
//! The method is that of CLP (Rodrigues, Luo, Yuan, OSDI 2021), with columns by context.

mod build;
mod column;
mod csv;
mod decode;
mod encode;
mod json;
mod log;
mod marks;

pub(crate) use decode::decode;
pub(crate) use encode::{Cut, encode};
pub(crate) use json::text_share as json_text_share;

/// Most templates in one frame: their numbers take at most two bytes.
const TEMPLATES_MAX: usize = 1 << 16;
/// Most columns in one frame, which bounds what a decoder keeps about them.
const COLUMNS_MAX: usize = 1 << 16;
/// Most holes of all templates together, for the same reason.
const HOLES_MAX: usize = 1 << 20;
