//! Every kernel against the plain one, bit by bit, and the plain one against the definition.

use super::Isa;
use super::bf16_rows::Bf16Rows;
#[cfg(target_arch = "x86_64")]
use super::elementwise::silu_times;
use super::format::BLOCK;
#[cfg(target_arch = "x86_64")]
use super::gated::{multiply_gated, multiply_gated_bytes};
use super::matrix::{PackMemory, PackedMatrix, multiply_all, multiply_by, multiply_prompt};
use super::pack::Stored;
use super::pool::Pool;
use super::rows::QuantisedRows;
use crate::sampler::SplitMix64;

const STORED: [Stored; 9] = [
    Stored::Q8_0,
    Stored::Q4_0,
    Stored::Q4_1,
    Stored::Q5_0,
    Stored::Q5_1,
    Stored::Q3K,
    Stored::Q4K,
    Stored::Q5K,
    Stored::Q6K,
];

/// Random blocks whose f16 scales are of a sane size.
fn random_blocks(stored: Stored, rows: usize, columns: usize, rng: &mut SplitMix64) -> Vec<u8> {
    let (each, bytes) = stored.stored_block();
    let mut data = vec![0u8; rows * columns / each * bytes];
    for byte in &mut data {
        *byte = (rng.next_unit() * 256.0) as u8;
    }
    let halves: &[usize] = match stored {
        Stored::Q6K => &[208],
        Stored::Q3K => &[108],
        Stored::Q4_1 | Stored::Q5_1 | Stored::Q4K | Stored::Q5K => &[0, 2],
        _ => &[0],
    };
    for block in data.chunks_exact_mut(bytes) {
        for at in halves {
            block[at + 1] = 0x20 | (block[at + 1] & 0x83);
        }
    }
    data
}

fn packed(stored: Stored, rows: usize, columns: usize, data: &[u8], pool: &Pool) -> PackedMatrix {
    let mut rest = data;
    let mut memory = PackMemory::default();
    let read = &mut |buffer: &mut [u8]| {
        let (first, others) = rest.split_at(buffer.len());
        buffer.copy_from_slice(first);
        rest = others;
        Ok(())
    };
    let packed = PackedMatrix::pack(stored, [rows, columns], pool, &mut memory, read).unwrap();
    assert!(rest.is_empty());
    packed
}

fn random_row(columns: usize, rng: &mut SplitMix64) -> Vec<f32> {
    (0..columns)
        .map(|_| (rng.next_unit() * 4.0 - 2.0) as f32)
        .collect()
}

fn byte_rows(isa: Isa, rows: &[Vec<f32>]) -> QuantisedRows {
    let mut out = QuantisedRows::new();
    out.reset(rows.len(), rows[0].len());
    let writer = out.writer();
    for (index, row) in rows.iter().enumerate() {
        // SAFETY: one thread.
        unsafe { writer.set(isa, index, 0, row) };
    }
    out
}

