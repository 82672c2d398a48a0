//! How a tile of sixteen weight rows lies in memory, per number format.
//!
//! A tile is cut along the columns into blocks of thirty-two. A block's numbers are stored as
//! eight groups; group `g` holds, for each of the sixteen rows in turn, columns `4g..4g + 4`.
//! That is the operand of a byte dot product as well as a row of a matrix tile, so a block is
//! used as it is read. Formats below eight bits store planes:
//!
//! | plane | bytes a block | byte `4 * row + j` of group `g` |
//! |---|---|---|
//! | whole | 512 | the number, signed: as stored here, less 128 |
//! | low four bits | 256 | low half: group `g`; high half: group `g + 4` |
//! | one high bit | 64 | bit `g` is the fifth bit of group `g` |
//! | two high bits | 128 | bits `2 (g % 4)` of line `g / 4` are the upper two of group `g` |
//!
//! Numbers are unsigned; the zero point below is subtracted in whole numbers. Scales lie apart.

/// Rows of a tile.
pub(crate) const TILE: usize = 16;
/// Columns of a block.
pub(crate) const BLOCK: usize = 32;
/// Blocks that share the outer scales of a K format.
pub(crate) const SUPER: usize = 8;

/// Number format of a packed matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Format {
    /// Eight bits, f16 scale a block: Q8_0.
    Q8,
    /// Four bits, f16 scale: Q4_0.
    Q4,
    /// Five bits, f16 scale: Q5_0.
    Q5,
    /// Four bits, f16 scale and f16 minimum: Q4_1.
    Q4Min,
    /// Five bits, f16 scale and f16 minimum: Q5_1.
    Q5Min,
    /// Four bits, scale and minimum of a byte each under two f16: Q4_K.
    Q4K,
    /// Five bits, else as Q4_K: Q5_K.
    Q5K,
    /// Six bits, a signed byte as scale per sixteen columns under one f16: Q6_K, and Q3_K widened.
    Q6K,
}

impl Format {
    /// All of them, in the order of their indices.
    pub(crate) const ALL: [Self; 8] = [
        Self::Q8,
        Self::Q4,
        Self::Q5,
        Self::Q4Min,
        Self::Q5Min,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
    ];

    /// The format whose `as u8` is `index`; kernels take it as a constant.
    pub(crate) const fn from_index(index: u8) -> Self {
        Self::ALL[index as usize]
    }

    /// Bytes of a block's numbers.
    pub(crate) const fn block_bytes(self) -> usize {
        match self {
            Self::Q8 => 512,
            Self::Q4 | Self::Q4Min | Self::Q4K => 256,
            Self::Q5 | Self::Q5Min | Self::Q5K => 320,
            Self::Q6K => 384,
        }
    }

    /// What is subtracted from every stored number.
    pub(crate) const fn zero_point(self) -> i32 {
        match self {
            Self::Q8 => 128,
            Self::Q4 => 8,
            Self::Q5 => 16,
            Self::Q6K => 32,
            Self::Q4Min | Self::Q5Min | Self::Q4K | Self::Q5K => 0,
        }
    }

    /// Whether a minimum is subtracted after scaling.
    pub(crate) const fn has_minimum(self) -> bool {
        matches!(self, Self::Q4Min | Self::Q5Min | Self::Q4K | Self::Q5K)
    }

    /// Scales per block and row: two where sixteen columns share one.
    pub(crate) const fn scales_per_block(self) -> usize {
        match self {
            Self::Q6K => 2,
            _ => 1,
        }
    }

    /// Bytes of a tile's scales.
    ///
    /// Per block: f16 x 16 (and f16 x 16 minima); K formats: u8 x 16 scales and u8 x 16 minima, or
    /// i8 x 16 twice, with the f16 x 16 of every eighth block (scale, then minimum) after all of
    /// them.
    pub(crate) const fn scale_bytes(self, blocks: usize) -> usize {
        match self {
            Self::Q8 | Self::Q4 | Self::Q5 => blocks * 32,
            Self::Q4Min | Self::Q5Min => blocks * 64,
            Self::Q4K | Self::Q5K => blocks * 32 + blocks.div_ceil(SUPER) * 64,
            Self::Q6K => blocks * 32 + blocks.div_ceil(SUPER) * 32,
        }
    }
}
