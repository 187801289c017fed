//! How the blocks of each weight type are read: ggml's formats
//! (<https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/quants.py>), 16 rows at a time. Offsets are those of a
//! single block, times 16.

use super::lanes::Lanes;
use super::layout::ROWS;

/// IQ4's values.
const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// Twice the values of E2M1 (OCP Microscaling Formats 1.0).
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
/// The low four bits of each byte, its low two, and its lowest.
const NIBBLES: u32 = 0x0f0f_0f0f;
const PAIRS: u32 = 0x0303_0303;
const BITS: u32 = 0x0101_0101;

/// 32 weights of each of 16 rows: `scale × code + min`.
pub(super) struct Part<L: Lanes> {
    /// Codes, by four.
    pub(super) quads: [L::Int; 8],
    /// Of both halves; where [`Format::HALVES`] is not set, the first is that of all.
    pub(super) scales: [L::Float; 2],
    /// As scales; of no use where [`Format::MIN`] is not set.
    pub(super) mins: [L::Float; 2],
}

/// A weight type.
pub(super) trait Format {
    /// Bytes of a row's block.
    const BYTES: usize;
    /// Parts of 32 weights in a block.
    const PARTS: usize;
    /// Whether codes have a sign; else they are at most 127.
    const SIGNED: bool = false;
    /// Whether halves of a part have scales of their own.
    const HALVES: bool = false;
    /// Whether there are minima.
    const MIN: bool = true;

    /// A part of a block, or of a group's block: `ROWS × BYTES` bytes.
    fn part<L: Lanes>(block: &[u8], part: usize) -> Part<L>;
}

#[inline(always)]
fn quads<L: Lanes>(of: impl Fn(usize) -> L::Int) -> [L::Int; 8] {
    [of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7)]
}

/// The four bytes of each row from byte `at` of its block on.
#[inline(always)]
fn load<L: Lanes>(block: &[u8], at: usize) -> L::Int {
    L::load(block, ROWS * at)
}

#[inline(always)]
fn half<L: Lanes>(block: &[u8], at: usize) -> L::Float {
    L::load_halves(block, ROWS * at)
}

/// Codes of four bits in 16 bytes: the first half of the weights in the low bits.
#[inline(always)]
fn nibbles<L: Lanes>(block: &[u8], at: usize) -> [L::Int; 8] {
    quads::<L>(|quad| match quad < 4 {
        true => L::and(load::<L>(block, at + 4 * quad), NIBBLES),
        false => L::and(L::shr(load::<L>(block, at + 4 * (quad - 4)), 4), NIBBLES),
    })
}

/// The same with a fifth bit each, in the four bytes at `high`.
#[inline(always)]
fn five_bits<L: Lanes>(block: &[u8], high: usize, at: usize) -> [L::Int; 8] {
    let (low, high) = (nibbles::<L>(block, at), load::<L>(block, high));
    quads::<L>(|quad| {
        // Four bits in a row become the lowest bits of four bytes.
        let bits = L::and(L::shr(high, 4 * quad as u32), 15);
        let two = L::or(bits, L::shl(bits, 7));
        let four = L::or(two, L::shl(two, 14));
        L::or(low[quad], L::shl(L::and(four, BITS), 4))
    })
}

/// `scale × code - back × scale`
#[inline(always)]
fn centred<L: Lanes>(quads: [L::Int; 8], scale: L::Float, back: f32) -> Part<L> {
    let min = L::mul(scale, L::splat_float(-back));
    Part { quads, scales: [scale; 2], mins: [min; 2] }
}

#[inline(always)]
fn with_min<L: Lanes>(quads: [L::Int; 8], scale: L::Float, min: L::Float) -> Part<L> {
    Part { quads, scales: [scale; 2], mins: [min; 2] }
}

macro_rules! format {
    ($name:ident, $bytes:literal, $parts:literal, { $($constant:ident),* }, |$block:ident, $part:ident| $body:expr) => {
        pub(super) struct $name;
        impl Format for $name {
            const BYTES: usize = $bytes;
            const PARTS: usize = $parts;
            $(format!(@ $constant);)*
            #[inline(always)]
            fn part<L: Lanes>($block: &[u8], $part: usize) -> Part<L> {
                $body
            }
        }
    };
    (@ signed) => { const SIGNED: bool = true; const MIN: bool = false; };
    (@ halves) => { const HALVES: bool = true; };
}

