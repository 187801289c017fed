//! Each kernel against the same arithmetic in f64 on the CPU, on shapes that leave rests everywhere. They need a GPU:
//! `cargo test -p gogrid-compute --features cuda -- --ignored cuda`.

use super::compute::{Launcher, Rows, Shape};
use super::driver::{Gpu, Memory};
use super::kernels::{Cache, FOUND_WORDS, MOST_TOP, Mode};
use super::planes;
use super::step::Step;
use super::weights::{Attention, Matrix, Vector};
use super::workspace::{Widths, Workspace};
use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use gogrid_model::{CandidateRequest, Scales, SessionKey, Span, WeightType, candidates};
use half::{bf16, f16};
use std::path::Path;
use std::sync::Arc;

const TYPES: [WeightType; 8] = [
    WeightType::F32,
    WeightType::F16,
    WeightType::Bf16,
    WeightType::Q8_0,
    WeightType::Q4_0,
    WeightType::Q4K,
    WeightType::Q5K,
    WeightType::Q6K,
];

/// Numbers in ± 1 (xorshift, <https://en.wikipedia.org/wiki/Xorshift>).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn take(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

fn floats(gpu: &Gpu, values: &[f32]) -> Memory {
    let memory = gpu.allocate(4 * values.len()).unwrap();
    gpu.write(&memory, 0, bytemuck::cast_slice(values)).unwrap();
    memory
}

fn read(gpu: &Gpu, memory: &Memory, count: usize) -> Vec<f32> {
    let mut values = vec![0f32; count];
    gpu.read(memory, 0, bytemuck::cast_slice_mut(&mut values)).unwrap();
    values
}

/// A random matrix on the GPU, and its numbers.
fn matrix(gpu: &Gpu, random: &mut Random, of: WeightType, rows: usize, columns: usize) -> (Matrix, Vec<f32>) {
    let values = random.take(rows * columns);
    let (bytes, numbers): (Vec<u8>, Vec<f32>) = match of {
        WeightType::F32 => (bytemuck::cast_slice(&values).to_vec(), values),
        WeightType::F16 => {
            let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
            (bytemuck::cast_slice(&halves).to_vec(), halves.iter().map(|half| half.to_f32()).collect())
        }
        WeightType::Bf16 => {
            let halves: Vec<bf16> = values.iter().map(|value| bf16::from_f32(*value)).collect();
            (bytemuck::cast_slice(&halves).to_vec(), halves.iter().map(|half| half.to_f32()).collect())
        }
        quantized => {
            let tensor = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
            let tensor = QTensor::quantize(&tensor, crate::reference::ggml(quantized).unwrap()).unwrap();
            let numbers = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            (tensor.data().unwrap().into_owned(), numbers)
        }
    };
    let stride = planes::stride(of, columns).unwrap();
    let mut laid_out = vec![0u8; rows * stride];
    for (to, row) in laid_out.chunks_exact_mut(stride).zip(bytes.chunks_exact(bytes.len() / rows)) {
        planes::lay_out(of, row, to);
    }
    let memory = gpu.allocate(laid_out.len()).unwrap();
    gpu.write(&memory, 0, &laid_out).unwrap();
    (Matrix { memory: Arc::new(memory), of, rows, columns, stride }, numbers)
}

fn space(gpu: &Gpu, rows: usize, wanted: usize, vocabulary: usize) -> Workspace {
    let widths =
        Widths { hidden: 4096, qkv: 8192, q: 4096, inner: 4096, vocabulary, heads: 32, head: wanted > 0, widens: true };
    Workspace::new(gpu, &widths, rows, wanted).unwrap()
}

fn launcher<'a>(gpu: &'a Gpu, space: &'a Workspace, residual: f32, caches: u64) -> Launcher<'a> {
    let scales = Scales { residual, ..Scales::default() };
    Launcher { gpu, space, eps: 1e-5, scales, caches, layers: 1, hidden: 4096 }
}

/// Distance relative to the expected length.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    distance_to(found, expected, expected)
}

