// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vnni"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vnni,prefer-vector-width=512")
// GCC 12 takes its own _mm512_undefined_epi32() for an oversight.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "screen.hpp"

namespace mast3r_ros {
namespace {

struct Avx512Vnni {
  static constexpr int width = 16, bias = 128;
  __m512i v;
  static Avx512Vnni zero() { return {_mm512_setzero_si512()}; }
  static Avx512Vnni load(const std::uint8_t* p) { return {_mm512_loadu_si512(p)}; }
  static Avx512Vnni broadcast(std::int32_t quad) { return {_mm512_set1_epi32(quad)}; }
  static Avx512Vnni dot(Avx512Vnni sum, Avx512Vnni rows, Avx512Vnni query) {
    // Not the intrinsic: with it, GCC 12 stores every sum in every step.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.v) : "v"(rows.v), "v"(query.v));
    return sum;
  }
  static Avx512Vnni max(Avx512Vnni a, Avx512Vnni b) { return {_mm512_max_epi32(a.v, b.v)}; }
  static bool any_at_least(Avx512Vnni a, std::int32_t limit) {
    return _mm512_cmpge_epi32_mask(a.v, _mm512_set1_epi32(limit)) != 0;
  }
};

}  // namespace

const Kernels* avx512vnni_kernels() {
  static const Kernels kernels = screened<Avx512Vnni, 4>("avx512vnni", *avx512_kernels());
  return &kernels;
}

}  // namespace mast3r_ros
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
