// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Just enough of CUDA for g++ to compile nearest.cu and run it on the CPU, thread block after
// thread block. The threads of a block are fibers that change places at __syncthreads(): what the
// kernels compute is tried, races and speed are not. Include before nearest.cu.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
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
T atomicOr(T* address, T value) {
  const T before = *address;
  *address |= value;
  return before;
}

namespace emulation {

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(64 * 1024);
  bool done = false;
};

static ucontext_t scheduler;
static Fiber* running = nullptr;
static std::function<void()> kernel;

static void enter() {
  kernel();
  running->done = true;
}

/// Runs one thread block: every fiber to its next __syncthreads(), again and again.
static void run_block(unsigned threads) {
  std::vector<Fiber> fibers(threads);
  for (Fiber& fiber : fibers) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, enter, 0);
  }
  for (bool any = true; any;) {
    any = false;
    for (unsigned i = 0; i < threads; ++i) {
      if (fibers[i].done) continue;
      threadIdx.x = i;
      running = &fibers[i];
      swapcontext(&scheduler, &fibers[i].context);
      any = any || !fibers[i].done;
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
  emulation::Fiber* self = emulation::running;
  const unsigned thread = threadIdx.x;
  swapcontext(&self->context, &emulation::scheduler);
  threadIdx.x = thread;
}
