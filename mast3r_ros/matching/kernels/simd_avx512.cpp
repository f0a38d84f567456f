// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,fma,prefer-vector-width=512")
// GCC 12 takes its own _mm512_undefined_ps() for an oversight.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "simd.hpp"

namespace mast3r_ros {
namespace {

struct Avx512 {
  static constexpr int width = 16;
  __m512 v;
  static Avx512 zero() { return {_mm512_setzero_ps()}; }
  static Avx512 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Avx512 broadcast(const float* p) { return {_mm512_set1_ps(*p)}; }
  static Avx512 fma(Avx512 a, Avx512 b, Avx512 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static Avx512 max(Avx512 a, Avx512 b) { return {_mm512_max_ps(a.v, b.v)}; }
  static void store(float* p, Avx512 a) { _mm512_storeu_ps(p, a.v); }
  static bool any_at_least(Avx512 a, float limit) {
    return _mm512_cmp_ps_mask(a.v, _mm512_set1_ps(limit), _CMP_GE_OQ) != 0;
  }
};

}  // namespace

const Kernels* avx512_kernels() { return kernels_of<Avx512, 4>("avx512"); }

}  // namespace mast3r_ros
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
