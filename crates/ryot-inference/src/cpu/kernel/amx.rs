//! Prompts on matrix tiles of bfloat16: weights are widened once for many rows.
//!
//! A row's sums do not depend on the rows beside it, so a prompt gives the same bits however it is
//! cut into pieces. They are not the bits of the byte kernels: activations keep eight significant
//! bits each here, and are bytes of a common scale there.
//!
//! # Source
//! Intel 64 and IA-32 Architectures Software Developer's Manual, "Intel AMX". The intrinsics are
//! not stable in Rust, so the instructions are written as inline assembly.

use std::arch::asm;
use std::arch::x86_64::{
    __cpuid, __cpuid_count, __m512, __m512bh, __m512i, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch,
    _mm512_castsi512_ps, _mm512_cvtne2ps_pbh, _mm512_fmadd_ps, _mm512_loadu_si512,
    _mm512_mask_permutexvar_epi8, _mm512_permutexvar_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setr_epi32, _mm512_storeu_si512, _mm512_sub_ps,
};

use super::super::bf16_rows::Bf16Rows;
use super::WeightTile;
use super::amx_few;
use super::avx512::{self, GROUPS, by_format};
use crate::cpu::buffer::Buffer;
use crate::cpu::format::{Format, TILE};
use crate::cpu::shared::SharedRows;

/// Bytes of weights that few rows, and batches of generated tokens, fetch ahead; the next tile follows in memory.
pub(super) const AHEAD: usize = 4096;

/// Whether the processor has tiles of bfloat16 and of bytes, and the system lets this process use
/// them.
pub(crate) fn granted() -> bool {
    // leaf 7: bit 22 of edx is AMX-BF16, bit 24 AMX-TILE, bit 25 AMX-INT8
    let (leaf, bits) = (7, 1 << 22 | 1 << 24 | 1 << 25);
    if __cpuid(0).eax < leaf || __cpuid_count(leaf, 0).edx & bits != bits {
        return false;
    }
    request()
}

/// Asks Linux for the tile registers' state; every thread of the process has it from then on.
#[cfg(target_os = "linux")]
fn request() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: the system call reads two numbers and touches no memory of ours; rcx and r11 are
    // declared as overwritten, as the ABI says.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn request() -> bool {
    false
}

/// Blocks of columns that are widened at once, at most: 24 KiB for two tiles, of which there are two
/// pieces: one is multiplied while the other is widened.
const DEPTH: usize = 12;
/// Bytes of a tile register.
pub(super) const TILE_BYTES: usize = 1024;
/// Bytes of a piece of widened weights: `[2][DEPTH]` tiles.
const PIECE_BYTES: usize = 2 * DEPTH * TILE_BYTES;

/// Memory of one thread: widened weights and sums.
#[derive(Debug)]
pub(in crate::cpu) struct Workspace {
    weights: Buffer,
    sums: Buffer,
}

impl Workspace {
    pub(in crate::cpu) fn new() -> Self {
        Self {
            weights: Buffer::zeroed(2 * PIECE_BYTES),
            sums: Buffer::zeroed(0),
        }
    }
}

/// Sizes of the tile registers, as the processor reads them.
#[derive(Clone)]
#[repr(C, align(64))]
pub(super) struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    column_bytes: [u16; 16],
    rows: [u8; 16],
}

impl TileConfig {
    /// Rows, and bytes of a row, of each register.
    pub(super) const fn new(tiles: [(u8, u16); 8]) -> Self {
        let mut config = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            column_bytes: [0; 16],
            rows: [0; 16],
        };
        let mut index = 0;
        while index < tiles.len() {
            (config.rows[index], config.column_bytes[index]) = tiles[index];
            index += 1;
        }
        config
    }
}

/// Eight tiles of 16 rows by 64 bytes.
pub(super) static BF16_TILES: TileConfig = TileConfig::new([(16, 64); 8]);

