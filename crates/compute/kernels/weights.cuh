// Weight types: how 16-byte pieces of a row are read, and multiplied with rows of activations in shared memory.
//
// A row lies in planes, each aligned to 16 bytes (crates/compute/src/cuda/planes.rs). A chunk is what one lane takes
// at a time: `load` reads it, `ready` unpacks it once, `part` reads the same part of a row of activations, and `times` is
// their product. Quantized weights are multiplied with activations of 8 bits in blocks of 32, each with its scale and its
// scaled sum; others with activations of their own type.
#pragma once
#include "common.cuh"

// Activations of one step in shared memory.
struct Quantized {
    const int8_t *values; // (rows, k)
    const float2 *scales; // (rows, k / 32): scale, scale × sum
    int k;
    __device__ __forceinline__ uint4 bytes(int row, int at) const {
        return *reinterpret_cast<const uint4 *>(values + row * k + at);
    }
    __device__ __forceinline__ float2 scale(int row, int block) const { return scales[row * (k / 32) + block]; }
};

template <class T> struct Plain {
    const T *values; // (rows, k)
    int k;
};

__device__ __forceinline__ int dot16(const int *w, uint4 a) {
    return dot4(w[3], a.w, dot4(w[2], a.z, dot4(w[1], a.y, dot4(w[0], a.x, 0))));
}

// Byte i of eight.
__device__ __forceinline__ int byte_of(uint2 bytes, int i) { return (i < 4 ? bytes.x : bytes.y) >> (8 * (i & 3)) & 255; }

__device__ __forceinline__ uint2 eight(const uint8_t *at) { return *reinterpret_cast<const uint2 *>(at); }

// ---- 32 bits
struct F32 {
    static constexpr int CHUNK = 4, UNROLL = 4;
    static constexpr bool QUANTIZED = false;
    using Act = float;
    struct Regs { uint4 w; };
    static __device__ __forceinline__ Regs load(const uint8_t *row, int, int chunk) {
        return {load_once(row + (size_t)chunk * 16)};
    }
    struct Ready { float w[4]; };
    using Rows = Plain<float>;
    using Part = float4;
    static __device__ __forceinline__ Ready ready(const Regs &g, int) {
        return {__uint_as_float(g.w.x), __uint_as_float(g.w.y), __uint_as_float(g.w.z), __uint_as_float(g.w.w)};
    }
    static __device__ __forceinline__ Part part(const Rows &act, int row, int chunk) {
        return *reinterpret_cast<const float4 *>(act.values + row * act.k + chunk * 4);
    }
    static __device__ __forceinline__ float times(const Ready &g, const Part &a) {
        return g.w[0] * a.x + g.w[1] * a.y + g.w[2] * a.z + g.w[3] * a.w;
    }
    static __device__ __forceinline__ void values8(const uint8_t *row, int, int at, float *out) {
#pragma unroll
        for (int i = 0; i < 8; i++) out[i] = reinterpret_cast<const float *>(row)[at + i];
    }
};

// ---- 16 bits
__device__ __forceinline__ float2 pair(uint32_t bits, __half) {
    return __half22float2(*reinterpret_cast<const __half2 *>(&bits));
}
__device__ __forceinline__ float2 pair(uint32_t bits, __nv_bfloat16) {
    return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u));
}

template <class T> struct Sixteen {
    static constexpr int CHUNK = 8, UNROLL = 4;
    static constexpr bool QUANTIZED = false;
    using Act = T;
    struct Regs { uint4 w; };
    static __device__ __forceinline__ Regs load(const uint8_t *row, int, int chunk) {
        return {load_once(row + (size_t)chunk * 16)};
    }
    struct Ready { float2 w[4]; };
    using Rows = Plain<T>;
    using Part = uint4;
    static __device__ __forceinline__ Ready ready(const Regs &g, int) {
        return {pair(g.w.x, T()), pair(g.w.y, T()), pair(g.w.z, T()), pair(g.w.w, T())};
    }
    static __device__ __forceinline__ Part part(const Rows &act, int row, int chunk) {
        return *reinterpret_cast<const uint4 *>(act.values + row * act.k + chunk * 8);
    }
    static __device__ __forceinline__ float times(const Ready &g, const Part &a) {
        const uint32_t words[4] = {a.x, a.y, a.z, a.w};
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float2 b = pair(words[i], T());
            sum = fmaf(g.w[i].x, b.x, fmaf(g.w[i].y, b.y, sum));
        }
        return sum;
    }
    static __device__ __forceinline__ void values8(const uint8_t *row, int, int at, float *out) {
#pragma unroll
        for (int i = 0; i < 8; i++) out[i] = to_float(reinterpret_cast<const T *>(row)[at + i]);
    }
};
using F16 = Sixteen<__half>;
using BF16 = Sixteen<__nv_bfloat16>;

