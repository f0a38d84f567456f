// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The coarse look at a block, four channels to a 32-bit lane: written once over a vector type V and
// included by each instruction set's translation unit, as simd.hpp is. V: `width` sums of 32 bits,
// `bias`, zero, load, broadcast, dot, max, any_at_least.
#pragma once

#include <cstring>

#include "kernels.hpp"

namespace mast3r_ros {
namespace {

/// Four bytes as the lane that they fill.
inline std::int32_t quad_at(const std::int8_t* bytes) {
  std::int32_t quad;
  std::memcpy(&quad, bytes, sizeof quad);
  return quad;
}

template <class V, int Queries, int Vectors>
inline void accumulate(const std::int8_t* const* queries, const std::uint8_t* block, int quads,
                       V (&result)[Queries][Vectors]) {
  const std::int8_t* rows[Queries];
  V sums[Queries][Vectors];  // not `result`, which the compiler would keep storing to
  for (int i = 0; i < Queries; ++i) {
    rows[i] = queries[i];
    for (int j = 0; j < Vectors; ++j) sums[i][j] = V::zero();
  }
  for (int k = 0; k < quads; ++k, block += 4 * kBlock) {
    V lanes[Vectors];
    for (int j = 0; j < Vectors; ++j) lanes[j] = V::load(block + 4 * j * V::width);
    for (int i = 0; i < Queries; ++i) {
      const V value = V::broadcast(quad_at(rows[i] + 4 * k));
      for (int j = 0; j < Vectors; ++j) sums[i][j] = V::dot(sums[i][j], lanes[j], value);
    }
  }
  for (int i = 0; i < Queries; ++i)
    for (int j = 0; j < Vectors; ++j) result[i][j] = sums[i][j];
}

template <class V, int Queries, int Vectors>
unsigned screen_of(const std::int8_t* const* queries, const std::uint8_t* block, int quads,
                   const std::int32_t* limits) {
  unsigned reached = 0;
  for (int lane = 0; lane < kBlock; lane += Vectors * V::width) {
    V sums[Queries][Vectors];
    accumulate(queries, block + 4 * lane, quads, sums);
    for (int i = 0; i < Queries; ++i) {
      V largest = sums[i][0];
      for (int j = 1; j < Vectors; ++j) largest = V::max(largest, sums[i][j]);
      reached |= unsigned(V::any_at_least(largest, limits[i])) << i;
    }
  }
  return reached;
}

template <class V, int Vectors>
unsigned screen(const std::int8_t* const* queries, int count, const std::uint8_t* block, int quads,
                const std::int32_t* limits) {
  switch (count) {
    case 1:
      return screen_of<V, 1, Vectors>(queries, block, quads, limits);
    case 2:
      return screen_of<V, 2, Vectors>(queries, block, quads, limits);
    case 3:
      return screen_of<V, 3, Vectors>(queries, block, quads, limits);
    case 4:
      return screen_of<V, 4, Vectors>(queries, block, quads, limits);
    case 5:
      return screen_of<V, 5, Vectors>(queries, block, quads, limits);
    default:
      return screen_of<V, kTile, Vectors>(queries, block, quads, limits);
  }
}

template <class V, int Vectors>
Kernels screened(const char* name, const Kernels& exact) {
  Kernels kernels = exact;
  kernels.name = name;
  kernels.screen = screen<V, Vectors>;
  kernels.bias = V::bias;
  return kernels;
}

}  // namespace
}  // namespace mast3r_ros
