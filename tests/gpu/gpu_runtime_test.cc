#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "gpu_test.h"

namespace gemmsmith {
namespace {

class GpuRuntimeTest : public GpuTest {};

TEST_F(GpuRuntimeTest, TheDeviceIsListedWithNumbersThatMakeSense) {
  const DeviceSpec& spec = device().spec();
  EXPECT_THAT(engine().devices().List(), testing::Contains(&device()));
  EXPECT_EQ(spec.target, device().targets().front());
  EXPECT_GE(spec.multiprocessors, 1);
  EXPECT_GT(spec.clock_ghz, 0.2);
  EXPECT_LT(spec.clock_ghz, 5);
  EXPECT_GT(spec.memory_gbps, 50);
  EXPECT_GT(spec.memory_gib, 1);
  EXPECT_GE(spec.shared_bytes, 48 << 10);
  EXPECT_GE(spec.l2_bytes, 256 << 10);
}

TEST_F(GpuRuntimeTest, BytesComeBackAsTheyWentFromPagedAndPinnedMemory) {
  constexpr std::size_t kCount = 3'000'001;
  const Buffer on_gpu = device().Allocate(kCount * 4);
  const Buffer pinned(device().pinned_memory(), kCount * 4);
  std::vector<std::uint32_t> paged(kCount), back(kCount);
  std::iota(paged.begin(), paged.end(), 7u);
  auto* locked = static_cast<std::uint32_t*>(pinned.data());
  device().Copy(on_gpu.data(), paged.data(), kCount * 4);
  device().Copy(locked, on_gpu.data(), kCount * 4);
  device().Fill(on_gpu.data(), 0, kCount * 4);
  device().Copy(on_gpu.data(), locked, kCount * 4);
  device().Copy(back.data(), on_gpu.data(), kCount * 4);
  device().Synchronize();
  EXPECT_EQ(back, paged);
}

TEST_F(GpuRuntimeTest, WorkOfOneStreamIsInOrderAndEventsTimeIt) {
  constexpr std::size_t kBytes = 256u << 20;
  const Buffer buffer = device().Allocate(kBytes);
  const Stream stream = device().CreateStream();
  const auto start = device().CreateEvent(), stop = device().CreateEvent();
  start->Record(stream);
  for (int i = 0; i <= 20; ++i) device().Fill(buffer.data(), static_cast<std::uint8_t>(i), kBytes, stream);
  stop->Record(stream);
  std::vector<std::uint8_t> out(kBytes);
  device().Copy(out.data(), buffer.data(), kBytes, stream);
  device().Synchronize(stream);
  EXPECT_EQ(std::count(out.begin(), out.end(), 20), static_cast<std::ptrdiff_t>(kBytes));
  // 21 fills of 256 MiB: no GPU moves 100 TB/s.
  EXPECT_GT(stop->MillisecondsSince(*start), 0.05);
  device().DestroyStream(stream);
}

TEST_F(GpuRuntimeTest, MoreMemoryThanThereIsIsOutOfMemoryAndTheDeviceGoesOn) {
  try {
    device().Allocate(std::size_t{1} << 50);
    FAIL() << "1 PiB was given";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kOutOfMemory) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr("cuda:0"));
  }
  const Buffer buffer = device().Allocate(1000);
  device().Fill(buffer.data(), 1, 1000);
  device().Synchronize();
}

TEST_F(GpuRuntimeTest, CachedMemoryIsGivenBackWhenTheDeviceIsFull) {
  const auto most = static_cast<std::size_t>(device().spec().memory_gib * 0.6 * (1ull << 30));
  try {
    device().memory().Free(device().memory().Allocate(most));
  } catch (const Error& error) {
    GTEST_SKIP() << "others use this GPU: " << error.what();
  }
  const Buffer larger = device().Allocate(most + (64u << 20));
  EXPECT_NE(larger.data(), nullptr);
}

TEST_F(GpuRuntimeTest, ThreadsUseTheDeviceAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([t] {
      const Stream stream = device().CreateStream();
      for (int i = 0; i < 50; ++i) {
        const Buffer buffer = device().Allocate(10'000 + 1000 * i);
        std::vector<std::uint8_t> out(buffer.bytes());
        device().Fill(buffer.data(), static_cast<std::uint8_t>(16 * t + i % 16), buffer.bytes(), stream);
        device().Copy(out.data(), buffer.data(), out.size(), stream);
        device().Synchronize(stream);
        ASSERT_THAT(out, testing::Each(16 * t + i % 16));
      }
      device().DestroyStream(stream);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(GpuRuntimeTest, EveryGpuOfTheMachineWorksBesideTheFirst) {
  for (Device* gpu : engine().devices().List()) {
    if (gpu->id().kind != DeviceKind::kCuda) continue;
    const Buffer here = gpu->Allocate(4096);
    std::vector<std::uint8_t> out(4096);
    gpu->Fill(here.data(), static_cast<std::uint8_t>(gpu->id().index + 1), 4096);
    gpu->Copy(out.data(), here.data(), 4096);
    gpu->Synchronize();
    EXPECT_THAT(out, testing::Each(gpu->id().index + 1)) << ToString(gpu->id());
  }
}

}  // namespace
}  // namespace gemmsmith
