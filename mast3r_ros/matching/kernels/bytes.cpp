// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "bytes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mast3r_ros {

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

}  // namespace mast3r_ros
