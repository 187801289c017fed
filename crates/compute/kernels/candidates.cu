// The best tokens of rows of logits, in the order of gogrid_model::candidates: higher logits first, then lower ids; NaN
// first of all. A row is cut into parts; none but the parts with the `top` largest maxima can hold one of the best.
#include "common.cuh"

constexpr int PARTS = 4096, WARPS = 8, THREADS = 1024;
// Candidates that are given at most. As many logits as parts are sorted to find them: of random logits some 1,200 are
// looked at for 1,024 candidates.
constexpr int MOST_TOP = 1024;

struct Part { unsigned key; float most, sum; };

// An integer that is the smaller the better the logit is: the inverted total order of floats.
__device__ __forceinline__ unsigned key_of(float logit) {
    const unsigned bits = __float_as_uint(logit);
    return ~(bits >> 31 ? ~bits : bits | 0x80000000u);
}

struct PartsArgs {
    float *logits; // (rows, vocabulary)
    Part *parts;   // (rows, PARTS)
    int vocabulary;
    float factor, cap; // cap 0: none
    int unused;
};

// Scales and bends logits, and finds each part's best key, its largest logit and its sum of exponentials. One warp to a
// part; grid: (PARTS / WARPS, rows).
extern "C" __global__ void __launch_bounds__(WARPS *WARP) candidate_parts(const __grid_constant__ PartsArgs a) {
    const auto [logits, parts, vocabulary, factor, cap, unused] = a;
    allow_next();
    wait_for_previous();
    const int part = blockIdx.x * WARPS + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int each = (vocabulary + PARTS - 1) / PARTS, begin = part * each, end = min(vocabulary, begin + each);
    float *row = logits + (size_t)blockIdx.y * vocabulary;
    unsigned best = 0xffffffffu;
    float most = -INFINITY;
    for (int i = begin + lane; i < end; i += WARP) {
        float v = row[i];
        if (factor != 1.0f || cap > 0.0f) {
            v *= factor;
            if (cap > 0.0f) v = cap * tanhf(v / cap);
            row[i] = v;
        }
        best = min(best, key_of(v));
        most = fmaxf(most, v);
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        best = min(best, __shfl_xor_sync(ALL_LANES, best, offset));
        most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, offset));
    }
    float sum = 0.0f;
    for (int i = begin + lane; i < end; i += WARP) {
        const float v = row[i];
        if (!(v == -INFINITY)) sum += __expf(v - most);
    }
    sum = warp_sum(sum);
    if (lane == 0) parts[(size_t)blockIdx.y * PARTS + part] = {best, most, sum};
}

__device__ __forceinline__ void sort(unsigned long long *keys, int count) {
    for (int size = 2; size <= count; size <<= 1)
        for (int stride = size / 2; stride > 0; stride >>= 1) {
            __syncthreads();
            for (int i = threadIdx.x; i < count / 2; i += THREADS) {
                const int low = 2 * i - (i & (stride - 1)), high = low + stride;
                const bool ascending = (low & size) == 0;
                const unsigned long long a = keys[low], b = keys[high];
                if ((a > b) == ascending) keys[low] = b, keys[high] = a;
            }
        }
    __syncthreads();
}

// What a row gives: ln Σ exp, the number of candidates (below 0: too many ties, the host has to look), ids and logits.
struct Found {
    float log_sum_exp;
    int count;
    int ids[MOST_TOP];
    float logits[MOST_TOP];
};

struct CandidatesArgs {
    const float *logits;  // (rows, vocabulary)
    const Part *parts;    // (rows, PARTS)
    const int *tops;      // (rows)
    const int *also_from; // (rows + 1): where a row's ids begin in `also`
    const int *also;
    float *also_logits;   // as many as ids
    Found *found;         // (rows)
    int vocabulary, unused;
};

// The best of all threads' keys, in all threads.
__device__ __forceinline__ unsigned long long block_least(unsigned long long key, unsigned long long *of_warps) {
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        const unsigned long long other = __shfl_xor_sync(ALL_LANES, key, offset);
        key = other < key ? other : key;
    }
    __syncthreads();
    if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = key;
    __syncthreads();
    for (int w = 0; w < THREADS / WARP; w++) key = of_warps[w] < key ? of_warps[w] : key;
    return key;
}

