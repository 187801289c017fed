//! The lanes of x86 processors: AVX-512 with VNNI, and AVX2.
//!
//! `unsafe` because instructions may be missing: the types [`Avx512`] and [`Avx2`] are used within [`kernel`] alone, for
//! a level that the processor was found to have.

#![allow(unsafe_code)]

use super::format;
use super::kernel::{Kernel, Work, run};
use super::lanes::Lanes;
use gogrid_model::WeightType;
use std::arch::x86_64::*;
use std::ops::Range;

/// A set of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// AVX-512 F, BW, VL and VNNI.
    Avx512,
    /// AVX2, FMA and F16C.
    Avx2,
}

impl Level {
    /// The best that this processor has, if any.
    pub(super) fn of_processor() -> Option<Self> {
        [Level::Avx512, Level::Avx2].into_iter().find(|level| level.is_there())
    }

    /// Whether this processor has it.
    pub(super) fn is_there(self) -> bool {
        let avx2 =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        match self {
            Level::Avx2 => avx2,
            Level::Avx512 => {
                avx2 && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
        }
    }
}

macro_rules! kernels {
    ($level:expr, $of:expr, $($weight:ident),*) => {
        match ($level, $of) {
            $((Level::Avx512, WeightType::$weight) => {
                #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
                fn computed(work: &Work<'_>, range: Range<usize>) {
                    run::<Avx512, format::$weight>(work, range);
                }
                // SAFETY: the caller found these instructions.
                |work, range| unsafe { computed(work, range) }
            }
            (Level::Avx2, WeightType::$weight) => {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn computed(work: &Work<'_>, range: Range<usize>) {
                    run::<Avx2, format::$weight>(work, range);
                }
                // SAFETY: the caller found these instructions.
                |work, range| unsafe { computed(work, range) }
            })*
            _ => return None,
        }
    };
}

/// The kernel of a type, for a level that is there.
pub(super) fn kernel(level: Level, of: WeightType) -> Option<Kernel> {
    assert!(level.is_there(), "the processor has these instructions");
    Some(kernels!(level, of, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2K, Q3K, Q4K, Q5K, Q6K, Iq4Nl, Iq4Xs, Mxfp4))
}

/// 16 lanes in one register.
struct Avx512;

/// 16 lanes in two registers.
struct Avx2;

/// The bytes of a load, checked to be there.
#[inline(always)]
fn checked<const N: usize>(bytes: &[u8], at: usize) -> *const u8 {
    bytes[at..at + N].as_ptr()
}

// SAFETY of the blocks below: instructions are there (see above), and what is loaded or stored is a slice or an array of
// the instruction's size, of any alignment.

impl Lanes for Avx512 {
    type Int = __m512i;
    type Float = __m512;

    #[inline(always)]
    fn load(bytes: &[u8], at: usize) -> __m512i {
        unsafe { _mm512_loadu_si512(checked::<64>(bytes, at).cast()) }
    }

