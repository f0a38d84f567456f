// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Descriptors rounded to bytes, and how far off that may put a score. With q' and d' for what the
// bytes of q and d stand for, by Cauchy-Schwarz
//   |q.d - q'.d'| <= |q - q'| |d| + |q'| |d - d'|.
// The sum q'.d' is a sum of whole numbers: exact, in whatever order it is added. Included by the
// CPU and by the CUDA kernels.
#pragma once

#include "dot.hpp"

namespace mast3r_ros {

constexpr int kQuad = 4;  // channels in a 32-bit word of bytes

/// What the bytes of a query stand for: scale * byte.
struct RoundedQuery {
  double scale;
  double norm;      // |q'|
  double residual;  // |q - q'|
  long long sum;    // of the bytes
};

/// What the bytes of some rows stand for: scale * (byte - bias).
struct RoundedRows {
  float scale;
  float residual;  // the largest |d - d'|
};

/// The step of values up to `largest`. Below 1e-30 it might be 0: all is then rounded to 0.
MAST3R_ROS_SHARED float scale_of(float largest) {
  return largest > 1e-30f ? largest / 127.0f : 1.0f;
}

/// To the nearest whole number, for |value| < 2^22. As an addition, it becomes a vector's on every
/// machine.
MAST3R_ROS_SHARED float rounded(float value) { return (value + 12582912.0f) - 12582912.0f; }

/// Fills the bytes of a query: channel k goes to bytes[k / 4 * stride + k % 4], zero beyond the
/// last channel, `quads` * 4 of them.
MAST3R_ROS_SHARED RoundedQuery round_query(const float* query, int channels, int quads,
                                           signed char* bytes, int stride) {
  float largest = 0.0f;
  MAST3R_ROS_UNROLL
  for (int k = 0; k < channels; ++k) largest = fmaxf(largest, fabsf(query[k]));
  const float scale = scale_of(largest), inverse = 1.0f / scale;
  RoundedQuery result = {scale, 0.0, 0.0, 0};
  MAST3R_ROS_UNROLL
  for (int k = 0; k < quads * kQuad; ++k) {
    const float value = k < channels ? query[k] : 0.0f;
    const signed char byte = static_cast<signed char>(rounded(value * inverse));
    bytes[k / kQuad * stride + k % kQuad] = byte;
    const double stands = result.scale * byte, rest = value - stands;
    result.norm += stands * stands;
    result.residual += rest * rest;
    result.sum += byte;
  }
  result.norm = sqrt(result.norm);
  result.residual = sqrt(result.residual);
  return result;
}

/// The least sum of products of bytes with which a row can score `bar`, `longest` being the norm of
/// the longest row, and `margin` more than the rounding of that score.
MAST3R_ROS_SHARED int limit_of(double bar, const RoundedQuery& query, const RoundedRows& rows,
                               int bias, double longest, double margin) {
  const double error = query.residual * longest + query.norm * rows.residual + margin;
  const double limit =
      floor((bar - error) / (query.scale * rows.scale)) + static_cast<double>(bias * query.sum);
  return limit < -2147483648.0  ? -2147483647 - 1
         : limit > 2147483647.0 ? 2147483647
                                : static_cast<int>(limit);
}

}  // namespace mast3r_ros
