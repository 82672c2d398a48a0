//! A weight matrix of either kind, and the inputs that products take.

use std::cell::RefCell;
use std::sync::Arc;

use super::Isa;
use super::bf16_rows::Bf16Rows;
use super::dense::DenseMatrix;
use super::format::BLOCK;
#[cfg(target_arch = "x86_64")]
use super::gated::{goes_together, multiply_gated, multiply_gated_bytes};
use super::matrix::{PackedMatrix, multiply_all, multiply_prompt};
use super::pool::Pool;
use super::rows::QuantisedRows;

/// A matrix `[rows, columns]`.
#[derive(Debug, Clone)]
pub(crate) enum Weights {
    Packed(Arc<PackedMatrix>),
    Dense(Arc<DenseMatrix>),
}

impl Weights {
    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::Packed(m) => m.read_row(row, out),
            Self::Dense(m) => m.read_row(row, out),
        }
    }
}

/// How the rows of a product are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To bytes of a common scale, for a few rows.
    Bytes,
    /// To bfloat16, for many; only where [`Isa::has_bf16_tiles`].
    Bf16,
}

/// Activations `[rows, columns]` in the forms that products read them in.
#[derive(Debug)]
pub(crate) struct Input {
    rows: usize,
    columns: usize,
    rounding: Rounding,
    /// As computed, where there is a dense matrix to read it.
    plain: Vec<f32>,
    bytes: QuantisedRows,
    bf16: Bf16Rows,
}

/// What the matrices that an input goes to need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    rounded: bool,
    /// No dense matrix is among them, which reads numbers as computed.
    only_rounded: bool,
}

/// What it takes to compute the numbers of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// A few operations a number.
    Light,
    /// Much more.
    Heavy,
}

impl Needs {
    pub(crate) fn of(matrices: &[&Weights]) -> Self {
        let is_packed = |w: &&Weights| matches!(w, Weights::Packed(_));
        Self {
            rounded: matrices.iter().any(is_packed),
            only_rounded: matrices.iter().all(is_packed),
        }
    }
}

thread_local! {
    /// Numbers on their way to be rounded.
    static VALUES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Input {
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            columns: 0,
            rounding: Rounding::Bytes,
            plain: Vec::new(),
            bytes: QuantisedRows::new(),
            bf16: Bf16Rows::new(),
        }
    }

    /// Fills the input: `row` writes numbers `start..` of a row into the slice that it is given,
    /// in pieces of `piece` columns (a multiple of 32, or all).
    pub(crate) fn fill(
        &mut self,
        (isa, pool): (Isa, &Pool),
        [rows, columns, piece]: [usize; 3],
        rounding: Rounding,
        (needs, cost): (Needs, Cost),
        row: &(dyn Fn(usize, usize, &mut [f32]) + Sync),
    ) {
        (self.rows, self.columns, self.rounding) = (rows, columns, rounding);
        // numbers as computed are kept only for those that read them
        let kept = if needs.only_rounded { 0 } else { rows };
        self.plain.resize(kept * columns, 0.0);
        let bytes = needs.rounded && rounding == Rounding::Bytes;
        let bf16 = needs.rounded && rounding == Rounding::Bf16;
        self.bytes.reset(if bytes { rows } else { 0 }, columns);
        self.bf16.reset(if bf16 { rows } else { 0 }, columns);
        let plain = super::shared::SharedRows::new(&mut self.plain, columns);
        let (byte_writer, bf16_writer) = (self.bytes.writer(), self.bf16.writer());
        let pieces = columns.div_ceil(piece);
        let work = |index: usize| {
            let (at, start) = (index / pieces, index % pieces * piece);
            let width = piece.min(columns - start);
            let fill = |values: &mut [f32]| {
                row(at, start, values);
                // SAFETY: each piece of a row is one piece of the region.
                unsafe {
                    if bytes {
                        byte_writer.set(isa, at, start / BLOCK, values);
                    } else if bf16 {
                        bf16_writer.set(isa, at, start / BLOCK, values);
                    }
                }
            };
            if needs.only_rounded {
                VALUES.with_borrow_mut(|values| {
                    if values.len() < width {
                        values.resize(width, 0.0);
                    }
                    fill(&mut values[..width]);
                });
            } else {
                // SAFETY: as above.
                fill(unsafe { plain.part(at, start, width) });
            }
        };
        // a region costs about a microsecond, as much as a few thousand numbers
        if cost == Cost::Light && rows * columns < 8192 {
            (0..rows * pieces).for_each(work);
        } else {
            pool.share(rows * pieces, &work);
        }
    }

    /// Fills the input with the gated products of `from`, where that can be done in one step;
    /// whether it was.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn fill_gated(
        &mut self,
        (isa, pool): (Isa, &Pool),
        from: &mut Self,
        gate: &Weights,
        up: &Weights,
        needs: Needs,
    ) -> bool {
        let (Weights::Packed(gate), Weights::Packed(up)) = (gate, up) else {
            return false;
        };
        if !needs.only_rounded || !goes_together(gate, up) {
            return false;
        }
        (self.rows, self.columns) = (from.rows, gate.rows());
        self.rounding = from.rounding;
        match from.rounding {
            Rounding::Bf16 => multiply_gated(isa, pool, &from.bf16, [gate, up], &mut self.bf16),
            Rounding::Bytes => {
                multiply_gated_bytes(isa, pool, &mut from.bytes, [gate, up], &mut self.bytes);
            }
        }
        true
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn fill_gated(
        &mut self,
        _engine: (Isa, &Pool),
        _from: &mut Self,
        _gate: &Weights,
        _up: &Weights,
        _needs: Needs,
    ) -> bool {
        false
    }

    /// Products with several matrices, side by side in rows of `stride`, from the given columns on.
    pub(crate) fn multiply(
        &mut self,
        isa: Isa,
        pool: &Pool,
        out: &mut [f32],
        stride: usize,
        matrices: &[(&Weights, usize)],
    ) {
        let mut packed: Vec<(&PackedMatrix, usize)> = Vec::with_capacity(matrices.len());
        for (weights, at) in matrices {
            match weights {
                Weights::Packed(matrix) => packed.push((matrix, *at)),
                Weights::Dense(matrix) => {
                    let x = &self.plain[..self.rows * self.columns];
                    matrix.multiply(isa, pool, x, out, [stride, *at]);
                }
            }
        }
        match self.rounding {
            _ if packed.is_empty() => {}
            Rounding::Bytes => multiply_all(isa, pool, &mut self.bytes, out, stride, &packed),
            Rounding::Bf16 => multiply_prompt(pool, &self.bf16, out, stride, &packed),
        }
    }
}
