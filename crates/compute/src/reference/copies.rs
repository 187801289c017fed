//! What the reference back end takes in memory on this machine.
//!
//! On a CPU candle computes with rearranged copies of quantized matrices. Which ones depends on the processor: with
//! AVX-512 q8_0 matrices get one, with matrix instructions (AMX) q4k matrices get a second. Instead of asking the
//! processor and repeating candle's conditions, this multiplies small matrices once and counts how often candle reads
//! their bytes to rearrange them.

use super::packed::{FIRST_PRODUCTS, watched};
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Device, Module, Result, Tensor};
use gogrid_model::{CopyRule, DeviceKind, Footprint, WeightType};
use std::sync::{Arc, OnceLock};

/// Rows and columns of the matrices that are tried: a multiple of every tile.
const ROWS: usize = 16;
const COLUMNS: usize = 256;

/// What stages take in memory on a device of this kind.
pub fn footprint(device: DeviceKind) -> Footprint {
    static COPIES: OnceLock<Vec<CopyRule>> = OnceLock::new();
    match device {
        DeviceKind::Cpu => Footprint::reference(device, COPIES.get_or_init(copies).clone()),
        _ => Footprint::expected(device),
    }
}

/// The rules for the weight types of which this processor gets copies. A type that cannot be tried is taken for one
/// with every copy that x86 makes.
fn copies() -> Vec<CopyRule> {
    let known = Footprint::x86_copies(true);
    let rule = |of: WeightType| match try_out(of) {
        Ok(0) => None,
        Ok(copies) => Some(rule(of, copies)),
        Err(error) => {
            tracing::warn!(%of, error = &error as &dyn std::error::Error, "the copies of weights are not known");
            known.iter().find(|rule| rule.of == of).cloned()
        }
    };
    WeightType::ALL.into_iter().filter(|of| of.is_quantized() && !of.is_dequantized()).filter_map(rule).collect()
}

/// The rule for a type of which that many copies are made.
fn rule(of: WeightType, copies: usize) -> CopyRule {
    let x86 = Footprint::x86_copies(copies > 1).into_iter().find(|rule| rule.of == of);
    match x86.filter(|_| cfg!(target_arch = "x86_64")) {
        Some(rule) => rule,
        // On other processors blocks of some rows are put side by side, which takes as much as the original does.
        None => CopyRule {
            of,
            rows: 8,
            columns: of.block_elements(),
            bytes: (copies * 8 * of.block_bytes()) as u64,
            keeps_original: true,
        },
    }
}

/// How many copies are made of a matrix of that type.
fn try_out(of: WeightType) -> Result<usize> {
    let matrix = Tensor::zeros((ROWS, COLUMNS), DType::F32, &Device::Cpu)?;
    let matrix = QTensor::quantize(&matrix, super::convert::ggml(of)?)?;
    let (tensor, reads) = watched(matrix.data()?.as_ref(), (ROWS, COLUMNS), of)?;
    let tensor = Arc::new(tensor);
    let mut copies = 0;
    for rows in FIRST_PRODUCTS {
        let before = reads.rearranged();
        let rows = Tensor::zeros((rows, COLUMNS), DType::F32, &Device::Cpu)?;
        QMatMul::QTensor(Arc::clone(&tensor)).forward(&rows)?;
        copies += usize::from(reads.rearranged() > before);
    }
    Ok(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn copies_are_found_as_the_processor_has_them() {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let has = |flag: &str| flags.split_whitespace().any(|found| found == flag);
        let footprint = footprint(DeviceKind::Cpu);
        let bytes = |of| footprint.copies_of(of).map(|rule| rule.bytes);
        assert_eq!(bytes(WeightType::Q4_0), None, "candle has no such kernel");
        if has("avx512_vnni") && has("avx512bw") {
            assert_eq!(bytes(WeightType::Q8_0), Some(16 * 272));
        }
        if has("avx2") {
            assert_eq!(bytes(WeightType::Q6K), Some(5120));
            let amx = has("amx_int8") && has("amx_tile") && has("avx512_vnni");
            assert_eq!(bytes(WeightType::Q4K), Some(if amx { 3072 + 5120 } else { 3072 }));
        }
        if !has("avx2") && flags.contains("flags") {
            assert_eq!(footprint.copies, []);
        }
    }
}
