// Code that nobody here wrote, on emulated devices: collective primitives of CUB, cooperative groups, barriers,
// pipelines, atomics and tcgen05 of libcu++. The arithmetic of the toolkit is in emulator_witness_numbers_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "../support/witness.h"

namespace gemmsmith::emulator {
namespace {

using Words = std::vector<std::uint32_t>;

std::uint32_t Sum(const std::uint32_t* first, std::size_t count) { return std::accumulate(first, first + count, 0u); }

class WitnessCub : public Witness {
 protected:
  static constexpr std::size_t kThreads = 128, kWords = kThreads * 7;
  static constexpr WitnessShape kBlock{{1, 1, 1}, {kThreads, 1, 1}, {1, 1, 1}};

  void CheckSums() {
    const Words in = Draw(kWords);
    EXPECT_EQ(Run("block_reduce", kBlock, in, Words(4)),
              (Words{Sum(in.data(), kWords), Sum(in.data(), kWords), Sum(in.data(), kWords),
                     *std::max_element(in.begin(), in.end())}));
    Words scans(2 * kWords);
    for (std::size_t i = 0; i < kWords; ++i) {
      scans[i] = Sum(in.data(), i + 1);
      scans[kWords + i] = Sum(in.data(), i);
    }
    EXPECT_EQ(Run("block_scan", kBlock, in, Words(2 * kWords)), scans);
  }
  /// Both sorts are stable, which equal keys show.
  void CheckSorts() {
    for (const std::uint32_t limit : {0u, 300u}) {
      const Words in = Draw(kWords, limit);
      Words places(kWords), sorted(2 * kWords);
      std::iota(places.begin(), places.end(), 0u);
      std::stable_sort(places.begin(), places.end(), [&](auto a, auto b) { return in[a] < in[b]; });
      for (std::size_t i = 0; i < kWords; ++i) sorted[i] = in[places[i]];
      std::copy(places.begin(), places.end(), sorted.begin() + kWords);
      EXPECT_EQ(Run("block_radix_sort", kBlock, in, Words(2 * kWords)), sorted);
      check = false;  // A merge reads one element past its part, which may be nobody's yet, and does not use it.
      EXPECT_EQ(Run("block_merge_sort", kBlock, in, Words(2 * kWords)), sorted);
      check = true;
    }
  }
  void CheckHistogram() {
    const Words in = Draw(kWords);
    Words counts(128);
    for (const std::uint32_t word : in) {
      ++counts[word % 64];
      ++counts[64 + word % 64];
    }
    EXPECT_EQ(Run("block_histogram", kBlock, in, Words(128)), counts);
  }
  void CheckExchange() {
    const Words in = Draw(kWords);
    Words exchanged = in;
    for (std::size_t i = 0; i < kWords; ++i) exchanged.push_back(i == 0 ? in[0] : in[i] - in[i - 1]);
    EXPECT_EQ(Run("block_exchange", kBlock, in, Words(2 * kWords)), exchanged);
  }
  void CheckWarps() {
    const Words in = Draw(kThreads);
    Words expected(4 + 3 * kThreads);
    for (std::size_t i = 0; i < kThreads; ++i) {
      expected[i / 32] += in[i];
      std::uint64_t sum = 0;
      for (std::size_t j = i / 8 * 8; j <= i; ++j) sum += in[j];
      expected[4 + 2 * i] = static_cast<std::uint32_t>(sum);
      expected[5 + 2 * i] = static_cast<std::uint32_t>(sum >> 32);
      expected[4 + 2 * kThreads + i] = in[i];
    }
    for (std::size_t warp = 0; warp < 4; ++warp) {
      const auto first = expected.begin() + 4 + 2 * kThreads + static_cast<std::ptrdiff_t>(32 * warp);
      std::sort(first, first + 32);
    }
    check = false;  // It merges too.
    EXPECT_EQ(Run("warp_primitives", kBlock, in, Words(expected.size())), expected);
    check = true;
  }
};

TEST_P(WitnessCub, ReducesScansSortsCountsAndExchanges) {
  if (!Open("cub_block")) GTEST_SKIP() << missing;
  for (seed = 1; seed <= 3; ++seed) {
    CheckSums();
    CheckSorts();
    CheckHistogram();
    CheckExchange();
    CheckWarps();
  }
}

class WitnessGroups : public Witness {
 protected:
  void CheckTiles() {
    constexpr std::size_t kThreads = 128;
    const Words in = Draw(kThreads);
    Words expected(5 * kThreads);
    for (std::size_t i = 0; i < kThreads; ++i) {
      const std::size_t warp = i / 32 * 32;
      expected[i] = Sum(&in[i / 8 * 8], 8);
      expected[kThreads + i] = *std::max_element(&in[warp], &in[warp] + 32);
      expected[2 * kThreads + i] = Sum(&in[i / 16 * 16], i % 16 + 1);
      std::uint32_t rank = 0, odd = 0;
      std::size_t first = warp + 32;
      for (std::size_t j = warp; j < warp + 32; ++j) {
        if (in[j] % 4 == in[i] % 4) expected[3 * kThreads + i] |= in[j];
        if (in[j] % 2 == 0) continue;
        ++odd;
        rank += j < i;
        first = std::min(first, j);
      }
      if (in[i] % 2 != 0) expected[4 * kThreads + i] = rank + 100 * odd + 10000 * static_cast<std::uint32_t>(first);
    }
    EXPECT_EQ(Run("tiles", {{1, 1, 1}, {kThreads, 1, 1}, {1, 1, 1}}, in, Words(expected.size())), expected);
  }
  void CheckCopies() {
    constexpr std::size_t kWords = 512;
    const Words in = Draw(4 * kWords);
    Words expected = in;
    for (auto at = expected.begin(); at != expected.end(); at += kWords) std::reverse(at, at + kWords);
    EXPECT_EQ(Run("block_copies", {{1, 1, 1}, {96, 1, 1}, {1, 1, 1}}, in, Words(in.size())), expected);
  }
  void CheckGrid() {
    constexpr std::size_t kThreads = 6 * 64;
    const Words in = Draw(kThreads);
    Words expected(kThreads);
    for (std::size_t i = 0; i < kThreads; ++i) expected[i] = in[(i + 4 * 129) % kThreads] + 4;
    Words out = Run("grid_steps", {{6, 1, 1}, {64, 1, 1}, {1, 1, 1}}, in, Words(2 * kThreads));
    out.resize(kThreads);
    EXPECT_EQ(out, expected);
  }
  void CheckClusters() {
    constexpr std::size_t kThreads = 128, kCluster = 4, kCtas = 8;
    const Words in = Draw(kCtas * kThreads);
    Words expected(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::size_t cta = i / kThreads, first = cta / kCluster * kCluster;
      for (std::size_t other = first; other < first + kCluster; ++other)
        expected[i] += in[other * kThreads + i % kThreads];
      expected[i] *= static_cast<std::uint32_t>(1 + cta % kCluster);
    }
    EXPECT_EQ(Run("cluster_sums", {{kCtas, 1, 1}, {kThreads, 1, 1}, {kCluster, 1, 1}}, in, Words(in.size())), expected);
  }
};

TEST_P(WitnessGroups, AgreeWithinTilesBlocksClustersAndGrids) {
  if (!Open("cooperative_groups")) GTEST_SKIP() << missing;
  for (seed = 1; seed <= 3; ++seed) {
    CheckTiles();
    CheckCopies();
    CheckGrid();
    if (has_clusters()) CheckClusters();
  }
}

class WitnessBarriers : public Witness {
 protected:
  void CheckRing() {
    constexpr std::size_t kChunks = 9;
    const Words in = Draw(kChunks * 64);
    Words expected(in.size());
    for (std::size_t i = 0; i < in.size(); ++i)
      expected[i] = in[i / 64 * 64 + 63 - i % 64] * 3 + static_cast<std::uint32_t>(i / 64 % 2);
    EXPECT_EQ(Run("producer_consumer", {{1, 1, 1}, {128, 1, 1}, {1, 1, 1}}, in, Words(in.size()), int{kChunks}),
              expected);
  }
  void CheckPipelines() {
    constexpr std::size_t kChunks = 7, kWords = 256;
    const Words in = Draw(kChunks * kWords);
    Words expected = in;
    for (auto at = expected.begin(); at != expected.end(); at += kWords) std::reverse(at, at + kWords);
    EXPECT_EQ(Run("pipelined", {{1, 1, 1}, {64, 1, 1}, {1, 1, 1}}, in, Words(in.size()), int{kChunks}), expected);
    const Words few = Draw(384);
    Words turned = few;
    std::reverse(turned.begin(), turned.begin() + 128);
    std::reverse(turned.begin() + 128, turned.end());
    EXPECT_EQ(Run("thread_pipeline", {{1, 1, 1}, {128, 1, 1}, {1, 1, 1}}, few, Words(384)), turned);
  }
  void CheckSemaphore() {
    const Words in = Draw(5 * 64);
    EXPECT_EQ(Run("latch_semaphore", {{5, 1, 1}, {64, 1, 1}, {1, 1, 1}}, in, Words(1)),
              Words{Sum(in.data(), in.size())});
  }
  void CheckBulk() {
    constexpr std::size_t kCtas = 3, kWords = 256;
    const WitnessShape shape{{kCtas, 1, 1}, {64, 1, 1}, {1, 1, 1}};
    const Words in = Draw(kCtas * kWords);
    Words expected = in, sums(kWords, 5);
    for (std::uint32_t& word : expected) word += 7;
    EXPECT_EQ(Run("bulk_copies", shape, in, Words(in.size())), expected);
    for (std::size_t i = 0; i < in.size(); ++i) sums[i % kWords] += in[i];
    EXPECT_EQ(Run("bulk_sums", shape, in, Words(kWords, 5)), sums);
  }
};

TEST_P(WitnessBarriers, HandOverWhatThreadsAndCopiesHaveWritten) {
  if (!Open("barriers")) GTEST_SKIP() << missing;
  for (seed = 1; seed <= 3; ++seed) {
    CheckRing();
    CheckPipelines();
    CheckSemaphore();
    if (has_clusters()) CheckBulk();
  }
}

class WitnessAtomics : public Witness {
 protected:
  static constexpr WitnessShape kShape{{7, 1, 1}, {96, 1, 1}, {1, 1, 1}};
  static constexpr std::size_t kThreads = 7 * 96;

