//! The mutable half of a running model: keys and values of every token seen so far.

use candle_core::{DType, Device, Result as CandleResult, Tensor};

use super::ModelConfig;
use crate::cpu::{CpuKv, KvLayout};
use crate::error::{InferError, Result};
use crate::kv::{KvElement, KvValues};

/// Keys and values of one sequence, for one model.
///
/// A state starts empty ([`Model::new_state`](crate::Model::new_state)), grows with every
/// [`Model::forward`](crate::Model::forward), can be cut back ([`State::truncate`]), copied
/// ([`State::fork`]) and carried elsewhere ([`State::export`]). Memory: see [`State::kv_bytes`];
/// capacity doubles as needed up to the model's context.
pub struct State {
    pub(super) tokens: Vec<u32>,
    pub(super) store: Store,
    shape: KvShape,
    fingerprint: u128,
}

/// Where keys and values of a new state go.
pub(super) enum Place<'a> {
    Cpu(KvLayout),
    Candle(&'a Device),
}

/// Where keys and values are.
#[derive(Debug)]
pub(super) enum Store {
    Cpu(CpuKv),
    Candle(CandleKv),
}

/// Keys and values as tensors.
#[derive(Debug)]
pub(super) struct CandleKv {
    pub(super) layers: Vec<LayerKv>,
    device: Device,
    capacity: usize,
}

/// Keys and values of one layer, `[1, kv_heads, capacity, head_dim]` f32 each.
#[derive(Debug)]
pub(super) struct LayerKv {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

/// The dimensions that decide the size of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) context_tokens: usize,
}

impl KvShape {
    /// Numbers (keys and values) that one token adds over all layers.
    pub(crate) fn values_per_token(self) -> usize {
        2 * self.layers * self.kv_heads * self.head_dim
    }
}

/// Tokens of room that a state starts with.
const CAPACITY_MIN: usize = 64;

impl State {
    pub(super) fn new(config: &ModelConfig, fingerprint: u128, place: Place<'_>) -> Self {
        let shape = KvShape {
            layers: config.layers,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            context_tokens: config.context_tokens,
        };
        let store = match place {
            Place::Cpu(layout) => Store::Cpu(CpuKv::new(layout)),
            Place::Candle(device) => Store::Candle(CandleKv {
                layers: Vec::new(),
                device: device.clone(),
                capacity: 0,
            }),
        };
        Self {
            tokens: Vec::new(),
            store,
            shape,
            fingerprint,
        }
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether no token has been seen.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens held, oldest first.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(crate) fn shape(&self) -> KvShape {
        self.shape
    }

    pub(crate) fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// Bytes allocated for keys and values now.
    pub fn kv_bytes(&self) -> usize {
        match &self.store {
            Store::Cpu(kv) => kv.bytes(),
            Store::Candle(kv) => kv.capacity * self.shape.values_per_token() * size_of::<f32>(),
        }
    }

    /// Bytes that the state allocates at most while it holds up to `tokens` tokens.
    pub(crate) fn kv_bytes_for(&self, tokens: usize) -> usize {
        let limit = self.shape.context_tokens;
        match &self.store {
            Store::Cpu(kv) => {
                let layout = kv.layout();
                layout
                    .capacity(tokens, limit)
                    .saturating_mul(layout.token_bytes())
            }
            Store::Candle(_) => candle_capacity(tokens, limit)
                .saturating_mul(self.shape.values_per_token() * size_of::<f32>()),
        }
    }

    /// Forgets every token from `len` on; does nothing when fewer are held. Keeps the memory.
    pub fn truncate(&mut self, len: usize) {
        if let Store::Cpu(kv) = &mut self.store {
            kv.clear(len, self.tokens.len());
        }
        self.tokens.truncate(len);
    }

    /// An independent copy, for example to continue one prompt in two ways.
    ///
    /// Cost: copies the keys and values.
    ///
    /// # Errors
    /// [`InferError::Backend`] when the copy cannot be allocated on the device.
    pub fn fork(&self) -> Result<Self> {
        let store = match &self.store {
            Store::Cpu(kv) => Store::Cpu(kv.fork(self.len())),
            Store::Candle(kv) => Store::Candle(kv.fork().map_err(InferError::backend("fork"))?),
        };
        Ok(Self {
            tokens: self.tokens.clone(),
            store,
            shape: self.shape,
            fingerprint: self.fingerprint,
        })
    }

    /// Makes room for `tokens` tokens in all at once, where that spares copies later.
    pub(crate) fn make_room(&mut self, tokens: usize) {
        let (held, limit) = (self.len(), self.shape.context_tokens);
        if let Store::Cpu(kv) = &mut self.store {
            kv.reserve(held, tokens.min(limit), limit);
        }
    }

    /// Makes room for `added` more tokens.
    pub(super) fn reserve(&mut self, added: usize) -> Result<()> {
        let context_tokens = self.shape.context_tokens;
        let full = InferError::ContextFull {
            held: self.len(),
            added,
            context_tokens,
        };
        let Some(needed) = self
            .len()
            .checked_add(added)
            .filter(|n| *n <= context_tokens)
        else {
            return Err(full);
        };
        let held = self.len();
        match &mut self.store {
            Store::Cpu(kv) => {
                kv.reserve(held, needed, context_tokens);
                Ok(())
            }
            Store::Candle(kv) => kv
                .reserve(self.shape, held, needed)
                .map_err(InferError::backend("grow kv")),
        }
    }

    /// How keys and values are kept.
    pub(crate) fn kv_element(&self) -> KvElement {
        match &self.store {
            Store::Cpu(kv) => kv.layout().element,
            Store::Candle(_) => KvElement::F32,
        }
    }

    /// Keys and values of tokens `start..end` as numbers: per layer, keys then values, each
    /// `[end - start, kv_heads, head_dim]`.
    pub(crate) fn read_kv(&self, start: usize, end: usize) -> Result<KvValues> {
        match &self.store {
            Store::Cpu(kv) => Ok(kv.read(start, end)),
            Store::Candle(kv) => {
                let mut data = Vec::with_capacity((end - start) * self.shape.values_per_token());
                kv.read(start, end, &mut data)
                    .map_err(InferError::backend("read kv"))?;
                Ok(KvValues::F32(data))
            }
        }
    }

    /// Appends runs of tokens with their keys and values, laid out as [`State::read_kv`] gives them
    /// and of this state's element; all or none of them.
    pub(crate) fn write_kv(&mut self, pieces: &[(&[u32], &KvValues)]) -> Result<()> {
        let count = pieces.iter().map(|(tokens, _)| tokens.len()).sum();
        self.reserve(count)?;
        let held = self.len();
        match &mut self.store {
            Store::Cpu(kv) => {
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                let numbers: Vec<_> = pieces.iter().map(|(t, v)| (t.len(), *v)).collect();
                kv.write(held, &numbers, threads.min(WRITE_THREADS_MAX));
            }
            Store::Candle(kv) => {
                let mut at = held;
                for (tokens, values) in pieces {
                    let KvValues::F32(data) = values else {
                        return Err(InferError::ForeignState);
                    };
                    kv.write(self.shape, at, tokens.len(), data)
                        .map_err(InferError::backend("write kv"))?;
                    at += tokens.len();
                }
            }
        }
        self.tokens
            .extend(pieces.iter().flat_map(|(tokens, _)| *tokens));
        Ok(())
    }
}

/// More threads do not copy faster.
const WRITE_THREADS_MAX: usize = 8;

/// Tokens that tensors make room for.
fn candle_capacity(needed: usize, limit: usize) -> usize {
    needed.next_power_of_two().max(CAPACITY_MIN).min(limit)
}

impl CandleKv {
    fn fork(&self) -> CandleResult<Self> {
        let copy = |kv: &LayerKv| {
            Ok(LayerKv {
                keys: kv.keys.copy()?,
                values: kv.values.copy()?,
            })
        };
        Ok(Self {
            layers: self.layers.iter().map(copy).collect::<CandleResult<_>>()?,
            device: self.device.clone(),
            capacity: self.capacity,
        })
    }

