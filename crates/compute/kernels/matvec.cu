// Products of a matrix with a few rows, with all that belongs to them: the RMS norm and quantization of the rows before,
// and bias, residual stream or gated activation behind.
//
// A warp (or `kw` warps together) computes two of the matrix' rows at a time. The first weights are on their way before
// the kernel waits for the one before it. What a row gets does not depend on the other rows.
#include "weights.cuh"

constexpr int THREADS = 256, WARPS = THREADS / WARP;

enum Mode { STORE = 0, ADD = 1, SILU = 2, GELU = 3 };

struct MatvecArgs {
    const uint8_t *w;          // (n, or 2 × n for gate and up) rows of `stride` bytes
    unsigned long long stride;
    const void *x;             // one row: (any rows, k) of f32; several: as `prepare_*` gave them
    const int *rows_of_x;      // which rows of x; null: the first ones
    const float *norm;         // (k); null: x is not normed
    const float *bias;         // (n, or 2 × n); null: none
    float *y;                  // (rows, y_stride)
    int k, n, rows, y_stride;
    int mode, kw, rows_prepared, unused;
    float eps, scale;          // of the norm; of what is added to y
};

// Four numbers of a row, normed.
__device__ __forceinline__ float4 times(float4 v, float inverse, const float *norm, int at) {
    if (!norm) return v;
    const float4 w = __ldg(reinterpret_cast<const float4 *>(norm + at));
    return make_float4(v.x * inverse * w.x, v.y * inverse * w.y, v.z * inverse * w.z, v.w * inverse * w.w);
}

// Quantizes four numbers: eight lanes make a block of 32, and all lanes of a warp take part.
__device__ __forceinline__ void quantize(float4 v, int8_t *values, float2 *scales, int at, bool inside) {
    float most = fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w)));
#pragma unroll
    for (int offset = 4; offset > 0; offset >>= 1) most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, offset));
    const float factor = most > 0.0f ? 127.0f / most : 0.0f;
    const int q0 = __float2int_rn(v.x * factor), q1 = __float2int_rn(v.y * factor);
    const int q2 = __float2int_rn(v.z * factor), q3 = __float2int_rn(v.w * factor);
    int sum = q0 + q1 + q2 + q3;
#pragma unroll
    for (int offset = 4; offset > 0; offset >>= 1) sum += __shfl_xor_sync(ALL_LANES, sum, offset);
    if (!inside) return;
    *reinterpret_cast<char4 *>(values + at) = make_char4(q0, q1, q2, q3);
    if (threadIdx.x % 8 == 0) scales[at / 32] = make_float2(most / 127.0f, most / 127.0f * (float)sum);
}

template <class T> __device__ __forceinline__ void convert(float4 v, T *values, int at, bool inside) {
    if (!inside) return;
    values[at] = from_float<T>(v.x), values[at + 1] = from_float<T>(v.y);
    values[at + 2] = from_float<T>(v.z), values[at + 3] = from_float<T>(v.w);
}

// Norms a row if there are weights for it, and gives each four numbers to `put`, with whether they are within the row. A
// block does it together; its reads are under way at once.
template <class Put>
__device__ __forceinline__ void prepare_row(const float *x, const float *norm, int k, float eps, Put put) {
    constexpr int BATCH = 4, STEP = THREADS * 4;
    __shared__ float sums[WARPS];
    float4 v[BATCH];
    auto load = [&](int start) {
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const int at = start + i * STEP + threadIdx.x * 4;
            v[i] = at < k ? *reinterpret_cast<const float4 *>(x + at) : make_float4(0, 0, 0, 0);
        }
    };
    float inverse = 1.0f;
    load(0);
    if (norm) {
        float sum = 0.0f;
        for (int start = 0; start < k; start += BATCH * STEP) {
            if (start > 0) load(start);
#pragma unroll
            for (int i = 0; i < BATCH; i++) sum += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
        }
        sum = warp_sum(sum);
        if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = sum;
        __syncthreads();
        sum = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++) sum += sums[w];
        inverse = rsqrtf(sum / (float)k + eps);
    }
    for (int start = 0; start < k; start += BATCH * STEP) {
        if (k > BATCH * STEP && (norm || start > 0)) load(start);
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const int at = start + i * STEP + threadIdx.x * 4;
            if (start + i * STEP < k) put(times(v[i], inverse, norm, min(at, k - 4)), at, at < k);
        }
    }
}

// Rows in shared memory. A single row is prepared here, by every block for itself; several come from `prepare_*`.
template <class W, int R, bool = W::QUANTIZED> struct Rows;

