// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Nearest descriptors and reciprocal matching on the GPU, with the bits of the CPU. NOT RUN ON A
// GPU YET: compiled for four architectures, and run on the CPU by test/matching/emulate.hpp.
//
// Compiled at run time by NVRTC with CHANNELS defined. float32 FMA in the order of dot.hpp, so that
// no second look is needed; blocks that cannot hold a better row are passed over, as in index.cpp.
// The scores live in registers. Every launch reads its number of queries on the device: the host
// never waits.
#include "dot.hpp"

namespace mast3r_ros {

typedef unsigned long long Key;

constexpr int kThreads = 128;  // 8 x 16 threads, each with 4 queries x 4 rows
constexpr int kQueries = 32;   // of a thread block
constexpr int kChunk = CHANNELS < 64 ? CHANNELS : 64;  // channels in shared memory at a time
constexpr int kResident = 5;                           // thread blocks of `search` on a processor
constexpr int kScan = 512;                             // threads that keep the order of a list
constexpr int kPatch = 8;

/// The descriptors of one image; all but the rows are made by `pack`.
struct Image {
  const float* rows;  // (count, CHANNELS)
  float* packed;      // (blocks, CHANNELS, kBlock)
  float* axes;        // the blocks' axes, packed as the rows are; zero beyond the last
  float* low;
  float* high;
  float* radius;
  unsigned* longest;  // square of the longest row, as bits; those of NaN if a row is unfit
  int count, height, width, blocks;  // height 0: rows without an image
};

/// The seeds of one image pair on their way. A plain search is half a round of it.
struct Walk {
  Image first, second;
  const int* seeds;  // (count) pixels of the first image; null for all of them in order
  int* pixel;        // (count) where each seed has come to in the first image
  int* partner;      // (count) and in the second
  int* settled;      // (count) 1 where pixel and partner are reciprocal
  int* active;       // (count) the seeds that go on, in order
  int* left;         // (1) how many do
  Key* keys;         // (count) best of each active seed
  int* basin;        // (first.count) as in reciprocal.py, or null
  int count;
};

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

// --- Packing
// ---------------------------------------------------------------------------------------

/// One thread block of kBlock threads a block of rows; grid (most blocks, images).
extern "C" __global__ void pack(const Image* images) {
  const Image image = images[blockIdx.y];
  const int block = blockIdx.x, lane = threadIdx.x;
  if (block >= image.blocks) return;
  float* packed = image.packed + static_cast<long long>(block) * CHANNELS * kBlock;
  float* axis =
      image.axes + static_cast<long long>(block / kBlock) * CHANNELS * kBlock + block % kBlock;
  __shared__ float along[kBlock], across[kBlock], scale;

  // Lanes beyond the image repeat the first row, so that they widen no cone.
  const int inside = row_of(image, block, lane);
  const float* row =
      image.rows + static_cast<long long>(inside < 0 ? row_of(image, block, 0) : inside) * CHANNELS;
  for (int k = 0; k < CHANNELS; ++k) packed[k * kBlock + lane] = row[k];
  const float squared = dot(row, row, 1, CHANNELS);
  // As unsigned numbers, the bits of positive floats are in order, and those of NaN above them all.
  const bool fit = squared < 1e36f;
  atomicMax(image.longest, fit ? __float_as_uint(squared) : 0x7fffffffu);
  __syncthreads();

  for (int k = lane; k < CHANNELS; k += kBlock) {
    float mean = 0.0f;
    for (int i = 0; i < kBlock; ++i) mean += packed[k * kBlock + i];
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
  const float own = dot_strided(axis, packed + lane, kBlock, kBlock, CHANNELS);
  float rest = 0.0f;
  for (int k = 0; k < CHANNELS; ++k) {
    const float off = packed[k * kBlock + lane] - own * axis[k * kBlock];
    rest += off * off;
  }
  along[lane] = own;
  across[lane] = rest;
  __syncthreads();
  if (lane == 0) {
    float low = own, high = own, most = rest;
    for (int i = 1; i < kBlock; ++i) {
      low = fminf(low, along[i]);
      high = fmaxf(high, along[i]);
      most = fmaxf(most, across[i]);
    }
    image.low[block] = low;
    image.high[block] = high;
    image.radius[block] = sqrtf(most);
  }
}

// --- Searching
// -------------------------------------------------------------------------------------

struct alignas(16) Tile {
  float queries[kChunk][kQueries];
  float rows[kChunk][kBlock];
};

/// sums[i][j] = score of query 4 * (thread / 16) + i with lane 4 * (thread % 16) + j of a packed
/// block.
__device__ __forceinline__ void multiply(Tile& tile, const float* const* query, const float* block,
                                         bool reload, float (&sums)[4][4]) {
  const int q = threadIdx.x / 16 * 4, lane = threadIdx.x % 16 * 4;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) sums[i][j] = 0.0f;
  for (int start = 0; start < CHANNELS; start += kChunk) {
    const int channels = CHANNELS - start < kChunk ? CHANNELS - start : kChunk;
    __syncthreads();  // all are done with what the tile held
    if (reload || CHANNELS > kChunk)
      for (int i = threadIdx.x; i < channels * kQueries; i += kThreads) {
        const float* row = query[i % kQueries];
        tile.queries[i / kQueries][i % kQueries] = row ? row[start + i / kQueries] : 0.0f;
      }
    for (int i = threadIdx.x; i < channels * kBlock; i += kThreads)
      tile.rows[i / kBlock][i % kBlock] = block[start * kBlock + i];
    __syncthreads();
    for (int k = 0; k < channels; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          sums[i][j] = multiply_add(tile.queries[k][q + i], tile.rows[k][lane + j], sums[i][j]);
  }
}

__device__ __forceinline__ void raise(Key* best, Key key) {
  if (key > *best) atomicMax(best, key);
}

/// Folds the scores of four queries with one candidate into their best.
__device__ __forceinline__ void fold(const float (&sums)[4][4], int j, unsigned index, Key* best) {
  for (int i = 0; i < 4; ++i)
    // Of a key of 0 the score is NaN, which no score is less than.
    if (!(sums[i][j] < score_of(best[i]))) raise(&best[i], key_of(sums[i][j], index));
}

/// The best row for each active seed. Grid (kQueries seeds, slices of the image, walks).
extern "C" __global__ void __launch_bounds__(kThreads, kResident)
    search(const Walk* walks, int backward) {
  const Walk& walk = walks[blockIdx.z];
  const int base = blockIdx.x * kQueries, left = *walk.left;
  if (base >= left) return;
  const Image& from = backward ? walk.second : walk.first;
  const Image& to = backward ? walk.first : walk.second;
  __shared__ Tile tile;
  __shared__ const float* query[kQueries];
  __shared__ float squared[kQueries];
  __shared__ Key best[kQueries], guess[kQueries];
  __shared__ unsigned promising[kBlock / 32];

  const int q0 = threadIdx.x / 16 * 4, lane0 = threadIdx.x % 16 * 4;
  const float slack = slack_of(CHANNELS), longest = sqrtf(__uint_as_float(*to.longest));
  const long long stride = static_cast<long long>(CHANNELS) * kBlock;
  const int parts = (to.blocks + kBlock - 1) / kBlock;
  if (threadIdx.x < kQueries) {
    const int i = base + threadIdx.x;
    const int seed = i < left ? walk.active[i] : -1;
    const int pixel = seed < 0 ? -1 : (backward ? walk.partner[seed] : walk.pixel[seed]);
    const float* row = pixel < 0 ? nullptr : from.rows + static_cast<long long>(pixel) * CHANNELS;
    query[threadIdx.x] = row;
    squared[threadIdx.x] = row ? dot(row, row, 1, CHANNELS) : 0.0f;
    best[threadIdx.x] = guess[threadIdx.x] = 0;
  }

  // The block whose axis is nearest, and the best of its rows: a bar that most blocks do not reach.
  bool reload = true;
  float sums[4][4];
  for (int part = blockIdx.y; part < parts; part += gridDim.y) {
    multiply(tile, query, to.axes + part * stride, reload, sums);
    reload = false;
    for (int j = 0; j < 4; ++j) {
      const int block = part * kBlock + lane0 + j;
      if (block < to.blocks) fold(sums, j, block, &guess[q0]);
    }
  }
  __syncthreads();
  for (int q = threadIdx.x / kBlock; q < kQueries; q += kThreads / kBlock) {
    if (query[q] == nullptr || guess[q] == 0) continue;
    const int block = index_of(guess[q]), lane = threadIdx.x % kBlock;
    const int row = row_of(to, block, lane);
    const float score = dot(query[q], to.packed + block * stride + lane, kBlock, CHANNELS);
    if (row >= 0) raise(&best[q], key_of(score, row));
  }

  for (int part = blockIdx.y; part < parts; part += gridDim.y) {
    multiply(tile, query, to.axes + part * stride, false, sums);
    if (threadIdx.x < kBlock / 32) promising[threadIdx.x] = 0;
    // What the other slices have found so far raises the bar here.
    if (threadIdx.x < kQueries && base + static_cast<int>(threadIdx.x) < left)
      raise(&best[threadIdx.x], atomicMax(&walk.keys[base + threadIdx.x], best[threadIdx.x]));
    __syncthreads();
    for (int j = 0; j < 4; ++j) {
      const int block = part * kBlock + lane0 + j;
      if (block >= to.blocks) continue;
      const Cone cone = {to.low[block], to.high[block], to.radius[block]};
      bool reached = false;
      for (int i = 0; i < 4; ++i) {
        const int q = q0 + i;
        if (query[q] == nullptr || block == static_cast<int>(index_of(guess[q]))) continue;
        const float margin = slack * sqrtf(squared[q]) * longest;
        reached |= can_reach(score_of(best[q]), sums[i][j], squared[q], cone, margin, slack);
      }
      if (reached) atomicOr(&promising[(lane0 + j) / 32], 1u << (lane0 + j) % 32);
    }
    __syncthreads();
    for (int b = 0; b < kBlock; ++b) {
      if (!(promising[b / 32] >> b % 32 & 1u)) continue;
      const int block = part * kBlock + b;
      multiply(tile, query, to.packed + block * stride, false, sums);
      for (int j = 0; j < 4; ++j) {
        const int row = row_of(to, block, lane0 + j);
        if (row >= 0) fold(sums, j, row, &best[q0]);
      }
    }
    __syncthreads();
  }
  if (threadIdx.x < kQueries && base + static_cast<int>(threadIdx.x) < left)
    atomicMax(&walk.keys[base + threadIdx.x], best[threadIdx.x]);
}

// --- Walking
// ---------------------------------------------------------------------------------------

/// Sets every seed to where it starts. Grid (seeds, walks).
extern "C" __global__ void start(const Walk* walks) {
  const Walk& walk = walks[blockIdx.y];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i == 0) *walk.left = walk.count;
  if (i >= walk.count) return;
  walk.pixel[i] = walk.seeds ? walk.seeds[i] : i;
  walk.partner[i] = -1;
  walk.settled[i] = 0;
  walk.active[i] = i;
  walk.keys[i] = 0;
}

/// Moves the active seeds to what `search` found and keeps those that go on, in their order, which
/// keeps seeds that lie near one another together. One thread block of kScan threads a walk.
extern "C" __global__ void __launch_bounds__(kScan) turn(const Walk* walks, int backward) {
  const Walk& walk = walks[blockIdx.x];
  __shared__ int sums[kScan];
  __shared__ int kept;
  const int left = *walk.left, thread = threadIdx.x;
  if (thread == 0) kept = 0;
  for (int chunk = 0; chunk < left; chunk += kScan) {
    const int i = chunk + thread;
    int seed = -1, on = 0;
    if (i < left) {
      seed = walk.active[i];
      const int found = index_of(walk.keys[i]), here = walk.pixel[seed];
      // Settled: the same partner as a round ago, or back where it set out.
      on = found != (backward ? here : walk.partner[seed]);
      if (backward) {
        walk.pixel[seed] = found;
      } else {
        walk.partner[seed] = found;
      }
      if (!on) walk.settled[seed] = 1;
      if (walk.basin && (backward || !on)) walk.basin[here] = backward ? found : here;
      walk.keys[i] = 0;
    }
    sums[thread] = on;
    __syncthreads();
    for (int step = 1; step < kScan; step *= 2) {
      const int before = thread >= step ? sums[thread - step] : 0;
      __syncthreads();
      sums[thread] += before;
      __syncthreads();
    }
    const int place = kept + sums[thread] - 1;
    if (on) walk.active[place] = seed;  // never beyond what has been read
    __syncthreads();
    if (thread == 0) kept += sums[kScan - 1];
    __syncthreads();
  }
  if (thread == 0) *walk.left = kept;
}

}  // namespace mast3r_ros
