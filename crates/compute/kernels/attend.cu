// Attention of single rows over their caches. A row's tokens are split over blocks; the last block of a row's group of
// heads to arrive puts their results together.
#include "attention.cuh"

constexpr int THREADS = 256, WARPS = THREADS / WARP;
constexpr int MOST_DIM = 256;
// Tokens of a split at least: fewer would cost more to put together than to look at.
constexpr int LEAST_TOKENS = 64;
constexpr float LOG2_E = 1.4426950409f;


// One warp: what each lane's part of a sum counts for, from its largest score and its sum. `whole`: the parts are all
// there are, so that they are divided by their sum.
__device__ __forceinline__ void put_weights(float2 state, bool whole, float *weights, float2 *together) {
    float most = state.x;
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, offset));
    const float weight = exp2f(state.x - most), total = warp_sum(state.y * weight);
    const int lane = threadIdx.x % WARP;
    weights[lane] = whole ? weight / total : weight;
    __syncwarp();
    if (lane == 0) *together = make_float2(most, total);
}

__device__ __forceinline__ void add(float4 &sum, float weight, float4 v) {
    sum.x = fmaf(weight, v.x, sum.x), sum.y = fmaf(weight, v.y, sum.y);
    sum.z = fmaf(weight, v.z, sum.z), sum.w = fmaf(weight, v.w, sum.w);
}

