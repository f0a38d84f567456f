// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Descriptors rounded to bytes, and how far off that may put a score. With q' and d' for what the
// bytes of q and d stand for, by Cauchy-Schwarz
//   |q.d - q'.d'| <= |q - q'| |d| + |q'| |d - d'|.
// The sum q'.d' costs a quarter of q.d, and tells of most rows that they are not the best.
#pragma once

#include <cstdint>

#include "dot.hpp"

namespace mast3r_ros {

constexpr int kQuad = 4;  // channels that one instruction multiplies in a lane

/// Beyond this many channels a sum of products might not fit into 32 bits.
constexpr int kMostChannels = 1 << 16;

/// What the bytes of a query stand for: scale * byte.
struct RoundedQuery {
  double scale;
  double norm;       // |q'|
  double residual;   // |q - q'|
  std::int64_t sum;  // of the bytes
};

/// Fills the bytes of a query, `quads` * kQuad of them, zero beyond its channels.
RoundedQuery round_query(const float* query, int channels, int quads, std::int8_t* bytes);

/// What the bytes of some rows stand for: scale * (byte - bias).
struct RoundedRows {
  float scale;
  float residual;  // the largest |d - d'|
};

/// Fills the bytes of packed blocks: (blocks, quads, kBlock, kQuad) from (blocks, channels,
/// kBlock).
RoundedRows round_blocks(const float* packed, std::int64_t blocks, int channels, int quads,
                         int bias, std::uint8_t* bytes);

/// The least sum of products of bytes with which a row can score `bar`, `longest` being the norm of
/// the longest row, and `margin` more than the rounding of that score.
std::int32_t limit_of(double bar, const RoundedQuery& query, const RoundedRows& rows, int bias,
                      double longest, double margin);

}  // namespace mast3r_ros
