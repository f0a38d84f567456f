// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#ifdef __aarch64__
#include <arm_neon.h>

#include "simd.hpp"

namespace mast3r_ros {
namespace {

struct Neon {
  static constexpr int width = 4;
  float32x4_t v;
  static Neon zero() { return {vdupq_n_f32(0.0f)}; }
  static Neon load(const float* p) { return {vld1q_f32(p)}; }
  static Neon broadcast(const float* p) { return {vld1q_dup_f32(p)}; }
  static Neon fma(Neon a, Neon b, Neon c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
  static Neon max(Neon a, Neon b) { return {vmaxq_f32(a.v, b.v)}; }
  static void store(float* p, Neon a) { vst1q_f32(p, a.v); }
  static bool any_at_least(Neon a, float limit) { return vmaxvq_f32(a.v) >= limit; }
};

}  // namespace

const Kernels* neon_kernels() { return kernels_of<Neon, 4>("neon"); }

}  // namespace mast3r_ros
#endif