// ---- q8_0: k bytes, then k / 32 scales of 16 bits
struct Q8_0 {
    static constexpr int CHUNK = 16, UNROLL = 4;
    static constexpr bool QUANTIZED = true;
    struct Regs { uint4 q; uint16_t d; };
    static __device__ __forceinline__ Regs load(const uint8_t *row, int k, int chunk) {
        return {load_once(row + (size_t)chunk * 16), __ldg(reinterpret_cast<const uint16_t *>(row + k) + chunk / 2)};
    }
    struct Ready { int w[4]; float d; };
    using Rows = Quantized;
    struct Part { uint4 a; float scale; };
    static __device__ __forceinline__ Ready ready(const Regs &g, int) {
        return {{(int)g.q.x, (int)g.q.y, (int)g.q.z, (int)g.q.w}, half_bits(g.d)};
    }
    static __device__ __forceinline__ Part part(const Rows &act, int row, int chunk) {
        return {act.bytes(row, chunk * 16), act.scale(row, chunk / 2).x};
    }
    static __device__ __forceinline__ float times(const Ready &g, const Part &p) {
        return g.d * p.scale * (float)dot16(g.w, p.a);
    }
    static __device__ __forceinline__ void values8(const uint8_t *row, int k, int at, float *out) {
        const float d = __half2float(reinterpret_cast<const __half *>(row + k)[at / 32]);
        const uint2 q = eight(row + at);
#pragma unroll
        for (int i = 0; i < 8; i++) out[i] = d * (float)(int8_t)byte_of(q, i);
    }
};

// ---- q4_0: k / 2 bytes in blocks of 16 (elements 0 to 15 in the low halves), then k / 32 scales
struct Q4_0 {
    static constexpr int CHUNK = 32, UNROLL = 2;
    static constexpr bool QUANTIZED = true;
    struct Regs { uint4 q; uint16_t d; };
    static __device__ __forceinline__ Regs load(const uint8_t *row, int k, int chunk) {
        return {load_once(row + (size_t)chunk * 16), __ldg(reinterpret_cast<const uint16_t *>(row + k / 2) + chunk)};
    }
    struct Ready { int low[4], high[4]; float d; };
    using Rows = Quantized;
    struct Part { uint4 low, high; float2 scale; };
    static __device__ __forceinline__ Part part(const Rows &act, int row, int chunk) {
        return {act.bytes(row, chunk * 32), act.bytes(row, chunk * 32 + 16), act.scale(row, chunk)};
    }
    static __device__ __forceinline__ Ready ready(const Regs &g, int) {
        const uint32_t q[4] = {g.q.x, g.q.y, g.q.z, g.q.w};
        Ready w;
        w.d = half_bits(g.d);
#pragma unroll
        for (int i = 0; i < 4; i++) w.low[i] = q[i] & 0x0f0f0f0f, w.high[i] = (q[i] >> 4) & 0x0f0f0f0f;
        return w;
    }
    static __device__ __forceinline__ float times(const Ready &g, const Part &p) {
        return g.d * (p.scale.x * (float)(dot16(g.low, p.low) + dot16(g.high, p.high)) - 8.0f * p.scale.y);
    }
    static __device__ __forceinline__ void values8(const uint8_t *row, int k, int at, float *out) {
        const float d = __half2float(reinterpret_cast<const __half *>(row + k / 2)[at / 32]);
        const uint2 q = eight(row + at / 32 * 16 + at % 16);
        const int shift = at % 32 >= 16 ? 4 : 0;
#pragma unroll
        for (int i = 0; i < 8; i++) out[i] = d * (float)(((byte_of(q, i) >> shift) & 15) - 8);
    }
};