// One block to a row.
extern "C" __global__ void __launch_bounds__(THREADS) candidates(const __grid_constant__ CandidatesArgs a) {
    __shared__ unsigned long long keys[PARTS], of_warps[WARP];
    __shared__ double sums[WARP];
    __shared__ float mosts[WARP];
    __shared__ unsigned short chosen[MOST_TOP];
    __shared__ int count;
    allow_next();
    wait_for_previous();
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, vocabulary = a.vocabulary;
    const float *row = a.logits + (size_t)blockIdx.x * vocabulary;
    const Part *parts = a.parts + (size_t)blockIdx.x * PARTS;
    Found *out = a.found + blockIdx.x;
    unsigned long long best = ~0ull;
    float most = -INFINITY;
    if (threadIdx.x == 0) count = 0;
    for (int i = threadIdx.x; i < PARTS; i += THREADS) {
        const Part part = parts[i];
        keys[i] = (unsigned long long)part.key << 32 | (unsigned)i;
        best = keys[i] < best ? keys[i] : best;
        most = fmaxf(most, part.most);
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, offset));
    if (lane == 0) mosts[warp] = most;
    __syncthreads();
    for (int w = 0; w < WARP; w++) most = fmaxf(most, mosts[w]);
    double sum = 0.0;
    for (int i = threadIdx.x; i < PARTS; i += THREADS) {
        const Part part = parts[i];
        // A part of NaN alone has a sum that is NaN and no largest logit.
        if (part.most != -INFINITY || isnan(part.sum)) sum += (double)part.sum * (double)expf(part.most - most);
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_xor_sync(ALL_LANES, sum, offset);
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        double all = 0.0;
        for (int w = 0; w < WARP; w++) all += sums[w];
        out->log_sum_exp = most == -INFINITY ? most : (float)((double)most + log(all));
    }
    for (int i = a.also_from[blockIdx.x] + threadIdx.x; i < a.also_from[blockIdx.x + 1]; i += THREADS)
        a.also_logits[i] = row[a.also[i]];

    const int top = min(min(a.tops[blockIdx.x], MOST_TOP), vocabulary);
    if (top <= 1) {
        best = block_least(best, of_warps);
        const int each = (vocabulary + PARTS - 1) / PARTS, begin = (int)(unsigned)best * each;
        unsigned long long key = ~0ull;
        for (int i = begin + threadIdx.x; i < min(begin + each, vocabulary); i += THREADS) {
            const unsigned long long mine = (unsigned long long)key_of(row[i]) << 32 | (unsigned)i;
            key = mine < key ? mine : key;
        }
        key = block_least(key, of_warps);
        if (threadIdx.x == 0) {
            const int id = (int)(unsigned)key;
            out->count = top;
            out->ids[0] = id;
            out->logits[0] = row[id];
        }
        return;
    }
    sort(keys, PARTS);
    const int each = (vocabulary + PARTS - 1) / PARTS;
    const unsigned bound = (unsigned)(keys[top - 1] >> 32);
    for (int i = threadIdx.x; i < top; i += THREADS) chosen[i] = (unsigned short)keys[i];
    __syncthreads();
    for (int i = threadIdx.x; i < top * each; i += THREADS) {
        const int id = chosen[i / each] * each + i % each;
        if (id >= vocabulary) continue;
        const unsigned key = key_of(row[id]);
        if (key > bound) continue;
        const int place = atomicAdd(&count, 1);
        if (place < PARTS) keys[place] = (unsigned long long)key << 32 | (unsigned)id;
    }
    __syncthreads();
    const int all = count;
    if (all > PARTS) {
        if (threadIdx.x == 0) out->count = -1;
        return;
    }
    int size = 2;
    while (size < all) size <<= 1;
    for (int i = all + threadIdx.x; i < size; i += THREADS) keys[i] = ~0ull;
    __syncthreads();
    sort(keys, size);
    for (int i = threadIdx.x; i < min(top, all); i += THREADS) {
        const int id = (int)(unsigned)keys[i];
        out->ids[i] = id;
        out->logits[i] = row[id];
    }
    if (threadIdx.x == 0) out->count = min(top, all);
}
