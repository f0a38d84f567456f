// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#ifdef __aarch64__
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif
#include <arm_neon.h>

#include "screen.hpp"

namespace mast3r_ros {
namespace {

struct NeonDot {
  static constexpr int width = 4, bias = 0;
  int32x4_t v;
  static NeonDot zero() { return {vdupq_n_s32(0)}; }
  static NeonDot load(const std::uint8_t* p) { return {vreinterpretq_s32_u8(vld1q_u8(p))}; }
  static NeonDot broadcast(std::int32_t quad) { return {vdupq_n_s32(quad)}; }
  static NeonDot dot(NeonDot sum, NeonDot rows, NeonDot query) {
    return {vdotq_s32(sum.v, vreinterpretq_s8_s32(rows.v), vreinterpretq_s8_s32(query.v))};
  }
  static NeonDot max(NeonDot a, NeonDot b) { return {vmaxq_s32(a.v, b.v)}; }
  static bool any_at_least(NeonDot a, std::int32_t limit) { return vmaxvq_s32(a.v) >= limit; }
};

}  // namespace

const Kernels* neondot_kernels() {
  static const Kernels kernels = screened<NeonDot, 4>("neondot", *neon_kernels());
  return &kernels;
}

}  // namespace mast3r_ros
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