#[test]
fn every_kernel_gives_the_bits_of_the_plain_one() {
    let mut rng = SplitMix64::new(7);
    let pool = Pool::new(2).unwrap();
    let (rows, columns) = (40, 512);
    for stored in STORED {
        let data = random_blocks(stored, rows, columns, &mut rng);
        let matrix = packed(stored, rows, columns, &data, &pool);
        for height in [1, 2, 3, 5, 8, 9, 13, 16, 17, 33] {
            let input: Vec<_> = (0..height).map(|_| random_row(columns, &mut rng)).collect();
            let run = |isa, tiles| {
                let mut out = vec![0f32; height * rows];
                let (mut input, matrices) = (byte_rows(isa, &input), [(&matrix, 0)]);
                multiply_by((isa, tiles), &pool, &mut input, &mut out, rows, &matrices);
                out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            let plain = run(Isa::Scalar, false);
            for isa in Isa::all() {
                assert!(
                    run(isa, false) == plain,
                    "{stored:?}, {height} rows, {isa:?}"
                );
            }
            if Isa::has_byte_tiles() {
                assert!(
                    run(Isa::Avx512, true) == plain,
                    "{stored:?}, {height} rows, tiles"
                );
            }
        }
    }
}

/// A row's products are the same alone and among others.
#[test]
fn rows_do_not_see_each_other() {
    let mut rng = SplitMix64::new(8);
    let pool = Pool::new(2).unwrap();
    // whole tiles and parts of tiles, several depths
    let (rows, columns) = (40, 1280);
    for stored in STORED {
        rows_of_do_not_see_each_other(stored, [rows, columns], &pool, &mut rng);
    }
}

fn rows_of_do_not_see_each_other(
    stored: Stored,
    [rows, columns]: [usize; 2],
    pool: &Pool,
    rng: &mut SplitMix64,
) {
    let data = random_blocks(stored, rows, columns, rng);
    let matrix = packed(stored, rows, columns, &data, pool);
    let input: Vec<_> = (0..50).map(|_| random_row(columns, rng)).collect();
    let isa = Isa::detect();
    let bytes = |input: &[Vec<f32>]| {
        let mut out = vec![0f32; input.len() * rows];
        multiply_all(
            isa,
            pool,
            &mut byte_rows(isa, input),
            &mut out,
            rows,
            &[(&matrix, 0)],
        );
        out
    };
    let bf16 = |input: &[Vec<f32>]| {
        let mut out = vec![0f32; input.len() * rows];
        multiply_prompt(
            pool,
            &bf16_rows(isa, input),
            &mut out,
            rows,
            &[(&matrix, 0)],
        );
        out
    };
    let together = bytes(&input);
    for (index, row) in input.iter().enumerate() {
        let alone = bytes(std::slice::from_ref(row));
        assert_eq!(
            alone,
            together[index * rows..(index + 1) * rows],
            "{stored:?} row {index}"
        );
    }
    if Isa::has_bf16_tiles() {
        let together = bf16(&input);
        for (index, row) in input.iter().enumerate() {
            let alone = bf16(std::slice::from_ref(row));
            assert_eq!(
                alone,
                together[index * rows..(index + 1) * rows],
                "{stored:?} row {index}"
            );
        }
        // one tile of rows, and two
        for count in [16, 17, 32] {
            let some = bf16(&input[..count]);
            assert_eq!(some, together[..count * rows], "{stored:?} {count} rows");
        }
    }
}

/// Gate and up products of bytes in one step give the bits of the steps one by one.
#[cfg(target_arch = "x86_64")]
#[test]
fn gated_products_of_bytes_are_those_of_single_steps() {
    let mut rng = SplitMix64::new(17);
    let pool = Pool::new(2).unwrap();
    let (rows, columns) = (288, 512);
    let [gate, up] = [Stored::Q8_0, Stored::Q6K].map(|stored| {
        let data = random_blocks(stored, rows, columns, &mut rng);
        packed(stored, rows, columns, &data, &pool)
    });
    for isa in Isa::all() {
        for count in [1, 4, 16, 21] {
            let input: Vec<_> = (0..count).map(|_| random_row(columns, &mut rng)).collect();
            let mut input = byte_rows(isa, &input);
            let mut together = QuantisedRows::new();
            multiply_gated_bytes(isa, &pool, &mut input, [&gate, &up], &mut together);
            let mut out = vec![0f32; count * 2 * rows];
            let places = [(&gate, 0), (&up, rows)];
            multiply_by(
                (Isa::Scalar, false),
                &pool,
                &mut input,
                &mut out,
                2 * rows,
                &places,
            );
            let gated: Vec<_> = out
                .chunks_exact(2 * rows)
                .map(|line| {
                    let mut gated = vec![0f32; rows];
                    silu_times(Isa::Scalar, &line[..rows], &line[rows..], &mut gated);
                    gated
                })
                .collect();
            let mut single = byte_rows(Isa::Scalar, &gated);
            single.prepare(crate::cpu::format::Format::Q4K);
            together.prepare(crate::cpu::format::Format::Q4K);
            for tile in 0..single.tiles() {
                let format = crate::cpu::format::Format::Q4K;
                let (a, b) = (single.tile(tile, format), together.tile(tile, format));
                let used = a.height * a.blocks;
                assert_eq!(
                    a.bytes[..used * BLOCK],
                    b.bytes[..used * BLOCK],
                    "{isa:?} {count}"
                );
                assert_eq!(a.scales[..used], b.scales[..used], "{isa:?} {count}");
                assert_eq!(a.totals[..used], b.totals[..used], "{isa:?} {count}");
            }
        }
    }
}

/// Gate and up products in one step give the bits of the steps one by one.
#[cfg(target_arch = "x86_64")]
#[test]
fn gated_products_are_those_of_single_steps() {
    if !Isa::has_bf16_tiles() {
        return;
    }
    let mut rng = SplitMix64::new(13);
    let pool = Pool::new(2).unwrap();
    let (rows, columns) = (96, 1280);
    let isa = Isa::detect();
    let [gate, up] = [Stored::Q8_0, Stored::Q4K].map(|stored| {
        let data = random_blocks(stored, rows, columns, &mut rng);
        packed(stored, rows, columns, &data, &pool)
    });
    // the last do not fit the cache
    for count in [1, 33, 64, 450] {
        let input: Vec<_> = (0..count).map(|_| random_row(columns, &mut rng)).collect();
        let input = bf16_rows(isa, &input);
        let mut together = Bf16Rows::new();
        multiply_gated(isa, &pool, &input, [&gate, &up], &mut together);
        let mut out = vec![0f32; count * 2 * rows];
        let places = [(&gate, 0), (&up, rows)];
        multiply_prompt(&pool, &input, &mut out, 2 * rows, &places);
        let gated: Vec<_> = out
            .chunks_exact(2 * rows)
            .map(|line| {
                let mut gated = vec![0f32; rows];
                silu_times(isa, &line[..rows], &line[rows..], &mut gated);
                gated
            })
            .collect();
        let single = bf16_rows(isa, &gated);
        for tile in 0..single.tiles() {
            assert_eq!(together.tile(tile, 0), single.tile(tile, 0), "{count} rows");
        }
    }
}

fn bf16_rows(isa: Isa, rows: &[Vec<f32>]) -> Bf16Rows {
    let mut out = Bf16Rows::new();
    out.reset(rows.len(), rows[0].len());
    let writer = out.writer();
    for (index, row) in rows.iter().enumerate() {
        // SAFETY: one thread.
        unsafe { writer.set(isa, index, 0, row) };
    }
    out
}

/// Both ways of rounding against f64 products of the numbers that the type defines.
#[test]
fn products_are_close_to_the_definition() {
    let mut rng = SplitMix64::new(9);
    let pool = Pool::new(1).unwrap();
    let (rows, columns) = (48, 1280);
    for stored in STORED {
        let data = random_blocks(stored, rows, columns, &mut rng);
        let matrix = packed(stored, rows, columns, &data, &pool);
        let input: Vec<_> = (0..3).map(|_| random_row(columns, &mut rng)).collect();
        let mut weights = vec![0f32; rows * columns];
        for (row, weights) in weights.chunks_exact_mut(columns).enumerate() {
            matrix.read_row(row, weights);
        }
        let isa = Isa::detect();
        let mut by_bytes = vec![0f32; 3 * rows];
        let mut rounded = byte_rows(isa, &input);
        multiply_all(
            isa,
            &pool,
            &mut rounded,
            &mut by_bytes,
            rows,
            &[(&matrix, 0)],
        );
        let mut by_tiles = by_bytes.clone();
        if Isa::has_bf16_tiles() {
            let rounded = bf16_rows(isa, &input);
            multiply_prompt(&pool, &rounded, &mut by_tiles, rows, &[(&matrix, 0)]);
        }
        for (m, input) in input.iter().enumerate() {
            for row in 0..rows {
                let weights = &weights[row * columns..(row + 1) * columns];
                let terms = weights.iter().zip(input);
                let terms: Vec<f64> = terms.map(|(w, x)| f64::from(*w) * f64::from(*x)).collect();
                let exact: f64 = terms.iter().sum();
                // errors of single terms add up like a random walk
                let spread = terms.iter().map(|t| t * t).sum::<f64>().sqrt();
                for (name, out) in [("bytes", &by_bytes), ("tiles", &by_tiles)] {
                    let error = (f64::from(out[m * rows + row]) - exact).abs();
                    assert!(
                        error < 0.06 * spread,
                        "{stored:?} {name}: {error} of {spread}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_is_not_lost() {
    let pool = Pool::new(1).unwrap();
    let mut rng = SplitMix64::new(10);
    let data = random_blocks(Stored::Q8_0, 16, 2 * BLOCK, &mut rng);
    let matrix = packed(Stored::Q8_0, 16, 2 * BLOCK, &data, &pool);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut row = random_row(2 * BLOCK, &mut rng);
        row[40] = bad;
        for isa in Isa::all() {
            let mut out = vec![0f32; 16];
            let mut input = byte_rows(isa, std::slice::from_ref(&row));
            multiply_all(isa, &pool, &mut input, &mut out, 16, &[(&matrix, 0)]);
            assert!(out.iter().all(|v| v.is_nan()), "{bad} {isa:?}: {out:?}");
        }
    }
}