  void CheckRefs() {
    const Words in = Draw(kThreads);
    Words out = {0, 0, ~0u, ~0u, 0, 0, 0, 0, 0, 0}, expected = out;
    double halves = 0;
    for (const std::uint32_t word : in) {
      expected[0] += word;
      expected[1] = std::max(expected[1], word);
      expected[2] = std::min(expected[2], word);
      expected[3] &= word;
      expected[4] |= word;
      expected[5] ^= word;
      halves += 0.5 * (word % 64);
    }
    const auto sum = static_cast<float>(2 * halves);
    std::memcpy(&expected[6], &sum, 4);
    std::memcpy(&expected[8], &halves, 8);
    EXPECT_EQ(Run("atomic_refs", kShape, in, out), expected);
  }
  void CheckList() {
    const Words list = Run("linked_list", kShape, Words(1), Words(2 + kThreads));
    std::vector<bool> seen(kThreads);
    std::size_t length = 0;
    for (std::uint32_t at = list[0]; at != 0; at = list[2 + at - 1], ++length) {
      ASSERT_LE(at, kThreads);
      ASSERT_FALSE(seen[at - 1]);
      seen[at - 1] = true;
    }
    EXPECT_EQ(length, kThreads);
    EXPECT_EQ(list[1], kThreads);
  }
  void CheckLocks() {
    const Words in = Draw(kThreads);
    Words counts(16);
    for (const std::uint32_t word : in) ++counts[8 + word % 8];
    EXPECT_EQ(Run("locks", kShape, in, Words(16)), counts);
  }
  void CheckSmall() {
    const Words in = Draw(kThreads);
    Words expected = {0, 0, 42, 42};
    std::uint8_t bytes[4] = {};
    std::uint16_t shorts[2] = {};
    for (const std::uint32_t word : in) {
      ++bytes[word % 4];
      shorts[word % 2] = static_cast<std::uint16_t>(shorts[word % 2] + word % 5);
    }
    std::memcpy(&expected[0], bytes, 4);
    std::memcpy(&expected[1], shorts, 4);
    EXPECT_EQ(Run("small_atomics", kShape, in, Words(4)), expected);
  }
  void CheckClassical() {
    const Words in = Draw(kThreads);
    Words expected;
    for (std::size_t cta = 0; cta < 7; ++cta) {
      std::uint32_t sum = 0, smallest = ~0u, all = ~0u, any = 0, odd = 0;
      std::int32_t largest = 0;
      float floats = 0;
      std::uint64_t wide = 0;
      for (std::size_t i = 96 * cta; i < 96 * (cta + 1); ++i) {
        sum += in[i];
        largest = std::max(largest, static_cast<std::int32_t>(in[i]));
        smallest = std::min(smallest, in[i]);
        all &= in[i];
        any |= in[i];
        odd ^= in[i];
        floats += static_cast<float>(in[i] % 16);
        wide += std::uint64_t{in[i]} << 8;
      }
      std::uint32_t bits = 0;
      std::memcpy(&bits, &floats, 4);
      for (const std::uint32_t word : {sum, static_cast<std::uint32_t>(largest), smallest, all, any, odd, 96u % 10,
                                       bits, static_cast<std::uint32_t>(wide), static_cast<std::uint32_t>(wide >> 32)})
        expected.push_back(word);
    }
    EXPECT_EQ(Run("classical", kShape, in, Words(70)), expected);
  }
};

TEST_P(WitnessAtomics, LoseNothing) {
  if (!Open("atomics")) GTEST_SKIP() << missing;
  for (seed = 1; seed <= 3; ++seed) {
    CheckRefs();
    CheckList();
    CheckLocks();
    CheckSmall();
    CheckClassical();
  }
}

class WitnessTensorMemory : public Witness {};

TEST_P(WitnessTensorMemory, HoldsProductsForThoseWhoWaitForThem) {
  if (!Open("tensor_memory")) GTEST_SKIP() << missing;
  constexpr std::size_t kRows = 128, kColumns = 64, kDepth = 16;
  std::vector<std::uint16_t> in;
  for (const std::uint32_t word : Draw((kRows + kColumns) * kDepth, 17))
    in.push_back(F32ToBf16(static_cast<float>(word) - 8));
  std::vector<float> expected;
  for (std::size_t row = 0; row < kRows; ++row)
    for (std::size_t column = 0; column < kColumns; ++column) {
      float sum = 0;
      for (std::size_t k = 0; k < kDepth; ++k)
        sum += Bf16ToF32(in[row * kDepth + k]) * Bf16ToF32(in[(kRows + column) * kDepth + k]);
      expected.push_back(4 * sum);
    }
  constexpr WitnessShape kShape{{1, 1, 1}, {128, 1, 1}, {1, 1, 1}};
  for (seed = 1; seed <= 3; ++seed)
    EXPECT_EQ(Run("tensor_product", kShape, in, std::vector<float>(kRows * kColumns)), expected);
}

const auto kTargets = testing::Values("sm_80", "sm_90a");
INSTANTIATE_TEST_SUITE_P(Emulator, WitnessCub, kTargets, TargetName);
INSTANTIATE_TEST_SUITE_P(Emulator, WitnessGroups, kTargets, TargetName);
INSTANTIATE_TEST_SUITE_P(Emulator, WitnessBarriers, kTargets, TargetName);
INSTANTIATE_TEST_SUITE_P(Emulator, WitnessAtomics, kTargets, TargetName);
INSTANTIATE_TEST_SUITE_P(Emulator, WitnessTensorMemory, testing::Values("sm_100a"), TargetName);

}  // namespace
}  // namespace gemmsmith::emulator
