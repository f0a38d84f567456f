// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// What one core can do at most: independent fused multiply-adds in registers. Prints GFLOP/s.
#include <cstdio>
#include <ctime>

#ifdef __AVX512F__
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef float Vector __attribute__((vector_size(kBytes)));

int main() {
  constexpr int kSums = 12;
  constexpr long kSteps = 20000000;
  Vector sums[kSums] = {}, factor = sums[0] + 0.999f, term = sums[0] + 1e-3f;
  double best = 0.0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const std::clock_t start = std::clock();  // of the processor: other programs run too
    for (long i = 0; i < kSteps; ++i)
#pragma GCC unroll 12
      for (int j = 0; j < kSums; ++j) sums[j] = sums[j] * factor + term;
    const double took = double(std::clock() - start) / CLOCKS_PER_SEC;
    const double rate = 2.0 * kSteps * kSums * (kBytes / 4) / took * 1e-9;
    if (rate > best) best = rate;
  }
  Vector all = sums[0];
  for (int j = 1; j < kSums; ++j) all += sums[j];
  std::printf("%.1f\n", best);
  return all[0] > 1e9f;
}