/// Tiles configured on this thread; the configuration before comes back when this is dropped,
/// because other libraries configure a thread once and rely on it.
pub(super) struct Configured {
    before: TileConfig,
}

impl Configured {
    /// # Safety
    /// [`granted`] must have said yes.
    pub(super) unsafe fn new(config: &'static TileConfig) -> Self {
        let mut before = config.clone();
        // SAFETY: the caller vouches for the instructions; the operand is 64 bytes.
        unsafe {
            asm!("sttilecfg [{}]", in(reg) &raw mut before, options(nostack));
        }
        let configured = Self { before };
        // SAFETY: passed on to the caller.
        unsafe { configured.change(config) };
        configured
    }

    /// Another configuration in place of this one; what is in the tiles is lost.
    ///
    /// # Safety
    /// [`granted`] must have said yes.
    pub(super) unsafe fn change(&self, config: &'static TileConfig) {
        // SAFETY: the caller vouches for the instructions; the operand is 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const *config, options(nostack, readonly));
        }
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: this is the configuration that the processor stored; palette 0 releases.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const self.before, options(nostack, readonly));
        }
    }
}

/// Pairs of weight tiles that share the activations of one depth while those are in the cache.
pub(in crate::cpu) const PAIRS_MAX: usize = 8;

/// Where products go: `out` is rows `stride` apart, of which `columns` from `at` on are this call's.
pub(in crate::cpu) struct Target<'a, 'b> {
    pub(in crate::cpu) out: &'a SharedRows<'b, f32>,
    pub(in crate::cpu) at: usize,
    pub(in crate::cpu) columns: usize,
}

