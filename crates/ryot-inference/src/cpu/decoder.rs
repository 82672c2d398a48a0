//! The decoder of the Llama family on packed weights.

use std::sync::{Arc, Mutex, PoisonError};

use super::Isa;
use super::attention::{QUERIES, Queries, attend};
use super::buffer::Buffer;
use super::elementwise::{add, rms_norm, silu_times};
use super::kv::{CpuKv, KvLayout, LayerMut};
use super::pool::Pool;
#[cfg(target_arch = "x86_64")]
use super::prompt_attention::Prompt;
use super::rope::RopeTable;
use super::shared::SharedRows;
use super::weights::{Input, Needs, Rounding, Weights};
use crate::kv::KvElement;
use crate::model::ModelConfig;

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
    /// Queries, keys and values; then gates and ups.
    wide: Buffer,
    mixed: Buffer,
    product: Buffer,
}

/// One row of a call.
#[derive(Debug, Clone, Copy)]
struct Row {
    part: usize,
    position: usize,
}

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

    /// Evaluates all parts together; fills `logits` with `[vocab]` after the last token of each part,
    /// or after every token, in order. What `logits` held before is memory to be used again.
    pub(crate) fn forward(
        &self,
        parts: &mut [Part<'_>],
        phase: Phase,
        all: bool,
        logits: &mut Vec<f32>,
    ) {
        let mut rows = Vec::new();
        let mut wanted = Vec::new();
        for (part, Part { held, tokens, .. }) in parts.iter().enumerate() {
            rows.extend((0..tokens.len()).map(|i| Row {
                part,
                position: held + i,
            }));
            let first = if all {
                rows.len() - tokens.len()
            } else {
                rows.len() - 1
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
        for (index, block) in self.blocks.iter().enumerate() {
            self.attention(index, block, parts, &rows, rounding, &table, &mut scratch);
            self.feed_forward(block, rows.len(), rounding, &mut scratch);
        }
        self.logits(&wanted, &mut scratch, logits);
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
            product: Buffer::zeroed(0),
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

    #[expect(clippy::too_many_arguments, reason = "one step of one call")]
    fn attention(
        &self,
        layer: usize,
        block: &CpuBlock,
        parts: &mut [Part<'_>],
        rows: &[Row],
        rounding: Rounding,
        table: &super::rope::Angles,
        scratch: &mut Scratch,
    ) {
        let ModelConfig {
            hidden,
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let (count, q_width, kv_width) = (rows.len(), heads * head_dim, kv_heads * head_dim);
        let width = pitch(q_width + 2 * kv_width);
        let Scratch {
            x,
            input,
            wide,
            mixed,
            product,
            ..
        } = scratch;
        let x = x.as_mut_f32();
        let needs = Needs::of(&[&block.query, &block.key, &block.value]);
        self.normed(input, x, &block.attention_norm, count, rounding, needs);
        let wide = room(wide, count * width);
        let places = [
            (&block.query, 0),
            (&block.key, q_width),
            (&block.value, q_width + kv_width),
        ];
        input.multiply(self.isa, &self.pool, wide, width, &places);
        self.turn(block, wide, width, rows, table);
        let targets: Vec<LayerMut<'_>> = parts.iter_mut().map(|p| p.kv.layer_mut(layer)).collect();
        let store = |head: usize| {
            for (row, wide) in rows.iter().zip(wide.chunks_exact(width)) {
                let key = q_width + head * head_dim;
                let keys = &wide[key..key + head_dim];
                let values = &wide[key + kv_width..key + kv_width + head_dim];
                // SAFETY: one head is one piece of the region.
                unsafe { targets[row.part].set(self.isa, head, row.position, keys, values) };
            }
        };
        if count < 32 {
            (0..kv_heads).for_each(store);
        } else {
            self.pool.run(kv_heads, &store);
        }
        drop(targets);
        let mixed = room(mixed, count * q_width);
        match rounding {
            #[cfg(target_arch = "x86_64")]
            Rounding::Bf16 if self.element == KvElement::Bf16 => self.mix_prompt(&mut Prompt {
                layer,
                parts,
                wide,
                width,
                mixed,
            }),
            _ => self.mix(layer, parts, rows, wide, width, mixed),
        }
        let needs = Needs::of(&[&block.attention_output]);
        let engine = (self.isa, &*self.pool);
        let piece = if count >= 4 { q_width } else { PIECE };
        input.fill(
            engine,
            [count, q_width, piece],
            rounding,
            needs,
            &|row, start, out| {
                let from = row * q_width + start;
                out.copy_from_slice(&mixed[from..from + out.len()]);
            },
        );
        let product = room(product, count * pitch(hidden));
        let places = [(&block.attention_output, 0)];
        input.multiply(self.isa, &self.pool, product, pitch(hidden), &places);
        self.add_rows(x, product, count);
    }

    /// Fills `input` with the normed rows of `x`.
    fn normed(
        &self,
        input: &mut Input,
        x: &[f32],
        weight: &[f32],
        count: usize,
        rounding: Rounding,
        needs: Needs,
    ) {
        let hidden = self.config.hidden;
        #[expect(clippy::cast_possible_truncation, reason = "activations are f32")]
        let epsilon = self.config.rms_eps as f32;
        let engine = (self.isa, &*self.pool);
        input.fill(
            engine,
            [count, hidden, hidden],
            rounding,
            needs,
            &|row, _, out| {
                rms_norm(
                    self.isa,
                    &x[row * hidden..(row + 1) * hidden],
                    weight,
                    epsilon,
                    out,
                );
            },
        );
    }

    /// Biases, head norms and rotation of queries and keys, in place.
    fn turn(
        &self,
        block: &CpuBlock,
        wide: &mut [f32],
        width: usize,
        rows: &[Row],
        table: &super::rope::Angles,
    ) {
        let ModelConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        #[expect(clippy::cast_possible_truncation, reason = "activations are f32")]
        let epsilon = self.config.rms_eps as f32;
        let shared = SharedRows::new(wide, width);
        let work = |index: usize| {
            // SAFETY: one row is one piece of the region.
            let line = unsafe { shared.row(index) };
            let (queries, rest) = line.split_at_mut(heads * head_dim);
            let (keys, rest) = rest.split_at_mut(kv_heads * head_dim);
            let values = &mut rest[..kv_heads * head_dim];
            let mut normed = vec![0f32; head_dim];
            let norms = [block.query_norm.as_ref(), block.key_norm.as_ref()];
            for (line, bias) in [&mut *queries, &mut *keys, values]
                .into_iter()
                .zip(&block.biases)
            {
                if let Some(bias) = bias {
                    add(self.isa, line, bias);
                }
            }
            for (line, norm) in [queries, keys].into_iter().zip(norms) {
                for head in line.chunks_exact_mut(head_dim) {
                    if let Some(norm) = norm {
                        rms_norm(self.isa, head, norm, epsilon, &mut normed);
                        head.copy_from_slice(&normed);
                    }
                    table.turn(self.isa, index, head);
                }
            }
        };
        if rows.len() < 4 {
            (0..rows.len()).for_each(work);
        } else {
            self.pool.share(rows.len(), &work);
        }
    }

    /// Causal attention of all rows: queries out of `wide`, results into `mixed`.
    fn mix(
        &self,
        layer: usize,
        parts: &[Part<'_>],
        rows: &[Row],
        wide: &[f32],
        width: usize,
        mixed: &mut [f32],
    ) {
        let ModelConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let padded = self.kv_layout().padded();
        let group = heads / kv_heads;
        // rows of one sequence whose queries of one key head go together
        let together = (QUERIES / group).max(1);
        let mut runs = Vec::new();
        let mut at = 0;
        while let Some(row) = rows.get(at) {
            let same = rows[at..]
                .iter()
                .take(together)
                .take_while(|r| r.part == row.part);
            let len = same.count();
            runs.push(at..at + len);
            at += len;
        }
        let splits = group.div_ceil(QUERIES);
        #[expect(clippy::cast_precision_loss, reason = "a head size is small")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        let shared = SharedRows::new(mixed, head_dim);
        let work = |piece: usize| {
            // a sequence's heads lie side by side
            let (rest, split) = (piece / splits, piece % splits);
            let (run, kv_head) = (rest / kv_heads, rest % kv_heads);
            let run = runs[run].clone();
            let first = kv_head * group + split * QUERIES;
            let own = (group - split * QUERIES).min(QUERIES);
            let mut vectors = vec![0f32; 2 * QUERIES * padded];
            let (vectors, out) = vectors.split_at_mut(QUERIES * padded);
            let mut visible = [0; QUERIES];
            let slots: Vec<(usize, usize)> = run
                .clone()
                .flat_map(|row| (first..first + own).map(move |head| (row, head)))
                .collect();
            for (slot, (row, head)) in slots.iter().enumerate() {
                let query = &wide[row * width + head * head_dim..][..head_dim];
                let vector = &mut vectors[slot * padded..slot * padded + head_dim];
                for (v, q) in vector.iter_mut().zip(query) {
                    *v = q * scale;
                }
                visible[slot] = rows[*row].position + 1;
            }
            let queries = Queries {
                vectors,
                visible,
                padded,
            };
            let head = parts[rows[run.start].part].kv.head(layer, kv_head);
            SCORES.with_borrow_mut(|scores| attend(self.isa, head, &queries, scores, out));
            for (slot, (row, head)) in slots.iter().enumerate() {
                // SAFETY: this head of this row is written by this piece alone.
                let target = unsafe { shared.row(row * heads + head) };
                target.copy_from_slice(&out[slot * padded..slot * padded + head_dim]);
            }
        };
        self.pool.share(runs.len() * splits * kv_heads, &work);
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
            wide,
            product,
            ..
        } = scratch;
        let x = x.as_mut_f32();
        let needs = Needs::of(&[&block.gate, &block.up]);
        self.normed(input, x, &block.feed_forward_norm, count, rounding, needs);
        let needs = Needs::of(&[&block.down]);
        let engine = (self.isa, &*self.pool);
        let product = room(product, count * pitch(hidden));
        let down = [(&block.down, 0)];
        if gated.fill_gated(engine, input, &block.gate, &block.up, needs) {
            gated.multiply(self.isa, &self.pool, product, pitch(hidden), &down);
            self.add_rows(x, product, count);
            return;
        }
        let width = pitch(2 * feed_forward);
        let wide = room(wide, count * width);
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
            needs,
            &|row, start, out| {
                let gate = &wide[row * width + start..][..out.len()];
                let up = &wide[row * width + feed_forward + start..][..out.len()];
                silu_times(self.isa, gate, up, out);
            },
        );
        input.multiply(self.isa, &self.pool, product, pitch(hidden), &down);
        self.add_rows(x, product, count);
    }

    fn add_rows(&self, x: &mut [f32], product: &[f32], count: usize) {
        let hidden = self.config.hidden;
        let shared = SharedRows::new(x, hidden);
        let work = |row: usize| {
            // SAFETY: one row is one piece of the region.
            let x = unsafe { shared.row(row) };
            add(self.isa, x, &product[row * pitch(hidden)..][..hidden]);
        };
        if count < 16 {
            (0..count).for_each(work);
        } else {
            self.pool.share(count, &work);
        }
    }

    fn logits(&self, wanted: &[usize], scratch: &mut Scratch, logits: &mut Vec<f32>) {
        let ModelConfig { hidden, vocab, .. } = self.config;
        let Scratch { x, input, .. } = scratch;
        let x = x.as_f32();
        let rows: Vec<f32> = wanted
            .iter()
            .flat_map(|row| &x[row * hidden..(row + 1) * hidden])
            .copied()
            .collect();
        let needs = Needs::of(&[&self.output]);
        self.normed(
            input,
            &rows,
            &self.output_norm,
            wanted.len(),
            Rounding::Bytes,
            needs,
        );
        logits.resize(wanted.len() * vocab, 0.0);
        input.multiply(self.isa, &self.pool, logits, vocab, &[(&self.output, 0)]);
    }
}

thread_local! {
    static SCORES: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
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
