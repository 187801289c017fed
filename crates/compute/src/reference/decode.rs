//! Attention of single tokens over short caches, for f32 on the CPU. As tensor operations it would be two products of a
//! few thousand multiplications for each session and layer, which cost many times that to set up; here it is two loops,
//! and a batch's sessions are spread over the cores.

use super::softmax::{Scores, softmax};
use candle_core::{CpuStorage, DType, Result, Storage, Tensor};
use rayon::prelude::*;

/// Multiplications of one token's attention up to which these loops are faster: they use the vector instructions that
/// every x86-64 has, candle's products those that this CPU has.
const SHORT: usize = 1 << 19;
/// Multiplications that are worth a second thread: some tens of microseconds of work.
const PARALLEL: usize = 1 << 16;
/// Elements that are worked on at once, so that the compiler can use vector instructions.
const LANES: usize = 8;

/// Whether to use [`attention`] for a span of `tokens` tokens that sees `cached` tokens; q
/// `// (rows, heads, head_dim)`.
pub(crate) fn applies(q: &Tensor, tokens: usize, cached: usize) -> bool {
    let width: usize = q.dims().iter().skip(1).product();
    tokens == 1 && 2 * cached * width <= SHORT && q.device().is_cpu() && q.dtype() == DType::F32
}

/// softmax(scale × q kᵀ) v for one token of each session: q `// (sessions, heads, key_dim)`, and each session's keys and
/// values `// (kv_heads, cached, width)`, all of which the token sees. `sinks`: one score for each head that takes part
/// in the softmax, or none. The result `// (sessions, heads × value_dim)`.
pub(crate) fn attention(q: &Tensor, caches: &[(Tensor, Tensor)], scale: f32, sinks: &[f32]) -> Result<Tensor> {
    let (sessions, heads, key_dim) = q.dims3()?;
    let value_dim = caches.first().map_or(Ok(0), |(_, values)| values.dim(2))?;
    let (taken, width) = (heads * key_dim, heads * value_dim);
    let read: Vec<_> = caches.iter().map(|(k, v)| (k.storage_and_layout(), v.storage_and_layout())).collect();
    let caches = read
        .iter()
        .map(|((k, k_layout), (v, v_layout))| Ok((Cache::new(k, k_layout)?, Cache::new(v, v_layout)?)))
        .collect::<Result<Vec<_>>>()?;
    let (storage, layout) = q.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else { candle_core::bail!("queries lie in one piece") };
    let q = &f32s(&storage)?[start..end];
    let mut out = vec![0f32; sessions * width];
    let work: usize = caches.iter().map(|(keys, _)| 2 * keys.cached * taken).sum();
    if work < PARALLEL || sessions == 1 {
        let each = out.chunks_exact_mut(width).zip(q.chunks_exact(taken)).zip(&caches);
        each.for_each(|((out, q), (keys, values))| attend(q, keys, values, Scores { scale, sinks }, out));
    } else {
        let each = out.par_chunks_exact_mut(width).zip(q.par_chunks_exact(taken)).zip(&caches);
        each.for_each(|((out, q), (keys, values))| attend(q, keys, values, Scores { scale, sinks }, out));
    }
    Tensor::from_vec(out, (sessions, width), &candle_core::Device::Cpu)
}

/// One session's token: q `// (heads × key_dim)` and `out` `// (heads × value_dim)`, all zeros before.
fn attend(q: &[f32], keys: &Cache<'_>, values: &Cache<'_>, scores: Scores<'_>, out: &mut [f32]) {
    let group = q.len() / keys.width / keys.heads;
    let mut weights = vec![0f32; keys.cached];
    for (head, (out, q)) in out.chunks_exact_mut(values.width).zip(q.chunks_exact(keys.width)).enumerate() {
        for (position, weight) in weights.iter_mut().enumerate() {
            *weight = dot(q, keys.row(head / group, position));
        }
        softmax(&mut weights, scores.scale, scores.sinks.get(head).copied());
        for (position, &weight) in weights.iter().enumerate() {
            for (out, value) in out.iter_mut().zip(values.row(head / group, position)) {
                *out += weight * value;
            }
        }
    }
}

/// Keys or values of one session.
struct Cache<'a> {
    values: &'a [f32],
    heads: usize,
    cached: usize,
    /// Elements of a row.
    width: usize,
    start: usize,
    head_stride: usize,
    row_stride: usize,
}

impl<'a> Cache<'a> {
    fn new(storage: &'a Storage, layout: &candle_core::Layout) -> Result<Self> {
        let (heads, cached, width) = layout.shape().dims3()?;
        let &[head_stride, row_stride, 1] = layout.stride() else {
            candle_core::bail!("a cache's rows lie in one piece")
        };
        let start = layout.start_offset();
        Ok(Cache { values: f32s(storage)?, heads, cached, width, start, head_stride, row_stride })
    }

    fn row(&self, head: usize, position: usize) -> &[f32] {
        let start = self.start + head * self.head_stride + position * self.row_stride;
        &self.values[start..start + self.width]
    }
}

fn f32s(storage: &Storage) -> Result<&[f32]> {
    match storage {
        Storage::Cpu(CpuStorage::F32(values)) => Ok(values),
        _ => candle_core::bail!("this attention is for f32 on the CPU"),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device};

    /// Sessions of different lengths, in buffers that are longer than what is cached, with heads that share keys.
    #[test]
    fn it_is_what_tensor_operations_give() {
        let (heads, kv_heads, head_dim) = (4, 2, 12);
        let random = |shape: &[usize]| Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap();
        let q = random(&[3, heads, head_dim]);
        let caches: Vec<_> = [1, 7, 300]
            .map(|cached| {
                let buffer = || random(&[kv_heads, cached + 9, head_dim]).narrow(1, 4, cached).unwrap();
                (buffer(), buffer())
            })
            .into();
        let found = attention(&q, &caches, 0.3, &[]).unwrap();
        for (session, (keys, values)) in caches.iter().enumerate() {
            let q = q.get(session).unwrap().reshape((kv_heads, heads / kv_heads, head_dim)).unwrap();
            let scores = (q.matmul(&keys.transpose(1, 2).unwrap().contiguous().unwrap()).unwrap() * 0.3).unwrap();
            let weights = candle_nn::ops::softmax(&scores, D::Minus1).unwrap();
            let expected = weights.matmul(&values.contiguous().unwrap()).unwrap().flatten_all().unwrap();
            let difference = (found.get(session).unwrap() - expected).unwrap().abs().unwrap();
            let worst = difference.max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(worst < 1e-5, "session {session}: {worst}");
        }
    }

    #[test]
    fn only_single_tokens_of_short_sequences_go_this_way() {
        let q = Tensor::zeros((5, 8, 32), DType::F32, &Device::Cpu).unwrap();
        assert!(applies(&q, 1, 1) && applies(&q, 1, 1024));
        assert!(!applies(&q, 2, 2) && !applies(&q, 1, 1025));
        assert!(!applies(&q.to_dtype(DType::BF16).unwrap(), 1, 1));
    }
}
