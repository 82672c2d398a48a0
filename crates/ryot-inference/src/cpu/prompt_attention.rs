//! Attention of prompts on matrix tiles: every thread takes sixteen rows of one key head.

use std::cell::RefCell;
use std::ops::Range;

use super::Isa;
use super::decoder::{CpuDecoder, Part};
use super::kernel::amx_attention::{QUERIES, QueryTile, Room, attend};
use super::shared::SharedRows;

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room::new());
}

/// Queries, keys and values of all rows of a call, and where the results go.
pub(super) struct Prompt<'a, 'b> {
    pub(super) layer: usize,
    pub(super) parts: &'a [Part<'b>],
    /// Rows of `width` numbers, queries first.
    pub(super) wide: &'a [f32],
    pub(super) width: usize,
    /// `[row][head][head_dim]`.
    pub(super) mixed: &'a mut [f32],
}

/// Rows of one sequence.
struct Run<'a, 'b> {
    part: &'a Part<'b>,
    rows: Range<usize>,
    /// Tokens that the first row sees, itself included.
    visible: usize,
}

impl CpuDecoder {
    /// Causal attention of the rows of prompts, whose keys and values are there already.
    pub(super) fn mix_prompt(&self, prompt: &mut Prompt<'_, '_>) {
        assert!(Isa::has_bf16_tiles(), "tiles of bfloat16");
        let kv_heads = self.config.kv_heads;
        let mut runs: Vec<Run<'_, '_>> = Vec::new();
        let mut row = 0;
        for part in prompt.parts {
            let end = row + part.tokens.len();
            // the rows that see most come first
            let starts = (row..end).step_by(QUERIES).rev();
            runs.extend(starts.map(|start| Run {
                part,
                rows: start..end.min(start + QUERIES),
                visible: part.held + start - row + 1,
            }));
            row = end;
        }
        let out = SharedRows::new(&mut *prompt.mixed, self.config.head_dim);
        let (wide, width, layer) = (prompt.wide, prompt.width, prompt.layer);
        self.pool.run(runs.len() * kv_heads, &|piece| {
            let (run, head) = (&runs[piece / kv_heads], piece % kv_heads);
            ROOM.with_borrow_mut(|room| self.mix_run((wide, width), run, layer, head, room, &out));
        });
    }

    /// The heads that share key head `kv_head`, for at most [`QUERIES`] rows of one sequence.
    fn mix_run(
        &self,
        (wide, width): (&[f32], usize),
        run: &Run<'_, '_>,
        layer: usize,
        kv_head: usize,
        room: &mut Room,
        out: &SharedRows<'_, f32>,
    ) {
        let (heads, head_dim) = (self.config.heads, self.config.head_dim);
        let group = heads / self.config.kv_heads;
        let rows = run.rows.clone();
        let visible: [usize; QUERIES] = std::array::from_fn(|at| run.visible + at);
        #[expect(clippy::cast_precision_loss, reason = "a head size is small")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        for head in kv_head * group..(kv_head + 1) * group {
            let query = QueryTile {
                head: run.part.kv.head(layer, kv_head),
                padded: self.kv_layout().padded(),
                queries: &wide[rows.start * width + head * head_dim..],
                stride: width,
                head_dim,
                scale,
                visible: &visible[..rows.len()],
            };
            let give = |q: usize, sums: &[f32]| {
                // SAFETY: this head of this row is written by this piece alone.
                let target = unsafe { out.row((rows.start + q) * heads + head) };
                target.copy_from_slice(&sums[..head_dim]);
            };
            // SAFETY: the instructions were asserted where the call began.
            unsafe { attend(&query, room, give) };
        }
    }
}