/// Distance relative to the length of `size`: what an error is small beside, where numbers cancel.
fn distance_to(found: &[f32], expected: &[f64], size: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let differences: f64 = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    let length: f64 = size.iter().map(|value| value * value).sum();
    if differences.is_nan() { f64::INFINITY } else { (differences / length.max(1e-30)).sqrt() }
}

/// What a product's operands are rounded to.
fn bound(of: WeightType) -> f64 {
    match of {
        WeightType::F32 => 1e-5,
        WeightType::F16 => 1e-3,
        WeightType::Bf16 => 5e-3,
        _ => 1.2e-2,
    }
}

fn inverse_norm(row: &[f32]) -> f64 {
    let squares: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
    1.0 / (squares / row.len() as f64 + 1e-5).sqrt()
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn products_are_those_of_the_cpu() {
    let gpu = Gpu::open(0).unwrap();
    let mut random = Random(1);
    let mut worst = std::collections::BTreeMap::<String, f64>::new();
    for of in TYPES {
        let columns: &[usize] = match of.block_elements() {
            1 => &[8, 264, 2056],
            32 => &[32, 1056],
            _ => &[256, 2048],
        };
        for (&k, rows_of_matrix) in columns.iter().flat_map(|k| [1usize, 2, 7, 130].map(|n| (k, n))) {
            let (matrix, numbers) = matrix(&gpu, &mut random, of, rows_of_matrix, k);
            for rows in [1usize, 2, 3, 5, 8, 11, 19] {
                for mode in [Mode::Store, Mode::Add, Mode::Silu, Mode::Gelu] {
                    let both = mode == Mode::Silu || mode == Mode::Gelu;
                    let few = rows <= if of.is_quantized() { 16 } else { 1 };
                    if both && (rows_of_matrix % 2 == 1 || !few) {
                        continue;
                    }
                    let space = space(&gpu, rows, 0, 16);
                    let run = launcher(&gpu, &space, 0.5, 0);
                    let n = if both { rows_of_matrix / 2 } else { rows_of_matrix };
                    // Rows in another order, with others between them.
                    let x = random.take((rows + 3) * k);
                    let which: Vec<i32> = (0..rows).map(|row| ((row * 5 + 2) % (rows + 3)) as i32).collect();
                    let (norm, bias, before) = (random.take(k), random.take(rows_of_matrix), random.take(rows * n));
                    let normed = mode != Mode::Add;
                    let y = floats(&gpu, &before);
                    let (x_at, norm_at, bias_at) = (floats(&gpu, &x), floats(&gpu, &norm), floats(&gpu, &bias));
                    let which_at = gpu.allocate(4 * rows).unwrap();
                    gpu.write(&which_at, 0, bytemuck::cast_slice(&which)).unwrap();
                    let norm_at = if normed { norm_at.at() } else { 0 };
                    let input = Rows { at: x_at.at(), which: which_at.at(), count: rows, norm: norm_at };
                    run.product(&matrix, input, bias_at.at(), y.at(), n, mode).unwrap();
                    let found = read(&gpu, &y, rows * n);
                    let (mut expected, mut sizes) = (Vec::new(), Vec::new());
                    for (row, from) in which.iter().enumerate() {
                        let values = &x[*from as usize * k..][..k];
                        let inverse = if normed { inverse_norm(values) } else { 1.0 };
                        let value = |at: usize| {
                            let weight = if normed { f64::from(norm[at]) * inverse } else { 1.0 };
                            f64::from(values[at]) * weight
                        };
                        let dot = |out: usize| {
                            let line = &numbers[out * k..][..k];
                            f64::from(bias[out]) + (0..k).map(|at| f64::from(line[at]) * value(at)).sum::<f64>()
                        };
                        // A sum of numbers of both signs, and how large it is if they do not cancel.
                        let size = |out: usize| {
                            let line = &numbers[out * k..][..k];
                            let squares: f64 = (0..k).map(|at| (f64::from(line[at]) * value(at)).powi(2)).sum();
                            squares.sqrt() + dot(out).abs()
                        };
                        for out in 0..n {
                            sizes.push(if both { size(out) * size(out + n) } else { size(out) });
                            expected.push(match mode {
                                Mode::Store => dot(out),
                                Mode::Add => f64::from(before[row * n + out]) + 0.5 * dot(out),
                                Mode::Silu => {
                                    let gate = dot(out);
                                    gate / (1.0 + (-gate).exp()) * dot(out + n)
                                }
                                Mode::Gelu => {
                                    let gate = dot(out);
                                    let u = 0.797_884_560_8 * (gate + 0.044_715 * gate.powi(3));
                                    0.5 * gate * (1.0 + u.tanh()) * dot(out + n)
                                }
                            });
                        }
                    }
                    let error = distance_to(&found, &expected, &sizes);
                    let seen = worst.entry(format!("{of}, {}", if few { "few rows" } else { "many" })).or_default();
                    *seen = seen.max(error);
                    // Inner rows are products of two products.
                    let bound = bound(of) * if both { 3.0 } else { 2.0 };
                    assert!(error < bound, "{of} {rows_of_matrix} × {k}, {rows} rows, {mode:?}: {error}");
                }
            }
        }
    }
    println!("largest distances: {worst:#?}");
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_row_gets_the_same_whatever_the_others_are() {
    let gpu = Gpu::open(0).unwrap();
    let mut random = Random(5);
    let (matrix, _) = matrix(&gpu, &mut random, WeightType::Q4K, 70, 512);
    let x = random.take(8 * 512);
    let space = space(&gpu, 8, 0, 16);
    let run = launcher(&gpu, &space, 1.0, 0);
    let (x_at, y) = (floats(&gpu, &x), floats(&gpu, &vec![0.0; 8 * 70]));
    let of = |count: usize| {
        let rows = Rows { at: x_at.at(), which: 0, count, norm: 0 };
        run.product(&matrix, rows, 0, y.at(), 70, Mode::Store).unwrap();
        read(&gpu, &y, 70)
    };
    let alone = of(1);
    assert!([2, 3, 5, 8].into_iter().all(|count| of(count) == alone));
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn embeddings_are_the_rows_of_their_tokens() {
    let gpu = Gpu::open(0).unwrap();
    let mut random = Random(2);
    for of in TYPES {
        let (table, numbers) = matrix(&gpu, &mut random, of, 37, 768);
        let space = space(&gpu, 8, 0, 16);
        let (ids, x) = (gpu.allocate(12).unwrap(), gpu.allocate(4 * 3 * 768).unwrap());
        gpu.write(&ids, 0, bytemuck::cast_slice(&[36i32, -1, 4])).unwrap();
        launcher(&gpu, &space, 1.0, 0).embed(&table, ids.at(), x.at(), 3).unwrap();
        let found = read(&gpu, &x, 3 * 768);
        let expected: Vec<f64> = [Some(36), None, Some(4)]
            .into_iter()
            .flat_map(|row| (0..768).map(move |at| row.map(|row: usize| row * 768 + at)))
            .map(|at| at.map_or(0.0, |at| f64::from(numbers[at])))
            .collect();
        let error = distance(&found, &expected);
        assert!(error < 1e-6, "{of}: {error}");
    }
}

/// A sequence of a step: tokens that are cached before it, and tokens of the step.
type Sequence = (usize, usize);

/// Attention of these sequences, as the GPU and as the CPU computes it.
fn attention(
    gpu: &Gpu,
    random: &mut Random,
    (heads, kv_heads, dim): (usize, usize, usize),
    window: Option<usize>,
    sequences: &[Sequence],
    norms: bool,
) -> f64 {
    let rows: usize = sequences.iter().map(|(_, tokens)| tokens).sum();
    let space = space(gpu, rows, 0, 16);
    let width = (heads + 2 * kv_heads) * dim;
    let (q_norm, k_norm) = (random.take(dim), random.take(dim));
    let radians: Vec<f32> = (0..dim / 2).map(|at| 0.5f32.powi(at as i32 % 12)).collect();
    let vector = |values: &[f32]| Vector::load(gpu, values).unwrap();
    let (no, _) = matrix(gpu, random, WeightType::F32, 1, 8);
    let attention = Attention {
        qkv: Vec::new(),
        bias: Vector::default(),
        q_norm: if norms { vector(&q_norm) } else { Vector::default() },
        k_norm: if norms { vector(&k_norm) } else { Vector::default() },
        frequencies: vector(&radians),
        rotated: dim,
        magnitude: 1.0,
        heads,
        kv_heads,
        dim,
        window,
        scale: 1.0 / (dim as f32).sqrt(),
        position_scale: None,
        o: no,
        o_bias: Vector::default(),
    };
    // Every sequence's caches, with what is cached before the step; a window's are a ring.
    let mut caches = Vec::new();
    let mut memories = Vec::new();
    let mut cached = Vec::new();
    for (before, tokens) in sequences {
        let held = window.map_or(before + tokens, |window| (window + tokens.max(&64)).min(before + tokens));
        let mut all = [
            vec![f16::from_f32(f32::NAN); kv_heads * held * dim],
            vec![f16::from_f32(f32::NAN); kv_heads * held * dim],
        ];
        let mut known = Vec::new();
        for position in 0..*before {
            let token: Vec<f16> = random.take(2 * kv_heads * dim).into_iter().map(f16::from_f32).collect();
            for (at, value) in token.iter().enumerate() {
                let (kind, kv, e) = (at / (kv_heads * dim), at / dim % kv_heads, at % dim);
                all[kind][(kv * held + position % held) * dim + e] = *value;
            }
            known.push(token);
        }
        let memories_of = all.map(|values| {
            let memory = gpu.allocate(2 * values.len()).unwrap();
            gpu.write(&memory, 0, bytemuck::cast_slice(&values)).unwrap();
            memory
        });
        caches.push(Cache { keys: memories_of[0].at(), values: memories_of[1].at(), held: held as i32, unused: 0 });
        memories.push(memories_of);
        cached.push(known);
    }
    let table = gpu.allocate(std::mem::size_of_val(caches.as_slice())).unwrap();
    gpu.write(&table, 0, bytemuck::cast_slice(&caches)).unwrap();
    let spans: Vec<Span> = sequences
        .iter()
        .enumerate()
        .map(|(at, (position, tokens))| Span {
            session: SessionKey(at as u64),
            position: *position,
            tokens: *tokens,
            want: None,
        })
        .collect();
    let slots: Vec<usize> = (0..sequences.len()).collect();
    let step = Step::new(space.places, rows, &spans, &slots, &[], 16, false);
    gpu.write(&space.step, 0, bytemuck::cast_slice(&step.words)).unwrap();
    let qkv = random.take(rows * width);
    gpu.write(&space.qkv, 0, bytemuck::cast_slice(&qkv)).unwrap();
    let shape = Shape { rows, wanted: 0, tiles: step.tiles, decodes: step.decodes };
    launcher(gpu, &space, 1.0, table.at()).attend(shape, 0, &attention, true).unwrap();
    let found = read(gpu, &space.attended, rows * heads * dim);

    // The same on the CPU.
    let prepared = |from: &[f32], norm: &[f32], position: usize| -> Vec<f64> {
        let inverse = if norms { inverse_norm(from) } else { 1.0 };
        let values: Vec<f64> = from
            .iter()
            .zip(norm)
            .map(|(v, w)| f64::from(*v) * if norms { inverse * f64::from(*w) } else { 1.0 })
            .collect();
        (0..dim)
            .map(|at| {
                let (pair, first) = (at % (dim / 2), at < dim / 2);
                let (sine, cosine) = f64::from(position as f32 * radians[pair]).sin_cos();
                let (x, y) = (values[pair], values[pair + dim / 2]);
                if first { x * cosine - y * sine } else { y * cosine + x * sine }
            })
            .collect()
    };
    let rounded = |value: f64| f64::from(f16::from_f64(value).to_f32());
    let mut expected = Vec::new();
    let mut row = 0;
    for ((before, tokens), known) in sequences.iter().zip(&cached) {
        let of_row = |row: usize, head: usize| &qkv[row * width + head * dim..][..dim];
        let key = |position: usize, kv: usize| -> Vec<f64> {
            match position < *before {
                true => known[position][kv * dim..][..dim].iter().map(|v| f64::from(v.to_f32())).collect(),
                false => {
                    let from = of_row(row + position - before, heads + kv);
                    prepared(from, &k_norm, position).into_iter().map(rounded).collect()
                }
            }
        };
        let value = |position: usize, kv: usize| -> Vec<f64> {
            match position < *before {
                true => known[position][(kv_heads + kv) * dim..][..dim].iter().map(|v| f64::from(v.to_f32())).collect(),
                false => of_row(row + position - before, heads + kv_heads + kv)
                    .iter()
                    .map(|v| rounded(f64::from(*v)))
                    .collect(),
            }
        };
        for token in 0..*tokens {
            let position = before + token;
            for head in 0..heads {
                let kv = head / (heads / kv_heads);
                let query = prepared(of_row(row + token, head), &q_norm, position);
                let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
                let scores: Vec<f64> = (first..=position)
                    .map(|at| key(at, kv).iter().zip(&query).map(|(k, q)| k * q).sum::<f64>() / (dim as f64).sqrt())
                    .collect();
                let most = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
                let all: f64 = weights.iter().sum();
                let mut sum = vec![0.0; dim];
                for (at, weight) in weights.iter().enumerate() {
                    for (sum, v) in sum.iter_mut().zip(value(first + at, kv)) {
                        *sum += weight / all * v;
                    }
                }
                expected.extend(sum);
            }
        }
        row += tokens;
    }
    distance(&found, &expected)
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn attention_is_that_of_the_cpu() {
    let gpu = Gpu::open(0).unwrap();
    let mut random = Random(3);
    let shapes = [
        (4, 2, 16),
        (4, 4, 32),
        (14, 2, 64),
        (32, 4, 64),
        (8, 2, 96),
        (8, 2, 128),
        (16, 2, 80),
        (4, 1, 256),
        (1, 1, 8),
    ];
    let steps: [&[Sequence]; 7] = [
        &[(0, 1)],
        &[(63, 1), (0, 1), (300, 1)],
        &[(1500, 1)],
        &[(0, 1), (64, 1), (65, 1), (129, 1), (7, 1), (500, 1), (3, 1), (1, 1), (2, 1)],
        &[(0, 7)],
        &[(0, 130)],
        &[(70, 65), (0, 1), (5, 3)],
    ];
    let mut worst = 0f64;
    for shape in shapes {
        for (at, sequences) in steps.iter().enumerate() {
            for window in [None, Some(1), Some(50)] {
                let norms = at % 2 == 1;
                let error = attention(&gpu, &mut random, shape, window, sequences, norms);
                worst = worst.max(error);
                assert!(error < 3e-3, "{shape:?}, {sequences:?}, window {window:?}: {error}");
            }
        }
    }
    println!("largest distance: {worst}");
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn candidates_are_those_of_the_cpu() {
    let gpu = Gpu::open(0).unwrap();
    let mut random = Random(4);
    for vocabulary in [1usize, 2, 384, 4096, 4097, 32_000, 151_936] {
        let many_ties = random.take(vocabulary).iter().map(|v| (v * 3.0).round()).collect::<Vec<_>>();
        let mut with_nan = random.take(vocabulary);
        with_nan[vocabulary / 2] = f32::NAN;
        let mut with_infinity = random.take(vocabulary);
        with_infinity[vocabulary / 3] = f32::NEG_INFINITY;
        let spread = random.take(vocabulary).iter().map(|v| v * 40.0).collect::<Vec<_>>();
        let rows = [spread, many_ties, with_nan, with_infinity, vec![0.5; vocabulary]];
        for top in [0usize, 1, 2, 40, 1000, 1024] {
            let also: Vec<u32> = (0..50u32).map(|at| at * 7).filter(|id| (*id as usize) < vocabulary).collect();
            let request = CandidateRequest { top, also, allowed: None };
            let space = space(&gpu, rows.len(), rows.len(), vocabulary);
            let spans: Vec<Span> = (0..rows.len())
                .map(|at| Span { session: SessionKey(at as u64), position: 0, tokens: 1, want: Some(request.clone()) })
                .collect();
            let slots = vec![0; rows.len()];
            let step = Step::new(space.places, rows.len(), &spans, &slots, &[], vocabulary, true);
            gpu.write(&space.step, 0, bytemuck::cast_slice(&step.words)).unwrap();
            gpu.write(space.logits.as_ref().unwrap(), 0, bytemuck::cast_slice(&rows.concat())).unwrap();
            launcher(&gpu, &space, 1.0, 0).candidates(rows.len(), vocabulary).unwrap();
            gpu.finish().unwrap();
            let found = space.found.as_ref().unwrap();
            for (at, row) in rows.iter().enumerate() {
                let expected = candidates(row, &CandidateRequest { top, ..CandidateRequest::default() });
                let head = found.words(at * FOUND_WORDS, 2);
                let sum = f32::from_bits(head[0]);
                assert!(
                    sum == expected.log_sum_exp
                        || (sum - expected.log_sum_exp).abs() <= 2e-5 * expected.log_sum_exp.abs().max(1.0)
                        || (sum.is_nan() && expected.log_sum_exp.is_nan()),
                    "{vocabulary} {top} row {at}: {sum}, {}",
                    expected.log_sum_exp
                );
                if head[1] as i32 == -1 {
                    assert!(at == 1 || at == 4, "only ties are left to the host: {vocabulary} {top} row {at}");
                    continue;
                }
                let ids = found.words(at * FOUND_WORDS + 2, head[1] as usize);
                assert_eq!(ids, expected.ids, "{vocabulary} {top} row {at}");
                let logits = found.words(at * FOUND_WORDS + 2 + MOST_TOP, ids.len());
                assert_eq!(logits, expected.logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>());
                let also = space.also_logits.as_ref().unwrap().words(step.also_from[at], request.also.len());
                let expected: Vec<u32> = request.also.iter().map(|id| row[*id as usize].to_bits()).collect();
                assert_eq!(also, expected);
            }
        }
    }
}

/// Prints what `gogrid bench engine` prints, for a program that is not built with all of it.
#[test]
#[ignore = "needs an NVIDIA GPU, and measures"]
fn engine_speeds() {
    use crate::bench::{Engine, SHAPES, Work, copy_bandwidth};
    let device = gogrid_model::DeviceSpec::Cuda(0);
    let bandwidth = copy_bandwidth(device).unwrap();
    println!("copy: {:.2} TB/s", bandwidth / 1e12);
    for shape in &SHAPES[1..] {
        for of in [WeightType::Bf16, WeightType::F16, WeightType::Q8_0, WeightType::Q4K, WeightType::Q6K] {
            let mut engine = Engine::load(*shape, of, device, 8400, 512).unwrap();
            let works: &[(usize, usize)] = match of {
                WeightType::F16 | WeightType::Q6K => &[(1, 128), (8, 128)],
                _ => &[(1, 128), (1, 2048), (1, 8192), (4, 128), (8, 128), (32, 128), (8, 2048)],
            };
            for (batch, context) in works {
                let steps = 96;
                // The first run warms up.
                engine.run(Work { batch: *batch, context: 512.min(*context), steps: 4, chunk: 512 }).unwrap();
                let found = engine.run(Work { batch: *batch, context: *context, steps, chunk: 512 }).unwrap();
                println!(
                    "{} {of} batch {batch} context {context}: prefill {:.0} decode {:.1} tok/s, step {:.3} ms, {:.2} TB/s, {:.0} % of copy, {:?} launches",
                    shape.name,
                    found.prefill,
                    found.decode,
                    found.step.as_secs_f64() * 1e3,
                    found.bytes / found.step.as_secs_f64() / 1e12,
                    found.bytes / found.step.as_secs_f64() / bandwidth * 100.0,
                    found.launches,
                );
            }
        }
    }
}

/// Parity with the shared references on the GPU, for every cut; greedy continuations are shown.
#[test]
#[ignore = "needs an NVIDIA GPU, and the references"]
fn references_are_met_on_a_gpu() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let names = [
        "llama",
        "llama-tied-llama3-rope",
        "mistral-sliding-window",
        "qwen2-bias",
        "qwen3-qk-norm",
        "granite",
        "ministral3",
        "smollm3",
        "phi3",
    ];
    let mut models: Vec<_> = names
        .map(|name| {
            let folder = root.join("tests/reference").join(name);
            (folder.clone(), folder.join("reference.safetensors"))
        })
        .into();
    models.push((root.join("crates/cli/assets/demo-model"), root.join("tests/reference/demo-model.safetensors")));
    let mut missed = Vec::new();
    for (model, reference) in models {
        for quant in ["none", "q8_0"] {
            let reports =
                crate::parity::check(&model, &reference, gogrid_model::DeviceSpec::Cuda(0), quant.parse().unwrap())
                    .unwrap();
            let hidden = reports.iter().map(|report| report.hidden).fold(0.0, f32::max);
            let logits = reports.iter().map(|report| report.logits).fold(0.0, f32::max);
            let greedy = reports.iter().filter(|report| report.greedy).count();
            let line = format!(
                "{} {quant}: hidden {hidden:.1e} logits {logits:.1e} greedy {greedy} of {}",
                model.display(),
                reports.len()
            );
            println!("{line}");
            if quant == "none" && !(hidden < 2e-2 && logits < 2e-2) {
                missed.push(line);
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// What a stage answers after its sequences were trimmed, copied and moved is what it answers without.
#[test]
#[ignore = "needs an NVIDIA GPU, and the references"]
fn sequences_are_trimmed_copied_and_moved() {
    use crate::{Stage, StageOptions};
    use gogrid_model::{DeviceSpec, FloatType, Input, Layers, Output, Quant, Source};
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference");
    for name in ["llama", "mistral-sliding-window"] {
        let source = Source::open(&root.join(name)).unwrap();
        let manifest = source.manifest().unwrap();
        let device = DeviceSpec::Cuda(0);
        let options =
            StageOptions { quant: Quant::None, device, kv_budget: u64::MAX, chunk: 8, activations: FloatType::F32 };
        let mut stage = Stage::load(&manifest, Layers::all(manifest.config.layers.len()), &source, &options).unwrap();
        let mut step = |stage: &mut Stage, session: u64, position: usize, tokens: usize| -> Vec<u32> {
            let want = Some(CandidateRequest { top: 5, ..CandidateRequest::default() });
            let span = Span { session: SessionKey(session), position, tokens, want };
            let ids: Vec<u32> = (position..position + tokens).map(|at| (at as u32 * 37 + 5) % 384).collect();
            let Output::Candidates(rows) = stage.forward(&[span], Input::Tokens(&ids)).unwrap() else {
                panic!("a head")
            };
            rows[0].logits.iter().map(|logit| logit.to_bits()).collect()
        };
        let run = |stage: &mut Stage,
                   step: &mut dyn FnMut(&mut Stage, u64, usize, usize) -> Vec<u32>,
                   session,
                   from: usize,
                   to: usize| {
            let mut all = Vec::new();
            let mut position = from;
            while position < to {
                let tokens = if position.is_multiple_of(3) { 1 } else { 5.min(to - position) };
                all.push(step(stage, session, position, tokens));
                position += tokens;
            }
            all
        };
        stage.open(SessionKey(1), 160).unwrap();
        run(&mut stage, &mut step, 1, 0, 120);
        let expected = run(&mut stage, &mut step, 1, 120, 150);
        stage.open(SessionKey(2), 400).unwrap();
        run(&mut stage, &mut step, 2, 0, 120);
        stage.trim(SessionKey(2)).unwrap();
        stage.fork(SessionKey(2), SessionKey(3), 200, 120).unwrap();
        assert_eq!(run(&mut stage, &mut step, 3, 120, 150), expected, "{name}: a copy");
        stage.reuse(SessionKey(2), SessionKey(4), 300, 120).unwrap();
        assert_eq!(run(&mut stage, &mut step, 4, 120, 150), expected, "{name}: moved to more memory");
        stage.reuse(SessionKey(1), SessionKey(5), 160, 130).unwrap();
        assert_eq!(stage.cached(SessionKey(5)), Some(130));
        assert_eq!(stage.sessions(), 3, "{name}");
    }
}
