// Attention of a prompt's rows with tensor cores, 64 queries of one head at a time over 64 tokens at a time
// (https://arxiv.org/abs/2307.08691). Rows are rotated, and their keys and values in the caches.
#include "attention.cuh"

constexpr int THREADS = 128, TOKENS = 64;
constexpr float LOG2_E = 1.4426950409f;

#if __CUDA_ARCH__ >= 800
// d += a × b: 16 × 16 by 16 × 8, f16 with sums in f32.
__device__ __forceinline__ void multiply(float *d, const uint32_t *a, uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void load_transposed(uint32_t *b, const __half *at) {
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(at);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                 : "r"(address));
}
#endif

__device__ __forceinline__ uint32_t packed(float low, float high) {
    const __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t *>(&both);
}

template <int DIM> __device__ __forceinline__ void flash(const AttentionArgs &a) {
#if __CUDA_ARCH__ >= 800
    constexpr int STRIDE = DIM + 8; // no two lanes of a warp meet in a bank
    __shared__ __align__(16) __half keys[TOKENS * STRIDE], values[TOKENS * STRIDE];
    allow_next();
    wait_for_previous();
    const int4 tile = a.tiles[blockIdx.x];
    const int head = blockIdx.y, kv = head / (a.heads / a.kv_heads);
    const Cache cache = cache_of(a, tile.z);
    const __half *k_from = cache.k + (size_t)kv * cache.held * DIM, *v_from = cache.v + (size_t)kv * cache.held * DIM;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;

    // Queries: rows g and g + 8 of the warp's 16.
    uint32_t q[DIM / 16][4];
    const int mine[2] = {warp * 16 + g, warp * 16 + g + 8};
    const float factor = a.scale * LOG2_E;
#pragma unroll
    for (int i = 0; i < DIM / 16; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int row = mine[j % 2], at = i * 16 + (j / 2) * 8 + 2 * t;
            float2 v = make_float2(0.0f, 0.0f);
            if (row < tile.y)
                v = *reinterpret_cast<const float2 *>(a.qkv + (size_t)(tile.x + row) * a.width + head * DIM + at);
            q[i][j] = packed(v.x, v.y);
        }
    float out[DIM / 8][4], most[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f};
#pragma unroll
    for (int n = 0; n < DIM / 8; n++)
#pragma unroll
        for (int j = 0; j < 4; j++) out[n][j] = 0.0f;

    const int last = tile.w + tile.y - 1;
    const int begin = a.window ? max(0, tile.w - a.window + 1) : 0;
    for (int start = begin; start <= last; start += TOKENS) {
        __syncthreads();
#pragma unroll
        for (int i = threadIdx.x; i < TOKENS * DIM / 8; i += THREADS) {
            const int token = i / (DIM / 8), at = i % (DIM / 8) * 8, p = start + token;
            uint4 k = make_uint4(0, 0, 0, 0), v = k;
            if (p <= last) {
                const size_t place = (size_t)(p < cache.held ? p : p % cache.held) * DIM + at;
                k = *reinterpret_cast<const uint4 *>(k_from + place);
                v = *reinterpret_cast<const uint4 *>(v_from + place);
            }
            *reinterpret_cast<uint4 *>(keys + token * STRIDE + at) = k;
            *reinterpret_cast<uint4 *>(values + token * STRIDE + at) = v;
        }
        __syncthreads();
        float scores[TOKENS / 8][4];
#pragma unroll
        for (int n = 0; n < TOKENS / 8; n++) {
#pragma unroll
            for (int j = 0; j < 4; j++) scores[n][j] = 0.0f;
            const __half *line = keys + (n * 8 + g) * STRIDE + 2 * t;
#pragma unroll
            for (int i = 0; i < DIM / 16; i++)
                multiply(scores[n], q[i], *reinterpret_cast<const uint32_t *>(line + i * 16),
                         *reinterpret_cast<const uint32_t *>(line + i * 16 + 8));
        }
        const bool whole = start + TOKENS - 1 <= tile.w && (!a.window || start > last - a.window);
        float higher[2] = {most[0], most[1]};
#pragma unroll
        for (int n = 0; n < TOKENS / 8; n++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float s = scores[n][j] * factor;
                if (!whole) {
                    const int p = start + n * 8 + 2 * t + j % 2, seen_from = tile.w + mine[j / 2];
                    if (p > seen_from || (a.window && p <= seen_from - a.window)) s = -INFINITY;
                }
                scores[n][j] = s;
                higher[j / 2] = fmaxf(higher[j / 2], s);
            }
#pragma unroll
        for (int r = 0; r < 2; r++) {
            higher[r] = fmaxf(higher[r], __shfl_xor_sync(ALL_LANES, higher[r], 1));
            higher[r] = fmaxf(higher[r], __shfl_xor_sync(ALL_LANES, higher[r], 2));
            const float base = higher[r] == -INFINITY ? 0.0f : higher[r];
            const float kept = exp2f(most[r] - base);
            most[r] = higher[r];
            total[r] *= kept;
#pragma unroll
            for (int n = 0; n < DIM / 8; n++) out[n][2 * r] *= kept, out[n][2 * r + 1] *= kept;
#pragma unroll
            for (int n = 0; n < TOKENS / 8; n++)
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    const float weight = exp2f(scores[n][2 * r + j] - base);
                    scores[n][2 * r + j] = weight;
                    total[r] += weight;
                }
        }
#pragma unroll
        for (int i = 0; i < TOKENS / 16; i++) {
            const uint32_t p[4] = {packed(scores[2 * i][0], scores[2 * i][1]), packed(scores[2 * i][2], scores[2 * i][3]),
                                   packed(scores[2 * i + 1][0], scores[2 * i + 1][1]),
                                   packed(scores[2 * i + 1][2], scores[2 * i + 1][3])};
            // Lanes 0 to 15 point at the tokens' first 8 elements, the others at the next 8.
            const __half *line = values + (i * 16 + lane % 16) * STRIDE + lane / 16 * 8;
#pragma unroll
            for (int n = 0; n < DIM / 16; n++) {
                uint32_t b[4];
                load_transposed(b, line + n * 16);
                multiply(out[2 * n], p, b[0], b[1]);
                multiply(out[2 * n + 1], p, b[2], b[3]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        total[r] += __shfl_xor_sync(ALL_LANES, total[r], 1);
        total[r] += __shfl_xor_sync(ALL_LANES, total[r], 2);
        if (mine[r] >= tile.y) continue;
        float *to = a.out + (size_t)(tile.x + mine[r]) * a.heads * DIM + head * DIM + 2 * t;
#pragma unroll
        for (int n = 0; n < DIM / 8; n++)
            *reinterpret_cast<float2 *>(to + n * 8) = make_float2(out[n][2 * r] / total[r], out[n][2 * r + 1] / total[r]);
    }
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS) flash_64(const __grid_constant__ AttentionArgs a) { flash<64>(a); }
extern "C" __global__ void __launch_bounds__(THREADS) flash_128(const __grid_constant__ AttentionArgs a) { flash<128>(a); }
