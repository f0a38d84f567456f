// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>

#include "simd.hpp"

namespace mast3r_ros {
namespace {

struct Avx2 {
  static constexpr int width = 8;
  __m256 v;
  static Avx2 zero() { return {_mm256_setzero_ps()}; }
  static Avx2 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Avx2 broadcast(const float* p) { return {_mm256_broadcast_ss(p)}; }
  static Avx2 fma(Avx2 a, Avx2 b, Avx2 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
  static Avx2 max(Avx2 a, Avx2 b) { return {_mm256_max_ps(a.v, b.v)}; }
  static void store(float* p, Avx2 a) { _mm256_storeu_ps(p, a.v); }
  static bool any_at_least(Avx2 a, float limit) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a.v, _mm256_set1_ps(limit), _CMP_GE_OQ)) != 0;
  }
};

}  // namespace

const Kernels* avx2_kernels() { return kernels_of<Avx2, 2>("avx2"); }

}  // namespace mast3r_ros
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
