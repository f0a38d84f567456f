// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The kernels, written once over a vector type V and included by each instruction set's translation
// unit. V: `width` floats, load, broadcast, zero, fma, max, store, any_at_least. Everything is in
// an unnamed namespace, so that the linker cannot hand AVX-512 code to the portable unit.
#pragma once

#include "kernels.hpp"

namespace mast3r_ros {
namespace {

template <class V, int Queries, int Vectors>
inline void accumulate(const float* const* queries, const float* block, int channels,
                       V (&result)[Queries][Vectors]) {
  const float* rows[Queries];
  V sums[Queries][Vectors];  // not `result`, which the compiler would keep storing to
  for (int i = 0; i < Queries; ++i) {
    rows[i] = queries[i];
    for (int j = 0; j < Vectors; ++j) sums[i][j] = V::zero();
  }
  for (int k = 0; k < channels; ++k, block += kBlock) {
    V lanes[Vectors];
    for (int j = 0; j < Vectors; ++j) lanes[j] = V::load(block + j * V::width);
    for (int i = 0; i < Queries; ++i) {
      const V value = V::broadcast(rows[i] + k);
      for (int j = 0; j < Vectors; ++j) sums[i][j] = V::fma(value, lanes[j], sums[i][j]);
    }
  }
  for (int i = 0; i < Queries; ++i)
    for (int j = 0; j < Vectors; ++j) result[i][j] = sums[i][j];
}

template <class V, int Queries, int Vectors>
void scores_of(const float* const* queries, const float* block, int channels, float* out) {
  for (int lane = 0; lane < kBlock; lane += Vectors * V::width) {
    V sums[Queries][Vectors];
    accumulate(queries, block + lane, channels, sums);
    for (int i = 0; i < Queries; ++i)
      for (int j = 0; j < Vectors; ++j)
        V::store(out + i * kBlock + lane + j * V::width, sums[i][j]);
  }
}

template <bool Second>
inline void consider(float score, std::int32_t index, Best& best) {
  if (index == best.index) return;  // a lane beyond the image, or a block seen before
  if (beats(score, index, best.score, best.index)) {
    if (Second) best.second = best.score;
    best.score = score;
    best.index = index;
  } else if (Second && score > best.second) {
    best.second = score;
  }
}

template <class V, int Queries, int Vectors, bool Second>
void fold_of(const float* const* queries, const float* block, const std::int32_t* order,
             int channels, Best* const* best) {
  for (int lane = 0; lane < kBlock; lane += Vectors * V::width) {
    V sums[Queries][Vectors];
    accumulate(queries, block + lane, channels, sums);
    for (int i = 0; i < Queries; ++i) {
      V largest = sums[i][0];
      for (int j = 1; j < Vectors; ++j) largest = V::max(largest, sums[i][j]);
      // Seldom true once a good row is known: the sums then never leave the registers.
      if (!V::any_at_least(largest, Second ? best[i]->second : best[i]->score)) continue;
      float values[Vectors * V::width];
      for (int j = 0; j < Vectors; ++j) V::store(values + j * V::width, sums[i][j]);
      for (int j = 0; j < Vectors * V::width; ++j)
        consider<Second>(values[j], order[lane + j], *best[i]);
    }
  }
}

template <class V, int Vectors>
void scores(const float* const* queries, int count, const float* block, int channels, float* out) {
  switch (count) {
    case 1:
      return scores_of<V, 1, Vectors>(queries, block, channels, out);
    case 2:
      return scores_of<V, 2, Vectors>(queries, block, channels, out);
    case 3:
      return scores_of<V, 3, Vectors>(queries, block, channels, out);
    case 4:
      return scores_of<V, 4, Vectors>(queries, block, channels, out);
    case 5:
      return scores_of<V, 5, Vectors>(queries, block, channels, out);
    default:
      return scores_of<V, kTile, Vectors>(queries, block, channels, out);
  }
}

template <class V, int Vectors, bool Second>
void fold(const float* const* queries, int count, const float* block, const std::int32_t* order,
          int channels, Best* const* best) {
  switch (count) {
    case 1:
      return fold_of<V, 1, Vectors, Second>(queries, block, order, channels, best);
    case 2:
      return fold_of<V, 2, Vectors, Second>(queries, block, order, channels, best);
    case 3:
      return fold_of<V, 3, Vectors, Second>(queries, block, order, channels, best);
    case 4:
      return fold_of<V, 4, Vectors, Second>(queries, block, order, channels, best);
    case 5:
      return fold_of<V, 5, Vectors, Second>(queries, block, order, channels, best);
    default:
      return fold_of<V, kTile, Vectors, Second>(queries, block, order, channels, best);
  }
}

template <class V>
std::int64_t largest(const float* values, std::int64_t stride, std::int64_t count) {
  float best = values[0];
  std::int64_t found = 0;
  for (std::int64_t part = 0; part * kBlock < count; ++part) {
    const float* chunk = values + part * stride;
    const std::int64_t lanes = count - part * kBlock < kBlock ? count - part * kBlock : kBlock;
    V top = V::load(chunk);
    for (int lane = V::width; lane < kBlock; lane += V::width)
      top = V::max(top, V::load(chunk + lane));
    if (!V::any_at_least(top, best)) continue;
    for (std::int64_t lane = 0; lane < lanes; ++lane)
      if (chunk[lane] > best) {
        best = chunk[lane];
        found = part * kBlock + lane;
      }
  }
  return found;
}

std::uint64_t reach(const float* along, float threshold, float squared, const float* low,
                    const float* high, const float* radius, float margin, float slack) {
  std::int32_t kept[kBlock];
  std::int32_t any = 0;
  for (int lane = 0; lane < kBlock; ++lane) {
    const Cone cone{low[lane], high[lane], radius[lane]};
    kept[lane] = can_reach(threshold, along[lane], squared, cone, margin, slack);
    any |= kept[lane];
  }
  std::uint64_t bits = 0;
  if (any)
    for (int lane = 0; lane < kBlock; ++lane) bits |= std::uint64_t(kept[lane]) << lane;
  return bits;
}

template <class V, int Vectors>
const Kernels* kernels_of(const char* name) {
  static const Kernels kernels{
      name, scores<V, Vectors>, fold<V, Vectors, false>, fold<V, Vectors, true>, largest<V>, reach};
  return &kernels;
}

}  // namespace
}  // namespace mast3r_ros
