//! The decoder of the Llama family on packed weights.

use std::sync::{Arc, Mutex, PoisonError};

use super::Isa;
use super::buffer::Buffer;
use super::elementwise::{add, rms_norm, silu_times};
use super::kv::{CpuKv, KvLayout, LayerMut};
use super::pool::Pool;
#[cfg(target_arch = "x86_64")]
use super::prompt_attention::Prompt;
use super::rope::{Angles, RopeTable};
use super::shared::SharedRows;
use super::weights::{Cost, Input, Needs, Rounding, Weights};
use crate::kv::KvElement;
use crate::model::{ModelConfig, Rows};

/// Weights of one block.
#[derive(Debug)]
pub(crate) struct CpuBlock {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Weights,
    pub(crate) key: Weights,
    pub(crate) value: Weights,
    /// Of query, key and value.
    pub(crate) biases: [Option<Vec<f32>>; 3],
    pub(crate) query_norm: Option<Vec<f32>>,
    pub(crate) key_norm: Option<Vec<f32>>,
    pub(crate) attention_output: Weights,
    pub(crate) feed_forward_norm: Vec<f32>,
    pub(crate) gate: Weights,
    pub(crate) up: Weights,
    pub(crate) down: Weights,
}

/// Weights of the whole decoder, and the threads that use them.
#[derive(Debug)]
pub(crate) struct CpuDecoder {
    pub(crate) config: ModelConfig,
    pub(crate) embedding: Weights,
    pub(crate) blocks: Vec<CpuBlock>,
    pub(crate) output_norm: Vec<f32>,
    pub(crate) output: Weights,
    pub(crate) rope: RopeTable,
    pub(crate) pool: Arc<Pool>,
    pub(crate) isa: Isa,
    /// Of keys and values.
    element: KvElement,
    scratch: Mutex<Vec<Scratch>>,
}

/// Tokens that follow those of one sequence.
pub(crate) struct Part<'a> {
    /// Has room for all of them.
    pub(crate) kv: &'a mut CpuKv,
    /// Tokens before.
    pub(crate) held: usize,
    /// At least one.
    pub(crate) tokens: &'a [u32],
}

/// What the tokens of a call are, which decides how activations are rounded. So a token's numbers
/// do not depend on what else is computed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Tokens of a prompt.
    Prompt,
    /// Generated tokens, usually one a sequence.
    Decode,
}

/// Memory of one call.
#[derive(Debug)]
struct Scratch {
    x: Buffer,
    input: Input,
    /// What a prompt's down matrix is multiplied by.
    gated: Input,
    /// Queries, keys and values; then what attention gives to the rows; gates and ups; then what the
    /// layer gives.
    wide: Buffer,
    mixed: Buffer,
}

/// One row of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) part: usize,
    pub(super) position: usize,
}

/// What all layers of a call share.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) rows: &'a [Row],
    rounding: Rounding,
    pub(super) table: &'a Angles,
}

/// Rows from which on a thread takes whole rows, one after the other, instead of parts of each.
const WHOLE_ROWS_MIN: usize = 4;

/// Numbers of a row that one thread takes at once where there are few rows.
const PIECE: usize = 1024;