// The scale and the minimum of part `at` (of 8) of a block of q4k or q5k; `s` are its 12 bytes.
__device__ __forceinline__ uint2 scale_and_min(const uint32_t *s, int at) {
    const int shift = 8 * (at & 3);
    const uint32_t a = s[0] >> shift, b = s[1] >> shift, c = s[2] >> shift;
    if (at < 4) return make_uint2(a & 63, b & 63);
    return make_uint2((c & 15) | ((a >> 2) & 48), ((c >> 4) & 15) | ((b >> 2) & 48));
}

// ---- q4k and q5k as they are stored: blocks of 256 in 144 or 176 bytes, both multiples of 16. A lane takes 16 of the
// bytes that hold two halves: part 2c in the low ones and part 2c + 1 in the high ones, and one part's minimum.
template <bool FIVE> struct KFourFive {
    static constexpr int CHUNK = 32, UNROLL = 2, BYTES = FIVE ? 176 : 144, NIBBLES = FIVE ? 48 : 16;
    static constexpr bool QUANTIZED = true;
    struct Regs { uint4 head, q, high; };
    static __device__ __forceinline__ Regs load(const uint8_t *row, int, int chunk) {
        const uint8_t *block = row + (size_t)(chunk / 8) * BYTES;
        const int j = chunk % 8;
        Regs g;
        g.head = load_once(block);
        g.q = load_once(block + NIBBLES + 16 * j);
        g.high = FIVE ? load_once(block + 16 + 16 * (j & 1)) : make_uint4(0, 0, 0, 0);
        return g;
    }
    struct Ready { int low[4], high[4]; float scale_low, scale_high, least; };
    using Rows = Quantized;
    struct Part { uint4 low, high; float scale_low, scale_high, sum; };
    static __device__ __forceinline__ Ready ready(const Regs &g, int chunk) {
        const int j = chunk % 8, c = j / 2;
        const uint32_t s[3] = {g.head.y, g.head.z, g.head.w};
        const float2 d = __half22float2(*reinterpret_cast<const __half2 *>(&g.head.x));
        const uint32_t q[4] = {g.q.x, g.q.y, g.q.z, g.q.w};
        const uint32_t h[4] = {g.high.x, g.high.y, g.high.z, g.high.w};
        Ready w;
        w.scale_low = d.x * (float)scale_and_min(s, 2 * c).x;
        w.scale_high = d.x * (float)scale_and_min(s, 2 * c + 1).x;
        w.least = d.y * (float)scale_and_min(s, j).y;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            w.low[i] = q[i] & 0x0f0f0f0f, w.high[i] = (q[i] >> 4) & 0x0f0f0f0f;
            if (FIVE) {
                w.low[i] |= ((h[i] >> (2 * c)) & 0x01010101) << 4;
                w.high[i] |= ((h[i] >> (2 * c + 1)) & 0x01010101) << 4;
            }
        }
        return w;
    }
    static __device__ __forceinline__ Part part(const Rows &act, int row, int chunk) {
        const int j = chunk % 8, c = j / 2, block = chunk / 8 * 8, at = block * 32 + 64 * c + 16 * (j & 1);
        return {act.bytes(row, at), act.bytes(row, at + 32), act.scale(row, block + 2 * c).x,
                act.scale(row, block + 2 * c + 1).x, act.scale(row, chunk).y};
    }
    static __device__ __forceinline__ float times(const Ready &g, const Part &p) {
        const float low = g.scale_low * (p.scale_low * (float)dot16(g.low, p.low));
        const float high = g.scale_high * (p.scale_high * (float)dot16(g.high, p.high));
        return low + high - g.least * p.sum;
    }
    static __device__ __forceinline__ void values8(const uint8_t *row, int, int at, float *out) {
        const uint8_t *block = row + (size_t)(at / 256) * BYTES;
        const uint32_t *head = reinterpret_cast<const uint32_t *>(block);
        const uint32_t s[3] = {head[1], head[2], head[3]};
        const float2 d = __half22float2(*reinterpret_cast<const __half2 *>(head));
        const int part = at % 256 / 32, within = at % 32;
        const uint2 both = scale_and_min(s, part);
        const float scale = d.x * (float)both.x, least = d.y * (float)both.y;
        const uint2 q = eight(block + NIBBLES + part / 2 * 32 + within), h = eight(block + 16 + within);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int v = (byte_of(q, i) >> (part % 2 * 4)) & 15;
            if (FIVE) v |= ((byte_of(h, i) >> part) & 1) << 4;
            out[i] = scale * (float)v - least;
        }
    }
};
using Q4K = KFourFive<false>;
using Q5K = KFourFive<true>;