/// Products of up to [`PAIRS_MAX`] pairs of weight tiles with all of `rows`.
///
/// # Safety
/// [`Isa::has_bf16_tiles`](crate::cpu::Isa::has_bf16_tiles) must have said yes, and no other thread
/// may use the target's columns.
pub(in crate::cpu) unsafe fn multiply(
    weights: &[[WeightTile<'_>; 2]],
    rows: &Bf16Rows,
    workspace: &mut Workspace,
    target: &Target<'_, '_>,
) {
    let blocks = rows.blocks();
    assert!(weights.iter().flatten().all(|t| t.blocks == blocks));
    weights.iter().flatten().for_each(avx512::check);
    if rows.rows() <= amx_few::ROWS_MAX {
        // SAFETY: passed on to the caller.
        unsafe { amx_few::multiply(weights, rows, target) };
        return;
    }
    let row_pairs = rows.tiles() / 2;
    workspace
        .sums
        .resize(weights.len() * row_pairs * 4 * TILE_BYTES);
    // equal shares, as a short last one would move more sums than it adds to
    let depth_max = blocks.div_ceil(blocks.div_ceil(DEPTH));
    let pieces = weights.len() * blocks.div_ceil(depth_max);
    let piece = |index: usize| {
        let first = index / weights.len() * depth_max;
        let depth = depth_max.min(blocks.saturating_sub(first));
        (index % weights.len(), first, depth)
    };
    // SAFETY: the instructions are there, as the caller vouches.
    let configured = unsafe { Configured::new(&BF16_TILES) };
    let Workspace {
        weights: widened,
        sums: all_sums,
    } = workspace;
    let widened = widened.as_mut_slice().as_mut_ptr();
    let widening = |index: usize| {
        let (pair, first, depth) = piece(index);
        Widening {
            tiles: weights[pair],
            first,
            depth,
            done: 0,
            // SAFETY: one of the two pieces.
            out: unsafe { widened.add(index % 2 * PIECE_BYTES) },
        }
    };
    // SAFETY: the instructions are there; nothing else uses the piece.
    unsafe { widening(0).advance(2 * DEPTH) };
    for index in 0..pieces {
        let (pair, first, depth) = piece(index);
        let mut next = widening(index + 1);
        let steps = row_pairs * depth;
        let following = if index + 2 < pieces {
            let (pair, first, _) = piece(index + 2);
            weights[pair].map(|t| t.bytes_from(first))
        } else {
            weights[pair].map(|t| t.bytes_from(2 * blocks))
        };
        let lines = depth * weights[pair][0].format.block_bytes() / 64;
        for row_pair in 0..row_pairs {
            let at = (pair * row_pairs + row_pair) * 4 * TILE_BYTES;
            let sums = all_sums.as_mut_slice()[at..at + 4 * TILE_BYTES].as_mut_ptr();
            let parts = [0, 1].map(|half| rows.tile(2 * row_pair + half, first));
            assert!(parts.iter().all(|a| a.len() >= depth * TILE_BYTES));
            let rows_here = (rows.rows() - row_pair * 2 * TILE).min(2 * TILE);
            let columns_here = target.columns.saturating_sub(pair * 2 * TILE).min(2 * TILE);
            let is_last = first + depth == blocks;
            let is_whole = rows_here == 2 * TILE && columns_here == 2 * TILE;
            let step = FourTiles {
                rows: [parts[0].as_ptr(), parts[1].as_ptr()],
                // SAFETY: one of the two pieces.
                weights: unsafe { widened.add(index % 2 * PIECE_BYTES).cast_const() },
                depth,
                before: (first > 0).then_some(sums.cast_const()),
                following: following.map(|f| f.wrapping_add(row_pair * lines / row_pairs * 64)),
                lines: lines.div_ceil(row_pairs * depth),
            };
            // SAFETY: tiles are configured; lengths were just checked, the parts of `out` are;
            // nobody else has them, as the caller vouches. The next piece is the other one.
            unsafe {
                let meanwhile = |at: usize| {
                    let share = (row_pair * depth + at + 1) * 2 * next.depth;
                    next.advance(share.div_ceil(steps));
                };
                if is_last && is_whole {
                    let from = target.at + pair * 2 * TILE;
                    let quarters = [(0, 0), (0, TILE), (TILE, 0), (TILE, TILE)];
                    let quarters = quarters.map(|(row, column)| {
                        let row = row_pair * 2 * TILE + row;
                        target.out.tile(row, from + column, [TILE, TILE]).cast()
                    });
                    step.run(quarters, target.out.stride() * size_of::<f32>(), meanwhile);
                } else {
                    let quarters = [0, 1, 2, 3].map(|i| sums.add(i * TILE_BYTES));
                    step.run(quarters, TILE * size_of::<f32>(), meanwhile);
                    if is_last {
                        let row = row_pair * 2 * TILE;
                        give(sums, row, rows_here, target, pair * 2 * TILE, columns_here);
                    }
                }
            }
        }
    }
    drop(configured);
}

/// A piece of two weight tiles that is being widened, block by block of each in turn.
struct Widening<'a> {
    tiles: [WeightTile<'a>; 2],
    first: usize,
    depth: usize,
    /// Blocks done, of both tiles.
    done: usize,
    /// `[2][DEPTH]` tiles.
    out: *mut u8,
}

impl Widening<'_> {
    /// Widens until `to` blocks, or all, are done.
    ///
    /// # Safety
    /// The instructions are there, `out` is good for a piece, and the tiles are checked.
    #[inline]
    unsafe fn advance(&mut self, to: usize) {
        while self.done < to.min(2 * self.depth) {
            let (step, half) = (self.done / 2, self.done % 2);
            let tile = &self.tiles[half];
            // SAFETY: within the piece; passed on to the caller.
            unsafe {
                let out = self.out.add((half * DEPTH + step) * TILE_BYTES);
                by_format!(tile.format, F => widen::<F, false>(tile, self.first + step, out));
            }
            self.done += 1;
        }
    }
}

/// Copies `rows` by `columns` of four tiles of sums to the target.
///
/// # Safety
/// `sums` of four tiles; no other thread uses the target's columns.
unsafe fn give(
    sums: *const u8,
    first_row: usize,
    rows: usize,
    target: &Target<'_, '_>,
    first_column: usize,
    columns: usize,
) {
    for row in 0..rows {
        for half in 0..2 {
            let width = columns.saturating_sub(half * TILE).min(TILE);
            if width == 0 {
                continue;
            }
            // SAFETY: the caller vouches for both sides; `part` checks its own.
            unsafe {
                let line = (row / TILE * 2 + half) * TILE + row % TILE;
                let line = sums.add(line * TILE * size_of::<f32>()).cast::<f32>();
                let at = target.at + first_column + half * TILE;
                let out = target.out.part(first_row + row, at, width);
                out.copy_from_slice(std::slice::from_raw_parts(line, width));
            }
        }
    }
}

/// Two row tiles by two weight tiles.
struct FourTiles {
    rows: [*const u8; 2],
    /// The second tile's from `DEPTH` tiles on.
    weights: *const u8,
    /// Blocks.
    depth: usize,
    /// Four tiles of sums that these are added to.
    before: Option<*const u8>,
    /// What is to be fetched from memory meanwhile, so many lines of each with every block.
    following: [*const u8; 2],
    lines: usize,
}

impl FourTiles {
    /// Writes the four tiles of sums, lines `stride` bytes apart; `meanwhile` is called with every
    /// step, for work that goes beside the products.
    ///
    /// # Safety
    /// Tiles configured; every pointer good for its tiles.
    #[inline]
    unsafe fn run(&self, sums: [*mut u8; 4], stride: usize, mut meanwhile: impl FnMut(usize)) {
        // SAFETY: the caller vouches for the pointers.
        unsafe {
            match self.before {
                None => asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    options(nostack, nomem)
                ),
                Some(before) => asm!(
                    "tileloadd tmm0, [{s} + {stride}*1]",
                    "tileloadd tmm1, [{s} + {stride}*1 + 1024]",
                    "tileloadd tmm2, [{s} + {stride}*1 + 2048]",
                    "tileloadd tmm3, [{s} + {stride}*1 + 3072]",
                    s = in(reg) before,
                    stride = in(reg) 64usize,
                    options(nostack, readonly),
                ),
            }
            let second = self.weights.add(DEPTH * TILE_BYTES);
            for step in 0..self.depth {
                for line in step * self.lines..(step + 1) * self.lines {
                    for following in self.following {
                        _mm_prefetch::<_MM_HINT_T1>(following.wrapping_add(line * 64).cast());
                    }
                }
                asm!(
                    "tileloadd tmm4, [{a} + {stride}*1]",
                    "tileloadd tmm6, [{w} + {stride}*1]",
                    "tileloadd tmm5, [{b} + {stride}*1]",
                    "tileloadd tmm7, [{v} + {stride}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    a = in(reg) self.rows[0].add(step * TILE_BYTES),
                    b = in(reg) self.rows[1].add(step * TILE_BYTES),
                    w = in(reg) self.weights.add(step * TILE_BYTES),
                    v = in(reg) second.add(step * TILE_BYTES),
                    stride = in(reg) 64usize,
                    options(nostack, readonly),
                );
                meanwhile(step);
            }
            asm!(
                "tilestored [{p} + {stride}*1], tmm0",
                "tilestored [{q} + {stride}*1], tmm1",
                "tilestored [{r} + {stride}*1], tmm2",
                "tilestored [{s} + {stride}*1], tmm3",
                p = in(reg) sums[0],
                q = in(reg) sums[1],
                r = in(reg) sums[2],
                s = in(reg) sums[3],
                stride = in(reg) stride,
                options(nostack),
            );
        }
    }
}