format!(Q8_0, 34, 1, { signed }, |block, _part| {
    let scale = half::<L>(block, 0);
    centred::<L>(quads::<L>(|quad| L::signed(load::<L>(block, 2 + 4 * quad))), scale, 0.0)
});
format!(Q4_0, 18, 1, {}, |block, _part| centred::<L>(nibbles::<L>(block, 2), half::<L>(block, 0), 8.0));
format!(Q4_1, 20, 1, {}, |block, _part| {
    with_min::<L>(nibbles::<L>(block, 4), half::<L>(block, 0), half::<L>(block, 2))
});
format!(Q5_0, 22, 1, {}, |block, _part| centred::<L>(five_bits::<L>(block, 2, 6), half::<L>(block, 0), 16.0));
format!(Q5_1, 24, 1, {}, |block, _part| {
    with_min::<L>(five_bits::<L>(block, 4, 8), half::<L>(block, 0), half::<L>(block, 2))
});
format!(Iq4Nl, 18, 1, { signed }, |block, _part| {
    let codes = nibbles::<L>(block, 2);
    centred::<L>(quads::<L>(|quad| L::signed(L::lookup(codes[quad], &IQ4))), half::<L>(block, 0), 0.0)
});
format!(Mxfp4, 17, 1, { signed }, |block, _part| {
    let codes = nibbles::<L>(block, 1);
    // Half of 2^(exponent - 127), as codes are doubled. 0 and 1 give numbers so small that f32 has other bits for them,
    // and that count nothing.
    let exponents = L::load_bytes(block, 0);
    let scale = L::mul(L::of_bits(L::shl(exponents, 23)), L::splat_float(0.5));
    centred::<L>(quads::<L>(|quad| L::signed(L::lookup(codes[quad], &E2M1))), scale, 0.0)
});
format!(Iq4Xs, 136, 8, { signed }, |block, part| {
    let codes = nibbles::<L>(block, 8 + 16 * part);
    let low = L::and(L::shr(load::<L>(block, 4), 4 * part as u32), 15);
    let high = L::and(L::shr(L::load_shorts(block, ROWS * 2), 2 * part as u32), 3);
    let scale = L::add(L::or(low, L::shl(high, 4)), L::splat(32u32.wrapping_neg()));
    let scale = L::mul(half::<L>(block, 0), L::floats(scale));
    centred::<L>(quads::<L>(|quad| L::signed(L::lookup(codes[quad], &IQ4))), scale, 0.0)
});

/// Scales and minima of Q4_K and Q5_K: eight of six bits each, in 12 bytes from byte 4 on.
#[inline(always)]
fn scale_and_min<L: Lanes>(block: &[u8], part: usize) -> (L::Float, L::Float) {
    let shift = 8 * (part % 4) as u32;
    let at = |byte: usize| L::shr(load::<L>(block, byte), shift);
    let (scale, min) = if part < 4 {
        (L::and(at(4), 63), L::and(at(8), 63))
    } else {
        let both = at(12);
        let high = |byte: usize| L::and(L::shr(at(byte), 2), 0x30);
        (L::or(L::and(both, 15), high(4)), L::or(L::and(L::shr(both, 4), 15), high(8)))
    };
    let minus = L::mul(half::<L>(block, 2), L::splat_float(-1.0));
    (L::mul(half::<L>(block, 0), L::floats(scale)), L::mul(minus, L::floats(min)))
}

/// Codes of four bits, of which 32 bytes hold those of two parts.
#[inline(always)]
fn halves_of_bytes<L: Lanes>(block: &[u8], at: usize, part: usize) -> [L::Int; 8] {
    let (at, shift) = (at + 32 * (part / 2), 4 * (part % 2) as u32);
    quads::<L>(|quad| L::and(L::shr(load::<L>(block, at + 4 * quad), shift), NIBBLES))
}

