// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Packed blocks of descriptors rounded to bytes (rounding.hpp), four channels to a lane. A sum of
// bytes costs a quarter of a score, and shows of most rows that they are not the best.
#pragma once

#include <cstdint>

#include "rounding.hpp"

namespace mast3r_ros {

/// Beyond this many channels a sum of products might not fit into 32 bits.
constexpr int kMostChannels = 1 << 16;

/// Fills the bytes of packed blocks: (blocks, quads, kBlock, kQuad) from (blocks, channels,
/// kBlock).
RoundedRows round_blocks(const float* packed, std::int64_t blocks, int channels, int quads,
                         int bias, std::uint8_t* bytes);

}  // namespace mast3r_ros
