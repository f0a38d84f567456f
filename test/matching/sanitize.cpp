// Copyright 2026 the mast3r_ros developers
// SPDX-License-Identifier: Apache-2.0
//
// The index without Python, for AddressSanitizer and UndefinedBehaviorSanitizer: every instruction
// set, every remainder of a tile and of a block, pruned and not, on several threads, each answer
// compared bit by bit with the shared arithmetic of dot.hpp. Exits with 1 at the first difference.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "index.hpp"

using namespace mast3r_ros;

namespace {

#ifdef __SANITIZE_THREAD__
constexpr int kThreads[] = {3};  // one alone races with nobody
#else
constexpr int kThreads[] = {1, 3};
#endif

std::vector<float> noise(std::mt19937& random, std::int64_t count, int channels) {
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * channels);
  for (float& value : rows) value = normal(random);
  return rows;
}

/// Rows of few values, so that scores tie, some blocks' a thousand times those of others.
std::vector<float> steps(std::mt19937& random, std::int64_t count, int channels) {
  std::vector<float> rows = noise(random, count, channels);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = std::round(rows[i]) * (i / channels % 5000 < 2500 ? 1000.0f : 1.0f);
  return rows;
}

/// Rows that change little from one to the next, so that whole blocks are passed over.
std::vector<float> drift(std::mt19937& random, std::int64_t count, int channels) {
  std::vector<float> rows = noise(random, count, channels);
  for (std::size_t i = channels; i < rows.size(); ++i)
    rows[i] = rows[i - channels] + 0.05f * rows[i];
  return rows;
}

Best brute_force(const float* query, const std::vector<float>& rows, std::int64_t count,
                 int channels) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  Best best{kNone, kNone, std::numeric_limits<std::int32_t>::max()};
  for (std::int64_t row = 0; row < count; ++row) {
    const float score = dot(query, &rows[row * channels], 1, channels);
    if (beats(score, int(row), best.score, best.index)) {
      best = {score, best.score, std::int32_t(row)};
    } else if (score > best.second) {
      best.second = score;
    }
  }
  return best;
}

constexpr float kLowest = -std::numeric_limits<float>::infinity();
using Rows = std::vector<float>(std::mt19937&, std::int64_t, int);

void compare(std::mt19937& random, int height, int width, int channels, std::int64_t queries,
             Rows* make) {
  const std::int64_t count = std::int64_t(height) * width;
  const std::vector<float> rows = make(random, count, channels);
  const std::vector<float> asked = make(random, queries, channels);
  std::vector<Best> expected, found(queries);
  for (std::int64_t q = 0; q < queries; ++q)
    expected.push_back(brute_force(&asked[q * channels], rows, count, channels));
  for (const Kernels* kernels : available_kernels())
    for (int threads : kThreads)
      for (bool image : {false, true}) {
        const Index index(rows.data(), count, channels, image ? height : 0, image ? width : 0,
                          threads, kernels);
        for (bool second : {false, true})
          for (bool prune : {false, true}) {
            index.nearest(asked.data(), queries, threads, second, prune, kLowest, found.data());
            for (std::int64_t q = 0; q < queries; ++q)
              if (found[q].index != expected[q].index || found[q].score != expected[q].score ||
                  (second && found[q].second != expected[q].second)) {
                std::printf("%s: query %lld of %d x %d x %d differs\n", kernels->name,
                            static_cast<long long>(q), height, width, channels);
                std::exit(1);
              }
          }
        const float least = queries ? expected[0].score : 0.0f;
        index.nearest(asked.data(), queries, threads, false, true, least, found.data());
        for (std::int64_t q = 0; q < queries; ++q)
          if (found[q].index !=
              (expected[q].score >= least ? expected[q].index : Index::kNothing)) {
            std::printf("%s: query %lld with a least score differs\n", kernels->name,
                        static_cast<long long>(q));
            std::exit(1);
          }
      }
}

}  // namespace

int main() {
  std::mt19937 random(1);
  for (int channels : {1, 24, 65})
    for (Rows* make : {noise, steps, drift}) {
      for (int queries : {0, 1, 2, 5, 6, 7, 13})
        compare(random, 1 + queries * 3, 23, channels, queries, make);
      compare(random, 66, 73, channels, 7, make);  // more than kBlock blocks
    }
  std::vector<float> bad(64 * 24, 1.0f);
  bad[1000] = std::numeric_limits<float>::quiet_NaN();
  try {
    Index(bad.data(), 64, 24, 8, 8, 2, available_kernels().front());
    return 1;
  } catch (const std::invalid_argument&) {
    std::puts("clean");
  }
}
