//! Attention of prompts on matrix tiles: keys and values are rounded once a layer, then every
//! thread takes sixteen rows of one key head.

use std::cell::RefCell;
use std::ops::Range;

use super::Isa;
use super::buffer::Buffer;
use super::decoder::{CpuDecoder, Part};
use super::kernel::amx_attention::{HeadTiles, KEYS, QUERIES, QueryTile, Room, attend, round};
use super::shared::SharedRows;

/// Tokens of several sequences whose keys and values are rounded at once, at most; a longer
/// sequence goes alone.
const TOKENS_MAX: usize = 8192;

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
    /// Memory for rounded keys and values.
    pub(super) rounded: &'a mut Buffer,
}

/// A sequence of the call.
struct Span<'a, 'b> {
    part: &'a Part<'b>,
    rows: Range<usize>,
    /// Where its rounded keys and values begin, in steps of [`KEYS`] tokens of one head.
    start: usize,
}

impl Span<'_, '_> {
    fn tokens(&self) -> usize {
        self.part.held + self.rows.len()
    }

    fn blocks(&self) -> usize {
        self.tokens().div_ceil(KEYS)
    }
}

impl CpuDecoder {
    /// Causal attention of the rows of prompts.
    pub(super) fn mix_prompt(&self, prompt: &mut Prompt<'_, '_>) {
        assert!(Isa::has_bf16_tiles(), "tiles of bfloat16");
        let mut spans: Vec<Span<'_, '_>> = Vec::with_capacity(prompt.parts.len());
        let (mut row, mut start, mut tokens) = (0, 0, 0);
        for part in prompt.parts {
            let rows = row..row + part.tokens.len();
            row = rows.end;
            let span = Span { part, rows, start };
            if !spans.is_empty() && tokens + span.tokens() > TOKENS_MAX {
                self.mix_spans(prompt, &spans);
                spans.clear();
                (start, tokens) = (0, 0);
            }
            tokens += span.tokens();
            let span = Span { start, ..span };
            start += span.blocks() * self.config.kv_heads;
            spans.push(span);
        }
        self.mix_spans(prompt, &spans);
    }

    fn mix_spans(&self, prompt: &mut Prompt<'_, '_>, spans: &[Span<'_, '_>]) {
        let sizes = HeadTiles {
            padded: self.kv_layout().padded(),
        };
        let kv_heads = self.config.kv_heads;
        let steps: usize = spans.iter().map(|s| s.blocks() * kv_heads).sum();
        prompt.rounded.resize(steps * sizes.bytes());
        let rounded = SharedRows::new(prompt.rounded.as_mut_slice(), sizes.bytes());
        self.pool.share(steps, &|step| {
            let Some(span) = spans.iter().rev().find(|s| s.start <= step) else {
                return;
            };
            let (head, block) = {
                let own = step - span.start;
                (own / span.blocks(), own % span.blocks())
            };
            let head = span.part.kv.head(prompt.layer, head);
            // SAFETY: one step is one item of the region; the instructions were asserted.
            unsafe { round(sizes, head, block, span.tokens(), rounded.row(step)) };
        });
        let rounded = prompt.rounded.as_slice();
        // the rows that see most come first
        let runs: Vec<(&Span<'_, '_>, Range<usize>)> = spans
            .iter()
            .flat_map(|span| {
                let starts = span.rows.clone().step_by(QUERIES).rev();
                starts.map(move |row| (span, row..span.rows.end.min(row + QUERIES)))
            })
            .collect();
        let out = SharedRows::new(&mut *prompt.mixed, self.config.head_dim);
        let (wide, width) = (prompt.wide, prompt.width);
        self.pool.run(runs.len() * kv_heads, &|piece| {
            let (span, rows) = &runs[piece / kv_heads];
            let head = piece % kv_heads;
            let first = (span.start + head * span.blocks()) * sizes.bytes();
            let tiles = &rounded[first..first + span.blocks() * sizes.bytes()];
            ROOM.with_borrow_mut(|room| {
                self.mix_run((wide, width), span, rows.clone(), head, tiles, room, &out);
            });
        });
    }

    /// The heads that share key head `kv_head`, for at most [`QUERIES`] rows of one sequence.
    #[expect(clippy::too_many_arguments, reason = "one piece of one region")]
    fn mix_run(
        &self,
        (wide, width): (&[f32], usize),
        span: &Span<'_, '_>,
        rows: Range<usize>,
        kv_head: usize,
        tiles: &[u8],
        room: &mut Room,
        out: &SharedRows<'_, f32>,
    ) {
        let (heads, head_dim) = (self.config.heads, self.config.head_dim);
        let group = heads / self.config.kv_heads;
        let mut visible = [0; QUERIES];
        for (visible, row) in visible.iter_mut().zip(rows.clone()) {
            *visible = span.part.held + row - span.rows.start + 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "a head size is small")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        for head in kv_head * group..(kv_head + 1) * group {
            let query = QueryTile {
                sizes: HeadTiles {
                    padded: self.kv_layout().padded(),
                },
                tiles,
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
