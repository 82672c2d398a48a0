//! Keys and values taken out of a state, to be put into another one.

use super::KvValues;
use crate::error::{InferError, Result};
use crate::model::{Model, State};

/// Keys and values of a run of tokens of one model, independent of process and machine.
///
/// A piece remembers at which position it starts, because keys carry their position: a piece can
/// only be appended to a state that holds exactly the tokens before it. [`KvState::to_bytes`] and
/// [`KvState::from_bytes`] use the format of `docs/formats/kv-state.md`.
///
/// ```
/// use ryot_inference::{KvState, Model};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let model = Model::toy(1)?;
/// let mut state = model.new_state();
/// model.forward(&mut state, &[1, 2, 3])?;
/// let bytes = state.export()?.to_bytes();
/// // ... another process, the same model ...
/// let mut restored = model.new_state();
/// restored.append(&KvState::from_bytes(&bytes)?)?;
/// assert_eq!(restored.tokens(), [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct KvState {
    pub(super) fingerprint: u128,
    pub(super) start: usize,
    pub(super) tokens: Vec<u32>,
    pub(super) layers: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// Per layer keys then values, each `[tokens, kv_heads, head_dim]`.
    pub(super) values: KvValues,
}

/// Dimensions of the keys, and of the values, of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvShape {
    /// Transformer blocks.
    pub layers: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Numbers per head.
    pub head_dim: usize,
}

impl KvShape {
    /// Numbers of one token, keys and values of all layers; `None` beyond the range of `usize`.
    pub fn token_values(self) -> Option<usize> {
        let heads = self.layers.checked_mul(self.kv_heads)?;
        heads.checked_mul(self.head_dim)?.checked_mul(2)
    }
}

impl KvState {
    /// A piece from its parts, as codecs outside this crate need it; `values` as
    /// [`values`](Self::values) gives them. The model that it is appended to checks the rest.
    ///
    /// # Errors
    /// [`InferError::Parameter`] without a token, and where the number of values is not that of the
    /// tokens and the shape.
    pub fn from_parts(
        fingerprint: u128,
        start: usize,
        tokens: Vec<u32>,
        shape: KvShape,
        values: KvValues,
    ) -> Result<Self> {
        let per_token = shape.token_values().filter(|values| *values > 0);
        let expected = per_token.and_then(|values| values.checked_mul(tokens.len()));
        if tokens.is_empty() || expected != Some(values.len()) {
            return Err(InferError::parameter(
                "values of a kv state",
                values.len(),
                format!("one token at least, and {expected:?} numbers for {shape:?}"),
            ));
        }
        Ok(Self {
            fingerprint,
            start,
            tokens,
            layers: shape.layers,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            values,
        })
    }

    /// Dimensions of the keys and of the values of each token.
    pub fn shape(&self) -> KvShape {
        KvShape {
            layers: self.layers,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
        }
    }

    /// Bytes of keys, values and tokens.
    pub fn bytes(&self) -> usize {
        self.values.bytes() + size_of_val(self.tokens.as_slice())
    }

    /// Fingerprint of the model that made it; see
    /// [`ModelInfo::fingerprint`](crate::ModelInfo::fingerprint).
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// Position of the first token.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The tokens whose keys and values are held.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Keys and values: per layer keys then values, each `[tokens, kv_heads, head_dim]`.
    pub fn values(&self) -> &KvValues {
        &self.values
    }
}

impl std::fmt::Debug for KvState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KvState")
            .field("fingerprint", &format_args!("{:032x}", self.fingerprint))
            .field("start", &self.start)
            .field("tokens", &self.tokens.len())
            .field("layers", &self.layers)
            .field("kv_heads", &self.kv_heads)
            .field("head_dim", &self.head_dim)
            .field("element", &self.values.element())
            .finish_non_exhaustive()
    }
}

impl State {
    /// Takes out the keys and values of every token held.
    ///
    /// Cost: copies them once.
    ///
    /// # Errors
    /// [`InferError::Parameter`] when the state is empty, [`InferError::Backend`].
    pub fn export(&self) -> Result<KvState> {
        self.export_range(0, self.len())
    }

    /// Takes out the keys and values of tokens `start..end`.
    ///
    /// # Errors
    /// [`InferError::Parameter`] when the range is empty or reaches past the tokens held.
    pub fn export_range(&self, start: usize, end: usize) -> Result<KvState> {
        let Some(tokens) = self.tokens().get(start..end).filter(|t| !t.is_empty()) else {
            let allowed = format!("a range of at least one token within 0..{}", self.len());
            return Err(InferError::parameter(
                "export range",
                format!("{start}..{end}"),
                allowed,
            ));
        };
        Ok(KvState {
            fingerprint: self.fingerprint(),
            start,
            tokens: tokens.to_vec(),
            layers: self.shape().layers,
            kv_heads: self.shape().kv_heads,
            head_dim: self.shape().head_dim,
            values: self.read_kv(start, end)?,
        })
    }

    /// Appends a piece that starts where this state ends.
    ///
    /// Cost: copies the piece once; nothing is computed. On an error the state is as before.
    ///
    /// # Errors
    /// [`InferError::ModelMismatch`] for a piece of another model, [`InferError::KvPosition`] when
    /// it starts elsewhere, [`InferError::ContextFull`], [`InferError::Backend`].
    pub fn append(&mut self, piece: &KvState) -> Result<()> {
        self.append_all(&[piece])
    }

    /// Appends pieces that follow each other, the first where this state ends; all or none.
    ///
    /// Cost: copies each once, on several threads where there is much.
    ///
    /// # Errors
    /// As [`State::append`].
    pub fn append_all(&mut self, pieces: &[&KvState]) -> Result<()> {
        let mut expected = self.len();
        for piece in pieces {
            self.check_piece(piece, expected)?;
            expected += piece.tokens.len();
        }
        let pieces = pieces.iter().map(|p| (p.tokens.as_slice(), &p.values));
        self.write_kv(&pieces.collect::<Vec<_>>())
    }

    fn check_piece(&self, piece: &KvState, start: usize) -> Result<()> {
        let shape = self.shape();
        let same_shape = (piece.layers, piece.kv_heads, piece.head_dim)
            == (shape.layers, shape.kv_heads, shape.head_dim);
        let same_element = piece.values.element() == self.kv_element();
        if piece.fingerprint != self.fingerprint() || !same_shape || !same_element {
            return Err(InferError::ModelMismatch {
                what: "kv state",
                found: piece.fingerprint,
                expected: self.fingerprint(),
            });
        }
        if piece.start != start {
            return Err(InferError::KvPosition {
                found: piece.start,
                expected: start,
            });
        }
        Ok(())
    }
}

impl Model {
    /// A state that holds the tokens of `piece`, as if the model had just evaluated them.
    ///
    /// # Errors
    /// As [`State::append`].
    pub fn restore(&self, piece: &KvState) -> Result<State> {
        let mut state = self.new_state();
        state.append(piece)?;
        Ok(state)
    }
}
