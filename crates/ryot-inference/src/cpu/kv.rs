//! Keys and values of one sequence, as attention reads them.

use super::buffer::Buffer;
use super::shared::SharedRows;

/// Tokens whose keys stand side by side.
pub(super) const GROUP: usize = 16;
/// Tokens of room that a sequence starts with.
const CAPACITY_MIN: usize = 64;

/// Sizes that decide the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KvLayout {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl KvLayout {
    /// Numbers of a head in memory: a whole number of vectors, those past the head zero.
    pub(super) fn padded(self) -> usize {
        self.head_dim.next_multiple_of(GROUP)
    }

    /// Bytes for keys and values of one token.
    pub(crate) fn token_bytes(self) -> usize {
        2 * self.layers * self.kv_heads * self.padded() * size_of::<f32>()
    }
}

/// Per layer and head keys `[token / 16][number][token % 16]`, then values `[token][number]`, f32;
/// all in one piece of memory, so that large pages can back it.
#[derive(Debug)]
pub(crate) struct CpuKv {
    layout: KvLayout,
    capacity: usize,
    data: Buffer,
}

/// Keys and values of one layer, to be written head by head.
pub(super) struct LayerMut<'a> {
    layout: KvLayout,
    /// Of each head keys, then values.
    planes: SharedRows<'a, f32>,
}

/// Keys and values of one head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    /// `[token / 16][padded][16]`.
    pub(super) keys: &'a [f32],
    /// `[token][padded]`.
    pub(super) values: &'a [f32],
}

impl CpuKv {
    pub(crate) fn new(layout: KvLayout) -> Self {
        Self {
            layout,
            capacity: 0,
            data: Buffer::zeroed(0),
        }
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.capacity * self.layout.token_bytes()
    }

    /// Makes room for `needed` tokens, of which `held` are kept; at most doubles, up to `limit`.
    pub(crate) fn reserve(&mut self, held: usize, needed: usize, limit: usize) {
        if needed <= self.capacity {
            return;
        }
        let capacity = needed
            .next_power_of_two()
            .max(CAPACITY_MIN)
            .min(limit.next_multiple_of(GROUP))
            .max(needed.next_multiple_of(GROUP));
        *self = self.resized(held, capacity);
    }

    /// A copy with just the room that `held` tokens need.
    pub(crate) fn fork(&self, held: usize) -> Self {
        self.resized(held, held.next_multiple_of(CAPACITY_MIN))
    }

    fn resized(&self, held: usize, capacity: usize) -> Self {
        let KvLayout {
            layers, kv_heads, ..
        } = self.layout;
        let padded = self.layout.padded();
        let planes = 2 * layers * kv_heads;
        let mut data = Buffer::zeroed(planes * capacity * padded * size_of::<f32>());
        // whole groups of keys are copied; both layouts hold `held * padded` numbers then
        let copied = held.next_multiple_of(GROUP).min(self.capacity) * padded;
        if copied > 0 {
            let old = self.data.as_f32().chunks_exact(self.capacity * padded);
            let new = data.as_mut_f32().chunks_exact_mut(capacity * padded);
            for (new, old) in new.zip(old) {
                new[..copied].copy_from_slice(&old[..copied]);
            }
        }
        Self {
            layout: self.layout,
            capacity,
            data,
        }
    }

    /// Numbers of a head's keys, or of its values.
    fn plane(&self) -> usize {
        self.capacity * self.layout.padded()
    }

    pub(super) fn layer_mut(&mut self, layer: usize) -> LayerMut<'_> {
        let plane = self.plane();
        let each = 2 * self.layout.kv_heads * plane;
        LayerMut {
            layout: self.layout,
            planes: SharedRows::new(
                &mut self.data.as_mut_f32()[layer * each..(layer + 1) * each],
                plane,
            ),
        }
    }

    pub(super) fn head(&self, layer: usize, head: usize) -> Head<'_> {
        let plane = self.plane();
        let from = 2 * (layer * self.layout.kv_heads + head) * plane;
        let (keys, values) = self.data.as_f32()[from..from + 2 * plane].split_at(plane);
        Head { keys, values }
    }

    /// Appends to `out` the numbers of tokens `start..end`: per layer, keys then values, each
    /// `[token][head][head_dim]`.
    pub(crate) fn read(&self, start: usize, end: usize, out: &mut Vec<f32>) {
        let KvLayout {
            layers,
            kv_heads,
            head_dim,
        } = self.layout;
        for layer in 0..layers {
            for token in start..end {
                for head in 0..kv_heads {
                    let keys = self.head(layer, head).keys;
                    out.extend((0..head_dim).map(|d| keys[self.layout.key_at(token, d)]));
                }
            }
            for token in start..end {
                for head in 0..kv_heads {
                    let values = self.head(layer, head).values;
                    let at = token * self.layout.padded();
                    out.extend_from_slice(&values[at..at + head_dim]);
                }
            }
        }
    }

    /// Writes tokens from `start` on, laid out as [`CpuKv::read`] gives them; there is room.
    pub(crate) fn write(&mut self, start: usize, count: usize, data: &[f32]) {
        let KvLayout {
            layers,
            kv_heads,
            head_dim,
        } = self.layout;
        let row = kv_heads * head_dim;
        for layer in 0..layers {
            let data = &data[layer * 2 * count * row..];
            let target = self.layer_mut(layer);
            for i in 0..count {
                for head in 0..kv_heads {
                    let keys = &data[i * row + head * head_dim..][..head_dim];
                    let values = &data[(count + i) * row + head * head_dim..][..head_dim];
                    // SAFETY: this is the only thread.
                    unsafe { target.set(head, start + i, keys, values) };
                }
            }
        }
    }
}

impl KvLayout {
    /// Where number `d` of a token's key stands in its head.
    fn key_at(self, token: usize, d: usize) -> usize {
        (token / GROUP * self.padded() + d) * GROUP + token % GROUP
    }
}

impl LayerMut<'_> {
    /// Sets key and value of one token in one head.
    ///
    /// # Safety
    /// One thread a head.
    pub(super) unsafe fn set(&self, head: usize, token: usize, keys: &[f32], values: &[f32]) {
        // SAFETY: passed on to the caller.
        let (all_keys, all_values) =
            unsafe { (self.planes.row(2 * head), self.planes.row(2 * head + 1)) };
        for (d, key) in keys.iter().enumerate() {
            all_keys[self.layout.key_at(token, d)] = *key;
        }
        let at = token * self.layout.padded();
        all_values[at..at + values.len()].copy_from_slice(values);
    }
}
