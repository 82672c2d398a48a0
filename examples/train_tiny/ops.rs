//! The fused operations of the network, with their derivatives, as custom operations of candle.
//!
//! candle's own tensor operations would do; one pass over memory instead of five makes a step on a
//! processor about twice as fast. `--check` holds the derivatives to finite differences.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail,
};

pub(crate) const RMS_EPS: f32 = 1e-5;
pub(crate) const ROPE_BASE: f64 = 10_000.0;

/// The numbers of a contiguous f32 tensor.
fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else {
        bail!("custom operation needs f32");
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("custom operation needs a contiguous tensor"),
    }
}

fn output(values: Vec<f32>, layout: &Layout) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), layout.shape().clone())
}

fn last(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1)
}

/// `e^x` for `x <= 0`, relative error below 2e-7, in operations that a compiler puts in vectors.
#[inline]
fn exp(x: f32) -> f32 {
    let x = x.max(-87.0);
    // adding and taking away 1.5 * 2^23 rounds to a whole number
    let n = (x * std::f32::consts::LOG2_E + 12_582_912.0) - 12_582_912.0;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + c;
    }
    #[expect(clippy::cast_possible_truncation, reason = "-126 to 0")]
    let n = n as i32;
    (p * r * r + r + 1.0) * f32::from_bits(((n + 127) << 23).cast_unsigned())
}

fn sum(values: impl Iterator<Item = f32>) -> f32 {
    values.sum()
}

/// Eight running sums, which fit a vector register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    for (x, y) in a8.iter().zip(b8) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let rest = sum(a_rest.iter().zip(b_rest).map(|(x, y)| x * y));
    sums.iter().sum::<f32>() + rest
}

/// `softmax(scale * scores)` over the columns up to each row's own position: `[.., rows, columns]`
/// where row `r` stands at position `r % columns`.
struct CausalSoftmax {
    scale: f32,
}

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let scores = numbers(storage, layout)?;
        let columns = last(layout);
        let mut out = vec![0.0; scores.len()];
        let rows = scores
            .chunks_exact(columns)
            .zip(out.chunks_exact_mut(columns));
        for (r, (scores, out)) in rows.enumerate() {
            let seen = r % columns + 1;
            let (scores, out) = (&scores[..seen], &mut out[..seen]);
            let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for (o, s) in out.iter_mut().zip(scores) {
                *o = exp((s - max) * self.scale);
            }
            let total = 1.0 / sum(out.iter().copied());
            out.iter_mut().for_each(|o| *o *= total);
        }
        Ok(output(out, layout))
    }
}

/// Attention over `q` `[batch, kv_heads, rows, dim]`, `k` `[batch, kv_heads, dim, time]` and `v`
/// `[batch, kv_heads, time, dim]`.
///
/// One operation for the graph: its weights, the largest tensors of all, stay out of the gradients
/// that candle gathers.
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f32) -> Result<Tensor> {
    let softmax = CausalSoftmax { scale };
    let weights = q.detach().matmul(&k.detach())?.apply_op1_no_bwd(&softmax)?;
    let out = weights.matmul(&v.detach())?;
    let attention = Attention {
        scale,
        weights,
        out,
    };
    q.apply_op3(k, v, attention)
}

/// Attention whose result is known already; what is left is its derivative.
struct Attention {
    scale: f32,
    weights: Tensor,
    out: Tensor,
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        _q: &CpuStorage,
        _ql: &Layout,
        _k: &CpuStorage,
        _kl: &Layout,
        _v: &CpuStorage,
        _vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let values = self.out.flatten_all()?.to_vec1()?;
        Ok((CpuStorage::F32(values), self.out.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let dv = self.weights.t()?.matmul(&grad)?;
        let dp = grad.matmul(&v.detach().t()?)?;
        let back = CausalSoftmaxBack { scale: self.scale };
        let ds = self.weights.apply_op2_no_bwd(&dp, &back)?;
        let dq = ds.matmul(&k.detach().t()?)?;
        let dk = q.detach().t()?.matmul(&ds)?;
        Ok((Some(dq), Some(dk), Some(dv)))
    }
}

struct CausalSoftmaxBack {
    scale: f32,
}

impl CustomOp2 for CausalSoftmaxBack {
    fn name(&self) -> &'static str {
        "causal-softmax-back"
    }

