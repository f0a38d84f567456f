// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "simd.hpp"

namespace mast3r_ros {
namespace {

struct Scalar {
  static constexpr int width = 1;
  float v;
  static Scalar zero() { return {0.0f}; }
  static Scalar load(const float* p) { return {*p}; }
  static Scalar broadcast(const float* p) { return {*p}; }
  static Scalar fma(Scalar a, Scalar b, Scalar c) { return {multiply_add(a.v, b.v, c.v)}; }
  static Scalar max(Scalar a, Scalar b) { return {a.v > b.v ? a.v : b.v}; }
  static void store(float* p, Scalar a) { *p = a.v; }
  static bool any_at_least(Scalar a, float limit) { return a.v >= limit; }
};

}  // namespace

const Kernels* portable_kernels() { return kernels_of<Scalar, 1>("portable"); }

}  // namespace mast3r_ros
