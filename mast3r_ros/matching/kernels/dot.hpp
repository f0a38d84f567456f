// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of a match, the same bits on every machine: CPU kernels, CUDA kernels and tests
// include it.
#pragma once

#ifdef __CUDACC__
#define MAST3R_ROS_SHARED __host__ __device__ __forceinline__
// Not all channels: that takes too many registers, and seconds to compile.
#define MAST3R_ROS_UNROLL _Pragma("unroll 8")
#else
#define MAST3R_ROS_UNROLL
#include <cmath>
#include <cstring>
// static: a translation unit built for a wider instruction set must not lend its copy to the
// others.
#define MAST3R_ROS_SHARED static inline
#endif

namespace mast3r_ros {

constexpr int kBlock = 64;  // database rows packed side by side: an 8 x 8 patch of the image

MAST3R_ROS_SHARED float multiply_add(float a, float b, float sum) { return fmaf(a, b, sum); }

/// The score: channels in order, one rounding a channel. A stride of kBlock goes through a packed
/// block.
MAST3R_ROS_SHARED float dot_strided(const float* a, const float* b, int a_stride, int b_stride,
                                    int channels) {
  float sum = 0.0f;
  MAST3R_ROS_UNROLL
  for (int k = 0; k < channels; ++k) sum = multiply_add(a[k * a_stride], b[k * b_stride], sum);
  return sum;
}

MAST3R_ROS_SHARED float dot(const float* query, const float* row, int stride, int channels) {
  return dot_strided(query, row, 1, stride, channels);
}

/// Larger score first, then the first index.
MAST3R_ROS_SHARED bool beats(float score, int index, float best, int best_index) {
  return score > best || (score == best && index < best_index);
}

/// A score and an index as one number: of two, `beats` holds for the larger. All are above 0.
MAST3R_ROS_SHARED unsigned long long key_of(float score, unsigned index) {
  unsigned bits;
#ifdef __CUDACC__
  bits = __float_as_uint(score);
#else
  std::memcpy(&bits, &score, sizeof bits);
#endif
  if (score == 0.0f) bits = 0u;  // -0 ties with 0
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<unsigned long long>(bits) << 32 | (0xffffffffu - index);
}

MAST3R_ROS_SHARED unsigned index_of(unsigned long long key) {
  return 0xffffffffu - static_cast<unsigned>(key);
}

MAST3R_ROS_SHARED float score_of(unsigned long long key) {
  unsigned bits = static_cast<unsigned>(key >> 32);
  bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
#ifdef __CUDACC__
  return __uint_as_float(bits);
#else
  float score;
  std::memcpy(&score, &bits, sizeof score);
  return score;
#endif
}

/// A block's rows around its unit axis u: low <= u.d <= high, and |d - (u.d) u| <= radius.
struct Cone {
  float low, high, radius;
};

/// Whether a row of the block can score `threshold` or more.
///
/// q.d = (u.q)(u.d) + (q - (u.q) u).(d - (u.d) u), and by Cauchy-Schwarz the second part is at most
/// sqrt(|q|^2 - (u.q)^2) * radius. `squared` is |q|^2, `along` is u.q, and `slack` (see `slack_of`)
/// is more than all of the rounding, relative to |q| times the longest row.
MAST3R_ROS_SHARED bool can_reach(float threshold, float along, float squared, Cone cone,
                                 float margin, float slack) {
  const float low = along * cone.low, high = along * cone.high;
  const float missing = threshold - margin - (low > high ? low : high);
  const float across = squared - along * along;
  const float room = (across > 0.0f ? across : 0.0f) + slack * squared;
  return missing <= 0.0f || missing * missing <= room * cone.radius * cone.radius;
}

/// Rounding of a dot product of `channels` terms relative to the norms, eight times over.
MAST3R_ROS_SHARED float slack_of(int channels) { return 8.0f * 5.9604645e-8f * (channels + 4); }

}  // namespace mast3r_ros