// LANES lanes hold a head, 8 elements each; HEADS query heads that share keys and values are computed together. FRESH:
// queries, keys and values come straight from the product, one row to a sequence.
template <int LANES, int HEADS, bool FRESH> __device__ __forceinline__ void attend(const AttentionArgs &a) {
    constexpr int GROUPS = THREADS / LANES;
    __shared__ __align__(16) float q[HEADS + 2][LANES * 8];
    __shared__ __align__(16) float sums[WARPS][HEADS][LANES * 8];
    __shared__ float2 states[WARPS][HEADS];
    __shared__ bool last;

    allow_next();
    wait_for_previous();
    const int row = blockIdx.z, position = a.positions[row];
    if (position < 0) return;
    const int first = a.window ? max(0, position - a.window + 1) : 0, tokens = position + 1 - first;
    const int each = max(LEAST_TOKENS, (tokens + a.splits - 1) / a.splits), active = (tokens + each - 1) / each;
    const int split = blockIdx.x;
    if (split >= active) return;
    const int begin = first + split * each, end = min(begin + each, position + 1);
    const int head0 = blockIdx.y * HEADS, kv = head0 / (a.heads / a.kv_heads);
    const Cache cache = cache_of(a, a.slots[row]);
    __half *keys = cache.k + (size_t)kv * cache.held * a.dim, *values = cache.v + (size_t)kv * cache.held * a.dim;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;

    const float *of_row = a.qkv + (size_t)row * a.width;
    const int k_at = (a.heads + kv) * a.dim, v_at = (a.heads + a.kv_heads + kv) * a.dim;
    const float factor = a.scale * LOG2_E * (FRESH ? growth(a, position) : 1.0f);
    for (int h = warp; h < HEADS + (FRESH && split == active - 1 ? 2 : 0); h += WARPS) {
        if (h < HEADS) {
            const float *from = of_row + (head0 + h) * a.dim;
            if (FRESH) {
                prepare(a, from, nullptr, a.q_norm, position, q[h]);
                for (int e = lane; e < a.dim; e += WARP) q[h][e] *= factor;
            } else {
                for (int e = lane; e < a.dim; e += WARP) q[h][e] = from[e] * factor;
            }
        } else if (h == HEADS) {
            prepare(a, of_row + k_at, nullptr, a.k_norm, position, q[h]);
            __half *to = keys + (size_t)(position % cache.held) * a.dim;
            for (int e = lane; e < a.dim; e += WARP) to[e] = from_float<__half>(q[h][e]);
        } else {
            __half *to = values + (size_t)(position % cache.held) * a.dim;
            for (int e = lane; e < a.dim; e += WARP) to[e] = from_float<__half>(of_row[v_at + e]);
        }
    }
    __syncthreads();

    const int group = threadIdx.x / LANES, at = threadIdx.x % LANES * 8;
    const bool inside = at < a.dim;
    float mine[HEADS][8], sum[HEADS][8], most[HEADS], total[HEADS];
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        most[h] = -INFINITY, total[h] = 0.0f;
#pragma unroll
        for (int e = 0; e < 8; e++) mine[h][e] = inside ? q[h][at + e] : 0.0f, sum[h][e] = 0.0f;
    }
    // All lanes of a warp go round equally often, because they shuffle together.
    for (int start = begin; start < end; start += 2 * GROUPS) {
        uint4 k[2], v[2];
        bool there[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int token = start + i * GROUPS + group;
            there[i] = token < end;
            k[i] = v[i] = make_uint4(0, 0, 0, 0);
            if (there[i] && inside) {
                const size_t place = (size_t)(token < cache.held ? token : token % cache.held) * a.dim + at;
                k[i] = *reinterpret_cast<const uint4 *>(keys + place);
                v[i] = *reinterpret_cast<const uint4 *>(values + place);
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float kf[8], vf[8];
            const __half2 *k2 = reinterpret_cast<const __half2 *>(&k[i]), *v2 = reinterpret_cast<const __half2 *>(&v[i]);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float2 x = __half22float2(k2[e]), y = __half22float2(v2[e]);
                kf[2 * e] = x.x, kf[2 * e + 1] = x.y, vf[2 * e] = y.x, vf[2 * e + 1] = y.y;
            }
#pragma unroll
            for (int h = 0; h < HEADS; h++) {
                float score = 0.0f;
#pragma unroll
                for (int e = 0; e < 8; e++) score = fmaf(mine[h][e], kf[e], score);
#pragma unroll
                for (int offset = LANES / 2; offset > 0; offset >>= 1)
                    score += __shfl_xor_sync(ALL_LANES, score, offset);
                if (there[i]) {
                    const float higher = fmaxf(most[h], score);
                    const float kept = exp2f(most[h] - higher), weight = exp2f(score - higher);
                    most[h] = higher;
                    total[h] = total[h] * kept + weight;
#pragma unroll
                    for (int e = 0; e < 8; e++) sum[h][e] = fmaf(sum[h][e], kept, weight * vf[e]);
                }
            }
        }
    }
    // The groups of a warp, then the warps.
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
#pragma unroll
        for (int offset = LANES; offset < WARP; offset <<= 1) {
            const float other = __shfl_xor_sync(ALL_LANES, most[h], offset);
            const float higher = fmaxf(most[h], other);
            const float kept = higher == -INFINITY ? 0.0f : exp2f(most[h] - higher);
            const float taken = higher == -INFINITY ? 0.0f : exp2f(other - higher);
            most[h] = higher;
            total[h] = total[h] * kept + __shfl_xor_sync(ALL_LANES, total[h], offset) * taken;
#pragma unroll
            for (int e = 0; e < 8; e++)
                sum[h][e] = sum[h][e] * kept + __shfl_xor_sync(ALL_LANES, sum[h][e], offset) * taken;
        }
        if (lane < LANES) {
#pragma unroll
            for (int e = 0; e < 8; e++) sums[warp][h][at + e] = sum[h][e];
            if (lane == 0) states[warp][h] = make_float2(most[h], total[h]);
        }
    }
    __syncthreads();
    // What each warp's results count for.
    __shared__ float weights[HEADS][WARP];
    for (int h = warp; h < HEADS; h += WARPS) {
        const float2 state = lane < WARPS ? states[lane][h] : make_float2(-INFINITY, 0.0f);
        put_weights(state, active == 1, weights[h], states[0] + h);
    }
    __syncthreads();
    float *out = a.out + (size_t)row * a.heads * a.dim;
    const size_t place = ((size_t)row * a.heads + head0) * a.splits;
    for (int i = threadIdx.x * 4; i < HEADS * a.dim; i += THREADS * 4) {
        const int h = i / a.dim, e = i % a.dim;
        float4 value = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int w = 0; w < WARPS; w++) add(value, weights[h][w], *reinterpret_cast<const float4 *>(&sums[w][h][e]));
        float *to = active == 1 ? out + (size_t)(head0 + h) * a.dim + e
                                : a.partial + (place + (size_t)h * a.splits + split) * a.dim + e;
        *reinterpret_cast<float4 *>(to) = value;
        if (active > 1 && e == 0) a.partial_sums[place + (size_t)h * a.splits + split] = states[0][h];
    }
    if (active == 1) return;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        int *arrived = a.arrived + row * gridDim.y + blockIdx.y;
        last = atomicAdd(arrived, 1) == active - 1;
        if (last) *arrived = 0;
    }
    __syncthreads();
    if (!last) return;
    __threadfence();
    for (int h = warp; h < HEADS; h += WARPS) {
        const float2 state =
            lane < active ? __ldcg(&a.partial_sums[place + (size_t)h * a.splits + lane]) : make_float2(-INFINITY, 0.0f);
        put_weights(state, true, weights[h], states[0] + h);
    }
    __syncthreads();
    for (int i = threadIdx.x * 4; i < HEADS * a.dim; i += THREADS * 4) {
        const int h = i / a.dim, e = i % a.dim;
        const float *from = a.partial + (place + (size_t)h * a.splits) * a.dim + e;
        float4 value = make_float4(0, 0, 0, 0);
#pragma unroll 8
        for (int s = 0; s < active; s++)
            add(value, weights[h][s], __ldcg(reinterpret_cast<const float4 *>(from + (size_t)s * a.dim)));
        *reinterpret_cast<float4 *>(out + (size_t)(head0 + h) * a.dim + e) = value;
    }
}

