//! Attention of generated tokens and, without tiles, of prompts: one key head of a row at a time.

use std::cell::RefCell;

use super::attention::{QUERIES, Queries, attend};
use super::decoder::{Call, CpuBlock, CpuDecoder, Part, Row};
use super::kv::{Head, LayerMut};
use super::shared::SharedRows;
use super::weights::{Cost, Input, Needs, Rounding};

/// Memory of one thread.
struct Room {
    /// Queries, then results, `[QUERIES][padded]` each.
    vectors: Vec<f32>,
    scores: Vec<f32>,
}

thread_local! {
    static ROOM: RefCell<Room> = const {
        RefCell::new(Room { vectors: Vec::new(), scores: Vec::new() })
    };
}

impl CpuDecoder {
    /// Everything between two products for rows that are of a sequence each, row by row: rotation,
    /// keys and values to `targets`, attention, and rounding into `input`. So what a row needs stays
    /// with one thread, and in its cache.
    pub(super) fn attend_rows(
        &self,
        block: &CpuBlock,
        call: Call<'_>,
        targets: &[LayerMut<'_>],
        (wide, width): (&mut [f32], usize),
        (input, needs): (&mut Input, Needs),
    ) {
        let (heads, kv_heads) = (self.config.heads, self.config.kv_heads);
        let (head_dim, group) = (self.config.head_dim, heads / kv_heads);
        let q_width = heads * head_dim;
        let lines = SharedRows::new(wide, width);
        let work = |row: usize, _: usize, out: &mut [f32]| {
            let Row { part, position } = call.rows[row];
            let (target, visible) = (&targets[part], position + 1);
            // SAFETY: one row is one piece of the region, and its sequence has no other.
            let (line, head) = unsafe { (lines.row(row), |head| target.head(head)) };
            self.turn_row(block, call.table, row, line);
            let (queries, rest) = line.split_at(q_width);
            let (keys, rest) = rest.split_at(kv_heads * head_dim);
            for kv_head in 0..kv_heads {
                let own = kv_head * head_dim..(kv_head + 1) * head_dim;
                let (key, value) = (&keys[own.clone()], &rest[own]);
                // SAFETY: as above; nothing that was read before is in use.
                unsafe { target.set(self.isa, kv_head, position, key, value) };
                let mine = kv_head * group * head_dim..(kv_head + 1) * group * head_dim;
                // the next head, or the first one of the row that usually comes next
                let ahead = if kv_head + 1 < kv_heads {
                    Some(target.ahead(kv_head + 1))
                } else {
                    call.rows
                        .get(row + 1)
                        .map(|next| targets[next.part].ahead(0))
                };
                let slots = queries[mine.clone()].chunks(QUERIES * head_dim);
                let out = out[mine].chunks_mut(QUERIES * head_dim);
                for (queries, out) in slots.zip(out) {
                    let queries = queries.chunks_exact(head_dim).map(|query| (query, visible));
                    let mut out = out.chunks_exact_mut(head_dim);
                    let head = Head {
                        ahead,
                        ..head(kv_head)
                    };
                    self.attend_head(head, queries, |_, result| {
                        if let Some(out) = out.next() {
                            out.copy_from_slice(result);
                        }
                    });
                }
            }
        };
        let sizes = [call.rows.len(), q_width, q_width];
        let cost = (needs, Cost::Heavy);
        input.fill((self.isa, &*self.pool), sizes, Rounding::Bytes, cost, &work);
    }

    /// Causal attention of all rows: queries out of `wide`, results into `mixed`.
    pub(super) fn mix(
        &self,
        layer: usize,
        parts: &[Part<'_>],
        rows: &[Row],
        (wide, width): (&[f32], usize),
        mixed: &mut [f32],
    ) {
        let (heads, kv_heads) = (self.config.heads, self.config.kv_heads);
        let (head_dim, group) = (self.config.head_dim, heads / kv_heads);
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
        let shared = SharedRows::new(mixed, head_dim);
        let work = |piece: usize| {
            // a sequence's heads lie side by side
            let (rest, split) = (piece / splits, piece % splits);
            let (run, kv_head) = (rest / kv_heads, rest % kv_heads);
            let run = runs[run].clone();
            let first = kv_head * group + split * QUERIES;
            let own = (group - split * QUERIES).min(QUERIES);
            let slots = run
                .clone()
                .flat_map(|row| (first..first + own).map(move |head| (row, head)));
            let queries = slots.clone().map(|(row, head)| {
                let query = &wide[row * width + head * head_dim..][..head_dim];
                (query, rows[row].position + 1)
            });
            let head = parts[rows[run.start].part].kv.head(layer, kv_head);
            self.attend_head(head, queries, |slot, result| {
                let (row, head) = (run.start + slot / own, first + slot % own);
                // SAFETY: this head of this row is written by this piece alone.
                unsafe { shared.row(row * heads + head) }.copy_from_slice(result);
            });
        };
        self.pool.share(runs.len() * splits * kv_heads, &work);
    }

    /// Results of at most [`QUERIES`] queries, each with the number of keys that it sees, given out
    /// in order.
    fn attend_head<'q>(
        &self,
        head: Head<'_>,
        queries: impl Iterator<Item = (&'q [f32], usize)>,
        mut give: impl FnMut(usize, &[f32]),
    ) {
        let head_dim = self.config.head_dim;
        let padded = self.kv_layout().padded();
        #[expect(clippy::cast_precision_loss, reason = "a head size is small")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        ROOM.with_borrow_mut(|Room { vectors, scores }| {
            vectors.resize(2 * QUERIES * padded, 0.0);
            let (vectors, out) = vectors.split_at_mut(QUERIES * padded);
            let mut visible = [0; QUERIES];
            let mut used = 0;
            for ((query, seen), vector) in queries.zip(vectors.chunks_exact_mut(padded)) {
                let (numbers, rest) = vector.split_at_mut(head_dim);
                for (v, q) in numbers.iter_mut().zip(query) {
                    *v = q * scale;
                }
                rest.fill(0.0);
                visible[used] = seen;
                used += 1;
            }
            vectors[used * padded..].fill(0.0);
            let queries = Queries {
                vectors,
                visible,
                padded,
            };
            attend(self.isa, head, &queries, scores, out);
            for (slot, result) in out.chunks_exact(padded).take(used).enumerate() {
                give(slot, &result[..head_dim]);
            }
        });
    }
}