    #[inline(always)]
    fn load_bytes(bytes: &[u8], at: usize) -> __m512i {
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(checked::<16>(bytes, at).cast())) }
    }

    #[inline(always)]
    fn load_shorts(bytes: &[u8], at: usize) -> __m512i {
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(checked::<32>(bytes, at).cast())) }
    }

    #[inline(always)]
    fn load_halves(bytes: &[u8], at: usize) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(checked::<32>(bytes, at).cast())) }
    }

    #[inline(always)]
    fn store(floats: __m512, to: &mut [f32; 16]) {
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), floats) }
    }

    #[inline(always)]
    fn splat(value: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(value.cast_signed()) }
    }

    #[inline(always)]
    fn and(a: __m512i, mask: u32) -> __m512i {
        unsafe { _mm512_and_si512(a, Self::splat(mask)) }
    }

    #[inline(always)]
    fn or(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, b) }
    }

    #[inline(always)]
    fn add(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn shl(a: __m512i, bits: u32) -> __m512i {
        unsafe { _mm512_sllv_epi32(a, Self::splat(bits)) }
    }

    #[inline(always)]
    fn shr(a: __m512i, bits: u32) -> __m512i {
        unsafe { _mm512_srlv_epi32(a, Self::splat(bits)) }
    }

    #[inline(always)]
    fn lookup(codes: __m512i, table: &[i8; 16]) -> __m512i {
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, codes)
        }
    }

    #[inline(always)]
    fn floats(a: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn of_bits(a: __m512i) -> __m512 {
        unsafe { _mm512_castsi512_ps(a) }
    }

    #[inline(always)]
    fn splat_float(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn dot(sum: __m512i, weights: __m512i, activations: [i8; 4]) -> __m512i {
        let activations = u32::from_le_bytes(activations.map(i8::cast_unsigned));
        unsafe { _mm512_dpbusd_epi32(sum, weights, Self::splat(activations)) }
    }

    /// Raised by 128: the instruction takes weights without a sign.
    #[inline(always)]
    fn signed(weights: __m512i) -> __m512i {
        unsafe { _mm512_xor_si512(weights, Self::splat(0x8080_8080)) }
    }

    #[inline(always)]
    fn start_signed(raised: i32) -> __m512i {
        Self::splat(raised.cast_unsigned())
    }

    #[inline(always)]
    fn dot_signed(sum: __m512i, weights: __m512i, activations: [i8; 4]) -> __m512i {
        Self::dot(sum, weights, activations)
    }
}

/// The same instruction on both halves.
macro_rules! both {
    (|$($name:ident),*| $body:expr) => {
        unsafe { [{ $(let $name = $name[0];)* $body }, { $(let $name = $name[1];)* $body }] }
    };
}

impl Lanes for Avx2 {
    type Int = [__m256i; 2];
    type Float = [__m256; 2];

    #[inline(always)]
    fn load(bytes: &[u8], at: usize) -> Self::Int {
        let from = checked::<64>(bytes, at);
        unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())] }
    }

    #[inline(always)]
    fn load_bytes(bytes: &[u8], at: usize) -> Self::Int {
        unsafe {
            let all = _mm_loadu_si128(checked::<16>(bytes, at).cast());
            [_mm256_cvtepu8_epi32(all), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(all))]
        }
    }

    #[inline(always)]
    fn load_shorts(bytes: &[u8], at: usize) -> Self::Int {
        let from = checked::<32>(bytes, at);
        unsafe {
            let half = [_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast())];
            [_mm256_cvtepu16_epi32(half[0]), _mm256_cvtepu16_epi32(half[1])]
        }
    }

    #[inline(always)]
    fn load_halves(bytes: &[u8], at: usize) -> Self::Float {
        let from = checked::<32>(bytes, at);
        unsafe {
            let half = [_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast())];
            [_mm256_cvtph_ps(half[0]), _mm256_cvtph_ps(half[1])]
        }
    }

    #[inline(always)]
    fn store(floats: Self::Float, to: &mut [f32; 16]) {
        let (low, high) = to.split_at_mut(8);
        unsafe {
            _mm256_storeu_ps(low.as_mut_ptr(), floats[0]);
            _mm256_storeu_ps(high.as_mut_ptr(), floats[1]);
        }
    }

    #[inline(always)]
    fn splat(value: u32) -> Self::Int {
        unsafe { [_mm256_set1_epi32(value.cast_signed()); 2] }
    }

    #[inline(always)]
    fn and(a: Self::Int, mask: u32) -> Self::Int {
        let mask = Self::splat(mask);
        both!(|a, mask| _mm256_and_si256(a, mask))
    }

    #[inline(always)]
    fn or(a: Self::Int, b: Self::Int) -> Self::Int {
        both!(|a, b| _mm256_or_si256(a, b))
    }

    #[inline(always)]
    fn add(a: Self::Int, b: Self::Int) -> Self::Int {
        both!(|a, b| _mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn shl(a: Self::Int, bits: u32) -> Self::Int {
        let bits = Self::splat(bits);
        both!(|a, bits| _mm256_sllv_epi32(a, bits))
    }

    #[inline(always)]
    fn shr(a: Self::Int, bits: u32) -> Self::Int {
        let bits = Self::splat(bits);
        both!(|a, bits| _mm256_srlv_epi32(a, bits))
    }

    #[inline(always)]
    fn lookup(codes: Self::Int, table: &[i8; 16]) -> Self::Int {
        let table = unsafe { [_mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())); 2] };
        both!(|codes, table| _mm256_shuffle_epi8(table, codes))
    }

    #[inline(always)]
    fn floats(a: Self::Int) -> Self::Float {
        both!(|a| _mm256_cvtepi32_ps(a))
    }

    #[inline(always)]
    fn of_bits(a: Self::Int) -> Self::Float {
        both!(|a| _mm256_castsi256_ps(a))
    }

    #[inline(always)]
    fn splat_float(value: f32) -> Self::Float {
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn mul(a: Self::Float, b: Self::Float) -> Self::Float {
        both!(|a, b| _mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn mul_add(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float {
        both!(|a, b, c| _mm256_fmadd_ps(a, b, c))
    }

    /// Two products are added in 16 bits: at most 2 × 127 × 127.
    #[inline(always)]
    fn dot(sum: Self::Int, weights: Self::Int, activations: [i8; 4]) -> Self::Int {
        let activations = Self::splat(u32::from_le_bytes(activations.map(i8::cast_unsigned)));
        let ones = unsafe { [_mm256_set1_epi16(1); 2] };
        both!(|sum, weights, activations, ones| {
            _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(weights, activations), ones))
        })
    }

    #[inline(always)]
    fn signed(weights: Self::Int) -> Self::Int {
        weights
    }

    #[inline(always)]
    fn start_signed(_: i32) -> Self::Int {
        Self::splat(0)
    }

    /// The sign goes to the activations, as the instruction takes weights without one: at most 2 × 128 × 127.
    #[inline(always)]
    fn dot_signed(sum: Self::Int, weights: Self::Int, activations: [i8; 4]) -> Self::Int {
        let activations = Self::splat(u32::from_le_bytes(activations.map(i8::cast_unsigned)));
        let ones = unsafe { [_mm256_set1_epi16(1); 2] };
        both!(|sum, weights, activations, ones| {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(activations, weights));
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones))
        })
    }
}