// Copies bytes into shared memory, of which eight pieces a thread are under way at once.
__device__ __forceinline__ void copy_shared(uint8_t *to, const uint8_t *from, int bytes) {
    constexpr int BATCH = 8, STEP = THREADS * 16;
    for (int start = threadIdx.x * 16; start < bytes; start += BATCH * STEP) {
        uint4 v[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++)
            if (start + i * STEP < bytes) v[i] = __ldcg(reinterpret_cast<const uint4 *>(from + start + i * STEP));
#pragma unroll
        for (int i = 0; i < BATCH; i++)
            if (start + i * STEP < bytes) *reinterpret_cast<uint4 *>(to + start + i * STEP) = v[i];
    }
}

template <class W, int R> struct Rows<W, R, true> {
    static __device__ __forceinline__ Quantized make(const MatvecArgs &a, int row0, uint8_t *memory) {
        int8_t *values = reinterpret_cast<int8_t *>(memory);
        float2 *scales = reinterpret_cast<float2 *>(memory + (size_t)R * a.k);
        if constexpr (R == 1) {
            const float *x = reinterpret_cast<const float *>(a.x) + (size_t)(a.rows_of_x ? a.rows_of_x[row0] : row0) * a.k;
            prepare_row(x, a.norm, a.k, a.eps, [&](float4 v, int at, bool inside) { quantize(v, values, scales, at, inside); });
        } else {
            const int rows = min(R, a.rows - row0), blocks = a.k / 32;
            const uint8_t *from = reinterpret_cast<const uint8_t *>(a.x);
            copy_shared(memory, from + (size_t)row0 * a.k, rows * a.k);
            copy_shared(reinterpret_cast<uint8_t *>(scales), from + (size_t)a.rows_prepared * a.k + (size_t)row0 * blocks * 8,
                        rows * blocks * 8);
        }
        __syncthreads();
        return {values, scales, a.k};
    }
};

// Several rows of floats are for tensor cores.
template <class W> struct Rows<W, 1, false> {
    using T = typename W::Act;
    static __device__ __forceinline__ Plain<T> make(const MatvecArgs &a, int row0, uint8_t *memory) {
        T *values = reinterpret_cast<T *>(memory);
        const float *x = reinterpret_cast<const float *>(a.x) + (size_t)(a.rows_of_x ? a.rows_of_x[row0] : row0) * a.k;
        prepare_row(x, a.norm, a.k, a.eps, [&](float4 v, int at, bool inside) { convert(v, values, at, inside); });
        __syncthreads();
        return {values, a.k};
    }
};

struct PrepareArgs {
    const float *x;       // (any rows, k)
    const int *rows_of_x; // which rows of x; null: the first ones
    const float *norm;    // (k); null: x is not normed
    uint8_t *out;         // (rows, k) numbers, and behind those of all rows (rows, k / 32) scales
    int k;
    float eps;
};

// Rows for products of several of them. Grid: rows.
extern "C" __global__ void __launch_bounds__(THREADS) prepare_q8(const __grid_constant__ PrepareArgs a) {
    allow_next();
    wait_for_previous();
    const int row = blockIdx.x;
    int8_t *values = reinterpret_cast<int8_t *>(a.out) + (size_t)row * a.k;
    float2 *scales = reinterpret_cast<float2 *>(a.out + (size_t)gridDim.x * a.k) + (size_t)row * (a.k / 32);
    const float *x = a.x + (size_t)(a.rows_of_x ? a.rows_of_x[row] : row) * a.k;
    prepare_row(x, a.norm, a.k, a.eps, [&](float4 v, int at, bool inside) { quantize(v, values, scales, at, inside); });
}

#define PREPARE(T, NAME)                                                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS) prepare_##NAME(const __grid_constant__ PrepareArgs a) {       \
        allow_next();                                                                                                   \
        wait_for_previous();                                                                                            \
        T *values = reinterpret_cast<T *>(a.out) + (size_t)blockIdx.x * a.k;                                            \
        const float *x = a.x + (size_t)(a.rows_of_x ? a.rows_of_x[blockIdx.x] : blockIdx.x) * a.k;                      \
        prepare_row(x, a.norm, a.k, a.eps, [&](float4 v, int at, bool inside) { convert(v, values, at, inside); });     \
    }
PREPARE(float, f32)
PREPARE(__half, f16)
PREPARE(__nv_bfloat16, bf16)

