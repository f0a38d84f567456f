// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "bytes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace mast3r_ros {
namespace {

constexpr float kSteps = 127.0f;
constexpr float kTiny = 1e-30f;  // below it, a scale might be 0: all is then rounded to 0

float scale_of(float largest) { return largest > kTiny ? largest / kSteps : 1.0f; }

/// To the nearest whole number, for |value| < 2^22. As an addition, it becomes a vector's on every
/// machine.
float rounded(float value) { return (value + 12582912.0f) - 12582912.0f; }

}  // namespace

RoundedQuery round_query(const float* query, int channels, int quads, std::int8_t* bytes) {
  float largest = 0.0f;
  for (int k = 0; k < channels; ++k) largest = std::max(largest, std::abs(query[k]));
  const float scale = scale_of(largest), inverse = 1.0f / scale;
  RoundedQuery result{scale, 0.0, 0.0, 0};
  std::fill(bytes, bytes + quads * kQuad, std::int8_t(0));
  for (int k = 0; k < channels; ++k) {
    bytes[k] = std::int8_t(rounded(query[k] * inverse));
    const double stands = result.scale * bytes[k], rest = query[k] - stands;
    result.norm += stands * stands;
    result.residual += rest * rest;
    result.sum += bytes[k];
  }
  result.norm = std::sqrt(result.norm);
  result.residual = std::sqrt(result.residual);
  return result;
}

RoundedRows round_blocks(const float* packed, std::int64_t blocks, int channels, int quads,
                         int bias, std::uint8_t* bytes) {
  float most[kBlock] = {};
  for (std::int64_t i = 0; i < blocks * channels; ++i)
    for (int lane = 0; lane < kBlock; ++lane)
      most[lane] = std::max(most[lane], std::abs(packed[i * kBlock + lane]));
  const float scale = scale_of(*std::max_element(most, most + kBlock)), inverse = 1.0f / scale;
  float worst = 0.0f;
  for (std::int64_t b = 0; b < blocks; ++b) {
    float rest[kBlock] = {};
    for (int quad = 0; quad < quads; ++quad) {
      std::uint32_t four[kBlock] = {};
      for (int k = 0; k < kQuad; ++k) {
        const int channel = quad * kQuad + k;
        const float* values = packed + (b * channels + channel) * kBlock;
        for (int lane = 0; lane < kBlock; ++lane) {
          const float value = channel < channels ? values[lane] : 0.0f;
          const float step = rounded(value * inverse), off = value - step * scale;
          rest[lane] += off * off;
          four[lane] |= std::uint32_t(std::uint8_t(std::int32_t(step) + bias)) << 8 * k;
        }
      }
      std::memcpy(bytes + (b * quads + quad) * sizeof four, four, sizeof four);
    }
    worst = std::max(worst, *std::max_element(rest, rest + kBlock));
  }
  return {scale, std::sqrt(worst)};
}

std::int32_t limit_of(double bar, const RoundedQuery& query, const RoundedRows& rows, int bias,
                      double longest, double margin) {
  const double error = query.residual * longest + query.norm * rows.residual + margin;
  const double limit =
      std::floor((bar - error) / (query.scale * rows.scale)) + double(bias * query.sum);
  using Limits = std::numeric_limits<std::int32_t>;
  return std::int32_t(std::clamp(limit, double(Limits::min()), double(Limits::max())));
}

}  // namespace mast3r_ros