    fn reserve(&mut self, shape: KvShape, held: usize, needed: usize) -> CandleResult<()> {
        if needed <= self.capacity {
            return Ok(());
        }
        let capacity = candle_capacity(needed, shape.context_tokens);
        self.layers = (0..shape.layers)
            .map(|layer| self.grown(shape, layer, held, capacity))
            .collect::<CandleResult<_>>()?;
        self.capacity = capacity;
        Ok(())
    }

    fn grown(
        &self,
        KvShape {
            kv_heads, head_dim, ..
        }: KvShape,
        layer: usize,
        held: usize,
        capacity: usize,
    ) -> CandleResult<LayerKv> {
        let zeros = || Tensor::zeros((1, kv_heads, capacity, head_dim), DType::F32, &self.device);
        let grown = LayerKv {
            keys: zeros()?,
            values: zeros()?,
        };
        if let Some(old) = self.layers.get(layer).filter(|_| held > 0) {
            grown
                .keys
                .slice_set(&old.keys.narrow(2, 0, held)?.contiguous()?, 2, 0)?;
            grown
                .values
                .slice_set(&old.values.narrow(2, 0, held)?.contiguous()?, 2, 0)?;
        }
        Ok(grown)
    }

    fn read(&self, start: usize, end: usize, data: &mut Vec<f32>) -> CandleResult<()> {
        for kv in &self.layers {
            for tensor in [&kv.keys, &kv.values] {
                let part = tensor.narrow(2, start, end - start)?.transpose(1, 2)?;
                data.extend(part.contiguous()?.flatten_all()?.to_vec1::<f32>()?);
            }
        }
        Ok(())
    }

    fn write(
        &self,
        KvShape {
            kv_heads, head_dim, ..
        }: KvShape,
        held: usize,
        count: usize,
        data: &[f32],
    ) -> CandleResult<()> {
        let plane = count * kv_heads * head_dim;
        let targets = self.layers.iter().flat_map(|kv| [&kv.keys, &kv.values]);
        for (target, values) in targets.zip(data.chunks_exact(plane)) {
            let part = Tensor::from_slice(values, (1, count, kv_heads, head_dim), &self.device)?;
            target.slice_set(&part.transpose(1, 2)?.contiguous()?, 2, held)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("tokens", &self.tokens.len())
            .field("kv_bytes", &self.kv_bytes())
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}