    fn cpu_fwd(
        &self,
        p: &CpuStorage,
        pl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (p, g, columns) = (numbers(p, pl)?, numbers(g, gl)?, last(pl));
        let mut out = vec![0.0; p.len()];
        let rows = p.chunks_exact(columns).zip(g.chunks_exact(columns));
        for (r, ((p, g), out)) in rows.zip(out.chunks_exact_mut(columns)).enumerate() {
            let seen = r % columns + 1;
            let (p, g) = (&p[..seen], &g[..seen]);
            let mean = dot(p, g);
            for ((o, p), g) in out.iter_mut().zip(p).zip(g) {
                *o = self.scale * p * (g - mean);
            }
        }
        Ok(output(out, pl))
    }
}

/// Rotates adjacent pairs of `[batch, time, heads, head_dim]` by their position in time.
pub(crate) struct Rope {
    /// 1, or -1 for the derivative.
    pub(crate) direction: f32,
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = numbers(storage, layout)?;
        let (_, time, heads, dim) = layout.shape().dims4()?;
        #[expect(clippy::cast_possible_truncation, reason = "f32 tables")]
        let table: Vec<(f32, f32)> = (0..time)
            .flat_map(|t| (0..dim / 2).map(move |i| (t, i)))
            .map(|(t, i)| t as f64 * ROPE_BASE.powf(-2.0 * i as f64 / dim as f64))
            .map(|angle| (angle.cos() as f32, self.direction * angle.sin() as f32))
            .collect();
        let mut out = vec![0.0; x.len()];
        let rows = x.chunks_exact(dim).zip(out.chunks_exact_mut(dim));
        for (r, (x, out)) in rows.enumerate() {
            let t = r / heads % time;
            let turns = &table[t * dim / 2..(t + 1) * dim / 2];
            let pairs = x.chunks_exact(2).zip(out.chunks_exact_mut(2));
            for ((x, out), (cos, sin)) in pairs.zip(turns) {
                out[0] = x[0] * cos - x[1] * sin;
                out[1] = x[0] * sin + x[1] * cos;
            }
        }
        Ok(output(out, layout))
    }

    fn bwd(&self, _arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = Rope {
            direction: -self.direction,
        };
        grad.contiguous()?.apply_op1_no_bwd(&back).map(Some)
    }
}

fn inverse_rms(x: &[f32]) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + RMS_EPS).sqrt()
}

/// `x / rms(x) * weight` over the last dimension.
pub(crate) struct RmsNorm;

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (numbers(x, xl)?, numbers(w, wl)?);
        let mut out = vec![0.0; x.len()];
        let rows = x.chunks_exact(w.len()).zip(out.chunks_exact_mut(w.len()));
        for (x, out) in rows {
            let r = inverse_rms(x);
            for ((o, x), w) in out.iter_mut().zip(x).zip(w) {
                *o = x * r * w;
            }
        }
        Ok(output(out, xl))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (x, w, grad) = (x.detach(), w.detach(), grad.contiguous()?);
        let dw = x.apply_op2_no_bwd(&grad, &RmsNormBackWeight)?;
        let dx = x.apply_op3_no_bwd(&w, &grad, &RmsNormBack)?;
        Ok((Some(dx), Some(dw)))
    }
}

struct RmsNormBack;

impl CustomOp3 for RmsNormBack {
    fn name(&self) -> &'static str {
        "rms-norm-back"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, g) = (numbers(x, xl)?, numbers(w, wl)?, numbers(g, gl)?);
        let n = w.len();
        let mut out = vec![0.0; x.len()];
        let rows = x.chunks_exact(n).zip(g.chunks_exact(n));
        for ((x, g), out) in rows.zip(out.chunks_exact_mut(n)) {
            let r = inverse_rms(x);
            for ((o, g), w) in out.iter_mut().zip(g).zip(w) {
                *o = g * w;
            }
            let mean = dot(out, x) * r * r / n as f32;
            for (o, x) in out.iter_mut().zip(x) {
                *o = r * (*o - x * mean);
            }
        }
        Ok(output(out, xl))
    }
}

