// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// What `search` needs of an image besides its rows: cones and bytes. Two launches for all images.
#pragma once

#include "image.cuh"

namespace mast3r_ros {

/// Makes the rows of an array contiguous whose memory is laid out otherwise. Grid (any, arrays).
struct Strided {
  const float* from;
  float* to;
  long long strides[3];  // in floats
  int shape[3];
};

extern "C" __global__ void compact(const Strided* arrays) {
  const Strided& array = arrays[blockIdx.y];
  const long long inner = array.shape[2], middle = array.shape[1];
  const long long count = array.shape[0] * middle * inner;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<long long>(gridDim.x) * blockDim.x)
    array.to[i] = array.from[i / (middle * inner) * array.strides[0] +
                             i / inner % middle * array.strides[1] + i % inner * array.strides[2]];
}

/// The cone of each block, and what the rounding to bytes must know. One thread block of kBlock
/// threads a block of rows; grid (most blocks, images).
extern "C" __global__ void pack(const Image* images) {
  const Image& image = images[blockIdx.y];
  const int block = blockIdx.x, lane = threadIdx.x;
  if (block >= image.blocks) return;
  float* axis =
      image.axes + static_cast<long long>(block / kBlock) * CHANNELS * kBlock + block % kBlock;
  __shared__ int order[kBlock];
  __shared__ float along[kBlock], across[kBlock], scale;

  // Lanes beyond the image repeat the first row, so that they widen no cone.
  const int inside = row_of(image, block, lane);
  order[lane] = inside < 0 ? row_of(image, block, 0) : inside;
  const float* row = row_at(image, order[lane]);
  float squared = 0.0f, most = 0.0f;
  MAST3R_ROS_UNROLL
  for (int k = 0; k < CHANNELS; ++k) {
    squared = multiply_add(row[k], row[k], squared);
    most = fmaxf(most, fabsf(row[k]));
  }
  // As unsigned numbers, the bits of positive floats are in order, and those of NaN above them all.
  atomicMax(image.longest, squared < 1e36f ? __float_as_uint(squared) : kUnfit);
  atomicMax(&image.largest[block / kBlock], __float_as_uint(most));
  __syncthreads();

  for (int k = lane; k < CHANNELS; k += kBlock) {
    float mean = 0.0f;
    MAST3R_ROS_UNROLL
    for (int i = 0; i < kBlock; ++i) mean += row_at(image, order[i])[k];
    axis[k * kBlock] = mean;
  }
  __syncthreads();
  if (lane == 0) {
    const float norm = sqrtf(dot_strided(axis, axis, kBlock, kBlock, CHANNELS));
    scale = norm > 0.0f ? 1.0f / norm : 0.0f;
  }
  __syncthreads();
  for (int k = lane; k < CHANNELS; k += kBlock) axis[k * kBlock] *= scale;
  __syncthreads();
  const float own = dot_strided(axis, row, kBlock, 1, CHANNELS);
  float rest = 0.0f;
  MAST3R_ROS_UNROLL
  for (int k = 0; k < CHANNELS; ++k) {
    const float off = row[k] - own * axis[k * kBlock];
    rest += off * off;
  }
  along[lane] = own;
  across[lane] = rest;
  __syncthreads();
  if (lane == 0) {
    float low = own, high = own, widest = rest;
    for (int i = 1; i < kBlock; ++i) {
      low = fminf(low, along[i]);
      high = fmaxf(high, along[i]);
      widest = fmaxf(widest, across[i]);
    }
    image.low[block] = low;
    image.high[block] = high;
    image.radius[block] = sqrtf(widest);
  }
}

/// The rows as bytes, with one scale a part. A thread makes the 16 bytes of a tile of 16 rows and
/// 32 channels that its lane holds when tensor cores multiply: register r has row lane / 4 + r % 2
/// * 8 and the four channels from r / 2 * 16 + lane % 4 * 4. Grid (most blocks, images), after
/// `pack`.
extern "C" __global__ void round_rows(const Image* images) {
  const Image& image = images[blockIdx.y];
  const int block = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (block >= image.blocks) return;
  __shared__ float rests[kBlock][4];
  const float scale = rounded_part(image, block / kBlock).scale, inverse = 1.0f / scale;
  const float* rows[2];
  for (int half = 0; half < 2; ++half) {
    const int row = row_of(image, block, warp * 16 + lane / 4 + half * 8);
    rows[half] = row < 0 ? nullptr : row_at(image, row);
  }
  float rest[2] = {0.0f, 0.0f};
  for (int step = 0; step < kSteps; ++step) {
    unsigned words[4];
    for (int r = 0; r < 4; ++r) {
      words[r] = 0;
      const int first = step * 32 + r / 2 * 16 + lane % 4 * kQuad;
      for (int j = 0; j < kQuad; ++j) {
        const bool has = rows[r % 2] && first + j < CHANNELS;
        const float value = has ? rows[r % 2][first + j] : 0.0f;
        const float whole = rounded(value * inverse), off = value - whole * scale;
        rest[r % 2] += off * off;
        words[r] |= (static_cast<unsigned>(static_cast<int>(whole)) & 0xffu) << 8 * j;
      }
    }
    image.bytes[((static_cast<long long>(block) * kWarps + warp) * kSteps + step) * 32 + lane] =
        make_uint4(words[0], words[1], words[2], words[3]);
  }
  for (int half = 0; half < 2; ++half)
    rests[warp * 16 + lane / 4 + half * 8][lane % 4] = rest[half];
  __syncthreads();
  if (threadIdx.x >= kBlock) return;
  const float* four = rests[threadIdx.x];
  const float moved = sqrtf((four[0] + four[1]) + (four[2] + four[3]));
  atomicMax(&image.residual[block / kBlock], __float_as_uint(moved));
}

}  // namespace mast3r_ros
