//! Every kernel against the products of the numbers that its operands stand for.

use super::kernel::{Kernel, kernel, portable};
use super::*;
use crate::reference::values_of;
use gogrid_model::WeightType;

fn types() -> impl Iterator<Item = WeightType> {
    WeightType::ALL.into_iter().filter(|of| is_multiplied(*of))
}

/// The kernels that this processor can run.
fn kernels(of: WeightType) -> Vec<Kernel> {
    let mut all = vec![portable(of).unwrap()];
    #[cfg(target_arch = "x86_64")]
    for level in [x86::Level::Avx512, x86::Level::Avx2] {
        if level.is_there() {
            all.push(x86::kernel(level, of).unwrap());
        }
    }
    all
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// Where blocks have scales of 16 bits.
fn halves(of: WeightType) -> &'static [usize] {
    match of {
        WeightType::Q8_0 | WeightType::Q4_0 | WeightType::Q5_0 | WeightType::Iq4Nl | WeightType::Iq4Xs => &[0],
        WeightType::Q4_1 | WeightType::Q5_1 | WeightType::Q4K | WeightType::Q5K => &[0, 2],
        WeightType::Q2K => &[80, 82],
        WeightType::Q3K => &[108],
        WeightType::Q6K => &[208],
        _ => &[],
    }
}

/// Rows of any codes and reasonable scales.
fn bytes(of: WeightType, rows: usize, columns: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0u8; of.bytes_of(&[rows, columns]).unwrap() as usize];
    for block in bytes.chunks_exact_mut(of.block_bytes()) {
        block.iter_mut().for_each(|byte| *byte = random.next() as u8);
        for &at in halves(of) {
            block[at..at + 2].copy_from_slice(&half::f16::from_f32(random.float()).to_le_bytes());
        }
        if of == WeightType::Mxfp4 {
            block[0] = 120 + (random.next() % 12) as u8;
        }
    }
    bytes
}

fn matrix(of: WeightType, rows: usize, columns: usize, bytes: &[u8]) -> Matrix {
    let size = of.bytes_of(&[rows.next_multiple_of(ROWS), columns]).unwrap() as usize;
    let mut words = vec![0u32; size.div_ceil(4)];
    bytemuck::cast_slice_mut::<u32, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
    Matrix::new(of, (rows, columns), words).unwrap()
}

/// Rows for products, and the numbers that they stand for.
fn activations(rows: usize, columns: usize, random: &mut Random) -> (Quantized, Vec<f32>) {
    let values: Vec<f32> = (0..rows * columns).map(|_| random.float()).collect();
    let quantized = Quantized::new(&values, columns);
    let decoded = quantized.blocks.iter().flat_map(|block| {
        block.quads.as_flattened().iter().map(|code| f32::from(*code) * block.scale).collect::<Vec<_>>()
    });
    let decoded = decoded.collect();
    (quantized, decoded)
}

#[test]
fn products_are_those_of_the_numbers() {
    let mut random = Random(7);
    for of in types() {
        for (rows, blocks) in [(1, 1), (16, 2), (37, 3)] {
            let columns = blocks * of.block_elements();
            let bytes = bytes(of, rows, columns, &mut random);
            let weights = values_of(of, columns, &bytes).unwrap();
            let matrix = matrix(of, rows, columns, &bytes);
            let (quantized, decoded) = activations(13, columns, &mut random);
            for (which, kernel) in kernels(of).into_iter().enumerate() {
                let found = matrix.multiply(&quantized, kernel);
                for (row, found) in decoded.chunks_exact(columns).zip(found.chunks_exact(rows)) {
                    for (weights, found) in weights.chunks_exact(columns).zip(found) {
                        let products = || weights.iter().zip(row).map(|(a, b)| f64::from(*a) * f64::from(*b));
                        let (expected, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
                        let error = (f64::from(*found) - expected).abs();
                        assert!(error <= 2e-6 * size + 1e-9, "{of}, kernel {which}: {found}, {expected}, of {size}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let mut random = Random(11);
    for of in types() {
        let (rows, columns) = (40, 2 * of.block_elements());
        let matrix = matrix(of, rows, columns, &bytes(of, rows, columns, &mut random));
        let values: Vec<f32> = (0..23 * columns).map(|_| random.float()).collect();
        for kernel in kernels(of) {
            let all = matrix.multiply(&Quantized::new(&values, columns), kernel);
            for count in [1, 3, 5, 12] {
                for first in [0, 7, 11] {
                    let some = Quantized::new(&values[first * columns..(first + count) * columns], columns);
                    let found = matrix.multiply(&some, kernel);
                    assert_eq!(found, all[first * rows..(first + count) * rows], "{of}: {count} from {first}");
                }
            }
        }
    }
}

#[test]
fn rows_are_looked_up_and_what_does_not_fit_is_an_error() {
    let mut random = Random(3);
    for of in types() {
        let (rows, columns) = (21, of.block_elements());
        let bytes = bytes(of, rows, columns, &mut random);
        let matrix = matrix(of, rows, columns, &bytes);
        let row = |id: usize| &bytes[id * of.block_bytes()..(id + 1) * of.block_bytes()];
        assert_eq!(matrix.bytes(&[20, 3]).unwrap(), [row(20), row(3)].concat(), "{of}");
        assert!(matrix.bytes(&[21]).is_err());
        assert!(matrix.product(&Quantized::new(&[0.0; 1024], 1024)).is_err());
        assert!(Matrix::new(of, (32, columns), vec![0; 4]).is_err());
        assert!(kernel(of).is_some());
    }
    assert!(Matrix::new(WeightType::F32, (1, 32), vec![0; 512]).is_err());
}
