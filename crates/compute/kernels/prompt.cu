// Steps of many rows: what is done around cuBLAS' products. And the embedding.
#include "weights.cuh"

constexpr int THREADS = 256;

struct EmbedArgs {
    const uint8_t *table; // (vocabulary) rows of `stride` bytes
    unsigned long long stride;
    const int *ids;       // (rows); below 0: a row of zeros
    float *x;             // (rows, k)
    int k;
    float scale;
};

// Rows of a table by token id. Grid: rows.
template <class W> __device__ __forceinline__ void embed(const EmbedArgs &a) {
    const auto [table, stride, ids, x, k, scale] = a;
    allow_next();
    wait_for_previous();
    const int id = ids[blockIdx.x];
    for (int at = threadIdx.x * 8; at < k; at += THREADS * 8) {
        float v[8] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (id >= 0) W::values8(table + (size_t)id * stride, k, at, v);
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (at + i < k) x[(size_t)blockIdx.x * k + at + i] = v[i] * scale;
    }
}
#define EMBED(TYPE, NAME)                                                                                               \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                               \
        embed_##NAME(const __grid_constant__ EmbedArgs args) {                                                          \
        embed<TYPE>(args);                                                                                              \
    }
EMBED(F32, f32)
EMBED(F16, f16)
EMBED(BF16, bf16)
EMBED(Q8_0, q8_0)
EMBED(Q4_0, q4_0)
EMBED(Q4K, q4k)
EMBED(Q5K, q5k)
EMBED(Q6K, q6k)

struct WidenArgs {
    const uint8_t *w; // (n) rows of `stride` bytes
    unsigned long long stride;
    __half *out;      // (n, k)
    int k, unused;
};

// Rows of a quantized matrix as f16. Grid: (blocks of 8 × THREADS elements, n).
template <class W> __device__ __forceinline__ void widen(const WidenArgs &a) {
    const auto [w, stride, out, k, unused] = a;
    allow_next();
    wait_for_previous();
    const int at = (blockIdx.x * THREADS + threadIdx.x) * 8;
    if (at >= k) return;
    float v[8];
    W::values8(w + (size_t)blockIdx.y * stride, k, at, v);
    __align__(16) __half both[8];
#pragma unroll
    for (int i = 0; i < 8; i++) both[i] = from_float<__half>(v[i]);
    *reinterpret_cast<uint4 *>(out + (size_t)blockIdx.y * k + at) = *reinterpret_cast<const uint4 *>(both);
}
#define WIDEN(TYPE, NAME)                                                                                               \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                               \
        widen_##NAME(const __grid_constant__ WidenArgs args) {                                                          \
        widen<TYPE>(args);                                                                                              \
    }
WIDEN(Q8_0, q8_0)
WIDEN(Q4_0, q4_0)
WIDEN(Q4K, q4k)
WIDEN(Q5K, q5k)
WIDEN(Q6K, q6k)

struct ActivateArgs {
    const float *both; // (rows, 2 × width)
    const float *bias; // (2 × width); null: none
    void *out;         // (rows, width)
    int width, activation;
};

// Gate and up as inner rows in the type of the next product. Grid: (blocks of THREADS, rows).
template <class T> __device__ __forceinline__ void activate(const ActivateArgs &a) {
    const auto [both, bias, untyped, width, activation] = a;
    T *out = (T *)untyped;
    allow_next();
    wait_for_previous();
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= width) return;
    const float *from = both + (size_t)blockIdx.y * 2 * width;
    const float gate = from[i] + (bias ? bias[i] : 0.0f), up = from[width + i] + (bias ? bias[width + i] : 0.0f);
    out[(size_t)blockIdx.y * width + i] = from_float<T>(gated(activation, gate, up));
}
#define AROUND(T, NAME)                                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                               \
        activate_##NAME(const __grid_constant__ ActivateArgs args) {                                                    \
        activate<T>(args);                                                                                              \
    }
AROUND(float, f32)
AROUND(__half, f16)
AROUND(__nv_bfloat16, bf16)

struct BiasArgs {
    float *y;          // (rows, n)
    const float *bias; // (n)
    int n;
    float scale;
};

// Adds a bias, times a factor, to every row. Grid: (blocks of THREADS, rows).
extern "C" __global__ void __launch_bounds__(THREADS) add_bias(const __grid_constant__ BiasArgs a) {
    const auto [y, bias, n, scale] = a;
    allow_next();
    wait_for_previous();
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i < n) y[(size_t)blockIdx.y * n + i] += scale * bias[i];
}

struct MoveArgs {
    const __half *from_keys, *from_values; // (kv_heads, from_held, dim), position p at p mod from_held
    __half *to_keys, *to_values;           // (kv_heads, to_held, dim)
    int from_held, to_held, dim, first;
};

// Copies a layer's keys and values to another sequence's cache. Grid: (positions from `first` on, kv_heads).
extern "C" __global__ void __launch_bounds__(THREADS) move_cache(const __grid_constant__ MoveArgs a) {
    allow_next();
    wait_for_previous();
    const int position = a.first + blockIdx.x, at = threadIdx.x * 8;
    if (at >= a.dim) return;
    const size_t from = ((size_t)blockIdx.y * a.from_held + position % a.from_held) * a.dim + at;
    const size_t to = ((size_t)blockIdx.y * a.to_held + position % a.to_held) * a.dim + at;
    *reinterpret_cast<uint4 *>(a.to_keys + to) = *reinterpret_cast<const uint4 *>(a.from_keys + from);
    *reinterpret_cast<uint4 *>(a.to_values + to) = *reinterpret_cast<const uint4 *>(a.from_values + from);
}
