//! Tables of numbers to payloads.

use super::super::halves;
use super::super::planes::Coding;
use super::super::streams::StreamEncoder;
use super::column::Scale;
use super::decimal::{Decimal, Kind, find_decimal, push_numbers};
use super::{Numbers, widened};
use crate::detect::coding;
use crate::error::SigmaError;
use crate::frame::write_varint;
use crate::simd::{self, Kernel};

/// Content of a group of rows, about: what the columns are may change from group to group.
const GROUP_BYTES: usize = 256 << 10;
/// Share of a column's elements that may be patches: one in this many.
const STRANGERS_MAX: usize = 8;

/// Room that is used again from group to group.
#[derive(Default)]
struct Scratch {
    /// Elements of each column.
    columns: Vec<Vec<u64>>,
    numbers: Vec<u64>,
    /// Places of patches in the column.
    strangers: Vec<usize>,
    plane: Vec<u8>,
    halves: [Vec<u8>; 2],
    /// Codes of the columns, behind their heads.
    planes: Vec<u8>,
}

/// Appends the payload of `content`. False, and nothing of use appended, if that has no whole row.
pub(crate) fn encode(
    shape: Numbers,
    content: &[u8],
    streams: &mut StreamEncoder,
    out: &mut Vec<u8>,
) -> Result<bool, SigmaError> {
    let row_bytes = shape.row_bytes();
    let rows = content.len() / row_bytes;
    if rows == 0 {
        return Ok(false);
    }
    let group_rows = (GROUP_BYTES / row_bytes).clamp(1, rows);
    out.push(u8::try_from(shape.width).unwrap_or(0));
    out.push(u8::try_from(shape.columns).unwrap_or(0));
    write_varint(group_rows as u64, out);
    let mut scratch = Scratch::default();
    let (table, tail) = content.split_at(rows * row_bytes);
    for group in table.chunks(group_rows * row_bytes) {
        encode_group(shape, group, &mut scratch, streams, out)?;
    }
    out.extend_from_slice(tail);
    Ok(true)
}

fn encode_group(
    shape: Numbers,
    group: &[u8],
    scratch: &mut Scratch,
    streams: &mut StreamEncoder,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    scratch.columns.resize_with(shape.columns, Vec::new);
    let mut columns = std::mem::take(&mut scratch.columns);
    take_apart(shape, group, &mut columns);
    scratch.planes.clear();
    let mut patches = Vec::new();
    for (index, elements) in columns.iter().enumerate() {
        encode_column(shape.width, elements, scratch, streams, out)?;
        let places = scratch
            .strangers
            .iter()
            .map(|row| row * shape.columns + index);
        patches.extend(places);
    }
    scratch.columns = columns;
    out.extend_from_slice(&scratch.planes);
    patches.sort_unstable();
    write_patches(shape.width, group, &patches, streams, out)
}

/// The elements of each column of whole rows.
fn take_apart(shape: Numbers, group: &[u8], columns: &mut [Vec<u64>]) {
    for column in columns.iter_mut() {
        column.clear();
        column.reserve(group.len() / shape.row_bytes());
    }
    if let [column] = columns {
        simd::run(Widen {
            width: shape.width,
            group,
            column,
        });
        return;
    }
    for row in group.chunks_exact(shape.row_bytes()) {
        for (column, element) in columns.iter_mut().zip(row.chunks_exact(shape.width)) {
            column.push(widened(element));
        }
    }
}

struct Widen<'a> {
    width: usize,
    group: &'a [u8],
    column: &'a mut Vec<u64>,
}

impl Kernel<()> for Widen<'_> {
    #[inline(always)]
    fn run(self) {
        let (group, column) = (self.group, self.column);
        match self.width {
            2 => column.extend(group.as_chunks::<2>().0.iter().map(|e| widened(e))),
            4 => column.extend(group.as_chunks::<4>().0.iter().map(|e| widened(e))),
            _ => column.extend(group.as_chunks::<8>().0.iter().map(|e| widened(e))),
        }
    }
}

/// Appends the head of a column to `out` and its planes to those of `scratch`, and leaves there what must
/// be patched.
fn encode_column(
    width: usize,
    elements: &[u64],
    scratch: &mut Scratch,
    streams: &mut StreamEncoder,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let kind = to_numbers(width, elements, scratch);
    let scale = Scale::of(&scratch.numbers);
    scale.encode(&mut scratch.numbers);
    let used = scratch.numbers.iter().fold(0, |all, code| all | code);
    let code_bytes = (64 - used.leading_zeros()).div_ceil(8);
    let (kind, digits) = match kind {
        Kind::Integer => (0, None),
        Kind::Quotient { digits } => (1, Some(digits)),
        Kind::Product { digits } => (2, Some(digits)),
    };
    out.push(scale.order | kind << 2 | u8::try_from(code_bytes).unwrap_or(0) << 4);
    if let Some(digits) = digits {
        out.push(u8::try_from(digits).unwrap_or(0));
    }
    write_varint(scale.unit, out);
    write_varint(scale.base << 1 ^ (scale.base >> 63).wrapping_neg(), out);
    for index in 0..code_bytes {
        simd::run(Plane {
            codes: &scratch.numbers,
            shift: 8 * index,
            plane: &mut scratch.plane,
        });
        match coding(&scratch.plane, streams)? {
            Coding::Whole(effort) => {
                scratch.planes.push(0);
                streams.write(&scratch.plane, effort, &mut scratch.planes)?;
            }
            Coding::Halves(efforts) => {
                scratch.planes.push(1);
                halves::split(&scratch.plane, &mut scratch.halves);
                for (half, effort) in scratch.halves.iter().zip(efforts) {
                    streams.write(half, effort, &mut scratch.planes)?;
                }
            }
        }
    }
    Ok(())
}

/// Makes the numbers of elements, and the places of those that have none.
fn to_numbers(width: usize, elements: &[u64], scratch: &mut Scratch) -> Kind {
    let (numbers, strangers) = (&mut scratch.numbers, &mut scratch.strangers);
    numbers.clear();
    strangers.clear();
    if let Some(kind) = find_decimal(elements, width)
        && let Some(decimal) = Decimal::new(kind, width)
    {
        push_numbers(decimal, elements, numbers, strangers);
        if strangers.len() <= elements.len() / STRANGERS_MAX {
            return kind;
        }
        numbers.clear();
        strangers.clear();
    }
    numbers.extend_from_slice(elements);
    Kind::Integer
}

/// One byte of every code.
struct Plane<'a> {
    codes: &'a [u64],
    shift: u32,
    plane: &'a mut Vec<u8>,
}

impl Kernel<()> for Plane<'_> {
    #[inline(always)]
    fn run(self) {
        self.plane.clear();
        self.plane.extend(self.codes.iter().map(|code| {
            let [low, ..] = (code >> self.shift).to_le_bytes();
            low
        }));
    }
}

/// Appends the elements of a group at the places given, in order.
fn write_patches(
    width: usize,
    group: &[u8],
    places: &[usize],
    streams: &mut StreamEncoder,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    write_varint(places.len() as u64, out);
    if places.is_empty() {
        return Ok(());
    }
    let (mut gaps, mut elements) = (Vec::new(), Vec::new());
    let mut next = 0;
    for &place in places {
        write_varint((place - next) as u64, &mut gaps);
        next = place + 1;
        let start = place * width;
        elements.extend_from_slice(group.get(start..start + width).unwrap_or_default());
    }
    for stream in [gaps, elements] {
        streams.write(&stream, super::super::Effort::Matches, out)?;
    }
    Ok(())
}
