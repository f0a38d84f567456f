// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The kernels of nearest.cu as a library: `launch` does what cuLaunchKernel does, by name.
#include "emulate.hpp"

#include "nearest.cu"

extern "C" int launch(const char* name, const unsigned* grid, unsigned threads,
                      const void* argument, int backward) {
  using namespace mast3r_ros;
  const auto* walks = static_cast<const Walk*>(argument);
  const auto* images = static_cast<const Image*>(argument);
  std::function<void()> work;
  const auto* arrays = static_cast<const Strided*>(argument);
  const auto* gathers = static_cast<const Gather*>(argument);
  if (!std::strcmp(name, "compact")) work = [=] { compact(arrays); };
  if (!std::strcmp(name, "gather")) work = [=] { gather(gathers); };
  const auto* rotary = static_cast<const Rotary*>(argument);
  if (!std::strcmp(name, "rotate")) work = [=] { rotate(*rotary); };
  if (!std::strcmp(name, "pack")) work = [=] { pack(images); };
  if (!std::strcmp(name, "round_rows")) work = [=] { round_rows(images); };
  if (!std::strcmp(name, "start")) work = [=] { start(walks); };
  if (!std::strcmp(name, "search")) work = [=] { search(walks, backward); };
  if (!std::strcmp(name, "turn")) work = [=] { turn(walks, backward); };
  if (!work) return 1;
  emulation::launch({grid[0], grid[1], grid[2]}, threads, work);
  return 0;
}
