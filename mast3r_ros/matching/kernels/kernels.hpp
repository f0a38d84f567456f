// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// What a translation unit built for one instruction set offers, and which ones this machine can
// run.
#pragma once

#include <cstdint>
#include <vector>

#include "dot.hpp"

namespace mast3r_ros {

constexpr int kTile = 6;  // queries whose running sums share the registers

/// The best row so far of one query, and the best score of any other row.
struct Best {
  float score;
  float second;
  std::int32_t index;
};

struct Kernels {
  const char* name;
  /// Scores of 1..kTile queries against a packed block: out[i * kBlock + lane].
  void (*scores)(const float* const* queries, int count, const float* block, int channels,
                 float* out);
  /// Folds a packed block, whose lanes are the rows `order`, into the best of 1..kTile queries.
  void (*fold)(const float* const* queries, int count, const float* block,
               const std::int32_t* order, int channels, Best* const* best);
  /// The same, keeping the second best score too.
  void (*fold2)(const float* const* queries, int count, const float* block,
                const std::int32_t* order, int channels, Best* const* best);
  /// Where the largest of `count` values is, kBlock of them on end in every `stride`.
  std::int64_t (*largest)(const float* values, std::int64_t stride, std::int64_t count);
  /// The lanes of kBlock blocks that `can_reach` the threshold, as bits.
  std::uint64_t (*reach)(const float* along, float threshold, float squared, const float* low,
                         const float* high, const float* radius, float margin, float slack);
  /// Of 1..kTile queries in bytes, those, as bits, of which a row of a block in bytes reaches the
  /// limit: sum of row byte * query byte >= limits[i]. Null where no instruction multiplies bytes.
  unsigned (*screen)(const std::int8_t* const* queries, int count, const std::uint8_t* block,
                     int quads, const std::int32_t* limits) = nullptr;
  int bias = 0;  // of a row's bytes: what stands for 0
};

// Those of avx* are built for x86-64, those of neon* for aarch64. Call one only where the processor
// has the instructions: see available_kernels.
const Kernels* avx512vnni_kernels();
const Kernels* avx512_kernels();
const Kernels* avxvnni_kernels();
const Kernels* avx2_kernels();
const Kernels* neondot_kernels();
const Kernels* neon_kernels();
const Kernels* portable_kernels();

/// Those that this build holds and this processor runs, the fastest first.
std::vector<const Kernels*> available_kernels();

}  // namespace mast3r_ros
