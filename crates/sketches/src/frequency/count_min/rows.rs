//! Where a hash falls in each row, and the loops over the rows.
//!
//! The loops are compiled once for each usual depth, so that the places of a key are all known
//! before the first cell is touched and its cache misses overlap; other depths take the same loop
//! with a depth known at run time only.

use super::builder::{CountMinBuilder, Update};
use crate::{
    hash::split_mix,
    simd::{
        kernel::{Kernel, run_at},
        level,
    },
};

pub(in crate::frequency) const DEPTH_MAX: usize = CountMinBuilder::DEPTH_MAX;

/// What decides the cells of a hash and how they grow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) update: Update,
    pub(super) depth: usize,
    pub(super) width: usize,
}

/// Odd multiplier of each row, a SplitMix64 row; part of the byte format.
pub(in crate::frequency) static MULTIPLIERS: [u64; DEPTH_MAX] = {
    let mut row = [0; DEPTH_MAX];
    let mut at = 0;
    while at < row.len() {
        row[at] = split_mix(0x636f_756e_746d_696e, at as u64) | 1;
        at += 1;
    }
    row
};

/// Cell of a hash in a row: the upper half of `hash * multiplier(row)`, scaled to the width.
#[inline]
pub(in crate::frequency) fn cell_of(hash: u64, multiplier: u64, width: usize) -> usize {
    (((hash.wrapping_mul(multiplier) >> 32) * width as u64) >> 32) as usize
}

/// Adds a count to the cells of a hash under an update rule. `total` counts it already; no cell
/// exceeds the total, so while that fits a cell none can overflow.
#[inline]
pub(super) fn add(shape: Shape, cells: &mut [u32], total: u64, hash: u64, count: u32) {
    let Shape {
        update,
        depth,
        width,
    } = shape;
    if total > u64::from(u32::MAX) {
        add_any(shape, cells, hash, count);
        return;
    }
    match (update, depth) {
        (Update::Plain, 3) => add_plain(places::<3>(hash, width), cells, count),
        (Update::Plain, 4) => add_plain(places::<4>(hash, width), cells, count),
        (Update::Plain, 5) => add_plain(places::<5>(hash, width), cells, count),
        (Update::Plain, 7) => add_plain(places::<7>(hash, width), cells, count),
        (Update::Conservative, 3) => add_conservative(places::<3>(hash, width), cells, count),
        (Update::Conservative, 4) => add_conservative(places::<4>(hash, width), cells, count),
        (Update::Conservative, 5) => add_conservative(places::<5>(hash, width), cells, count),
        (Update::Conservative, 7) => add_conservative(places::<7>(hash, width), cells, count),
        _ => add_any(shape, cells, hash, count),
    }
}

/// Hashes whose cells are found at once, where there are few.
pub(super) const FEW: usize = 128;
/// And where there are more: enough for a row to be read into the nearest cache once for many of
/// them, and few enough to leave it there.
pub(super) const MANY: usize = 1024;

/// Adds one to the cells of every hash; `total` counts them already.
pub(super) fn add_ones(shape: Shape, cells: &mut [u32], total: u64, hashes: &[u64]) {
    if total > u64::from(u32::MAX) || shape.update == Update::Conservative {
        for hash in hashes {
            add(shape, cells, total, *hash, 1);
        }
        return;
    }
    if hashes.len() <= FEW {
        add_ones_plain::<FEW>(shape, cells, hashes);
    } else {
        add_ones_plain::<MANY>(shape, cells, hashes);
    }
}

/// Adds one to the cells of every hash, row by row for `N` hashes at a time.
fn add_ones_plain<const N: usize>(shape: Shape, cells: &mut [u32], hashes: &[u64]) {
    let mut places = [0; N];
    for hashes in hashes.chunks(N) {
        let rows = cells.chunks_exact_mut(shape.width).zip(&MULTIPLIERS);
        for (row, multiplier) in rows {
            let places = &mut places[..hashes.len()];
            let kernel = CellsOf {
                hashes,
                multiplier: *multiplier,
                width: shape.width,
                places,
            };
            run_at(level(), kernel);
            for place in &places[..hashes.len()] {
                if let Some(cell) = row.get_mut(*place as usize) {
                    *cell = cell.wrapping_add(1);
                }
            }
        }
    }
}

/// The cells of many hashes in one row.
struct CellsOf<'a> {
    hashes: &'a [u64],
    multiplier: u64,
    width: usize,
    places: &'a mut [u32],
}

impl Kernel for CellsOf<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "widths and cells are below 2^28"
    )]
    fn run(self) {
        let width = u64::from(self.width as u32);
        for (place, hash) in self.places.iter_mut().zip(self.hashes) {
            *place = (((hash.wrapping_mul(self.multiplier) >> 32) * width) >> 32) as u32;
        }
    }
}

/// The plain twin: any depth, and cells that stop at their greatest value.
#[inline(never)]
fn add_any(shape: Shape, cells: &mut [u32], hash: u64, count: u32) {
    let places = any_places(hash, shape.depth, shape.width);
    let enough = match shape.update {
        Update::Plain => u32::MAX,
        Update::Conservative => least(places.clone(), cells).saturating_add(count),
    };
    for place in places {
        if let Some(cell) = cells.get_mut(place) {
            // Under the conservative rule a cell above the new estimate stays.
            *cell = cell.saturating_add(count).min(enough).max(*cell);
        }
    }
}

/// Least cell of a hash.
#[inline]
pub(super) fn least_cell(depth: usize, width: usize, cells: &[u32], hash: u64) -> u32 {
    match depth {
        3 => least(places::<3>(hash, width), cells),
        4 => least(places::<4>(hash, width), cells),
        5 => least(places::<5>(hash, width), cells),
        7 => least(places::<7>(hash, width), cells),
        _ => least(any_places(hash, depth, width), cells),
    }
}

