// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Seeds on their way between two images. Every launch reads its number of queries on the device:
// the host never waits.
#pragma once

#include "image.cuh"

namespace mast3r_ros {

constexpr int kScan = 512;  // threads that keep the order of a list

/// The seeds of one image pair. A plain search is half a round of it.
struct Walk {
  Image first, second;
  const int* seeds;  // (count) pixels of the first image; null for all of them in order
  int* pixel;        // (count) where each seed has come to in the first image
  int* partner;      // (count) and in the second
  int* settled;      // (count) 1 where pixel and partner are reciprocal
  int* active;       // (count) the seeds that go on, in order
  int* left;         // (1) how many do
  int* unfit;        // (1) whether a row of either image is NaN, inf or too long: nothing is walked
  Key* keys;         // (count) best of each active seed
  int* basin;        // (first.count) as in reciprocal.py, or null
  Key* tally;        // (3) pairs of a query and a row: in all, screened, scored exactly
  int count;
};

/// Sets every seed to where it starts. Grid (seeds, walks).
extern "C" __global__ void start(const Walk* walks) {
  const Walk& walk = walks[blockIdx.y];
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i == 0) {
    *walk.unfit = *walk.first.longest == kUnfit || *walk.second.longest == kUnfit;
    *walk.left = *walk.unfit ? 0 : walk.count;
    for (int j = 0; j < 3; ++j) walk.tally[j] = 0;
  }
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
