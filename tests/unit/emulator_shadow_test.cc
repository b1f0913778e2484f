#include "runtime/emulator/check/shared_shadow.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "runtime/emulator/check/initialised_bytes.h"

namespace gemmsmith::emulator {
namespace {

using Kind = ViolationKind;

class EmulatorShadow : public ::testing::Test {
 protected:
  static std::string Text(const std::optional<Violation>& violation) {
    if (!violation) return "none";
    return std::string(ToString(violation->kind)) + " at " + std::to_string(violation->address) + " with agent " +
           std::to_string(violation->other_agent) + " instruction " + std::to_string(violation->other_what);
  }
  void ExpectNone(const std::optional<Violation>& violation) { EXPECT_FALSE(violation) << Text(violation); }
  void Expect(const std::optional<Violation>& violation, Kind kind, std::uint32_t address, int agent,
              std::uint32_t what) {
    ASSERT_TRUE(violation);
    EXPECT_TRUE(violation->kind == kind && violation->address == address && violation->other_agent == agent &&
                violation->other_what == what)
        << Text(violation);
  }
  /// bar.sync of some warps.
  void Barrier(std::initializer_list<int> warps) {
    Knowledge at;
    for (int warp : warps) clocks_.Release(warp, at);
    for (int warp : warps) clocks_.Acquire(warp, at);
  }
  /// An asynchronous operation ends, and `waiter` waited for it.
  void Complete(int agent, int waiter) {
    Knowledge at;
    clocks_.Release(agent, at);
    clocks_.EndAsync(agent);
    clocks_.Acquire(waiter, at);
  }

