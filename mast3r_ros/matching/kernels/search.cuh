// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Three looks, as in search.cpp: cones pass over blocks, tensor cores multiply bytes, and what the
// bytes cannot rule out is scored in float32, in the order of dot.hpp. So the answer has the bits
// of the CPU. The scores live in registers; the matrix of scores is never written.
#pragma once

#include "walk.cuh"

namespace mast3r_ros {

constexpr int kThreads = 32 * kWarps;
constexpr int kQueries = 32;                           // of a thread block
constexpr int kTiles = kQueries / 8;                   // queries that a tensor core takes at once
constexpr int kChunk = CHANNELS < 64 ? CHANNELS : 64;  // channels in shared memory at a time
constexpr int kGroup = 16;                             // blocks screened before rows are scored
constexpr int kQueue = 1024;                           // rows that wait to be scored
// Thread blocks of `search` on a processor: what the registers allow.
constexpr int kResident = CHANNELS > 64 ? 3 : 4;
// Rows scored one by one cost about so many times what a row costs in `multiply`.
constexpr int kDense = 8;

struct alignas(16) Tile {
  float queries[kChunk][kQueries];
  float rows[kChunk][kBlock + 4];  // of another stride than the memory banks
};

struct Shared {
  Tile tile;
  Key best[kQueries], guess[kQueries];
  const float* query[kQueries];
  RoundedQuery rounded[kQueries];
  Key all, screened, scored;  // pairs of a query and a row
  float squared[kQueries];
  unsigned words[8 * kSteps][kQueries];  // bytes of the queries, by fours
  int limits[kQueries];                  // least sums of bytes that are good enough
  unsigned promising[kBlock / 32];       // blocks of a part, as bits
  unsigned queue[kQueue], queued;        // query << 12 | block of the part << 6 | lane
  bool dense;                            // the bytes rule out too little: score every row
};

/// What other threads may be raising.
__device__ __forceinline__ Key load(const Key* key) {
#ifdef __CUDACC__
  Key value;
  asm volatile("ld.relaxed.cta.u64 %0, [%1];" : "=l"(value) : "l"(key) : "memory");
  return value;
#else
  return *key;
#endif
}

__device__ __forceinline__ void raise(Key* best, Key key) {
  if (key > load(best)) atomicMax(best, key);
}

#ifdef __CUDACC__
/// sums += rows * query: 16 rows by 32 channels in bytes, times 32 channels by 8 queries. All
/// threads of a warp together.
__device__ __forceinline__ void multiply_bytes(int (&sums)[4], uint4 rows, uint2 query) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(rows.x), "r"(rows.y), "r"(rows.z), "r"(rows.w), "r"(query.x), "r"(query.y));
}
#endif

// --- In float32 ---------------------------------------------------------------------------------

/// sums[i][j] = score of query 4 * (thread / 16) + i with column 4 * (thread % 16) + j, where
/// `value(column, channel)` is a row's. `by_column`: in memory, the columns lie side by side.
template <class Value>
__device__ __forceinline__ void multiply(Shared& shared, bool reload, bool by_column,
                                         const Value& value, float (&sums)[4][4]) {
  Tile& tile = shared.tile;
  const int q = threadIdx.x / 16 * 4, lane = threadIdx.x % 16 * 4;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) sums[i][j] = 0.0f;
  for (int start = 0; start < CHANNELS; start += kChunk) {
    const int channels = CHANNELS - start < kChunk ? CHANNELS - start : kChunk;
    __syncthreads();  // all are done with what the tile held
    if (reload || CHANNELS > kChunk)
      for (int i = threadIdx.x; i < channels * kQueries; i += kThreads) {
        const float* row = shared.query[i / channels];
        tile.queries[i % channels][i / channels] = row ? row[start + i % channels] : 0.0f;
      }
    for (int i = threadIdx.x; i < channels * kBlock; i += kThreads) {
      const int column = by_column ? i % kBlock : i / channels;
      const int channel = by_column ? i / kBlock : i % channels;
      tile.rows[channel][column] = value(column, start + channel);
    }
    __syncthreads();
    for (int k = 0; k < channels; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          sums[i][j] = multiply_add(tile.queries[k][q + i], tile.rows[k][lane + j], sums[i][j]);
  }
}