/// Where the numbers of a group go, by pair of columns and half of the rows: byte `4r + 2p + j` to
/// byte `to` of lane `2r + j`.
const fn picks(to: usize) -> [[[u8; 64]; 2]; 2] {
    let mut picks = [[[0; 64]; 2]; 2];
    let mut lane = 0;
    while lane < 64 {
        let (pair, half, here) = (lane / 32, lane / 16 % 2, lane % 16);
        let row = half * 8 + here / 2;
        #[expect(clippy::cast_possible_truncation, reason = "below 64")]
        let from = (4 * row + 2 * pair + here % 2) as u8;
        picks[pair][half][4 * here + to] = from;
        lane += 1;
    }
    picks
}

/// How whole numbers become f32 without a conversion: as the last bits of one that is `base` where
/// they are zero, and that has the units' bit at the start of byte `to`.
struct Bias {
    bits: i32,
    base: f32,
    to: usize,
}

impl Bias {
    const fn of(format: Format) -> Self {
        if matches!(format, Format::Q8) {
            // eight bits above the first byte: 2^15
            Self {
                bits: 0x4700_0000,
                base: 32_768.0,
                to: 1,
            }
        } else {
            // up to seven bits above the second: 2^7
            Self {
                bits: 0x4300_0000,
                base: 128.0,
                to: 2,
            }
        }
    }
}

