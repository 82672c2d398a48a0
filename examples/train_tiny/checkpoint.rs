//! What a training run needs to go on: parameters, moments, step and the curve so far.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::Result;
use super::net::{Net, Shape};
use super::optimiser::AdamW;

/// One point of the loss curve.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Point {
    pub(crate) step: usize,
    /// Mean loss of the steps since the last point.
    pub(crate) train: f32,
    /// Loss on a few held-out windows, where it was measured.
    pub(crate) held_out: Option<f32>,
}

/// Where a run stands.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Progress {
    pub(crate) shape: Shape,
    pub(crate) seed: u64,
    pub(crate) batch: usize,
    /// Steps done.
    pub(crate) step: usize,
    /// Time spent in steps, over all runs.
    pub(crate) seconds: f64,
    pub(crate) curve: Vec<Point>,
}

const TENSORS: &str = "checkpoint.safetensors";
const PROGRESS: &str = "progress.json";

/// Writes both files beside the old ones, then renames them.
pub(crate) fn save(folder: &Path, net: &Net, optimiser: &AdamW, progress: &Progress) -> Result<()> {
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for (index, parameter) in net.parameters.iter().enumerate() {
        let var = &parameter.var;
        let moment = |values: &[f32]| Tensor::from_slice(values, var.shape(), &Device::Cpu);
        let name = &parameter.name;
        tensors.insert(name.clone(), var.as_tensor().clone());
        tensors.insert(format!("{name}.first"), moment(&optimiser.first[index])?);
        tensors.insert(format!("{name}.second"), moment(&optimiser.second[index])?);
    }
    let part = |name: &str| folder.join(format!("{name}.part"));
    candle_core::safetensors::save(&tensors, part(TENSORS))?;
    fs::write(part(PROGRESS), serde_json::to_vec_pretty(progress)?)?;
    for name in [TENSORS, PROGRESS] {
        fs::rename(part(name), folder.join(name))?;
    }
    Ok(())
}

/// The checkpoint in `folder`, if there is one.
pub(crate) fn load(folder: &Path) -> Result<Option<(Net, AdamW, Progress)>> {
    let path = folder.join(PROGRESS);
    if !path.exists() {
        return Ok(None);
    }
    let progress: Progress = serde_json::from_slice(&fs::read(path)?)?;
    let net = Net::new(progress.shape.clone(), progress.seed)?;
    let mut optimiser = AdamW::new(&net);
    let tensors = candle_core::safetensors::load(folder.join(TENSORS), &Device::Cpu)?;
    for (index, parameter) in net.parameters.iter().enumerate() {
        let name = &parameter.name;
        let find = |name: String| {
            tensors
                .get(&name)
                .ok_or(format!("no {name} in the checkpoint"))
        };
        parameter.var.set(find(name.clone())?)?;
        let numbers = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
        optimiser.first[index] = numbers(find(format!("{name}.first"))?)?;
        optimiser.second[index] = numbers(find(format!("{name}.second"))?)?;
    }
    Ok(Some((net, optimiser, progress)))
}