/// Scores of the axes of a part.
__device__ __forceinline__ void multiply_axes(Shared& shared, const Image& to, int part,
                                              bool reload, float (&sums)[4][4]) {
  const float* axes = to.axes + static_cast<long long>(part) * CHANNELS * kBlock;
  multiply(
      shared, reload, true,
      [=](int column, int channel) { return axes[channel * kBlock + column]; }, sums);
}

/// Folds the scores of four queries with one candidate into their best.
__device__ __forceinline__ void fold(const float (&sums)[4][4], int j, unsigned index, Key* best) {
  for (int i = 0; i < 4; ++i)
    // Of a key of 0 the score is NaN, which no score is less than.
    if (!(sums[i][j] < score_of(load(&best[i])))) raise(&best[i], key_of(sums[i][j], index));
}

/// Scores every row of a block.
__device__ __forceinline__ void score_block(Shared& shared, const Image& to, int block) {
  float sums[4][4];
  multiply(
      shared, false, false,
      [&](int column, int channel) {
        const int row = row_of(to, block, column);
        return row < 0 ? 0.0f : row_at(to, row)[channel];
      },
      sums);
  for (int j = 0; j < 4; ++j) {
    const int row = row_of(to, block, threadIdx.x % 16 * 4 + j);
    if (row >= 0) fold(sums, j, row, &shared.best[threadIdx.x / 16 * 4]);
  }
}

/// Scores one row.
__device__ __forceinline__ void score_row(Shared& shared, const Image& to, int q, int block,
                                          int lane) {
  const int row = row_of(to, block, lane);
  if (row >= 0)
    raise(&shared.best[q], key_of(dot(shared.query[q], row_at(to, row), 1, CHANNELS), row));
}

// --- In bytes -----------------------------------------------------------------------------------

/// Of a query, the least sum of bytes of a row in a part that is good enough.
__device__ __forceinline__ int aim(const Shared& shared, int q, RoundedRows rows, float longest) {
  if (shared.query[q] == nullptr) return 0x7fffffff;
  const Key best = load(&shared.best[q]);
  if (best == 0) return -0x7fffffff - 1;
  const float margin = slack_of(CHANNELS) * sqrtf(shared.squared[q]) * longest;
  return limit_of(score_of(best), shared.rounded[q], rows, 0, longest, margin);
}

/// The 16 rows of a block that a warp multiplies.
struct Rows {
  uint4 steps[kSteps];
  __device__ __forceinline__ Rows(const Image& to, int block) {
    const long long tile = static_cast<long long>(block) * kWarps + threadIdx.x / 32;
    for (int step = 0; step < kSteps; ++step)
      steps[step] = to.bytes[(tile * kSteps + step) * 32 + threadIdx.x % 32];
  }
};

/// The queries of a thread block as tensor cores take them: register r of a lane has query lane / 4
/// of a tile, and the four channels from r * 16 + lane % 4 * 4 of a step.
struct Columns {
  uint2 steps[kSteps][kTiles];
  __device__ __forceinline__ explicit Columns(const Shared& shared) {
    const int lane = threadIdx.x % 32;
    for (int step = 0; step < kSteps; ++step)
      for (int t = 0; t < kTiles; ++t) {
        const unsigned (*words)[kQueries] = shared.words + step * 8 + lane % 4;
        steps[step][t] = make_uint2(words[0][t * 8 + lane / 4], words[4][t * 8 + lane / 4]);
      }
  }
};