  Clocks clocks_{4};
  SharedShadow shadow_{4096, clocks_};
};

TEST_F(EmulatorShadow, ABarrierOrdersWritesAndReads) {
  ExpectNone(shadow_.OnWrite({0, 10}, 128, 128));
  Expect(shadow_.OnRead({1, 11}, 192, 16), Kind::kReadAfterWrite, 192, 0, 10);
  Barrier({0, 1});
  ExpectNone(shadow_.OnRead({1, 11}, 128, 128));
  Expect(shadow_.OnRead({2, 12}, 128, 128), Kind::kReadAfterWrite, 128, 0, 10);
  Expect(shadow_.OnWrite({0, 13}, 252, 4), Kind::kWriteAfterRead, 252, 1, 11);
  Barrier({0, 1, 2});
  ExpectNone(shadow_.OnWrite({0, 13}, 128, 128));
  Expect(shadow_.OnWrite({3, 14}, 128, 4), Kind::kWriteAfterWrite, 128, 0, 13);
}

TEST_F(EmulatorShadow, WhatWasDoneAfterAnArrivalWasNotTold) {
  Knowledge barrier;
  clocks_.Release(0, barrier);
  ExpectNone(shadow_.OnWrite({0, 1}, 0, 4));
  clocks_.Acquire(1, barrier);
  Expect(shadow_.OnRead({1, 2}, 0, 4), Kind::kReadAfterWrite, 0, 0, 1);
}

TEST_F(EmulatorShadow, BytesOfOneWordAreTheirOwn) {
  ExpectNone(shadow_.OnWrite({0, 1}, 4, 2));
  ExpectNone(shadow_.OnWrite({1, 2}, 6, 2));
  ExpectNone(shadow_.OnRead({0, 3}, 5, 1));
  Expect(shadow_.OnWrite({1, 4}, 5, 2), Kind::kWriteAfterWrite, 5, 0, 1);
  Barrier({0, 1, 2});
  ExpectNone(shadow_.OnRead({2, 5}, 4, 4));
  Expect(shadow_.OnRead({2, 6}, 3, 2), Kind::kUninitialisedRead, 3, -1, 0);
}

TEST_F(EmulatorShadow, AllReadersCount) {
  ExpectNone(shadow_.OnWrite({0, 1}, 0, 64));
  Barrier({0, 1, 2, 3});
  for (int warp : {0, 1, 2, 3}) ExpectNone(shadow_.OnRead({warp, 2}, 0, 64));
  Barrier({0, 1, 3});
  Expect(shadow_.OnWrite({0, 3}, 0, 64), Kind::kWriteAfterRead, 0, 2, 2);
}

TEST_F(EmulatorShadow, UninitialisedBytesAreSaidOnce) {
  Expect(shadow_.OnRead({0, 1}, 100, 8), Kind::kUninitialisedRead, 100, -1, 0);
  ExpectNone(shadow_.OnRead({0, 1}, 100, 8));
  Expect(shadow_.OnRead({0, 1}, 100, 9), Kind::kUninitialisedRead, 108, -1, 0);
  shadow_.MarkInitialised(201, 10);
  ExpectNone(shadow_.OnRead({0, 1}, 201, 10));
  Expect(shadow_.OnRead({0, 1}, 200, 2), Kind::kUninitialisedRead, 200, -1, 0);
  shadow_.Clear();
  Expect(shadow_.OnRead({0, 1}, 201, 10), Kind::kUninitialisedRead, 201, -1, 0);
}

TEST_F(EmulatorShadow, AsynchronousWritesMustBeAwaited) {
  const int tma = clocks_.BeginAsync(0);
  ExpectNone(shadow_.OnWrite({tma, 7, Proxy::kAsync}, 0, 1024));
  Expect(shadow_.OnRead({0, 8}, 16, 16), Kind::kReadBeforeCompletion, 16, tma, 7);
  Expect(shadow_.OnWrite({0, 9}, 512, 4), Kind::kOverwriteInFlight, 512, tma, 7);
  Complete(tma, 1);
  ExpectNone(shadow_.OnRead({1, 8}, 32, 64));
  Expect(shadow_.OnRead({2, 8}, 32, 64), Kind::kReadBeforeCompletion, 32, tma, 7);
}

TEST_F(EmulatorShadow, WhatAnAsynchronousOperationReadsMustStayUntilItIsAwaited) {
  const int load = clocks_.BeginAsync(0);
  ExpectNone(shadow_.OnWrite({load, 1, Proxy::kAsync}, 0, 1024));
  Complete(load, 1);
  const int wgmma = clocks_.BeginAsync(1);
  ExpectNone(shadow_.OnRead({wgmma, 2, Proxy::kAsync}, 0, 1024));
  // The consumer frees the stage too early: the next load does not know that wgmma is over.
  Knowledge empty;
  clocks_.Release(1, empty);
  clocks_.Acquire(0, empty);
  const int next = clocks_.BeginAsync(0);
  Expect(shadow_.OnWrite({next, 3, Proxy::kAsync}, 0, 1024), Kind::kOverwriteInFlight, 0, wgmma, 2);
}

TEST_F(EmulatorShadow, TheAsyncProxyNeedsTheWritersFence) {
  ExpectNone(shadow_.OnWrite({0, 1}, 0, 256));
  ExpectNone(shadow_.OnWrite({1, 1}, 256, 256));
  clocks_.FenceProxyAsync(0);
  ExpectNone(shadow_.OnWrite({0, 2}, 128, 4));  // after the fence
  Barrier({0, 1, 2});
  clocks_.FenceProxyAsync(2);  // by the reader: does not help
  const int store = clocks_.BeginAsync(2);
  ExpectNone(shadow_.OnRead({store, 3, Proxy::kAsync}, 0, 128));
  Expect(shadow_.OnRead({store, 3, Proxy::kAsync}, 128, 4), Kind::kMissingProxyFence, 128, 0, 2);
  ExpectNone(shadow_.OnRead({store, 3, Proxy::kAsync}, 132, 124));
  Expect(shadow_.OnRead({store, 3, Proxy::kAsync}, 256, 4), Kind::kMissingProxyFence, 256, 1, 1);
  ExpectNone(shadow_.OnRead({2, 4}, 256, 4));  // generic reads need none
}

TEST_F(EmulatorShadow, AFenceCoversTheAsynchronousCopiesThatItsAgentAwaited) {
  for (bool awaited : {true, false}) {
    const int copy = clocks_.BeginAsync(0);  // cp.async: generic proxy
    ExpectNone(shadow_.OnWrite({copy, 1}, awaited ? 0 : 64, 64));
    if (awaited) Complete(copy, 0);
    clocks_.FenceProxyAsync(0);
    if (!awaited) Complete(copy, 0);
    const int wgmma = clocks_.BeginAsync(0);
    const auto violation = shadow_.OnRead({wgmma, 2, Proxy::kAsync}, awaited ? 0 : 64, 64);
    awaited ? ExpectNone(violation) : Expect(violation, Kind::kMissingProxyFence, 64, copy, 1);
  }
}

TEST_F(EmulatorShadow, AtomicsDoNotRaceWithEachOther) {
  shadow_.MarkInitialised(0, 64);
  const Access one{0, 1, Proxy::kGeneric, true}, two{1, 2, Proxy::kGeneric, true};
  ExpectNone(shadow_.OnReadModifyWrite(one, 0, 4));
  ExpectNone(shadow_.OnReadModifyWrite(two, 0, 4));
  ExpectNone(shadow_.OnRead(one, 0, 4));
  ExpectNone(shadow_.OnWrite(two, 0, 4));
  Expect(shadow_.OnRead({2, 3}, 0, 4), Kind::kReadAfterWrite, 0, 1, 2);
  Expect(shadow_.OnReadModifyWrite({3, 4, Proxy::kGeneric, true}, 0, 4), Kind::kWriteAfterRead, 0, 2, 3);
}

TEST_F(EmulatorShadow, LanesAreCheckedWhereverTheyAre) {
  std::uint32_t addresses[32];
  for (int lane = 0; lane < 32; ++lane) addresses[lane] = static_cast<std::uint32_t>((lane % 8) * 512 + lane / 8 * 4);
  ExpectNone(shadow_.OnWrite({0, 1}, addresses, 0xffffffff, 4));
  ExpectNone(shadow_.OnRead({0, 2}, addresses, 0xffffffff, 4));
  Expect(shadow_.OnRead({1, 2}, 512 * 3 + 12, 4), Kind::kReadAfterWrite, 512 * 3 + 12, 0, 1);
  const std::uint32_t few[32] = {8, 3000, 12, 16};
  Expect(shadow_.OnRead({0, 3}, few, 0b1101, 4), Kind::kUninitialisedRead, 16, -1, 0);
  Expect(shadow_.OnRead({0, 3}, few, 0b1111, 4), Kind::kUninitialisedRead, 3000, -1, 0);
}

TEST_F(EmulatorShadow, PiecesAreCheckedWhereverTheyAre) {
  shadow_.MarkInitialised(0, 128);
  const std::uint32_t pieces[] = {64, 80, 0, 16, 32, 96};
  ExpectNone(shadow_.OnReadPieces({0, 1}, pieces, 16));
  Expect(shadow_.OnWrite({1, 2}, 108, 8), Kind::kWriteAfterRead, 108, 0, 1);
  ExpectNone(shadow_.OnWrite({1, 2}, 112, 16));
  Expect(shadow_.OnReadPieces({0, 3}, pieces, 16), Kind::kReadAfterWrite, 108, 1, 2);
  Expect(shadow_.OnReadPieces({0, 3}, pieces, 32), Kind::kReadAfterWrite, 108, 1, 2);
}

TEST_F(EmulatorShadow, AsynchronousAgentsAreUsedAgainOnlyWhenTheirOperationIsKnownToBeOver) {
  const int first = clocks_.BeginAsync(0);
  Complete(first, 1);
  const int second = clocks_.BeginAsync(0);  // warp 0 does not know yet
  EXPECT_NE(second, first);
  EXPECT_EQ(clocks_.BeginAsync(1), first);
  EXPECT_EQ(clocks_.IssuerOf(first), 1);
  EXPECT_NE(clocks_.BeginAsync(1), second);  // still busy
}

TEST_F(EmulatorShadow, OperationsThatNobodyAwaitsDoNotPileUp) {
  int largest = 0;
  for (int i = 0; i < 3 * Clocks::kManyAsync; ++i) {
    const int agent = clocks_.BeginAsync(0);
    clocks_.EndAsync(agent);
    largest = std::max(largest, agent);
  }
  EXPECT_EQ(largest, 4 + Clocks::kManyAsync - 1);
}

/// The same rules, byte by byte, with all readers kept and nothing shared.
class Naive {
 public:
  Naive(std::size_t bytes, const Clocks& clocks) : bytes_(bytes), clocks_(clocks) {}