format!(Q4K, 144, 8, {}, |block, part| {
    let (scale, min) = scale_and_min::<L>(block, part);
    with_min::<L>(halves_of_bytes::<L>(block, 16, part), scale, min)
});
format!(Q5K, 176, 8, {}, |block, part| {
    let (scale, min) = scale_and_min::<L>(block, part);
    let low = halves_of_bytes::<L>(block, 48, part);
    let high = |quad: usize| L::and(L::shr(load::<L>(block, 16 + 4 * quad), part as u32), BITS);
    with_min::<L>(quads::<L>(|quad| L::or(low[quad], L::shl(high(quad), 4))), scale, min)
});
format!(Q6K, 210, 8, { halves }, |block, part| {
    let (half_of, quarter) = (part / 4, part % 4);
    let codes = quads::<L>(|quad| {
        let low = load::<L>(block, 64 * half_of + 32 * (quarter % 2) + 4 * quad);
        let high = load::<L>(block, 128 + 32 * half_of + 4 * quad);
        let low = L::and(L::shr(low, 4 * (quarter / 2) as u32), NIBBLES);
        L::or(low, L::shl(L::and(L::shr(high, 2 * quarter as u32), PAIRS), 4))
    });
    let scales = load::<L>(block, 192 + 4 * (part / 2));
    // A byte with a sign: 128 is added modulo 256, and taken off again.
    let scale = |byte: usize| {
        let raised = L::and(L::add(L::shr(scales, 8 * byte as u32), L::splat(128)), 255);
        L::floats(L::add(raised, L::splat(128u32.wrapping_neg())))
    };
    let whole = half::<L>(block, 208);
    let scales = [scale(2 * (part % 2)), scale(2 * (part % 2) + 1)].map(|scale| L::mul(whole, scale));
    Part { quads: codes, scales, mins: scales.map(|scale| L::mul(scale, L::splat_float(-32.0))) }
});

format!(Q2K, 84, 8, { halves }, |block, part| {
    let (at, shift) = (16 + 32 * (part / 4), 2 * (part % 4) as u32);
    let codes = quads::<L>(|quad| L::and(L::shr(load::<L>(block, at + 4 * quad), shift), PAIRS));
    let both = load::<L>(block, 4 * (part / 2));
    let (scale, min) = (half::<L>(block, 80), L::mul(half::<L>(block, 82), L::splat_float(-1.0)));
    let of = |whole: L::Float, shift: u32| L::mul(whole, L::floats(L::and(L::shr(both, shift), 15)));
    let first = 16 * (part % 2) as u32;
    Part {
        quads: codes,
        scales: [of(scale, first), of(scale, first + 8)],
        mins: [of(min, first + 4), of(min, first + 12)],
    }
});
format!(Q3K, 110, 8, { halves }, |block, part| {
    let (at, shift) = (32 + 32 * (part / 4), 2 * (part % 4) as u32);
    let codes = quads::<L>(|quad| {
        let low = L::and(L::shr(load::<L>(block, at + 4 * quad), shift), PAIRS);
        let high = L::and(L::shr(load::<L>(block, 4 * quad), part as u32), BITS);
        L::or(low, L::shl(high, 2))
    });
    // 16 scales: low four bits in the halves of 8 bytes, high two bits in the quarters of 4 bytes.
    let scale = |of: usize| {
        let low = L::shr(load::<L>(block, 96 + 4 * (of % 8 / 4)), 8 * (of % 4) as u32 + 4 * (of / 8) as u32);
        let high = L::shr(load::<L>(block, 104), 8 * (of % 4) as u32 + 2 * (of / 4) as u32);
        let both = L::or(L::and(low, 15), L::shl(L::and(high, 3), 4));
        L::mul(half::<L>(block, 108), L::floats(L::add(both, L::splat(32u32.wrapping_neg()))))
    };
    let scales = [scale(2 * part), scale(2 * part + 1)];
    Part { quads: codes, scales, mins: scales.map(|scale| L::mul(scale, L::splat_float(-4.0))) }
});
