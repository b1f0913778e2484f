#include "gemmsmith/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

using testing::HasSubstr;

/// A system with `capacity` bytes that knows what it has given.
class System {
 public:
  explicit System(std::size_t capacity = 1u << 30) : capacity_(capacity) {}
  ~System() { EXPECT_TRUE(blocks_.empty()) << blocks_.size() << " blocks were not given back"; }

  MemoryPool::Source source() {
    return {"test memory", [this](std::size_t bytes) { return Allocate(bytes); },
            [this](void* pointer, std::size_t bytes) { Free(pointer, bytes); }};
  }
  std::size_t held() const {
    const std::scoped_lock lock(mutex_);
    return held_;
  }
  int calls() const {
    const std::scoped_lock lock(mutex_);
    return calls_;
  }

 private:
  void* Allocate(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    ++calls_;
    if (held_ + bytes > capacity_) return nullptr;
    void* pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    blocks_[pointer] = bytes;
    held_ += bytes;
    return pointer;
  }
  void Free(void* pointer, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    ASSERT_EQ(blocks_.count(pointer), 1u);
    EXPECT_EQ(blocks_[pointer], bytes);
    held_ -= bytes;
    blocks_.erase(pointer);
    std::free(pointer);
  }

  mutable std::mutex mutex_;
  std::size_t capacity_, held_ = 0;
  int calls_ = 0;
  std::map<void*, std::size_t> blocks_;
};

Code CodeOf(const std::function<void()>& call, std::string* text = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (text != nullptr) *text = error.what();
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Code::kInternal;
}

TEST(MemoryPool, BlocksComeInClassesOfPowersOfTwoAndAHalf) {
  constexpr struct {
    std::size_t asked, given;
  } kCases[] = {{0, 256},
                {1, 256},
                {256, 256},
                {257, 384},
                {384, 384},
                {385, 512},
                {1000, 1024},
                {1025, 1536},
                {1536, 1536},
                {1537, 2048},
                {3u << 20, 3u << 20},
                {(3u << 20) + 1, 4u << 20},
                {64u << 20, 64u << 20},
                {(64u << 20) + 1, 66u << 20},
                {(66u << 20) + 1, 68u << 20}};
  for (const auto& c : kCases) {
    System system;
    MemoryPool pool(system.source());
    void* block = pool.Allocate(c.asked);
    EXPECT_EQ(pool.stats().used_bytes, c.given) << c.asked;
    EXPECT_EQ(system.held(), c.given) << c.asked;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % 256, 0u);
    pool.Free(block);
  }
}

TEST(MemoryPool, AFreedBlockServesTheNextRequestOfItsClass) {
  System system;
  MemoryPool pool(system.source());
  void* first = pool.Allocate(1000);
  pool.Free(first);
  EXPECT_EQ(pool.Allocate(800), first);
  void* other = pool.Allocate(2000);
  EXPECT_NE(other, first);
  EXPECT_EQ(system.calls(), 2);
  const MemoryPoolStats stats = pool.stats();
  EXPECT_EQ(stats.allocations, 3u);
  EXPECT_EQ(stats.reuses, 1u);
  EXPECT_EQ(stats.used_bytes, 1024u + 2048u);
  EXPECT_EQ(stats.cached_bytes, 0u);
  pool.Free(first);
  pool.Free(other);
  EXPECT_EQ(pool.stats().cached_bytes, 1024u + 2048u);
  EXPECT_EQ(pool.stats().peak_used_bytes, 1024u + 2048u);
}

TEST(MemoryPool, TrimGivesCachedMemoryBackAndKeepsWhatIsUsed) {
  System system;
  MemoryPool pool(system.source());
  void* kept = pool.Allocate(4096);
  pool.Free(pool.Allocate(8192));
  pool.Trim();
  EXPECT_EQ(system.held(), 4096u);
  EXPECT_EQ(pool.stats().cached_bytes, 0u);
  std::memset(kept, 1, 4096);
  pool.Free(kept);
}

