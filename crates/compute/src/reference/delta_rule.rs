//! The gated delta rule (<https://arxiv.org/abs/2412.06464>, equation 10): what the tokens before are, as a matrix for
//! each head, in which a token corrects what its key finds there.
//!
//! For a token with key k, value v, query q, decay α and strength β:
//! `S ← α S`, `S ← S + k (β (v − Sᵀ k))ᵀ`, and the result is `Sᵀ q`.
//!
//! It is computed token by token, for a prompt too: the form that takes a prompt in chunks is faster, but rounds
//! otherwise. So a sequence gives the same numbers on a CPU however its tokens are grouped, and a replay continues an
//! answer as it was.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, Tensor};
use rayon::prelude::*;

/// Multiplications that are worth a second thread: some tens of microseconds of work.
const PARALLEL: usize = 1 << 17;

/// What the tokens of one sequence bring, in f32. A key head serves `heads / key_heads` heads.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    /// `// (tokens, key_heads, key_dim)`
    pub(super) q: &'a Tensor,
    /// `// (tokens, key_heads, key_dim)`
    pub(super) k: &'a Tensor,
    /// `// (tokens, heads, value_dim)`
    pub(super) v: &'a Tensor,
    /// α, `// (tokens, heads)`
    pub(super) decay: &'a Tensor,
    /// β, `// (tokens, heads)`
    pub(super) strength: &'a Tensor,
    /// Whether head `h` belongs to key head `h % key_heads`; else those of one are neighbours.
    pub(super) tiled_heads: bool,
}

/// Sizes of [`Tokens`].
#[derive(Debug, Clone, Copy)]
struct Sizes {
    tokens: usize,
    key_heads: usize,
    key_dim: usize,
    heads: usize,
    value_dim: usize,
}

/// Takes tokens in behind a state `// (heads, key_dim, value_dim)`; `None` is all zeros. Gives the results
/// `// (tokens, heads, value_dim)`, and the states behind these numbers of tokens: ascending, the last is all of them.
pub(super) fn delta_rule(state: Option<&Tensor>, new: &Tokens<'_>, wanted: &[usize]) -> Result<(Tensor, Vec<Tensor>)> {
    let (tokens, key_heads, key_dim) = new.k.dims3()?;
    let (_, heads, value_dim) = new.v.dims3()?;
    let sizes = Sizes { tokens, key_heads, key_dim, heads, value_dim };
    match new.v.device() {
        Device::Cpu => on_cpu(state, new, wanted, sizes),
        device => {
            let start = || Tensor::zeros((heads, key_dim, value_dim), DType::F32, device);
            as_tensors(state.cloned().map_or_else(start, Ok)?, new, wanted, sizes)
        }
    }
}

/// As loops over the state's rows, with the heads spread over the cores.
fn on_cpu(state: Option<&Tensor>, new: &Tokens<'_>, wanted: &[usize], sizes: Sizes) -> Result<(Tensor, Vec<Tensor>)> {
    let Sizes { tokens, key_dim, heads, value_dim, .. } = sizes;
    let read = [new.q, new.k, new.v, new.decay, new.strength].map(|tensor| tensor.storage_and_layout());
    let [q, k, v, decay, strength] = [0, 1, 2, 3, 4].map(|at| f32s(&read[at].0, read[at].1));
    let (q, k, v, decay, strength) = (q?, k?, v?, decay?, strength?);
    let start = state.map(|state| state.storage_and_layout());
    let start = start.as_ref().map(|(storage, layout)| f32s(storage, layout)).transpose()?;
    let (matrix, group) = (key_dim * value_dim, heads / sizes.key_heads);
    let key_head = |head: usize| if new.tiled_heads { head % sizes.key_heads } else { head / group };
    let mut out = vec![0f32; heads * tokens * value_dim]; // (heads, tokens, value_dim)
    let mut states = vec![0f32; heads * wanted.len() * matrix]; // (heads, wanted, key_dim, value_dim)
    let one = |head: usize, out: &mut [f32], states: &mut [f32]| {
        let (kept, state) = states.split_at_mut((wanted.len() - 1) * matrix);
        if let Some(start) = start {
            state.copy_from_slice(&start[head * matrix..][..matrix]);
        }
        let mut kept = wanted.iter().zip(kept.chunks_exact_mut(matrix)).peekable();
        let mut change = vec![0f32; value_dim];
        for (token, out) in out.chunks_exact_mut(value_dim).enumerate() {
            let key = (token * sizes.key_heads + key_head(head)) * key_dim;
            let (q, k) = (&q[key..][..key_dim], &k[key..][..key_dim]);
            let at = token * heads + head;
            let v = &v[at * value_dim..][..value_dim];
            take_in(state, Token { q, k, v, decay: decay[at], strength: strength[at] }, &mut change, out);
            if let Some((_, kept)) = kept.next_if(|(count, _)| **count == token + 1) {
                kept.copy_from_slice(state);
            }
        }
    };
    let (rows, columns) = (tokens * value_dim, wanted.len() * matrix);
    if 4 * heads * tokens * matrix < PARALLEL {
        let each = out.chunks_exact_mut(rows).zip(states.chunks_exact_mut(columns)).enumerate();
        each.for_each(|(head, (out, states))| one(head, out, states));
    } else {
        let each = out.par_chunks_exact_mut(rows).zip(states.par_chunks_exact_mut(columns)).enumerate();
        each.for_each(|(head, (out, states))| one(head, out, states));
    }
    let out = Tensor::from_vec(out, (heads, tokens, value_dim), &Device::Cpu)?.transpose(0, 1)?.contiguous()?;
    let states = Tensor::from_vec(states, (heads, wanted.len(), key_dim, value_dim), &Device::Cpu)?;
    let states = match wanted.len() {
        1 => vec![states.squeeze(1)?],
        // Copies, so that each is freed by itself.
        several => (0..several).map(|at| states.get_on_dim(1, at)?.force_contiguous()).collect::<Result<_>>()?,
    };
    Ok((out, states))
}