/// Position in the row-by-row cells of a hash in each of `DEPTH` rows.
#[inline]
fn places<const DEPTH: usize>(hash: u64, width: usize) -> [usize; DEPTH] {
    let mut places = [0; DEPTH];
    let mut start = 0;
    for (place, multiplier) in places.iter_mut().zip(&MULTIPLIERS) {
        *place = start + cell_of(hash, *multiplier, width);
        start += width;
    }
    places
}

/// [`places`] for any depth; the plain twin of the fixed ones.
pub(super) fn any_places(
    hash: u64,
    depth: usize,
    width: usize,
) -> impl Iterator<Item = usize> + Clone + use<> {
    let rows = MULTIPLIERS.iter().take(depth).enumerate();
    rows.map(move |(row, multiplier)| row * width + cell_of(hash, *multiplier, width))
}

#[inline]
fn add_plain<const DEPTH: usize>(places: [usize; DEPTH], cells: &mut [u32], count: u32) {
    for place in places {
        if let Some(cell) = cells.get_mut(place) {
            *cell = cell.wrapping_add(count);
        }
    }
}

/// Cells grow only as far as the new estimate needs; one above it stays.
#[inline]
fn add_conservative<const DEPTH: usize>(places: [usize; DEPTH], cells: &mut [u32], count: u32) {
    let enough = least(places, cells).wrapping_add(count);
    for place in places {
        if let Some(cell) = cells.get_mut(place) {
            *cell = enough.max(*cell);
        }
    }
}

#[inline]
fn least(places: impl IntoIterator<Item = usize>, cells: &[u32]) -> u32 {
    let found = places.into_iter().filter_map(|place| cells.get(place));
    found.copied().min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::available_levels;
    use alloc::{vec, vec::Vec};

    #[test]
    fn fixed_depths_have_the_places_of_the_plain_twin() {
        for at in 0..2000 {
            let (hash, width) = (split_mix(3, at), 1 + usize::try_from(at * at).unwrap());
            let twin = |depth| any_places(hash, depth, width).collect::<Vec<_>>();
            assert_eq!(places::<3>(hash, width).to_vec(), twin(3));
            assert_eq!(places::<4>(hash, width).to_vec(), twin(4));
            assert_eq!(places::<5>(hash, width).to_vec(), twin(5));
            assert_eq!(places::<7>(hash, width).to_vec(), twin(7));
            assert!(
                twin(32)
                    .iter()
                    .enumerate()
                    .all(|(row, at)| at / width == row)
            );
        }
    }

    #[test]
    fn every_level_finds_the_cells_of_the_twin() {
        for len in [0, 1, 7, 8, 9, 31, 128] {
            let hashes: Vec<u64> = (0..len).map(|at| split_mix(len, at)).collect();
            for width in [1, 2, 10_000, CountMinBuilder::WIDTH_MAX] {
                for multiplier in &MULTIPLIERS[..3] {
                    let twin: Vec<usize> = hashes
                        .iter()
                        .map(|hash| cell_of(*hash, *multiplier, width))
                        .collect();
                    for level in available_levels() {
                        let mut row = vec![u32::MAX; hashes.len() + 2];
                        let places = &mut row[1..=hashes.len()];
                        let kernel = CellsOf {
                            hashes: &hashes,
                            multiplier: *multiplier,
                            width,
                            places,
                        };
                        run_at(level, kernel);
                        let found: Vec<usize> = row[1..=hashes.len()]
                            .iter()
                            .map(|place| *place as usize)
                            .collect();
                        assert_eq!(found, twin, "{level:?}");
                        assert!(row[0] == u32::MAX && row[hashes.len() + 1] == u32::MAX);
                    }
                }
            }
        }
    }

    #[test]
    fn many_ones_are_the_ones_one_by_one() {
        for update in [Update::Plain, Update::Conservative] {
            for (depth, width) in [(1, 1), (5, 100), (6, 33)] {
                let shape = Shape {
                    update,
                    depth,
                    width,
                };
                let hashes: Vec<u64> = (0..2500).map(|at| split_mix(7, at % 90)).collect();
                let mut cells = vec![0; depth * width];
                let mut twin = cells.clone();
                for (count, total) in [(2500, 2500), (90, 2590), (2500, u64::from(u32::MAX) + 1)] {
                    let hashes = &hashes[..count];
                    add_ones(shape, &mut cells, total, hashes);
                    hashes
                        .iter()
                        .for_each(|hash| add_any(shape, &mut twin, *hash, 1));
                    assert_eq!(cells, twin);
                }
            }
        }
    }

    #[test]
    fn every_depth_updates_as_the_twin_does() {
        for update in [Update::Plain, Update::Conservative] {
            for depth in 1..=9 {
                let width = 5;
                let (mut cells, mut twin) = (vec![0_u32; depth * width], vec![0; depth * width]);
                let shape = Shape {
                    update,
                    depth,
                    width,
                };
                // From the step on at which the total passes a cell, cells stop.
                let mut total = u64::from(u32::MAX) - 300;
                for at in 0..200 {
                    let (hash, count) = (split_mix(7, at % 40), u32::try_from(at % 7).unwrap());
                    total += u64::from(count);
                    add(shape, &mut cells, total, hash, count);
                    add_any(shape, &mut twin, hash, count);
                    assert_eq!(cells, twin);
                    let least = least(any_places(hash, depth, width), &twin);
                    assert_eq!(least_cell(depth, width, &cells, hash), least);
                }
            }
        }
    }
}
