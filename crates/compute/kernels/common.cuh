// What all kernels share: conversions, reductions within a warp, and the order between kernels that overlap.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

// A kernel may be launched before the one before it has ended. What it reads of that one comes after this wait.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Lets the next kernel's blocks start as soon as there is room for them.
__device__ __forceinline__ void allow_next() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// 16 bytes that are read once: not kept in the first cache.
__device__ __forceinline__ uint4 load_once(const void *at) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(at));
    return v;
}

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) v += __shfl_xor_sync(ALL_LANES, v, offset);
    return v;
}

// Four products of signed bytes, summed up.
__device__ __forceinline__ int dot4(int a, int b, int sum) { return __dp4a(a, b, sum); }

__device__ __forceinline__ float half_bits(uint32_t bits) {
    return __half2float(__ushort_as_half((unsigned short)bits));
}

__device__ __forceinline__ float to_float(float v) { return v; }
__device__ __forceinline__ float to_float(__half v) { return __half2float(v); }
__device__ __forceinline__ float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }

// The largest finite f16: a larger value is held there instead of becoming an infinity.
constexpr float MOST_F16 = 65504.0f;

template <class T> __device__ __forceinline__ T from_float(float v);
template <> __device__ __forceinline__ float from_float<float>(float v) { return v; }
template <> __device__ __forceinline__ __half from_float<__half>(float v) {
    return __float2half(fminf(fmaxf(v, -MOST_F16), MOST_F16));
}
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float v) { return __float2bfloat16(v); }

// What gate and up become. 0: SiLU, 1: GELU by tanh.
__device__ __forceinline__ float gated(int activation, float gate, float up) {
    if (activation == 0) return gate / (1.0f + __expf(-gate)) * up;
    const float root = 0.7978845608f;
    const float u = root * (gate + 0.044715f * gate * gate * gate);
    return gate / (1.0f + __expf(-2.0f * u)) * up;
}