/// One head's share of a token.
#[derive(Clone, Copy)]
struct Token<'a> {
    /// `// (key_dim)`
    q: &'a [f32],
    /// `// (key_dim)`
    k: &'a [f32],
    /// `// (value_dim)`
    v: &'a [f32],
    decay: f32,
    strength: f32,
}

/// Takes one token in: state `// (key_dim, value_dim)`, `change` `// (value_dim)` for use within, and the result `out`
/// `// (value_dim)`, all zeros before.
fn take_in(state: &mut [f32], token: Token<'_>, change: &mut [f32], out: &mut [f32]) {
    let Token { q, k, v, decay, strength } = token;
    let width = v.len();
    change.fill(0.0);
    for (row, &k) in state.chunks_exact_mut(width).zip(k) {
        for (element, found) in row.iter_mut().zip(&mut *change) {
            *element *= decay;
            *found += *element * k;
        }
    }
    for (change, &v) in change.iter_mut().zip(v) {
        *change = (v - *change) * strength;
    }
    for ((row, &k), &q) in state.chunks_exact_mut(width).zip(k).zip(q) {
        for ((element, &change), out) in row.iter_mut().zip(&*change).zip(&mut *out) {
            *element += k * change;
            *out += *element * q;
        }
    }
}

/// The same as tensor operations, for other devices.
fn as_tensors(mut state: Tensor, new: &Tokens<'_>, wanted: &[usize], sizes: Sizes) -> Result<(Tensor, Vec<Tensor>)> {
    let Sizes { tokens, key_heads, key_dim, heads, value_dim } = sizes;
    let group = heads / key_heads;
    let by_head = |keys: &Tensor, token: usize| {
        let keys = keys.get(token)?; // (key_heads, key_dim)
        let keys = match new.tiled_heads {
            true => keys.unsqueeze(0)?.broadcast_as((group, key_heads, key_dim))?,
            false => keys.unsqueeze(1)?.broadcast_as((key_heads, group, key_dim))?,
        };
        keys.contiguous()?.reshape((heads, 1, key_dim))
    };
    let (mut out, mut states) = (Vec::with_capacity(tokens), Vec::with_capacity(wanted.len()));
    for token in 0..tokens {
        let (q, k) = (by_head(new.q, token)?, by_head(new.k, token)?);
        let number = |of: &Tensor| of.get(token)?.reshape((heads, 1, 1));
        state = state.broadcast_mul(&number(new.decay)?)?;
        let found = k.matmul(&state)?; // (heads, 1, value_dim)
        let change = (new.v.get(token)?.reshape((heads, 1, value_dim))? - found)?;
        let change = change.broadcast_mul(&number(new.strength)?)?;
        state = (state + k.reshape((heads, key_dim, 1))?.matmul(&change)?)?;
        out.push(q.matmul(&state)?.reshape((1, heads, value_dim))?);
        if wanted.contains(&(token + 1)) {
            states.push(state.clone());
        }
    }
    Ok((Tensor::cat(&out, 0)?, states))
}