template <class W, int R> __device__ __forceinline__ void matvec(const MatvecArgs &a) {
    extern __shared__ __align__(16) uint8_t memory[];
    __shared__ float parts[WARPS][2 * R];
    constexpr int U = W::UNROLL;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int part = warp % a.kw, slot = warp / a.kw, slots = WARPS / a.kw;
    const bool both = a.mode >= SILU; // gate and up
    const int outs = both ? 1 : 2, tile_outs = slots * outs;
    const int tiles = (a.n + tile_outs - 1) / tile_outs;
    const int chunks = a.k / W::CHUNK, step = WARP * a.kw;
    const int groups = (chunks + step * U - 1) / (step * U);

    typename W::Regs regs[2][U];
    auto fetch = [&](int tile, int group) {
        const int n = min(tile * tile_outs + slot * outs, a.n - 1);
        const int other = both ? n + a.n : min(n + 1, a.n - 1);
        const uint8_t *first = a.w + (size_t)n * a.stride, *second = a.w + (size_t)other * a.stride;
#pragma unroll
        for (int u = 0; u < U; u++) {
            const int chunk = (group * U + u) * step + part * WARP + lane;
            if (chunk < chunks) {
                regs[0][u] = W::load(first, a.k, chunk);
                regs[1][u] = W::load(second, a.k, chunk);
            }
        }
    };
    int tile = blockIdx.x;
    if (tile < tiles) fetch(tile, 0);

    allow_next();
    wait_for_previous();
    const int row0 = blockIdx.y * R;
    const auto act = Rows<W, R>::make(a, row0, memory);

    for (; tile < tiles; tile += gridDim.x) {
        float acc[2][R];
#pragma unroll
        for (int r = 0; r < R; r++) acc[0][r] = acc[1][r] = 0.0f;
        for (int group = 0; group < groups; group++) {
#pragma unroll
            for (int u = 0; u < U; u++) {
                const int chunk = (group * U + u) * step + part * WARP + lane;
                if (chunk < chunks) {
                    const auto first = W::ready(regs[0][u], chunk), second = W::ready(regs[1][u], chunk);
#pragma unroll
                    for (int r = 0; r < R; r++) {
                        const auto row = W::part(act, r, chunk);
                        acc[0][r] += W::times(first, row);
                        acc[1][r] += W::times(second, row);
                    }
                }
            }
            if (group + 1 < groups) {
                fetch(tile, group + 1);
            } else if (tile + gridDim.x < tiles) {
                fetch(tile + gridDim.x, 0);
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int r = 0; r < R; r++) acc[i][r] = warp_sum(acc[i][r]);
        if (a.kw > 1) {
#pragma unroll
            for (int i = 0; i < 2 * R; i++)
                if (lane == i) parts[warp][i] = acc[i / R][i % R];
            __syncthreads();
#pragma unroll
            for (int i = 0; i < 2 * R; i++) {
                float sum = 0.0f;
                for (int p = 0; p < a.kw; p++) sum += parts[slot * a.kw + p][i];
                acc[i / R][i % R] = sum;
            }
            __syncthreads();
        }
        const int n = tile * tile_outs + slot * outs;
        if (part == 0 && n < a.n) {
#pragma unroll
            for (int r = 0; r < R; r++) {
                if (lane != r || row0 + r >= a.rows) continue;
                float *y = a.y + (size_t)(row0 + r) * a.y_stride + n;
                float first = acc[0][r], second = acc[1][r];
                const bool pair = !both && n + 1 < a.n;
                if (a.bias) {
                    first += a.bias[n];
                    if (both) second += a.bias[n + a.n];
                    if (pair) second += a.bias[n + 1];
                }
                if (both) {
                    y[0] = gated(a.mode - SILU, first, second);
                } else if (a.mode == ADD) {
                    y[0] += a.scale * first;
                    if (pair) y[1] += a.scale * second;
                } else {
                    y[0] = first;
                    if (pair) y[1] = second;
                }
            }
        }
    }
}

#define MATVEC(TYPE, NAME, R)                                                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS, R > 4 ? 1 : 2)                                                \
        matvec_##NAME##_##R(const __grid_constant__ MatvecArgs args) {                                                  \
        matvec<TYPE, R>(args);                                                                                          \
    }
#define ROWS_OF(TYPE, NAME) MATVEC(TYPE, NAME, 1) MATVEC(TYPE, NAME, 2) MATVEC(TYPE, NAME, 4) MATVEC(TYPE, NAME, 8)
MATVEC(F32, f32, 1)
MATVEC(F16, f16, 1)
MATVEC(BF16, bf16, 1)
ROWS_OF(Q8_0, q8_0)
ROWS_OF(Q4_0, q4_0)
ROWS_OF(Q4K, q4k)
ROWS_OF(Q5K, q5k)
ROWS_OF(Q6K, q6k)
