// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Just enough of CUDA for g++ to compile nearest.cu and run it on the CPU, thread block after
// thread block. The threads of a block are fibers that take turns at barriers: what the kernels
// compute is tried, and that all threads come to the same barriers; races and speed are not. Include
// before nearest.cu.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;

static inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
T atomicMax(T* address, T value) {
  const T before = *address;
  *address = std::max(before, value);
  return before;
}

template <class T>
T atomicAdd(T* address, T value) {
  const T before = *address;
  *address += value;
  return before;
}

template <class T>
T atomicOr(T* address, T value) {
  const T before = *address;
  *address |= value;
  return before;
}

static inline int __ffsll(unsigned long long bits) { return __builtin_ffsll(bits); }
static inline int __popcll(unsigned long long bits) { return __builtin_popcountll(bits); }

struct uint2 {
  unsigned x, y;
};
struct uint4 {
  unsigned x, y, z, w;
};
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

namespace emulation {

struct Fiber {
  ucontext_t context;  // for the first turn; swapcontext costs two system calls
  jmp_buf place;       // for the others
  bool begun = false;
  std::vector<char> stack = std::vector<char>(64 * 1024);
  bool done = false;
};

static ucontext_t scheduler;
static jmp_buf scheduler_place;
static Fiber* running = nullptr;
static std::function<void()> kernel;
static bool progress;  // a thread ended, or a barrier opened

static void enter() {
  kernel();
  running->done = true;
  progress = true;
  _longjmp(scheduler_place, 1);
}

static void yield() {
  if (!_setjmp(running->place)) _longjmp(scheduler_place, 1);
}

static void resume(Fiber& fiber) {
  running = &fiber;
  if (_setjmp(scheduler_place)) return;
  if (fiber.begun) _longjmp(fiber.place, 1);
  fiber.begun = true;
  swapcontext(&scheduler, &fiber.context);
}

/// Where threads wait for one another.
struct Barrier {
  unsigned expected = 0, arrived = 0, opened = 0;

  /// `last` is done by the thread that comes last, before any goes on.
  template <class Work>
  void wait(const Work& last) {
    if (++arrived == expected) {
      last();
      arrived = 0;
      ++opened;
      progress = true;
      return;
    }
    const unsigned thread = threadIdx.x;
    for (const unsigned before = opened; opened == before;) yield();
    threadIdx.x = thread;
  }
};

/// What the threads of a warp bring to a product of bytes, and its result.
struct Warp {
  Barrier barrier;
  uint4 rows[32];
  uint2 queries[32];
  int products[16][8];

  static int byte(unsigned word, int i) { return static_cast<signed char>(word >> 8 * i); }

  /// The layout of mma.m16n8k32 in NVIDIA's guide to PTX.
  void multiply() {
    signed char a[16][32], b[32][8];
    for (int lane = 0; lane < 32; ++lane) {
      const unsigned of_rows[4] = {rows[lane].x, rows[lane].y, rows[lane].z, rows[lane].w};
      const unsigned of_queries[2] = {queries[lane].x, queries[lane].y};
      for (int i = 0; i < 16; ++i) {
        const int row = i < 4 || (i >= 8 && i < 12) ? lane / 4 : lane / 4 + 8;
        a[row][lane % 4 * 4 + i % 4 + (i < 8 ? 0 : 16)] = byte(of_rows[i / 4], i % 4);
      }
      for (int i = 0; i < 8; ++i)
        b[lane % 4 * 4 + i % 4 + (i < 4 ? 0 : 16)][lane / 4] = byte(of_queries[i / 4], i % 4);
    }
    for (int row = 0; row < 16; ++row)
      for (int column = 0; column < 8; ++column) {
        products[row][column] = 0;
        for (int k = 0; k < 32; ++k) products[row][column] += a[row][k] * b[k][column];
      }
  }
};

static Barrier block_barrier;
static std::vector<Warp> warps;

/// Runs one thread block: its threads take turns, each to the next barrier that is shut.
static void run_block(unsigned threads) {
  static std::vector<Fiber> fibers;  // their stacks are used again
  if (fibers.size() < threads) fibers.resize(threads);
  block_barrier = {threads};
  warps.assign((threads + 31) / 32, {});
  for (unsigned i = 0; i < threads; ++i) ++warps[i / 32].barrier.expected;
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& fiber = fibers[i];
    fiber.done = fiber.begun = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, enter, 0);
  }
  for (bool any = true; any;) {
    any = progress = false;
    for (unsigned i = 0; i < threads; ++i) {
      if (fibers[i].done) continue;
      threadIdx.x = i;
      resume(fibers[i]);
      any = any || !fibers[i].done;
    }
    if (any && !progress) {
      std::fputs("emulation: the threads wait for one another at different barriers\n", stderr);
      std::abort();
    }
  }
}

static void launch(Dim grid, unsigned threads, std::function<void()> work) {
  kernel = std::move(work);
  gridDim = grid;
  blockDim = {threads, 1, 1};
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) run_block(threads);
}

}  // namespace emulation

static inline void __syncthreads() {
  emulation::block_barrier.wait([] {});
}

static inline void __syncwarp() {
  emulation::warps[threadIdx.x / 32].barrier.wait([] {});
}

static inline void multiply_bytes(int (&sums)[4], uint4 rows, uint2 query) {
  emulation::Warp& warp = emulation::warps[threadIdx.x / 32];
  const int lane = threadIdx.x % 32;
  warp.rows[lane] = rows;
  warp.queries[lane] = query;
  warp.barrier.wait([&] { warp.multiply(); });
  for (int i = 0; i < 4; ++i)
    sums[i] += warp.products[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}