#define ATTEND(LANES, HEADS)                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS) attend_##LANES##_##HEADS(const __grid_constant__ AttentionArgs a) { \
        attend<LANES, HEADS, false>(a);                                                                                 \
    }                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS) fresh_##LANES##_##HEADS(const __grid_constant__ AttentionArgs a) { \
        attend<LANES, HEADS, true>(a);                                                                                  \
    }
#define HEADS_OF(LANES) ATTEND(LANES, 1) ATTEND(LANES, 2) ATTEND(LANES, 4) ATTEND(LANES, 8)
HEADS_OF(2)
HEADS_OF(4)
HEADS_OF(8)
HEADS_OF(16)
ATTEND(32, 1)
ATTEND(32, 2)
ATTEND(32, 4)

// Norms and rotates queries in place, and puts keys and values into the caches: what the fresh kind does by itself, for
// steps with several rows of a sequence. One warp to a head; grid: (heads / WARPS, rows).
extern "C" __global__ void __launch_bounds__(THREADS) take_in(const __grid_constant__ AttentionArgs a) {
    __shared__ float heads[WARPS][MOST_DIM];
    allow_next();
    wait_for_previous();
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int head = blockIdx.x * WARPS + warp, row = blockIdx.y, position = a.positions[row];
    if (head >= a.heads + 2 * a.kv_heads || position < 0) return;
    float *from = a.qkv + (size_t)row * a.width + head * a.dim, *to = heads[warp];
    const float *bias = a.bias ? a.bias + head * a.dim : nullptr;
    if (head < a.heads) {
        prepare(a, from, bias, a.q_norm, position, to);
        const float factor = growth(a, position);
        for (int e = lane; e < a.dim; e += WARP) from[e] = to[e] * factor;
        return;
    }
    const Cache cache = cache_of(a, a.slots[row]);
    const bool is_key = head < a.heads + a.kv_heads;
    const int kv = head - a.heads - (is_key ? 0 : a.kv_heads);
    __half *line = (is_key ? cache.k : cache.v) + ((size_t)kv * cache.held + position % cache.held) * a.dim;
    if (is_key) {
        prepare(a, from, bias, a.k_norm, position, to);
        for (int e = lane; e < a.dim; e += WARP) line[e] = from_float<__half>(to[e]);
    } else {
        for (int e = lane; e < a.dim; e += WARP) line[e] = from_float<__half>(from[e] + (bias ? bias[e] : 0.0f));
    }
}