impl CpuDecoder {
    #[expect(clippy::too_many_arguments, reason = "the parts of a model")]
    pub(crate) fn new(
        config: ModelConfig,
        embedding: Weights,
        blocks: Vec<CpuBlock>,
        output_norm: Vec<f32>,
        output: Weights,
        rope: RopeTable,
        pool: Arc<Pool>,
        element: KvElement,
    ) -> Self {
        Self {
            config,
            embedding,
            blocks,
            output_norm,
            output,
            rope,
            pool,
            isa: Isa::detect(),
            element,
            scratch: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn kv_layout(&self) -> KvLayout {
        KvLayout {
            layers: self.config.layers,
            kv_heads: self.config.kv_heads,
            head_dim: self.config.head_dim,
            element: self.element,
        }
    }

    /// Drops tokens `start..end` of the `held` ones of `kv`; those behind them move up, as if they
    /// stood there from the beginning.
    pub(crate) fn forget(&self, kv: &mut CpuKv, [start, end, held]: [usize; 3]) {
        let back = self.rope.back(end - start);
        kv.forget(self.isa, [start, end, held], &back);
    }

    /// Evaluates all parts together; fills `out` with what `wish` says, in order. What `out` held
    /// before is memory to be used again.
    pub(crate) fn forward(
        &self,
        parts: &mut [Part<'_>],
        phase: Phase,
        wish: Rows,
        out: &mut Vec<f32>,
    ) {
        let mut rows = Vec::new();
        let mut wanted = Vec::new();
        for (part, Part { held, tokens, .. }) in parts.iter().enumerate() {
            rows.extend((0..tokens.len()).map(|i| Row {
                part,
                position: held + i,
            }));
            let first = match wish {
                Rows::Last => rows.len() - 1,
                Rows::All | Rows::Hidden => rows.len() - tokens.len(),
            };
            wanted.extend(first..rows.len());
        }
        let mut scratch = self.take_scratch();
        self.embed(parts, &mut scratch.x);
        let rounding = match phase {
            Phase::Prompt if Isa::has_bf16_tiles() => Rounding::Bf16,
            Phase::Prompt | Phase::Decode => Rounding::Bytes,
        };
        let positions: Vec<usize> = rows.iter().map(|row| row.position).collect();
        let table = self.rope.angles(&self.pool, &positions);
        let call = Call {
            rows: &rows,
            rounding,
            table: &table,
        };
        for (index, block) in self.blocks.iter().enumerate() {
            self.attention(index, block, parts, call, &mut scratch);
            self.feed_forward(block, rows.len(), rounding, &mut scratch);
        }
        self.give(&wanted, wish, &mut scratch, out);
        let mut free = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(scratch);
    }

    fn take_scratch(&self) -> Scratch {
        let mut free = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        free.pop().unwrap_or_else(|| Scratch {
            x: Buffer::zeroed(0),
            input: Input::new(),
            gated: Input::new(),
            wide: Buffer::zeroed(0),
            mixed: Buffer::zeroed(0),
        })
    }

    fn embed(&self, parts: &[Part<'_>], x: &mut Buffer) {
        let hidden = self.config.hidden;
        let tokens: Vec<u32> = parts.iter().flat_map(|p| p.tokens).copied().collect();
        let x = SharedRows::new(room(x, tokens.len() * hidden), hidden);
        let work = |row: usize| {
            // SAFETY: one row is one item of the region.
            let x = unsafe { x.row(row) };
            self.embedding.read_row(tokens[row] as usize, x);
        };
        if tokens.len() < 4 {
            (0..tokens.len()).for_each(work);
        } else {
            self.pool.share(tokens.len(), &work);
        }
    }

    fn attention(
        &self,
        layer: usize,
        block: &CpuBlock,
        parts: &mut [Part<'_>],
        call: Call<'_>,
        scratch: &mut Scratch,
    ) {
        let ModelConfig {
            hidden,
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let (count, q_width, kv_width) = (call.rows.len(), heads * head_dim, kv_heads * head_dim);
        let width = pitch(q_width + 2 * kv_width);
        let Scratch {
            x,
            input,
            wide,
            mixed,
            ..
        } = scratch;
        let x = x.as_mut_f32();
        let needs = Needs::of(&[&block.query, &block.key, &block.value]);
        // what the layer before gave
        let given = (layer > 0).then(|| wide.as_f32());
        let norm = (&*block.attention_norm, call.rounding, needs);
        self.normed(input, (x, given), count, norm);
        let memory = wide;
        let wide = room(memory, count * width);
        let places = [
            (&block.query, 0),
            (&block.key, q_width),
            (&block.value, q_width + kv_width),
        ];
        input.multiply(self.isa, &self.pool, wide, width, &places);
        let needs = Needs::of(&[&block.attention_output]);
        // every row is of a sequence of its own
        let apart = parts.len() == count;
        if apart && count >= WHOLE_ROWS_MIN && call.rounding == Rounding::Bytes {
            let targets: Vec<LayerMut<'_>> =
                parts.iter_mut().map(|p| p.kv.layer_mut(layer)).collect();
            self.attend_rows(block, call, &targets, (wide, width), (input, needs));
        } else {
            self.turn(block, wide, width, call);
            self.store(layer, parts, call, (wide, width));
            let mixed = room(mixed, count * q_width);
            match call.rounding {
                #[cfg(target_arch = "x86_64")]
                Rounding::Bf16 if self.element == KvElement::Bf16 => self.mix_prompt(&mut Prompt {
                    layer,
                    parts,
                    wide,
                    width,
                    mixed,
                }),
                _ => self.mix(layer, parts, call.rows, (wide, width), mixed),
            }
            let piece = if count >= 4 { q_width } else { PIECE };
            input.fill(
                (self.isa, &*self.pool),
                [count, q_width, piece],
                call.rounding,
                (needs, Cost::Light),
                &|row, start, out| {
                    let from = row * q_width + start;
                    out.copy_from_slice(&mixed[from..from + out.len()]);
                },
            );
        }
        let product = room(memory, count * pitch(hidden));
        let places = [(&block.attention_output, 0)];
        input.multiply(self.isa, &self.pool, product, pitch(hidden), &places);
    }

    /// Puts keys and values of all rows where they are kept.
    fn store(
        &self,
        layer: usize,
        parts: &mut [Part<'_>],
        call: Call<'_>,
        (wide, width): (&[f32], usize),
    ) {
        let ModelConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let (q_width, kv_width) = (heads * head_dim, kv_heads * head_dim);
        let targets: Vec<LayerMut<'_>> = parts.iter_mut().map(|p| p.kv.layer_mut(layer)).collect();
        let store = |head: usize| {
            for (row, wide) in call.rows.iter().zip(wide.chunks_exact(width)) {
                let key = q_width + head * head_dim;
                let keys = &wide[key..key + head_dim];
                let values = &wide[key + kv_width..key + kv_width + head_dim];
                // SAFETY: one head is one piece of the region.
                unsafe { targets[row.part].set(self.isa, head, row.position, keys, values) };
            }
        };
        if call.rows.len() < 32 {
            (0..kv_heads).for_each(store);
        } else {
            self.pool.run(kv_heads, &store);
        }
    }

    /// Adds to the rows of `x` those that are `given`, if any, and fills `input` with the normed sums.
    fn normed(
        &self,
        input: &mut Input,
        (x, given): (&mut [f32], Option<&[f32]>),
        count: usize,
        (weight, rounding, needs): (&[f32], Rounding, Needs),
    ) {
        let hidden = self.config.hidden;
        let epsilon = self.epsilon();
        let x = SharedRows::new(x, hidden);
        input.fill(
            (self.isa, &*self.pool),
            [count, hidden, hidden],
            rounding,
            (needs, Cost::Light),
            &|row, _, out| {
                // SAFETY: one row is one piece of the region.
                let x = unsafe { x.row(row) };
                if let Some(given) = given {
                    add(self.isa, x, &given[row * pitch(hidden)..][..hidden]);
                }
                rms_norm(self.isa, x, weight, epsilon, out);
            },
        );
    }

    /// [`CpuDecoder::turn_row`] for all rows.
    fn turn(&self, block: &CpuBlock, wide: &mut [f32], width: usize, call: Call<'_>) {
        let count = call.rows.len();
        let shared = SharedRows::new(wide, width);
        let work = |row: usize| {
            // SAFETY: one row is one piece of the region.
            self.turn_row(block, call.table, row, unsafe { shared.row(row) });
        };
        if count < 4 {
            (0..count).for_each(work);
        } else {
            self.pool.share(count, &work);
        }
    }

    /// Biases, head norms and rotation of queries and keys of row `row`, in place.
    pub(super) fn turn_row(&self, block: &CpuBlock, table: &Angles, row: usize, line: &mut [f32]) {
        let ModelConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let epsilon = self.epsilon();
        let (queries, rest) = line.split_at_mut(heads * head_dim);
        let (keys, rest) = rest.split_at_mut(kv_heads * head_dim);
        let values = &mut rest[..kv_heads * head_dim];
        let norms = [block.query_norm.as_ref(), block.key_norm.as_ref()];
        for (line, bias) in [&mut *queries, &mut *keys, values]
            .into_iter()
            .zip(&block.biases)
        {
            if let Some(bias) = bias {
                add(self.isa, line, bias);
            }
        }
        let mut normed = Vec::new();
        for (line, norm) in [queries, keys].into_iter().zip(norms) {
            for head in line.chunks_exact_mut(head_dim) {
                if let Some(norm) = norm {
                    normed.resize(head_dim, 0.0);
                    rms_norm(self.isa, head, norm, epsilon, &mut normed);
                    head.copy_from_slice(&normed);
                }
                table.turn(self.isa, row, head);
            }
        }
    }

    fn feed_forward(
        &self,
        block: &CpuBlock,
        count: usize,
        rounding: Rounding,
        scratch: &mut Scratch,
    ) {
        let ModelConfig {
            hidden,
            feed_forward,
            ..
        } = self.config;
        let Scratch {
            x,
            input,
            gated,
            wide: memory,
            ..
        } = scratch;
        let needs = Needs::of(&[&block.gate, &block.up]);
        let given = Some(memory.as_f32());
        let norm = (&*block.feed_forward_norm, rounding, needs);
        self.normed(input, (x.as_mut_f32(), given), count, norm);
        let needs = Needs::of(&[&block.down]);
        let engine = (self.isa, &*self.pool);
        let down = [(&block.down, 0)];
        if gated.fill_gated(engine, input, &block.gate, &block.up, needs) {
            let product = room(memory, count * pitch(hidden));
            gated.multiply(self.isa, &self.pool, product, pitch(hidden), &down);
            return;
        }
        let width = pitch(2 * feed_forward);
        let wide = room(memory, count * width);
        let places = [(&block.gate, 0), (&block.up, feed_forward)];
        input.multiply(self.isa, &self.pool, wide, width, &places);
        let piece = if feed_forward.is_multiple_of(32) {
            PIECE
        } else {
            feed_forward
        };
        input.fill(
            engine,
            [count, feed_forward, piece],
            rounding,
            (needs, Cost::Light),
            &|row, start, out| {
                let gate = &wide[row * width + start..][..out.len()];
                let up = &wide[row * width + feed_forward + start..][..out.len()];
                silu_times(self.isa, gate, up, out);
            },
        );
        let product = room(memory, count * pitch(hidden));
        input.multiply(self.isa, &self.pool, product, pitch(hidden), &down);
    }

    /// Fills `out` with the logits of the wanted rows, or with their normed hidden states.
    fn give(&self, wanted: &[usize], wish: Rows, scratch: &mut Scratch, out: &mut Vec<f32>) {
        let ModelConfig { hidden, vocab, .. } = self.config;
        let Scratch { x, input, wide, .. } = scratch;
        let (x, given) = (x.as_f32(), wide.as_f32());
        let mut rows = Vec::with_capacity(wanted.len() * hidden);
        for &row in wanted {
            let from = rows.len();
            rows.extend_from_slice(&x[row * hidden..(row + 1) * hidden]);
            // what the last layer gave
            let given = &given[row * pitch(hidden)..][..hidden];
            add(self.isa, &mut rows[from..], given);
        }
        if wish == Rows::Hidden {
            out.resize(rows.len(), 0.0);
            let lines = rows.chunks_exact(hidden).zip(out.chunks_exact_mut(hidden));
            for (line, out) in lines {
                rms_norm(self.isa, line, &self.output_norm, self.epsilon(), out);
            }
            return;
        }
        let needs = Needs::of(&[&self.output]);
        let norm = (&*self.output_norm, Rounding::Bytes, needs);
        self.normed(input, (&mut rows, None), wanted.len(), norm);
        out.resize(wanted.len() * vocab, 0.0);
        input.multiply(self.isa, &self.pool, out, vocab, &[(&self.output, 0)]);
    }

    #[expect(clippy::cast_possible_truncation, reason = "activations are f32")]
    fn epsilon(&self) -> f32 {
        self.config.rms_eps as f32
    }
}

/// From one row of a product to the next: an odd number of cache lines, as rows a power of two
/// apart would have few places in the cache.
fn pitch(width: usize) -> usize {
    const LINE: usize = 64 / size_of::<f32>();
    (width.div_ceil(LINE) | 1) * LINE
}

/// Makes room for `len` numbers; what is in it is overwritten before it is read.
fn room(buffer: &mut Buffer, len: usize) -> &mut [f32] {
    buffer.resize(len * size_of::<f32>());
    buffer.as_mut_f32()
}