// ---- q6k in planes: 16 bytes for each 32 elements as in q4_0; 8 bytes for each 32 elements with the two high bits,
// of element 4f + i of each half in bits 2f of byte i; a scale of 8 bits for each 16; one of 16 bits for each 256
struct Q6K {
    static constexpr int CHUNK = 32, UNROLL = 2;
    static constexpr bool QUANTIZED = true;
    struct Regs { uint4 q; uint2 high; char2 scales; uint16_t d; };
    static __device__ __forceinline__ Regs load(const uint8_t *row, int k, int chunk) {
        const uint8_t *scales = row + k / 2 + k / 4;
        Regs g;
        g.q = load_once(row + (size_t)chunk * 16);
        g.high = __ldg(reinterpret_cast<const uint2 *>(row + k / 2) + chunk);
        g.scales = __ldg(reinterpret_cast<const char2 *>(scales) + chunk);
        g.d = __ldg(reinterpret_cast<const uint16_t *>(scales + k / 16) + chunk / 8);
        return g;
    }
    // Bytes from 0 to 63, less 32.
    static __device__ __forceinline__ int centered(uint32_t bytes) {
        return (int)(((bytes | 0x80808080u) - 0x20202020u) ^ 0x80808080u);
    }
    struct Ready { int low[4], high[4]; float scale_low, scale_high; };
    using Rows = Quantized;
    struct Part { uint4 low, high; float2 scale; };
    static __device__ __forceinline__ Part part(const Rows &act, int row, int chunk) {
        return {act.bytes(row, chunk * 32), act.bytes(row, chunk * 32 + 16), act.scale(row, chunk)};
    }
    static __device__ __forceinline__ Ready ready(const Regs &g, int) {
        const uint32_t q[4] = {g.q.x, g.q.y, g.q.z, g.q.w};
        const float d = half_bits(g.d);
        Ready w;
        w.scale_low = d * (float)g.scales.x, w.scale_high = d * (float)g.scales.y;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            w.low[i] = centered((q[i] & 0x0f0f0f0f) | (((g.high.x >> (2 * i)) & 0x03030303) << 4));
            w.high[i] = centered(((q[i] >> 4) & 0x0f0f0f0f) | (((g.high.y >> (2 * i)) & 0x03030303) << 4));
        }
        return w;
    }
    static __device__ __forceinline__ float times(const Ready &g, const Part &p) {
        return p.scale.x * (g.scale_low * (float)dot16(g.low, p.low) + g.scale_high * (float)dot16(g.high, p.high));
    }
    static __device__ __forceinline__ void values8(const uint8_t *row, int k, int at, float *out) {
        const int chunk = at / 32, within = at % 32, half = within / 16;
        const uint8_t *scales = row + k / 2 + k / 4;
        const float d = __half2float(reinterpret_cast<const __half *>(scales + k / 16)[at / 256]);
        const float scale = d * (float)reinterpret_cast<const int8_t *>(scales)[at / 16];
        const uint2 q = eight(row + (size_t)chunk * 16 + within % 16), high = eight(row + k / 2 + (size_t)chunk * 8);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int e = within % 16 + i;
            const int v = ((byte_of(q, i) >> (half * 4)) & 15) | (((byte_of(high, half * 4 + i % 4) >> (2 * (e / 4))) & 3) << 4);
            out[i] = scale * (float)(v - 32);
        }
    }
};
