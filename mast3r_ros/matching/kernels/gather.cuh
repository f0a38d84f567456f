// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Rows of arrays at some indices: of what lies on the GPU, the host gets no more than it asks for.
#pragma once

namespace mast3r_ros {

struct Gather {
  const float* from;  // (any, width)
  const int* index;   // (count)
  float* to;          // (count, width)
  int width, count;
};

/// Grid (any, arrays).
extern "C" __global__ void gather(const Gather* arrays) {
  const Gather& array = arrays[blockIdx.y];
  const long long size = static_cast<long long>(array.count) * array.width;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += static_cast<long long>(gridDim.x) * blockDim.x) {
    const long long row = array.index[i / array.width];
    array.to[i] = array.from[row * array.width + i % array.width];
  }
}

}  // namespace mast3r_ros
