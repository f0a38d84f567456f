// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Nearest descriptors and reciprocal matching on the GPU, with the bits of the CPU. NOT RUN ON A
// GPU YET: compiled for four architectures, and run on the CPU by test/matching/emulate.hpp.
//
// Compiled at run time by NVRTC with CHANNELS defined.
#include "gather.cuh"
#include "pack.cuh"
#include "rotary.cuh"
#include "search.cuh"
#include "walk.cuh"
