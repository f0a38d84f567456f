// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Rotary positions of queries and keys in one launch, in place, with one rounding. What
// network/rope.py does in eight launches and as many passes over memory.
#pragma once

namespace mast3r_ros {

/// Queries or keys (batch, tokens, heads, width), of which heads and widths are contiguous.
struct Turned {
  void* values;
  const void* cos;                       // (tokens, width), as the next one
  const void* sin;                       // signed, see rope.py
  long long batch_stride, token_stride;  // in elements
  int batch, tokens, heads, width;
};

struct Rotary {
  Turned sides[2];
  int type;  // 0: float32, 1: float16, 2: bfloat16
};

struct Float {
  using Stored = float;
  static __device__ __forceinline__ float load(float value) { return value; }
  static __device__ __forceinline__ float store(float value) { return value; }
};

struct Half {
  using Stored = unsigned short;
  static __device__ __forceinline__ float load(unsigned short bits) {
#ifdef __CUDACC__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#else
    _Float16 half;
    __builtin_memcpy(&half, &bits, sizeof half);
    return static_cast<float>(half);
#endif
  }
  static __device__ __forceinline__ unsigned short store(float value) {
#ifdef __CUDACC__
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    const _Float16 half = static_cast<_Float16>(value);
    unsigned short bits;
    __builtin_memcpy(&bits, &half, sizeof bits);
    return bits;
#endif
  }
};

struct Brain {
  using Stored = unsigned short;
  static __device__ __forceinline__ float load(unsigned short bits) {
    return __uint_as_float(static_cast<unsigned>(bits) << 16);
  }
  static __device__ __forceinline__ unsigned short store(float value) {
    const unsigned bits = __float_as_uint(value);
    if (!(value == value)) return 0x7fffu;
    return static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }
};

template <class Type>
__device__ __forceinline__ void turn_pairs(const Turned& side) {
  using Stored = typename Type::Stored;
  auto* values = static_cast<Stored*>(side.values);
  const auto* cosines = static_cast<const Stored*>(side.cos);
  const auto* sines = static_cast<const Stored*>(side.sin);
  const int pairs = side.width / 2, quarter = side.width / 4;
  const long long inner = static_cast<long long>(side.heads) * pairs;
  const long long count = side.batch * (side.tokens * inner);
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<long long>(gridDim.x) * blockDim.x) {
    const long long row = i / inner;
    const int rest = static_cast<int>(i % inner), head = rest / pairs, pair = rest % pairs;
    const int token = static_cast<int>(row % side.tokens);
    const int first = pair / quarter * 2 * quarter + pair % quarter, second = first + quarter;
    Stored* at = values + row / side.tokens * side.batch_stride + token * side.token_stride +
                 static_cast<long long>(head) * side.width;
    const long long table = static_cast<long long>(token) * side.width;
    const float a = Type::load(at[first]), b = Type::load(at[second]);
    at[first] =
        Type::store(a * Type::load(cosines[table + first]) + b * Type::load(sines[table + first]));
    at[second] = Type::store(b * Type::load(cosines[table + second]) +
                             a * Type::load(sines[table + second]));
  }
}

/// Grid (any, 2): queries and keys.
extern "C" __global__ void rotate(const Rotary rotary) {
  const Turned& side = rotary.sides[blockIdx.y];
  if (rotary.type == 0) turn_pairs<Float>(side);
  if (rotary.type == 1) turn_pairs<Half>(side);
  if (rotary.type == 2) turn_pairs<Brain>(side);
}

}  // namespace mast3r_ros
