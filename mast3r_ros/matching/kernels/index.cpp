// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
#include "index.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace mast3r_ros {
namespace {

constexpr int kPatch = 8;  // kPatch * kPatch == kBlock
constexpr int kGroup =
    64 * kTile;  // queries searched together, so that a block is read once for all
constexpr float kLongest = 1e18f;  // the product of two such norms is still a float
constexpr float kWorthwhile =
    0.7f;  // bounds pay while at most this part of the blocks is left to visit

/// Calls `work(i)` for i in [0, count) on some threads and rethrows what the last of them to fail
/// threw.
template <class Work>
void parallel(std::int64_t count, int threads, Work work) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  auto run = [&] {
    try {
      for (std::int64_t i; (i = next.fetch_add(1)) < count;) work(i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (std::int64_t i = 1; i < std::min<std::int64_t>(threads, count); ++i)
    others.emplace_back(run);
  run();
  for (std::thread& thread : others) thread.join();
  if (failure) std::rethrow_exception(failure);
}

/// |row|^2, refused where a score could be NaN or inf.
float checked_square(const float* row, int channels) {
  float squared = 0.0f;
  for (int k = 0; k < channels; ++k) squared += row[k] * row[k];
  if (!(squared < kLongest * kLongest))
    throw std::invalid_argument("NaN, inf, or a norm above 1e18");
  return squared;
}

}  // namespace

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> found;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) found.push_back(avx512_kernels());
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    found.push_back(avx2_kernels());
#endif
#ifdef __aarch64__
  found.push_back(neon_kernels());
#endif
  found.push_back(portable_kernels());
  return found;
}

// --- Packing
// -------------------------------------------------------------------------------------------

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
  std::mutex guard;
  parallel(padded / kBlock, threads, [&](std::int64_t part) {
    float squared = 0.0f;
    for (std::int64_t b = part * kBlock; b < std::min((part + 1) * kBlock, blocks_); ++b) {
      squared = std::max(squared, pack(rows, b, height, width));
      fit_cone(b);
    }
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

// --- Searching
// -----------------------------------------------------------------------------------------

/// Up to kGroup queries that are searched together.
struct Index::Group {
  std::vector<const float*> queries;
  std::vector<float> squared;  // norms
  std::vector<float> margin;   // rounding of their scores
  Best* best;
};

void Index::nearest(const float* queries, std::int64_t count, int threads, bool second, bool prune,
                    Best* best) const {
  const std::int64_t share = (count + threads - 1) / threads;
  const std::int64_t size = std::min<std::int64_t>(kGroup, (share + kTile - 1) / kTile * kTile);
  if (count == 0) return;
  parallel((count + size - 1) / size, threads, [&](std::int64_t part) {
    Group group;
    group.best = best + part * size;
    for (std::int64_t q = part * size; q < std::min(count, (part + 1) * size); ++q) {
      const float* query = queries + q * channels_;
      group.queries.push_back(query);
      group.squared.push_back(checked_square(query, channels_));
      group.margin.push_back(slack_of(channels_) * std::sqrt(group.squared.back()) * longest_);
      constexpr float kNone = -std::numeric_limits<float>::infinity();
      best[q] = {kNone, kNone, std::numeric_limits<std::int32_t>::max()};
    }
    if (!prune || !search_promising(group, second)) search_all(group, second);
  });
}

/// Visits every block, each once for all queries of the group.
void Index::search_all(Group& group, bool second) const {
  const auto fold = second ? kernels_->fold2 : kernels_->fold;
  const int count = int(group.queries.size());
  for (std::int64_t b = 0; b < blocks_; ++b)
    for (int q = 0; q < count; q += kTile) {
      Best* best[kTile];
      const int some = std::min(kTile, count - q);
      for (int i = 0; i < some; ++i) best[i] = group.best + q + i;
      fold(&group.queries[q], some, block(b), &order_[b * kBlock], channels_, best);
    }
}

/// Blocks, as bits, of the `part`-th kBlock of them that may hold a row good enough for a query.
std::uint64_t Index::promising(const Group& group, int query, std::int64_t part, const float* along,
                               bool second) const {
  const Best& best = group.best[query];
  const std::int64_t first = part * kBlock;
  const std::uint64_t bits =
      kernels_->reach(along, second ? best.second : best.score, group.squared[query], &low_[first],
                      &high_[first], &radius_[first], group.margin[query], slack_of(channels_));
  const std::int64_t left = blocks_ - first;
  return left < kBlock ? bits & ((std::uint64_t(1) << left) - 1) : bits;
}

/// Visits the block whose axis is nearest to each query, then those that can reach what it held.
/// Returns false, best being no worse than before, where the first queries show that this spares
/// too little.
bool Index::search_promising(Group& group, bool second) const {
  const auto fold = second ? kernels_->fold2 : kernels_->fold;
  const int count = int(group.queries.size());
  const std::int64_t parts = (blocks_ + kBlock - 1) / kBlock;
  std::vector<float> along(parts * kTile * kBlock);
  for (int q = 0; q < count; q += kTile) {
    const int some = std::min(kTile, count - q);
    for (std::int64_t part = 0; part < parts; ++part)
      kernels_->scores(&group.queries[q], some, axes(part), channels_,
                       &along[part * kTile * kBlock]);
    std::int64_t visits = 0;
    for (int i = 0; i < some; ++i) {
      const std::int64_t b = kernels_->largest(&along[i * kBlock], kTile * kBlock, blocks_);
      Best* best = group.best + q + i;
      fold(&group.queries[q + i], 1, block(b), &order_[b * kBlock], channels_, &best);
      for (std::int64_t part = 0; q == 0 && part < parts; ++part)
        visits += __builtin_popcountll(
            promising(group, i, part, &along[(part * kTile + i) * kBlock], second));
    }
    if (float(visits) > kWorthwhile * float(some) * float(blocks_)) return false;
  }

  // Part by part, since what one part holds raises the bar for the next.
  std::vector<std::uint16_t> waiting(kBlock * kGroup);
  for (std::int64_t part = 0; part < parts; ++part) {
    int lengths[kBlock] = {};
    for (int q = 0; q < count; q += kTile) {
      const int some = std::min(kTile, count - q);
      kernels_->scores(&group.queries[q], some, axes(part), channels_, along.data());
      for (int i = 0; i < some; ++i)
        for (std::uint64_t bits = promising(group, q + i, part, &along[i * kBlock], second); bits;
             bits &= bits - 1) {
          const int lane = __builtin_ctzll(bits);
          waiting[lane * kGroup + lengths[lane]++] = std::uint16_t(q + i);
        }
    }
    for (int lane = 0; lane < kBlock; ++lane) {
      const std::int64_t b = part * kBlock + lane;
      for (int start = 0; start < lengths[lane]; start += kTile) {
        const int some = std::min(kTile, lengths[lane] - start);
        const float* queries[kTile];
        Best* best[kTile];
        for (int i = 0; i < some; ++i) {
          const int q = waiting[lane * kGroup + start + i];
          queries[i] = group.queries[q];
          best[i] = group.best + q;
        }
        fold(queries, some, block(b), &order_[b * kBlock], channels_, best);
      }
    }
  }
  return true;
}

}  // namespace mast3r_ros