fn f32s<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
        candle_core::bail!("the delta rule takes contiguous f32")
    };
    Ok(&values[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: usize = 6;
    const KEY_HEADS: usize = 2;
    const KEY: usize = 5;
    const VALUE: usize = 7;

    struct Given {
        q: Tensor,
        k: Tensor,
        v: Tensor,
        decay: Tensor,
        strength: Tensor,
    }

    impl Given {
        fn new(tokens: usize) -> Self {
            let random = |shape: &[usize]| Tensor::randn(0f32, 0.5, shape, &Device::Cpu).unwrap();
            let share = |shape| Tensor::rand(0.2f32, 1.0, shape, &Device::Cpu).unwrap();
            Given {
                q: random(&[tokens, KEY_HEADS, KEY]),
                k: random(&[tokens, KEY_HEADS, KEY]),
                v: random(&[tokens, HEADS, VALUE]),
                decay: share((tokens, HEADS)),
                strength: share((tokens, HEADS)),
            }
        }

        fn rows(&self, at: usize, tokens: usize) -> Given {
            let rows = |tensor: &Tensor| tensor.narrow(0, at, tokens).unwrap();
            let Given { q, k, v, decay, strength } = self;
            Given { q: rows(q), k: rows(k), v: rows(v), decay: rows(decay), strength: rows(strength) }
        }

        fn tokens(&self, tiled_heads: bool) -> Tokens<'_> {
            let Given { q, k, v, decay, strength } = self;
            Tokens { q, k, v, decay, strength, tiled_heads }
        }
    }

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn tokens_give_the_same_bits_however_they_are_grouped() {
        let given = Given::new(20);
        let (whole, states) = delta_rule(None, &given.tokens(false), &[4, 19, 20]).unwrap();
        let (mut state, mut out) = (None, Vec::new());
        for (at, tokens) in [(0, 1), (1, 1), (2, 2), (4, 14), (18, 1), (19, 1)] {
            let part = given.rows(at, tokens);
            let (found, mut states_here) = delta_rule(state.as_ref(), &part.tokens(false), &[tokens]).unwrap();
            out.extend(numbers(&found));
            state = states_here.pop();
            if let Some(kept) = [4, 19, 20].iter().position(|count| *count == at + tokens) {
                assert_eq!(numbers(state.as_ref().unwrap()), numbers(&states[kept]));
            }
        }
        assert_eq!(out, numbers(&whole));
    }

    #[test]
    fn loops_give_what_tensor_operations_give() {
        let given = Given::new(9);
        let start = Tensor::randn(0f32, 1.0, (HEADS, KEY, VALUE), &Device::Cpu).unwrap();
        let sizes = Sizes { tokens: 9, key_heads: KEY_HEADS, key_dim: KEY, heads: HEADS, value_dim: VALUE };
        for tiled_heads in [false, true] {
            let new = given.tokens(tiled_heads);
            let (out, states) = delta_rule(Some(&start), &new, &[8, 9]).unwrap();
            let (expected, expected_states) = as_tensors(start.clone(), &new, &[8, 9], sizes).unwrap();
            for (found, expected) in [(&out, &expected)].into_iter().chain(states.iter().zip(&expected_states)) {
                assert_eq!(found.dims(), expected.dims());
                let worst = numbers(found).into_iter().zip(numbers(expected)).map(|(a, b)| (a - b).abs());
                assert!(worst.fold(0.0, f32::max) < 1e-5, "tiled {tiled_heads}");
            }
        }
    }

    /// A unit key with full strength and no decay: the state gives back the last value for its key.
    #[test]
    fn a_key_finds_the_last_value_that_was_put_under_it() {
        let unit = |at: usize| {
            let values: Vec<f32> = (0..KEY_HEADS * KEY).map(|element| f32::from(element % KEY == at)).collect();
            Tensor::from_vec(values, (1, KEY_HEADS, KEY), &Device::Cpu).unwrap()
        };
        let ones = Tensor::ones((1, HEADS), DType::F32, &Device::Cpu).unwrap();
        let value = |of: f32| Tensor::full(of, (1, HEADS, VALUE), &Device::Cpu).unwrap();
        let mut state = None;
        for (key, put, asked, expected) in [(1, 3.0, 1, 3.0), (2, 5.0, 1, 3.0), (1, 4.0, 1, 4.0), (3, 1.0, 2, 5.0)] {
            let (k, q, v) = (unit(key), unit(asked), value(put));
            let new = Tokens { q: &q, k: &k, v: &v, decay: &ones, strength: &ones, tiled_heads: false };
            let (out, states) = delta_rule(state.as_ref(), &new, &[1]).unwrap();
            assert_eq!(numbers(&out), [expected; HEADS * VALUE]);
            state = states.into_iter().next();
        }
    }
}
