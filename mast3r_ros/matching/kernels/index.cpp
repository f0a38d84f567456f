// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "index.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <stdexcept>

#include "parallel.hpp"

namespace mast3r_ros {
namespace {

constexpr int kPatch = 8;          // kPatch * kPatch == kBlock
constexpr float kLongest = 1e18f;  // the product of two such norms is still a float

}  // namespace

float checked_square(const float* row, int channels) {
  float squared = 0.0f;
  for (int k = 0; k < channels; ++k) squared += row[k] * row[k];
  if (!(squared < kLongest * kLongest))
    throw std::invalid_argument("NaN, inf, or a norm above 1e18");
  return squared;
}

Index::Index(const float* rows, std::int64_t count, int channels, int height, int width,
             int threads, const Kernels* kernels)
    : kernels_(kernels), count_(count), channels_(channels) {
  const std::int64_t across = (width + kPatch - 1) / kPatch, down = (height + kPatch - 1) / kPatch;
  blocks_ = height > 0 ? across * down : (count + kBlock - 1) / kBlock;
  const std::int64_t padded = (blocks_ + kBlock - 1) / kBlock * kBlock;
  packed_.resize(blocks_ * kBlock * channels);
  order_.resize(blocks_ * kBlock);
  axes_.resize(padded * channels);
  low_.resize(padded);
  high_.resize(padded);
  radius_.resize(padded);
  quads_ = kernels->screen && channels <= kMostChannels ? (channels + kQuad - 1) / kQuad : 0;
  bytes_.resize(blocks_ * quads_ * kBlock * kQuad);
  rounded_.resize(padded / kBlock);
  std::mutex guard;
  parallel(padded / kBlock, threads, [&](std::int64_t part) {
    float squared = 0.0f;
    const std::int64_t first = part * kBlock, end = std::min(first + kBlock, blocks_);
    for (std::int64_t b = first; b < end; ++b) {
      squared = std::max(squared, pack(rows, b, height, width));
      fit_cone(b);
    }
    if (quads_)
      rounded_[part] = round_blocks(block(first), end - first, channels_, quads_, kernels_->bias,
                                    bytes_.data() + first * quads_ * kBlock * kQuad);
    const std::lock_guard<std::mutex> lock(guard);
    longest_ = std::max(longest_, std::sqrt(squared));
  });
}

/// Fills the lanes of a block and returns the square of its longest row. Lanes beyond the image
/// repeat the block's first row, index included, so that they change no answer.
float Index::pack(const float* rows, std::int64_t block, int height, int width) {
  std::int32_t* order = &order_[block * kBlock];
  const std::int64_t across = (width + kPatch - 1) / kPatch;
  for (int lane = 0; lane < kBlock; ++lane) {
    std::int64_t row = block * kBlock + lane;
    bool inside = row < count_;
    if (height > 0) {
      const std::int64_t y = block / across * kPatch + lane / kPatch,
                         x = block % across * kPatch + lane % kPatch;
      row = y * width + x;
      inside = y < height && x < width;
    }
    order[lane] = inside ? std::int32_t(row) : order[0];
  }
  float* packed = &packed_[block * kBlock * channels_];
  float squared = 0.0f;
  for (int lane = 0; lane < kBlock; ++lane) {
    const float* row = rows + std::int64_t(order[lane]) * channels_;
    squared = std::max(squared, checked_square(row, channels_));
    for (int k = 0; k < channels_; ++k) packed[k * kBlock + lane] = row[k];
  }
  return squared;
}

/// The axis of a block is its mean direction; any axis would do, this one keeps the cone narrow.
void Index::fit_cone(std::int64_t index) {
  const float* rows = block(index);
  float* axis = &axes_[index / kBlock * kBlock * channels_ + index % kBlock];
  float squared = 0.0f;
  for (int k = 0; k < channels_; ++k) {
    float mean = 0.0f;
    for (int lane = 0; lane < kBlock; ++lane) mean += rows[k * kBlock + lane];
    axis[k * kBlock] = mean;
    squared += mean * mean;
  }
  const float scale = squared > 0.0f ? 1.0f / std::sqrt(squared) : 0.0f;
  float along[kBlock] = {}, across[kBlock] = {};
  for (int k = 0; k < channels_; ++k) {
    axis[k * kBlock] *= scale;
    for (int lane = 0; lane < kBlock; ++lane)
      along[lane] += axis[k * kBlock] * rows[k * kBlock + lane];
  }
  for (int k = 0; k < channels_; ++k)
    for (int lane = 0; lane < kBlock; ++lane) {
      const float rest = rows[k * kBlock + lane] - along[lane] * axis[k * kBlock];
      across[lane] += rest * rest;
    }
  low_[index] = *std::min_element(along, along + kBlock);
  high_[index] = *std::max_element(along, along + kBlock);
  radius_[index] = std::sqrt(*std::max_element(across, across + kBlock));
}

}  // namespace mast3r_ros