TEST(MemoryPool, FullSystemIsAskedAgainAfterATrim) {
  System system(10'000);
  MemoryPool pool(system.source());
  pool.Free(pool.Allocate(8192));
  void* block = pool.Allocate(4096);
  EXPECT_EQ(system.held(), 4096u);
  pool.Free(block);
}

TEST(MemoryPool, UsedUpSystemIsAnErrorThatNamesTheSourceAndChangesNothing) {
  System system(10'000);
  MemoryPool pool(system.source());
  void* block = pool.Allocate(8192);
  std::string text;
  EXPECT_EQ(CodeOf([&] { pool.Allocate(4096); }, &text), Code::kOutOfMemory);
  EXPECT_THAT(text, HasSubstr("test memory: no memory for 4096 bytes beside 8192 in use"));
  EXPECT_EQ(pool.stats().used_bytes, 8192u);
  pool.Free(block);
}

TEST(MemoryPool, SizesThatNoMachineHasAreOutOfMemory) {
  System system;
  MemoryPool pool(system.source());
  for (const std::size_t bytes : {~std::size_t{0}, ~std::size_t{0} / 2, ~std::size_t{0} / 2 - (1u << 20)})
    EXPECT_EQ(CodeOf([&] { pool.Allocate(bytes); }), Code::kOutOfMemory) << bytes;
  EXPECT_EQ(pool.stats().used_bytes, 0u);
}

TEST(MemoryPool, CapCountsUsedAndCachedAndIsNamedInTheError) {
  System system;
  MemoryPool pool(system.source());
  pool.SetCap(8192);
  void* block = pool.Allocate(4096);
  pool.Free(pool.Allocate(2048));
  void* second = pool.Allocate(4096);  // Fits only without the cached block.
  EXPECT_EQ(system.held(), 8192u);
  std::string text;
  EXPECT_EQ(CodeOf([&] { pool.Allocate(1); }, &text), Code::kOutOfMemory);
  EXPECT_THAT(text, HasSubstr("test memory: 256 bytes asked for, 8192 in use, cap 8192"));
  pool.Free(second);
  pool.Free(block);
  pool.SetCap(0);
  pool.Free(pool.Allocate(1u << 20));
}

TEST(MemoryPool, LoweredCapEvictsAtOnceAndWhenBlocksComeBack) {
  System system;
  MemoryPool pool(system.source());
  void* block = pool.Allocate(4096);
  pool.Free(pool.Allocate(8192));
  pool.SetCap(1024);
  EXPECT_EQ(system.held(), 4096u);
  pool.Free(block);
  EXPECT_EQ(system.held(), 0u);
}

TEST(MemoryPool, NullIsIgnoredAndForeignOrFreedPointersAreRefused) {
  System system;
  MemoryPool pool(system.source());
  pool.Free(nullptr);
  int foreign = 0;
  EXPECT_EQ(CodeOf([&] { pool.Free(&foreign); }), Code::kInvalidArgument);
  void* block = pool.Allocate(1);
  pool.Free(block);
  EXPECT_EQ(CodeOf([&] { pool.Free(block); }), Code::kInvalidArgument);
}

TEST(MemoryPool, AThrowingSourceLeavesTheBooksBalanced) {
  MemoryPool pool(
      {"broken", [](std::size_t) -> void* { throw Error(Code::kDevice, "lost"); }, [](void*, std::size_t) {}});
  EXPECT_EQ(CodeOf([&] { pool.Allocate(1); }), Code::kDevice);
  EXPECT_EQ(pool.stats().used_bytes, 0u);
}

TEST(MemoryPool, ThreadsNeverShareABlockAndTheSumsHold) {
  System system(64u << 20);
  MemoryPool pool(system.source());
  pool.SetCap(48u << 20);
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::pair<unsigned char*, std::size_t>> mine;
    for (int i = 0; i < 2000; ++i) {
      if (mine.size() < 8 && random() % 2 == 0) {
        const std::size_t bytes = 1 + random() % 5000;
        mine.emplace_back(static_cast<unsigned char*>(pool.Allocate(bytes)), bytes);
        std::memset(mine.back().first, static_cast<int>(seed), bytes);
      } else if (!mine.empty()) {
        const auto [data, bytes] = mine.back();
        for (std::size_t b = 0; b < bytes; ++b) ASSERT_EQ(data[b], seed);
        pool.Free(data);
        mine.pop_back();
      }
      if (random() % 100 == 0) pool.Trim();
    }
    for (const auto& [data, bytes] : mine) pool.Free(data);
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.stats().used_bytes, 0u);
  EXPECT_EQ(pool.stats().cached_bytes, system.held());
}

TEST(MemoryPool, AnExactSourceIsAskedForJustTheBytesAndGetsThemBackAtOnce) {
  System system;
  MemoryPool::Source source = system.source();
  source.exact = true;
  MemoryPool pool(source);
  void* const first = pool.Allocate(1000);
  void* const empty = pool.Allocate(0);
  EXPECT_EQ(system.held(), 1001u);
  EXPECT_EQ(pool.stats().used_bytes, 1001u);
  pool.Free(first);
  pool.Free(empty);
  EXPECT_EQ(system.held(), 0u);
  EXPECT_EQ(pool.stats().cached_bytes, 0u);
}

}  // namespace
}  // namespace gemmsmith