  std::optional<std::uint32_t> On(bool write, const Access& access, std::uint32_t address, std::uint32_t count) {
    std::optional<std::uint32_t> first;
    for (std::uint32_t at = address; at < address + count; ++at)
      if (OnByte(write, access, bytes_[at]) && !first) first = at;
    return first;
  }

 private:
  struct Byte {
    Epoch writer;
    bool written = false, generic = false, atomic = false;
    std::vector<std::pair<Epoch, bool>> readers;
  };
  bool OnByte(bool write, const Access& access, Byte& byte) {
    bool wrong = !write && !byte.written;
    byte.written = true;
    if (byte.writer && !(access.atomic && byte.atomic)) {
      wrong |= !clocks_.Knows(access.agent, byte.writer);
      wrong |= access.proxy == Proxy::kAsync && byte.generic && !clocks_.KnowsFenced(access.agent, byte.writer);
    }
    if (write) {
      for (const auto& [epoch, atomic] : byte.readers)
        wrong |= !(atomic && access.atomic) && !clocks_.Knows(access.agent, epoch);
      byte = {clocks_.Now(access.agent), true, access.proxy == Proxy::kGeneric, access.atomic, {}};
    } else {
      byte.readers.emplace_back(clocks_.Now(access.agent), access.atomic);
    }
    return wrong;
  }
  std::vector<Byte> bytes_;
  const Clocks& clocks_;
};

TEST(EmulatorShadowLaw, AgreesWithTheNaiveOneOnRandomPrograms) {
  int violations = 0, clean = 0;
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 engine(seed);
    const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
    Clocks clocks(4);
    SharedShadow shadow(256, clocks);
    Naive naive(256, clocks);
    std::vector<Knowledge> barriers(3);
    std::vector<int> in_flight;
    for (int step = 0; step < 2000; ++step) {
      const int warp = static_cast<int>(random() % 4);
      const unsigned action = random() % 16;
      if (action == 0) clocks.Release(warp, barriers[random() % 3]);
      if (action == 1) clocks.Acquire(warp, barriers[random() % 3]);
      if (action == 2) clocks.FenceProxyAsync(warp);
      if (action == 3 && in_flight.size() < 4) in_flight.push_back(clocks.BeginAsync(warp));
      if (action == 4 && !in_flight.empty()) {
        clocks.Release(in_flight.back(), barriers[random() % 3]);
        clocks.EndAsync(in_flight.back());
        in_flight.pop_back();
      }
      if (action == 5)
        for (Knowledge& barrier : barriers)
          for (int i = 0; i < 4; ++i) clocks.Release(i, barrier), clocks.Acquire(i, barrier);
      if (action < 6) continue;
      const bool async = !in_flight.empty() && random() % 3 == 0, write = random() % 3 == 0;
      const Access access{async ? in_flight[random() % in_flight.size()] : warp, random() % 4,
                          async && random() % 4 != 0 ? Proxy::kAsync : Proxy::kGeneric, random() % 8 == 0};
      const std::uint32_t bytes = random() % 5 == 0 ? 1 + random() % 7 : 4u << random() % 5;
      const std::uint32_t address = bytes < 8 ? random() % (256 - bytes) : random() % (256 / bytes) * bytes;
      const auto got = write ? shadow.OnWrite(access, address, bytes) : shadow.OnRead(access, address, bytes);
      const auto expected = naive.On(write, access, address, bytes);
      ASSERT_EQ(got.has_value(), expected.has_value()) << "seed " << seed << " step " << step;
      if (got) {
        ASSERT_EQ(got->address, *expected) << "seed " << seed << " step " << step;
      }
      ++(got ? violations : clean);
    }
  }
  EXPECT_GT(violations, 1000);
  EXPECT_GT(clean, 1000);
}

TEST(EmulatorShadowLaw, ForgetsHistoriesThatFellOutOfUse) {
  Clocks clocks(4);
  SharedShadow shadow(1024, clocks);
  Knowledge barrier;
  std::size_t most = 0;
  for (int phase = 0; phase < 30'000; ++phase) {
    for (int warp = 0; warp < 4; ++warp) {
      const auto violation = shadow.OnWrite({warp, 1}, static_cast<std::uint32_t>(warp * 200 + 1), 6);
      ASSERT_FALSE(violation) << phase;
    }
    for (int warp = 0; warp < 4; ++warp) clocks.Release(warp, barrier);
    for (int warp = 0; warp < 4; ++warp) clocks.Acquire(warp, barrier);
    for (int warp = 0; warp < 4; ++warp) ASSERT_FALSE(shadow.OnRead({warp, 2}, 1, 6)) << phase;
    for (int warp = 0; warp < 4; ++warp) clocks.Release(warp, barrier);
    for (int warp = 0; warp < 4; ++warp) clocks.Acquire(warp, barrier);
    most = std::max(most, shadow.histories());
  }
  EXPECT_LT(most, 20'000u);
}

/// Shown, not judged.
TEST(EmulatorShadowLaw, PrintsItsTimes) {
  Clocks clocks(12);
  SharedShadow shadow(64 * 1024, clocks);
  Knowledge barrier;
  const auto time = [&](const char* what, int repeats, const auto& run) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) run(i);
    const double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    std::printf("  %s: %.1f ns\n", what, ns / repeats);
  };
  std::uint32_t addresses[32], rows[32];
  for (std::uint32_t lane = 0; lane < 32; ++lane) addresses[lane] = lane * 4, rows[lane] = lane * 272;
  shadow.MarkInitialised(0, 64 * 1024);
  time("write 128 bytes", 10000, [&](int i) { EXPECT_FALSE(shadow.OnWrite({0, i % 4u}, addresses, ~0u, 4)); });
  time("write 512 bytes", 10000, [&](int i) { EXPECT_FALSE(shadow.OnWrite({0, i % 4u}, 1024, 512)); });
  time("read 512 bytes in 32 rows", 10000, [&](int i) { EXPECT_FALSE(shadow.OnRead({0, i % 4u}, rows, ~0u, 16)); });
  for (int warp = 0; warp < 12; ++warp) clocks.Release(warp, barrier);
  for (int warp = 0; warp < 12; ++warp) clocks.Acquire(warp, barrier);
  time("write and read 512 bytes with barriers, each of 12 warps", 2000, [&](int) {
    for (int warp = 0; warp < 12; ++warp)
      EXPECT_FALSE(shadow.OnWrite({warp, 1}, static_cast<std::uint32_t>(warp * 512), 512));
    for (int warp = 0; warp < 12; ++warp) clocks.Release(warp, barrier);
    for (int warp = 0; warp < 12; ++warp) clocks.Acquire(warp, barrier);
    for (int warp = 0; warp < 12; ++warp)
      EXPECT_FALSE(shadow.OnRead({warp, 2}, static_cast<std::uint32_t>(warp * 256), 512));
    for (int warp = 0; warp < 12; ++warp) clocks.Release(warp, barrier);
    for (int warp = 0; warp < 12; ++warp) clocks.Acquire(warp, barrier);
  });
  time("release and acquire", 10000, [&](int) { clocks.Release(3, barrier), clocks.Acquire(4, barrier); });
}

