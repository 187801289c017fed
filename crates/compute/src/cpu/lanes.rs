//! What 16 lanes compute with, and how any processor does it.

/// Instructions on 16 lanes of 32 bits.
pub(super) trait Lanes {
    /// 16 × 32 bits.
    type Int: Copy;
    /// 16 × f32.
    type Float: Copy;

    /// 16 × 4 bytes from `at` on.
    fn load(bytes: &[u8], at: usize) -> Self::Int;
    /// 16 bytes from `at` on, each a number.
    fn load_bytes(bytes: &[u8], at: usize) -> Self::Int;
    /// 16 × 2 bytes from `at` on, each a number.
    fn load_shorts(bytes: &[u8], at: usize) -> Self::Int;
    /// 16 f16 from `at` on.
    fn load_halves(bytes: &[u8], at: usize) -> Self::Float;
    fn store(floats: Self::Float, to: &mut [f32; 16]);

    fn splat(value: u32) -> Self::Int;
    fn and(a: Self::Int, mask: u32) -> Self::Int;
    fn or(a: Self::Int, b: Self::Int) -> Self::Int;
    fn add(a: Self::Int, b: Self::Int) -> Self::Int;
    /// Left by less than 32 bits.
    fn shl(a: Self::Int, bits: u32) -> Self::Int;
    /// Right by less than 32 bits, zeros coming in.
    fn shr(a: Self::Int, bits: u32) -> Self::Int;
    /// For each byte, which is at most 15, the byte at that place of the table.
    fn lookup(codes: Self::Int, table: &[i8; 16]) -> Self::Int;

    /// Of signed numbers.
    fn floats(a: Self::Int) -> Self::Float;
    /// The floats with these bits.
    fn of_bits(a: Self::Int) -> Self::Float;
    fn splat_float(value: f32) -> Self::Float;
    fn mul(a: Self::Float, b: Self::Float) -> Self::Float;
    /// `a × b + c`
    fn mul_add(a: Self::Float, b: Self::Float, c: Self::Float) -> Self::Float;

    /// `sum` and, in each lane, the four products of weights (bytes from 0 to 127) and activations.
    fn dot(sum: Self::Int, weights: Self::Int, activations: [i8; 4]) -> Self::Int;
    /// Weights with a sign (from -127 to 127, or -128) as [`dot_signed`](Self::dot_signed) takes them.
    fn signed(weights: Self::Int) -> Self::Int;
    /// What a sum of [`dot_signed`](Self::dot_signed) begins with, of the activations' sum times -128.
    fn start_signed(raised: i32) -> Self::Int;
    /// As [`dot`](Self::dot), with weights that have a sign.
    fn dot_signed(sum: Self::Int, weights: Self::Int, activations: [i8; 4]) -> Self::Int;
}

/// Without special instructions.
pub(super) struct Portable;

#[inline(always)]
fn each<T: Copy + Default>(of: impl Fn(usize) -> T) -> [T; 16] {
    let mut all = [T::default(); 16];
    for (at, lane) in all.iter_mut().enumerate() {
        *lane = of(at);
    }
    all
}

#[inline(always)]
fn quad(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

impl Lanes for Portable {
    type Int = [u32; 16];
    type Float = [f32; 16];

    #[inline(always)]
    fn load(bytes: &[u8], at: usize) -> [u32; 16] {
        each(|lane| u32::from_le_bytes(quad(bytes, at + 4 * lane)))
    }

    #[inline(always)]
    fn load_bytes(bytes: &[u8], at: usize) -> [u32; 16] {
        each(|lane| u32::from(bytes[at + lane]))
    }

    #[inline(always)]
    fn load_shorts(bytes: &[u8], at: usize) -> [u32; 16] {
        each(|lane| u32::from(u16::from_le_bytes([bytes[at + 2 * lane], bytes[at + 2 * lane + 1]])))
    }

    #[inline(always)]
    fn load_halves(bytes: &[u8], at: usize) -> [f32; 16] {
        each(|lane| half::f16::from_le_bytes([bytes[at + 2 * lane], bytes[at + 2 * lane + 1]]).to_f32())
    }

    #[inline(always)]
    fn store(floats: [f32; 16], to: &mut [f32; 16]) {
        *to = floats;
    }

    #[inline(always)]
    fn splat(value: u32) -> [u32; 16] {
        [value; 16]
    }

    #[inline(always)]
    fn and(a: [u32; 16], mask: u32) -> [u32; 16] {
        each(|lane| a[lane] & mask)
    }

    #[inline(always)]
    fn or(a: [u32; 16], b: [u32; 16]) -> [u32; 16] {
        each(|lane| a[lane] | b[lane])
    }

    #[inline(always)]
    fn add(a: [u32; 16], b: [u32; 16]) -> [u32; 16] {
        each(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn shl(a: [u32; 16], bits: u32) -> [u32; 16] {
        each(|lane| a[lane] << bits)
    }

    #[inline(always)]
    fn shr(a: [u32; 16], bits: u32) -> [u32; 16] {
        each(|lane| a[lane] >> bits)
    }

    #[inline(always)]
    fn lookup(codes: [u32; 16], table: &[i8; 16]) -> [u32; 16] {
        each(|lane| u32::from_le_bytes(codes[lane].to_le_bytes().map(|code| table[usize::from(code & 15)] as u8)))
    }

    #[inline(always)]
    fn floats(a: [u32; 16]) -> [f32; 16] {
        each(|lane| a[lane].cast_signed() as f32)
    }

    #[inline(always)]
    fn of_bits(a: [u32; 16]) -> [f32; 16] {
        a.map(f32::from_bits)
    }

    #[inline(always)]
    fn splat_float(value: f32) -> [f32; 16] {
        [value; 16]
    }

    #[inline(always)]
    fn mul(a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        each(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn mul_add(a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        each(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn dot(sum: [u32; 16], weights: [u32; 16], activations: [i8; 4]) -> [u32; 16] {
        let products = |lane: usize| {
            let pairs = weights[lane].to_le_bytes().into_iter().zip(activations);
            pairs.map(|(weight, activation)| i32::from(weight) * i32::from(activation)).sum::<i32>()
        };
        each(|lane| sum[lane].wrapping_add_signed(products(lane)))
    }

    #[inline(always)]
    fn signed(weights: [u32; 16]) -> [u32; 16] {
        weights
    }

    #[inline(always)]
    fn start_signed(_: i32) -> [u32; 16] {
        [0; 16]
    }

    #[inline(always)]
    fn dot_signed(sum: [u32; 16], weights: [u32; 16], activations: [i8; 4]) -> [u32; 16] {
        let products = |lane: usize| {
            let pairs = weights[lane].to_le_bytes().into_iter().zip(activations);
            pairs.map(|(weight, activation)| i32::from(weight.cast_signed()) * i32::from(activation)).sum::<i32>()
        };
        each(|lane| sum[lane].wrapping_add_signed(products(lane)))
    }
}
