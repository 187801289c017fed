//! Products of a matrix's groups with rows.

use super::format::{self, Format};
use super::lanes::{Lanes, Portable};
use super::layout::ROWS;
use super::rows::{Block, Quantized};
use gogrid_model::WeightType;
use std::ops::Range;

/// Bytes of weights that are multiplied with all rows before the next ones: they stay in a core's second cache.
const CACHED_WEIGHTS: usize = 256 << 10;

/// What a kernel multiplies.
pub(super) struct Work<'a> {
    /// Groups of 16 rows.
    pub(super) weights: &'a [u8],
    /// Bytes of a group.
    pub(super) group: usize,
    pub(super) rows: &'a Quantized,
    /// `// (rows, width)`
    pub(super) out: Out,
}

/// Where products go. Threads write columns of their own.
#[derive(Clone, Copy)]
pub(super) struct Out {
    start: *mut f32,
    rows: usize,
    width: usize,
}

#[allow(unsafe_code)]
// SAFETY: a pointer to numbers that no thread reads meanwhile; each group's columns are written by one thread.
unsafe impl Sync for Out {}
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl Send for Out {}

impl Out {
    /// Numbers `// (rows, width)`.
    pub(super) fn new(numbers: &mut [f32], width: usize) -> Self {
        Out { start: numbers.as_mut_ptr(), rows: numbers.len() / width.max(1), width }
    }

    /// Writes the products of one group with one row, as far as the matrix has rows.
    #[inline(always)]
    fn write(self, row: usize, group: usize, products: &[f32; ROWS]) {
        let first = group * ROWS;
        assert!(row < self.rows && first < self.width, "a product that has no place");
        let count = ROWS.min(self.width - first);
        #[allow(unsafe_code)]
        // SAFETY: within the numbers that `new` got, as was just checked; they outlive the product that is computed, and
        // the columns of a group belong to the thread that multiplies it.
        unsafe {
            let to = self.start.add(row * self.width + first);
            std::ptr::copy_nonoverlapping(products.as_ptr(), to, count);
        }
    }
}

/// Multiplies some groups with all rows.
pub(super) type Kernel = fn(&Work<'_>, Range<usize>);

/// The kernel of a type on this processor.
pub(super) fn kernel(of: WeightType) -> Option<Kernel> {
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = super::x86::Level::of_processor() {
        return super::x86::kernel(level, of);
    }
    portable(of)
}

/// The kernel of any processor.
pub(super) fn portable(of: WeightType) -> Option<Kernel> {
    Some(match of {
        WeightType::Q8_0 => run::<Portable, format::Q8_0>,
        WeightType::Q4_0 => run::<Portable, format::Q4_0>,
        WeightType::Q4_1 => run::<Portable, format::Q4_1>,
        WeightType::Q5_0 => run::<Portable, format::Q5_0>,
        WeightType::Q5_1 => run::<Portable, format::Q5_1>,
        WeightType::Q2K => run::<Portable, format::Q2K>,
        WeightType::Q3K => run::<Portable, format::Q3K>,
        WeightType::Q4K => run::<Portable, format::Q4K>,
        WeightType::Q5K => run::<Portable, format::Q5K>,
        WeightType::Q6K => run::<Portable, format::Q6K>,
        WeightType::Iq4Nl => run::<Portable, format::Iq4Nl>,
        WeightType::Iq4Xs => run::<Portable, format::Iq4Xs>,
        WeightType::Mxfp4 => run::<Portable, format::Mxfp4>,
        _ => return None,
    })
}

/// Groups of `range` with all rows: as many groups as stay in cache, and as many rows at once as there are registers.
#[inline(always)]
pub(super) fn run<L: Lanes, F: Format>(work: &Work<'_>, range: Range<usize>) {
    let rows = work.rows.rows;
    let at_once = (CACHED_WEIGHTS / work.group.max(1)).max(1);
    let mut first = range.start;
    while first < range.end {
        let groups = first..range.end.min(first + at_once);
        let mut row = 0;
        while rows - row >= 8 {
            several::<L, F, 8>(work, groups.clone(), row);
            row += 8;
        }
        if rows - row >= 4 {
            several::<L, F, 4>(work, groups.clone(), row);
            row += 4;
        }
        while row < rows {
            several::<L, F, 1>(work, groups.clone(), row);
            row += 1;
        }
        first = groups.end;
    }
}

#[inline(always)]
fn several<L: Lanes, F: Format, const N: usize>(work: &Work<'_>, groups: Range<usize>, first: usize) {
    let mut rows: [&[Block]; N] = [&[]; N];
    for (at, row) in rows.iter_mut().enumerate() {
        *row = work.rows.row(first + at);
    }
    for group in groups {
        let weights = &work.weights[group * work.group..(group + 1) * work.group];
        let sums = products::<L, F, N>(weights, &rows);
        for (at, sum) in sums.into_iter().enumerate() {
            let mut products = [0f32; ROWS];
            L::store(sum, &mut products);
            work.out.write(first + at, group, &products);
        }
    }
}

/// The products of one group with some rows. The sum of each goes from the first block to the last, whatever `N` is.
#[inline(always)]
fn products<L: Lanes, F: Format, const N: usize>(weights: &[u8], rows: &[&[Block]; N]) -> [L::Float; N] {
    let mut sums = [L::splat_float(0.0); N];
    for (at, block) in weights.chunks_exact(ROWS * F::BYTES).enumerate() {
        for part in 0..F::PARTS {
            let weights = F::part::<L>(block, part);
            for (sum, row) in sums.iter_mut().zip(rows) {
                let row = &row[at * F::PARTS + part];
                let scale = L::splat_float(row.scale);
                if F::HALVES {
                    for half in 0..2 {
                        let mut codes = L::splat(0);
                        for quad in 4 * half..4 * half + 4 {
                            codes = L::dot(codes, weights.quads[quad], row.quads[quad]);
                        }
                        *sum = L::mul_add(L::floats(codes), L::mul(weights.scales[half], scale), *sum);
                        *sum = L::mul_add(weights.mins[half], L::splat_float(row.sums[half]), *sum);
                    }
                    continue;
                }
                let mut codes = if F::SIGNED { L::start_signed(row.raised) } else { L::splat(0) };
                for quad in 0..8 {
                    codes = match F::SIGNED {
                        true => L::dot_signed(codes, weights.quads[quad], row.quads[quad]),
                        false => L::dot(codes, weights.quads[quad], row.quads[quad]),
                    };
                }
                *sum = L::mul_add(L::floats(codes), L::mul(weights.scales[0], scale), *sum);
                if F::MIN {
                    *sum = L::mul_add(weights.mins[0], L::splat_float(row.sum), *sum);
                }
            }
        }
    }
    sums
}
