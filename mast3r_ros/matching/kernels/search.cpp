// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// Three looks, each at what the one before could not rule out: at a block's axis, at its bytes, at
// its floats.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "index.hpp"
#include "parallel.hpp"

namespace mast3r_ros {
namespace {

constexpr int kGroup = 64 * kTile;  // queries that share a block while it is in the cache
// Bounds pay while at most this part of the blocks is left to visit.
constexpr float kWorthwhile = 0.7f;

}  // namespace

/// Up to kGroup queries that are searched together.
struct Index::Group {
  std::vector<const float*> queries;
  std::vector<float> squared;  // norms
  std::vector<float> margin;   // rounding of their scores
  Best* best;
  bool screened;                      // bytes are looked at first
  std::vector<std::int8_t> bytes;     // kQuad * quads_ a query
  std::vector<RoundedQuery> rounded;  // what they stand for
  std::vector<std::int32_t> limits;   // the least sum of a row that is good enough, in this part
  std::int64_t seen = 0, passed = 0;  // blocks times queries
};

void Index::nearest(const float* queries, std::int64_t count, int threads, bool second, bool prune,
                    float least, Best* best) const {
  const std::int64_t share = (count + threads - 1) / threads;
  const std::int64_t size = std::min<std::int64_t>(kGroup, (share + kTile - 1) / kTile * kTile);
  if (count == 0) return;
  parallel((count + size - 1) / size, threads, [&](std::int64_t part) {
    const std::int64_t first = part * size, length = std::min(size, count - first);
    Group group;
    group.best = best + first;
    group.screened = quads_ > 0;
    group.bytes.resize(length * quads_ * kQuad);
    group.limits.resize(length);
    for (std::int64_t i = 0; i < length; ++i) {
      const float* query = queries + (first + i) * channels_;
      group.queries.push_back(query);
      group.squared.push_back(checked_square(query, channels_));
      group.margin.push_back(slack_of(channels_) * std::sqrt(group.squared.back()) * longest_);
      constexpr float kNone = -std::numeric_limits<float>::infinity();
      group.best[i] = {least, kNone, kNothing};
      if (group.screened)
        group.rounded.push_back(
            round_query(query, channels_, quads_, &group.bytes[i * quads_ * kQuad], kQuad));
    }
    if (!prune || !search_promising(group, second)) search_all(group, second);
  });
}

/// Sets the limit of every query for the bytes of the `part`-th kBlock blocks.
void Index::enter(Group& group, std::int64_t part, bool second) const {
  // Where most of what was looked at had to be looked at twice, the first look does not pay.
  group.screened = group.screened && 2 * group.passed <= group.seen;
  for (int q = 0; group.screened && q < int(group.queries.size()); ++q) aim(group, q, part, second);
}

void Index::aim(Group& group, int query, std::int64_t part, bool second) const {
  const Best& best = group.best[query];
  group.limits[query] = limit_of(second ? best.second : best.score, group.rounded[query],
                                 rounded_[part], kernels_->bias, longest_, group.margin[query]);
}

/// Folds a block of the part entered into the best of 1..kTile queries, but for those of which the
/// bytes say that no row of it is good enough.
void Index::visit(Group& group, const int* some, int count, std::int64_t b, bool second) const {
  unsigned reached = (1u << count) - 1;
  if (group.screened) {
    const std::int8_t* queries[kTile];
    std::int32_t limits[kTile];
    for (int i = 0; i < count; ++i) {
      queries[i] = &group.bytes[some[i] * quads_ * kQuad];
      limits[i] = group.limits[some[i]];
    }
    reached = kernels_->screen(queries, count, bytes(b), quads_, limits);
    group.seen += count;
    if (!reached) return;
  }
  const float* queries[kTile];
  Best* best[kTile];
  int passed[kTile], length = 0;
  for (; reached; reached &= reached - 1) {
    const int q = passed[length] = some[__builtin_ctz(reached)];
    queries[length] = group.queries[q];
    best[length++] = group.best + q;
  }
  const auto fold = second ? kernels_->fold2 : kernels_->fold;
  fold(queries, length, block(b), &order_[b * kBlock], channels_, best);
  if (!group.screened) return;
  group.passed += length;
  for (int i = 0; i < length; ++i) aim(group, passed[i], b / kBlock, second);
}

/// Visits every block, each once for all queries of the group.
void Index::search_all(Group& group, bool second) const {
  std::vector<int> all(group.queries.size());
  std::iota(all.begin(), all.end(), 0);
  const int count = int(all.size());
  for (std::int64_t b = 0; b < blocks_; ++b) {
    if (b % kBlock == 0) enter(group, b / kBlock, second);
    for (int q = 0; q < count; q += kTile)
      visit(group, &all[q], std::min(kTile, count - q), b, second);
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
  std::vector<int> waiting(kBlock * kGroup);
  for (std::int64_t part = 0; part < parts; ++part) {
    int lengths[kBlock] = {};
    enter(group, part, second);
    for (int q = 0; q < count; q += kTile) {
      const int some = std::min(kTile, count - q);
      kernels_->scores(&group.queries[q], some, axes(part), channels_, along.data());
      for (int i = 0; i < some; ++i)
        for (std::uint64_t bits = promising(group, q + i, part, &along[i * kBlock], second); bits;
             bits &= bits - 1) {
          const int lane = __builtin_ctzll(bits);
          waiting[lane * kGroup + lengths[lane]++] = q + i;
        }
    }
    for (int lane = 0; lane < kBlock; ++lane) {
      const std::int64_t b = part * kBlock + lane;
      for (int start = 0; start < lengths[lane]; start += kTile) {
        const int some = std::min(kTile, lengths[lane] - start);
        visit(group, &waiting[lane * kGroup + start], some, b, second);
      }
    }
  }
  return true;
}

}  // namespace mast3r_ros