/// Widens a block: sixteen lines, line `p` holding columns `2p` and `2p + 1` of each of the sixteen
/// weight rows. With `FETCH`, asks for as much of what follows in memory.
///
/// # Safety
/// `tile` checked, `out` good for a tile, instructions there.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512bf16")]
pub(super) unsafe fn widen<const F: u8, const FETCH: bool>(
    tile: &WeightTile<'_>,
    block: usize,
    out: *mut u8,
) {
    let format = const { Format::from_index(F) };
    let bias = const { Bias::of(Format::from_index(F)) };
    let picks = const { &picks(Bias::of(Format::from_index(F)).to) };
    // SAFETY: 64 bytes each.
    let picks = picks.map(|pair| pair.map(|p| unsafe { _mm512_loadu_si512(p.as_ptr().cast()) }));
    let (base, byte) = (
        _mm512_set1_epi32(bias.bits),
        0x1111_1111_1111_1111 << bias.to,
    );
    let twice = [
        _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
        _mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15),
    ];
    #[expect(clippy::cast_precision_loss, reason = "at most 128")]
    let zero_point = _mm512_set1_ps(format.zero_point() as f32 + bias.base);
    let zero = _mm512_set1_ps(0.0);
    // SAFETY: lengths were checked.
    unsafe {
        let groups = avx512::unpack::<F>(tile.bytes.as_ptr().add(block * format.block_bytes()));
        let (scale, minimum) = avx512::scales::<F>(tile, block);
        let spread = |scale: __m512| -> [(__m512, __m512); 2] {
            let offset = _mm512_sub_ps(zero, _mm512_fmadd_ps(scale, zero_point, minimum));
            twice.map(|t| {
                (
                    _mm512_permutexvar_ps(t, scale),
                    _mm512_permutexvar_ps(t, offset),
                )
            })
        };
        let first_half = spread(scale[0]);
        let second_half = if format.scales_per_block() == 2 {
            spread(scale[1])
        } else {
            first_half
        };
        let lines = format.block_bytes() / 64;
        for (g, group) in groups.iter().enumerate() {
            if FETCH {
                let ahead = tile.bytes_from(block).wrapping_add(AHEAD);
                for line in g * lines / GROUPS..(g + 1) * lines / GROUPS {
                    _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line * 64).cast());
                }
            }
            let scales = if g < 4 { &first_half } else { &second_half };
            for (pair, picks) in picks.iter().enumerate() {
                macro_rules! half {
                    ($h:literal) => {{
                        let number = _mm512_mask_permutexvar_epi8(base, byte, picks[$h], *group);
                        _mm512_fmadd_ps(_mm512_castsi512_ps(number), scales[$h].0, scales[$h].1)
                    }};
                }
                let line = _mm512_cvtne2ps_pbh(half!(1), half!(0));
                let at = out.add((2 * g + pair) * 64);
                _mm512_storeu_si512(at.cast(), std::mem::transmute::<__m512bh, __m512i>(line));
            }
        }
    }
}
