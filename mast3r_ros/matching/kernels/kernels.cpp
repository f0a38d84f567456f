// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#ifdef __aarch64__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace mast3r_ros {

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found;
#ifdef __x86_64__
  const bool avx512 = __builtin_cpu_supports("avx512f");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512 && __builtin_cpu_supports("avx512vnni")) found.push_back(avx512vnni_kernels());
  if (avx512) found.push_back(avx512_kernels());
  if (avx2 && __builtin_cpu_supports("avxvnni")) found.push_back(avxvnni_kernels());
  if (avx2) found.push_back(avx2_kernels());
#endif
#ifdef __aarch64__
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) found.push_back(neondot_kernels());
  found.push_back(neon_kernels());
#endif
  found.push_back(portable_kernels());
  return found;
}

}  // namespace mast3r_ros
