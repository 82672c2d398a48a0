//! The network: Llama's architecture (RMS norms, rotary positions, SwiGLU, tied embeddings).

use candle_core::{Device, Tensor, Var};

use super::Result;
use super::ops::{CrossEntropy, RmsNorm, Rope, SwiGlu, attention};
use super::rng::Rng;

/// Dimensions of a network.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Shape {
    pub(crate) vocab: usize,
    pub(crate) context: usize,
    pub(crate) hidden: usize,
    pub(crate) feed_forward: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
}

/// A named parameter.
pub(crate) struct Parameter {
    /// As GGUF names it.
    pub(crate) name: String,
    pub(crate) var: Var,
}

/// A network and its parameters.
pub(crate) struct Net {
    pub(crate) shape: Shape,
    pub(crate) parameters: Vec<Parameter>,
}

/// Parameters of a layer, in this order.
const LAYER: [&str; 9] = [
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
];

impl Net {
    /// Random parameters: normal with deviation 0.02, narrower for matrices that write into the
    /// residual stream; norms 1.
    pub(crate) fn new(shape: Shape, seed: u64) -> Result<Self> {
        let mut rng = Rng::new(seed);
        let mut parameters = Vec::new();
        let residual = 0.02 / (2.0 * shape.layers as f64).sqrt();
        let (query, kv) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        let (hidden, wide) = (shape.hidden, shape.feed_forward);
        let mut add = |name: String, dims: Vec<usize>| -> Result<()> {
            let count = dims.iter().product();
            let deviation = match name.as_str() {
                n if n.contains("output.w") || n.contains("down") => residual,
                _ => 0.02,
            };
            #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
            let values = match dims.len() {
                1 => vec![1.0_f32; count],
                _ => (0..count)
                    .map(|_| (deviation * rng.normal()) as f32)
                    .collect(),
            };
            let var = Var::from_vec(values, dims, &Device::Cpu)?;
            parameters.push(Parameter { name, var });
            Ok(())
        };
        add("token_embd.weight".into(), vec![shape.vocab, hidden])?;
        for layer in 0..shape.layers {
            for part in LAYER {
                let dims = match part {
                    "attn_q" => vec![query, hidden],
                    "attn_k" | "attn_v" => vec![kv, hidden],
                    "attn_output" => vec![hidden, query],
                    "ffn_gate" | "ffn_up" => vec![wide, hidden],
                    "ffn_down" => vec![hidden, wide],
                    _ => vec![hidden],
                };
                add(format!("blk.{layer}.{part}.weight"), dims)?;
            }
        }
        add("output_norm.weight".into(), vec![hidden])?;
        Ok(Self { shape, parameters })
    }

    /// Multiplies every matrix by `factor`.
    pub(crate) fn scale_matrices(&self, factor: f64) -> Result<()> {
        for parameter in self.parameters.iter().filter(|p| p.var.rank() > 1) {
            parameter.var.set(&(parameter.var.as_tensor() * factor)?)?;
        }
        Ok(())
    }

    /// Number of trained numbers.
    pub(crate) fn count(&self) -> usize {
        self.parameters.iter().map(|p| p.var.elem_count()).sum()
    }

    fn tensor(&self, index: usize) -> &Tensor {
        self.parameters[index].var.as_tensor()
    }

    /// Logits `[batch * time, vocab]` of `tokens`, `batch` rows of `time`.
    pub(crate) fn logits(&self, tokens: &[u32], batch: usize) -> Result<Tensor> {
        let time = tokens.len() / batch;
        let ids = Tensor::from_slice(tokens, tokens.len(), &Device::Cpu)?;
        let table = self.tensor(0);
        let mut x = table.index_select(&ids, 0)?;
        for layer in 0..self.shape.layers {
            let first = 1 + layer * LAYER.len();
            let weight = |part: usize| self.tensor(first + part);
            let normed = x.apply_op2(weight(0), RmsNorm)?;
            x = (x + self.attention(&normed, first, batch, time)?)?;
            let normed = x.apply_op2(weight(5), RmsNorm)?;
            let gate = normed.matmul(&weight(6).t()?)?;
            let up = normed.matmul(&weight(7).t()?)?;
            let mixed = gate.apply_op2(&up, SwiGlu)?;
            x = (x + mixed.matmul(&weight(8).t()?)?)?;
        }
        let normed = x.apply_op2(self.tensor(self.parameters.len() - 1), RmsNorm)?;
        Ok(normed.matmul(&table.t()?)?)
    }

    fn attention(&self, x: &Tensor, first: usize, batch: usize, time: usize) -> Result<Tensor> {
        let Shape {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.shape;
        let group = heads / kv_heads;
        let project = |part: usize, heads: usize| -> Result<Tensor> {
            let y = x.matmul(&self.tensor(first + part).t()?)?;
            Ok(y.reshape((batch, time, heads, head_dim))?)
        };
        let rope = || Rope { direction: 1.0 };
        // the query heads that share a key head stand under each other
        let q = project(1, heads)?
            .apply_op1(rope())?
            .reshape((batch, time, kv_heads, group, head_dim))?
            .permute((0, 2, 3, 1, 4))?
            .contiguous()?
            .reshape((batch, kv_heads, group * time, head_dim))?;
        let k = project(2, kv_heads)?.apply_op1(rope())?;
        let k = k.permute((0, 2, 3, 1))?.contiguous()?;
        let v = project(3, kv_heads)?.transpose(1, 2)?.contiguous()?;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let out = attention(&q, &k, &v, scale)?
            .reshape((batch, kv_heads, group, time, head_dim))?
            .permute((0, 3, 1, 2, 4))?
            .contiguous()?
            .reshape((batch * time, heads * head_dim))?;
        Ok(out.matmul(&self.tensor(first + 4).t()?)?)
    }

    /// Mean loss over `windows`, each one token longer than what is evaluated.
    pub(crate) fn loss(&self, windows: &[Vec<u32>]) -> Result<Tensor> {
        let inputs: Vec<u32> = windows
            .iter()
            .flat_map(|w| &w[..w.len() - 1])
            .copied()
            .collect();
        let targets: Vec<u32> = windows.iter().flat_map(|w| &w[1..]).copied().collect();
        let logits = self.logits(&inputs, windows.len())?;
        Ok(logits.apply_op1(CrossEntropy { targets })?)
    }

    /// The loss of `windows` and its derivative by every parameter.
    pub(crate) fn gradient(&self, windows: &[Vec<u32>]) -> Result<(f32, Vec<Vec<f32>>)> {
        let loss = self.loss(windows)?;
        let gradients = loss.backward()?;
        let one = |p: &Parameter| -> Result<Vec<f32>> {
            let gradient = gradients
                .get(p.var.as_tensor())
                .ok_or("a parameter is not used")?;
            Ok(gradient.flatten_all()?.to_vec1()?)
        };
        let all = self.parameters.iter().map(one).collect::<Result<_>>()?;
        Ok((loss.to_scalar()?, all))
    }
}
