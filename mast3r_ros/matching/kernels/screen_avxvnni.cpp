// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,avxvnni"))), apply_to = function)
#else
#pragma GCC target("avx2,avxvnni")
#endif
#include <immintrin.h>

#include "screen.hpp"

namespace mast3r_ros {
namespace {

struct AvxVnni {
  static constexpr int width = 8, bias = 128;
  __m256i v;
  static AvxVnni zero() { return {_mm256_setzero_si256()}; }
  static AvxVnni load(const std::uint8_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  static AvxVnni broadcast(std::int32_t quad) { return {_mm256_set1_epi32(quad)}; }
  static AvxVnni dot(AvxVnni sum, AvxVnni rows, AvxVnni query) {
    // Not the intrinsic: with it, GCC 12 stores every sum in every step.
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.v) : "x"(rows.v), "x"(query.v));
    return sum;
  }
  static AvxVnni max(AvxVnni a, AvxVnni b) { return {_mm256_max_epi32(a.v, b.v)}; }
  static bool any_at_least(AvxVnni a, std::int32_t limit) {
    const __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), a.v);
    return _mm256_movemask_epi8(below) != -1;
  }
};

}  // namespace

const Kernels* avxvnni_kernels() {
  static const Kernels kernels = screened<AvxVnni, 2>("avxvnni", *avx2_kernels());
  return &kernels;
}

}  // namespace mast3r_ros
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