struct RmsNormBackWeight;

impl CustomOp2 for RmsNormBackWeight {
    fn name(&self) -> &'static str {
        "rms-norm-back-weight"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, g, n) = (numbers(x, xl)?, numbers(g, gl)?, last(xl));
        let mut out = vec![0.0; n];
        for (x, g) in x.chunks_exact(n).zip(g.chunks_exact(n)) {
            let r = inverse_rms(x);
            for ((o, x), g) in out.iter_mut().zip(x).zip(g) {
                *o += x * r * g;
            }
        }
        Ok((CpuStorage::F32(out), Shape::from(n)))
    }
}

/// `silu(gate) * up`.
pub(crate) struct SwiGlu;

fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    if x >= 0.0 {
        1.0 / (1.0 + e)
    } else {
        e / (1.0 + e)
    }
}

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (numbers(a, al)?, numbers(b, bl)?);
        let out = a.iter().zip(b).map(|(a, b)| a * sigmoid(*a) * b).collect();
        Ok(output(out, al))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (a, b, grad) = (a.detach(), b.detach(), grad.contiguous()?);
        let da = a.apply_op3_no_bwd(&b, &grad, &SwiGluBackGate)?;
        let db = a.apply_op2_no_bwd(&grad, &SwiGlu)?;
        Ok((Some(da), Some(db)))
    }
}

struct SwiGluBackGate;

impl CustomOp3 for SwiGluBackGate {
    fn name(&self) -> &'static str {
        "swiglu-back-gate"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b, g) = (numbers(a, al)?, numbers(b, bl)?, numbers(g, gl)?);
        let one = |((a, b), g): ((&f32, &f32), &f32)| {
            let s = sigmoid(*a);
            g * b * s * (1.0 + a * (1.0 - s))
        };
        let out = a.iter().zip(b).zip(g).map(one).collect();
        Ok(output(out, al))
    }
}

/// Mean of `-ln softmax(logits)[target]` over the rows.
pub(crate) struct CrossEntropy {
    pub(crate) targets: Vec<u32>,
}

impl CrossEntropy {
    /// `ln(sum(e^x))` of a row, and the row's maximum.
    fn log_sum(row: &[f32]) -> f32 {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        max + sum(row.iter().map(|x| exp(x - max))).ln()
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (logits, vocab) = (numbers(storage, layout)?, last(layout));
        let one =
            |(row, target): (&[f32], &u32)| f64::from(Self::log_sum(row) - row[*target as usize]);
        let rows = logits.chunks_exact(vocab).zip(&self.targets);
        let mean = rows.map(one).sum::<f64>() / self.targets.len() as f64;
        #[expect(clippy::cast_possible_truncation, reason = "the loss is f32")]
        let mean = mean as f32;
        Ok((CpuStorage::F32(vec![mean]), Shape::from(())))
    }

    fn bwd(&self, arg: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = CrossEntropyBack {
            targets: self.targets.clone(),
            scale: grad.to_scalar::<f32>()? / self.targets.len() as f32,
        };
        arg.detach().apply_op1_no_bwd(&back).map(Some)
    }
}

struct CrossEntropyBack {
    targets: Vec<u32>,
    scale: f32,
}

impl CustomOp1 for CrossEntropyBack {
    fn name(&self) -> &'static str {
        "cross-entropy-back"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (logits, vocab) = (numbers(storage, layout)?, last(layout));
        let mut out = vec![0.0; logits.len()];
        let rows = logits.chunks_exact(vocab).zip(out.chunks_exact_mut(vocab));
        for ((row, out), target) in rows.zip(&self.targets) {
            let log_sum = CrossEntropy::log_sum(row);
            for (o, x) in out.iter_mut().zip(row) {
                *o = self.scale * exp(x - log_sum);
            }
            out[*target as usize] -= self.scale;
        }
        Ok(output(out, layout))
    }
}