TEST(EmulatorInitialisedBytes, KnowEachByte) {
  InitialisedBytes bytes(1000);
  EXPECT_EQ(bytes.FirstUninitialised(0, 1000), 0u);
  EXPECT_EQ(bytes.FirstUninitialised(10, 0), std::nullopt);
  bytes.Mark(60, 10);
  bytes.Mark(128, 128);
  EXPECT_EQ(bytes.FirstUninitialised(60, 10), std::nullopt);
  EXPECT_EQ(bytes.FirstUninitialised(59, 2), 59u);
  EXPECT_EQ(bytes.FirstUninitialised(60, 11), 70u);
  EXPECT_EQ(bytes.FirstUninitialised(128, 129), 256u);
  EXPECT_EQ(bytes.FirstUninitialised(64, 200), 70u);
  bytes.Mark(70, 930);
  EXPECT_EQ(bytes.FirstUninitialised(60, 940), std::nullopt);
}

TEST(EmulatorInitialisedBytes, MayBeMarkedByThreadsAtOnce) {
  InitialisedBytes bytes(64 * 1024);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t at = t; at < bytes.bytes(); at += 4) bytes.Mark(at, 1);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(bytes.FirstUninitialised(0, bytes.bytes()), std::nullopt);
}

}  // namespace
}  // namespace gemmsmith::emulator
