// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The descriptors of one image, packed in blocks, each with the cone that bounds its scores.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "bytes.hpp"
#include "kernels.hpp"

namespace mast3r_ros {

/// |row|^2. Throws std::invalid_argument for NaN, inf, or a row so long that a score could
/// overflow.
float checked_square(const float* row, int channels);

class Index {
 public:
  static constexpr std::int32_t kNothing = std::numeric_limits<std::int32_t>::max();

  /// `rows` is (count, channels), row-major. With height > 0 the rows are the pixels of an image
  /// and a block is an 8 x 8 patch of it; with height = 0 a block is 64 rows on end. Throws as
  /// checked_square does.
  Index(const float* rows, std::int64_t count, int channels, int height, int width, int threads,
        const Kernels* kernels);

  /// Fills `best`, one a query; `second` asks for the second best score too. `prune` = false visits
  /// every block. The answer depends on neither `threads` nor `prune`. No row below `least` is
  /// looked for, which spares most of the work where few queries have a better one; without one,
  /// the index is kNothing. With `second`, give -infinity. Throws as the constructor does.
  void nearest(const float* queries, std::int64_t count, int threads, bool second, bool prune,
               float least, Best* best) const;

  std::int64_t size() const { return count_; }
  int channels() const { return channels_; }

 private:
  struct Group;
  float pack(const float* rows, std::int64_t block, int height, int width);
  void fit_cone(std::int64_t block);
  const float* block(std::int64_t index) const { return &packed_[index * kBlock * channels_]; }
  const std::uint8_t* bytes(std::int64_t index) const {
    return bytes_.data() + index * quads_ * kBlock * kQuad;
  }
  const float* axes(std::int64_t part) const { return &axes_[part * kBlock * channels_]; }
  std::uint64_t promising(const Group& group, int query, std::int64_t part, const float* along,
                          bool second) const;
  bool search_promising(Group& group, bool second) const;
  void enter(Group& group, std::int64_t part, bool second) const;
  void aim(Group& group, int query, std::int64_t part, bool second) const;
  void visit(Group& group, const int* queries, int count, std::int64_t block, bool second) const;
  void search_all(Group& group, bool second) const;

  const Kernels* kernels_;
  std::int64_t count_;
  int channels_;
  std::int64_t blocks_;
  float longest_ = 0.0f;             // norm of the longest row
  std::vector<float> packed_;        // blocks_ x channels_ x kBlock
  std::vector<std::int32_t> order_;  // blocks_ x kBlock: the row in each lane
  std::vector<float> axes_;          // the blocks' axes, packed as the rows are
  std::vector<float> low_, high_, radius_;
  int quads_;                         // 0 where there are no bytes
  std::vector<std::uint8_t> bytes_;   // blocks_ x quads_ x kBlock x kQuad
  std::vector<RoundedRows> rounded_;  // what the bytes of each kBlock blocks stand for
};

}  // namespace mast3r_ros
