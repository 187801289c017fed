// What both kinds of attention share: caches, and what is done to a head before it is used.
#pragma once
#include "common.cuh"

// The cache of a layer for one sequence: keys and values, each (kv_heads, held, dim). Position p is at p mod `held`.
struct Cache {
    __half *k, *v;
    int held, unused;
};

struct AttentionArgs {
    float *qkv;              // (rows, width): queries, keys, values; as the product gave them, or rotated
    const float *bias;       // (width) that is still to be added; null: none
    const int *slots;        // of each row: its sequence
    const int *positions;    // of each row; below 0: the row is not there
    const Cache *caches;     // (sequences, layers)
    const float *q_norm, *k_norm; // (dim); null: none
    const float *frequencies; // (rotated / 2) radians per position
    float *out;              // (rows, heads × dim)
    float *partial;          // (rows, heads, splits, dim)
    float2 *partial_sums;    // (rows, heads, splits): largest score, sum
    int *arrived;            // (rows, groups of heads), zero between kernels
    const int4 *tiles;       // of prompts: first row, rows, sequence, position
    int rows, width, layers, layer;
    int heads, kv_heads, dim, rotated;
    int splits, window;      // window 0: none
    int position_every;      // 0: queries do not grow
    float position_beta, magnitude, eps, scale;
};

__device__ __forceinline__ Cache cache_of(const AttentionArgs &a, int slot) {
    return a.caches[(size_t)slot * a.layers + a.layer];
}

// One warp norms and rotates a head of `dim` elements into `out` (shared memory; may be written by all lanes).
__device__ __forceinline__ void prepare(const AttentionArgs &a, const float *from, const float *bias, const float *norm,
                                        int position, float *out) {
    const int lane = threadIdx.x % WARP;
    float squares = 0.0f;
    for (int e = lane; e < a.dim; e += WARP) {
        const float v = from[e] + (bias ? bias[e] : 0.0f);
        out[e] = v;
        squares += v * v;
    }
    __syncwarp();
    if (norm) {
        const float inverse = rsqrtf(warp_sum(squares) / (float)a.dim + a.eps);
        for (int e = lane; e < a.dim; e += WARP) out[e] *= inverse * norm[e];
        __syncwarp();
    }
    const int half = a.rotated / 2;
    for (int i = lane; i < half; i += WARP) {
        float sine, cosine;
        sincosf((float)position * a.frequencies[i], &sine, &cosine);
        sine *= a.magnitude, cosine *= a.magnitude;
        const float x = out[i], y = out[i + half];
        out[i] = x * cosine - y * sine;
        out[i + half] = y * cosine + x * sine;
    }
    __syncwarp();
}

// How much queries grow at a position.
__device__ __forceinline__ float growth(const AttentionArgs &a, int position) {
    return a.position_every ? 1.0f + a.position_beta * logf(1.0f + (float)(position / a.position_every)) : 1.0f;
}
