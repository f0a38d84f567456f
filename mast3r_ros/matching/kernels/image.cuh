// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The descriptors of one image on the GPU, and how their rows lie in blocks.
#pragma once

#include "rounding.hpp"

namespace mast3r_ros {

typedef unsigned long long Key;

constexpr int kPatch = 8;
constexpr int kSteps = (CHANNELS + 31) / 32;  // of 32 channels, as many as a tensor core multiplies
constexpr int kWarps = 4;                     // each with 16 rows of a block
constexpr unsigned kUnfit = 0x7fffffffu;      // in `longest`: a row is NaN, inf or too long

/// A part is kBlock blocks, of which each has a lane among the axes.
struct Image {
  const float* rows;  // (count, CHANNELS)
  float* axes;        // (parts, CHANNELS, kBlock), zero beyond the last block
  float* low;         // (parts * kBlock), as the next two: a cone a block
  float* high;
  float* radius;
  uint4* bytes;        // (blocks, kWarps, kSteps, 32): a block in the order of the tensor cores
  unsigned* largest;   // (parts) the largest absolute value, as bits
  unsigned* residual;  // (parts) the most that rounding to bytes moves a row, as bits
  unsigned* longest;   // (1) square of the longest row, as bits; kUnfit where a row is
  int count, height, width, blocks;  // height 0: rows without an image
};

MAST3R_ROS_SHARED int parts_of(const Image& image) { return (image.blocks + kBlock - 1) / kBlock; }

/// The row in a lane of a block, -1 beyond the image.
MAST3R_ROS_SHARED int row_of(const Image& image, int block, int lane) {
  if (image.height == 0) {
    const int row = block * kBlock + lane;
    return row < image.count ? row : -1;
  }
  const int across = (image.width + kPatch - 1) / kPatch;
  const int y = block / across * kPatch + lane / kPatch,
            x = block % across * kPatch + lane % kPatch;
  return y < image.height && x < image.width ? y * image.width + x : -1;
}

MAST3R_ROS_SHARED const float* row_at(const Image& image, int row) {
  return image.rows + static_cast<long long>(row) * CHANNELS;
}

__device__ __forceinline__ RoundedRows rounded_part(const Image& image, int part) {
  return {scale_of(__uint_as_float(image.largest[part])), __uint_as_float(image.residual[part])};
}

}  // namespace mast3r_ros