/// Queues the rows of a block that the bytes cannot rule out, and counts those for which the queue
/// is too short. Register c of a lane has row lane / 4 + c / 2 * 8 and query lane % 4 * 2 + c % 2.
__device__ __forceinline__ void screen(Shared& shared, const Image& to, int block, const Rows& rows,
                                       const Columns& columns, const int (&limits)[kTiles][2]) {
  int sums[kTiles][4] = {};
#pragma unroll
  for (int step = 0; step < kSteps; ++step)
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
      multiply_bytes(sums[t], rows.steps[step], columns.steps[step][t]);
  bool any = false;
#pragma unroll
  for (int t = 0; t < kTiles; ++t)
#pragma unroll
    for (int c = 0; c < 4; ++c) any |= sums[t][c] >= limits[t][c % 2];
  if (any) {
    const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        if (sums[t][c] < limits[t][c % 2]) continue;
        const int q = t * 8 + lane % 4 * 2 + c % 2, row = first + c / 2 * 8;
        const unsigned place = atomicAdd(&shared.queued, 1u);
        if (place < kQueue) shared.queue[place] = q << 12 | block % kBlock << 6 | row;
      }
  }
  __syncwarp();  // tensor cores need the whole warp
}

/// Screens up to kGroup of the blocks in `bits`, clears those, and scores what is left of them.
__device__ __forceinline__ void screen_group(Shared& shared, const Image& to, int part,
                                             unsigned long long& bits, const Columns& columns) {
  const int lane = threadIdx.x % 32, count = __popcll(bits) < kGroup ? __popcll(bits) : kGroup;
  int limits[kTiles][2];
  for (int t = 0; t < kTiles; ++t)
    for (int c = 0; c < 2; ++c) limits[t][c] = shared.limits[t * 8 + lane % 4 * 2 + c];
  int block = part * kBlock + __ffsll(bits) - 1;
  Rows rows(to, block);
  const unsigned long long before = bits;
  for (int n = 0; n < count; ++n) {
    bits &= bits - 1;
    // The next rows are on their way while these are multiplied.
    const int next = n + 1 < count ? part * kBlock + __ffsll(bits) - 1 : block;
    const Rows ahead(to, next);
    screen(shared, to, block, rows, columns, limits);
    block = next;
    rows = ahead;
  }
  __syncthreads();
  const unsigned waiting = shared.queued;
  const bool full = waiting > kQueue;
  if (full) {
    for (unsigned long long left = before & ~bits; left; left &= left - 1)
      score_block(shared, to, part * kBlock + __ffsll(left) - 1);
  } else {
    for (unsigned i = threadIdx.x; i < waiting; i += kThreads) {
      const unsigned entry = shared.queue[i];
      score_row(shared, to, entry >> 12, part * kBlock + (entry >> 6 & 63u), entry & 63u);
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    const Key pairs = static_cast<Key>(count) * kBlock * kQueries;
    shared.screened += pairs;
    shared.scored += full ? pairs : waiting;
    shared.dense = shared.scored * kDense > shared.screened;
    shared.queued = 0;
  }
}

// --- The search ---------------------------------------------------------------------------------

/// Whether a block can hold a row that is good enough for any of four queries.
__device__ __forceinline__ bool promises(const Shared& shared, const Image& to, int block, int q0,
                                         int j, const float (&sums)[4][4], float longest) {
  const float slack = slack_of(CHANNELS);
  const Cone cone = {to.low[block], to.high[block], to.radius[block]};
  bool reached = false;
  for (int i = 0; i < 4; ++i) {
    const int q = q0 + i;
    if (shared.query[q] == nullptr || block == static_cast<int>(index_of(shared.guess[q])))
      continue;
    const float margin = slack * sqrtf(shared.squared[q]) * longest;
    const float bar = score_of(load(&shared.best[q]));
    reached |= can_reach(bar, sums[i][j], shared.squared[q], cone, margin, slack);
  }
  return reached;
}

/// The best row for each active seed. Grid (kQueries seeds, slices of the image, walks).
extern "C" __global__ void __launch_bounds__(kThreads, kResident)
    search(const Walk* walks, int backward) {
  const Walk& walk = walks[blockIdx.z];
  const int base = blockIdx.x * kQueries, left = *walk.left;
  if (base >= left) return;
  const Image& from = backward ? walk.second : walk.first;
  const Image& to = backward ? walk.first : walk.second;
  __shared__ Shared shared;
  const int thread = threadIdx.x, q0 = thread / 16 * 4, lane0 = thread % 16 * 4;
  const bool has_query = thread < kQueries && base + thread < left;
  const float longest = sqrtf(__uint_as_float(*to.longest));
  const int parts = parts_of(to);
  if (thread < kQueries) {
    const int seed = has_query ? walk.active[base + thread] : -1;
    const int pixel = seed < 0 ? -1 : (backward ? walk.partner[seed] : walk.pixel[seed]);
    const float* row = pixel < 0 ? nullptr : row_at(from, pixel);
    shared.query[thread] = row;
    shared.squared[thread] = row ? dot(row, row, 1, CHANNELS) : 0.0f;
    shared.best[thread] = shared.guess[thread] = 0;
    signed char* bytes = reinterpret_cast<signed char*>(&shared.words[0][thread]);
    shared.rounded[thread] =
        round_query(row, row ? CHANNELS : 0, 8 * kSteps, bytes, kQuad * kQueries);
  }
  if (thread == 0) {
    shared.all = shared.screened = shared.scored = 0;
    shared.queued = 0;
    shared.dense = false;
  }

  // The block whose axis is nearest, and the best of its rows: a bar that most blocks do not reach.
  bool reload = true;
  float sums[4][4];
  for (int part = blockIdx.y; part < parts; part += gridDim.y) {
    multiply_axes(shared, to, part, reload, sums);
    reload = false;
    for (int j = 0; j < 4; ++j) {
      const int block = part * kBlock + lane0 + j;
      if (block < to.blocks) fold(sums, j, block, &shared.guess[q0]);
    }
  }
  __syncthreads();
  for (int q = thread / kBlock; q < kQueries; q += kThreads / kBlock)
    if (shared.query[q] != nullptr && shared.guess[q] != 0)
      score_row(shared, to, q, index_of(shared.guess[q]), thread % kBlock);
  const Columns columns(shared);

  for (int part = blockIdx.y; part < parts; part += gridDim.y) {
    multiply_axes(shared, to, part, false, sums);
    const RoundedRows rounded = rounded_part(to, part);
    if (thread < kBlock / 32) shared.promising[thread] = 0;
    // What the other slices have found so far raises the bar here.
    if (has_query)
      raise(&shared.best[thread], atomicMax(&walk.keys[base + thread], shared.best[thread]));
    __syncthreads();
    for (int j = 0; j < 4; ++j) {
      const int block = part * kBlock + lane0 + j;
      if (block < to.blocks && promises(shared, to, block, q0, j, sums, longest))
        atomicOr(&shared.promising[(lane0 + j) / 32], 1u << (lane0 + j) % 32);
    }
    if (thread == 0) {
      const int blocks = to.blocks - part * kBlock < kBlock ? to.blocks - part * kBlock : kBlock;
      shared.all += static_cast<Key>(blocks) * kBlock * kQueries;
    }
    __syncthreads();
    unsigned long long bits =
        static_cast<unsigned long long>(shared.promising[1]) << 32 | shared.promising[0];
    while (bits) {
      if (thread < kQueries) shared.limits[thread] = aim(shared, thread, rounded, longest);
      __syncthreads();
      if (shared.dense) {
        score_block(shared, to, part * kBlock + __ffsll(bits) - 1);
        bits &= bits - 1;
        if (thread == 0) shared.scored += kBlock * kQueries;
      } else {
        screen_group(shared, to, part, bits, columns);
      }
    }
    __syncthreads();
  }
  if (has_query) atomicMax(&walk.keys[base + thread], shared.best[thread]);
  if (thread == 0) {
    atomicAdd(&walk.tally[0], shared.all);
    atomicAdd(&walk.tally[1], shared.screened);
    atomicAdd(&walk.tally[2], shared.scored);
  }
}

}  // namespace mast3r_ros
