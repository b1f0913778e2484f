#include "runtime/cuda/cuda_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "fake_driver.h"
#include "gemmsmith/error.h"

namespace gemmsmith::cuda {
namespace {

using testing::HasSubstr;

std::string ErrorOf(const std::function<void()>& call, Code code) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

std::vector<std::string> TargetNames(int major, int minor) {
  std::vector<std::string> names;
  for (const CodeTarget& target : CompatibleTargets(major, minor)) names.push_back(ToString(target));
  return names;
}

/// The driver of today, and one that lacks cuGetProcAddress_v2.
class CudaDeviceTest : public testing::TestWithParam<const char*> {
 protected:
  CudaDeviceTest() { fake_driver::Reset({{}, {}}); }
  ~CudaDeviceTest() override { EXPECT_EQ(fake_driver::Alive(), fake_driver::Live{}); }
  std::unique_ptr<CudaDevice> Open(int index = 0) {
    if (driver_ == nullptr) driver_ = std::make_shared<const CudaDriver>(GetParam());
    return std::make_unique<CudaDevice>(driver_, index);
  }
  std::shared_ptr<const CudaDriver> driver_;
};
INSTANTIATE_TEST_SUITE_P(Drivers, CudaDeviceTest, testing::Values(FAKE_LIBCUDA, FAKE_OLD_LIBCUDA),
                         [](const auto& info) { return info.index == 0 ? "New" : "Old"; });

TEST(CudaTargets, AreThoseWhoseMachineCodeTheGpuLoadsBestFirst) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(TargetNames(7, 5), (Names{"sm_75"}));
  EXPECT_EQ(TargetNames(8, 0), (Names{"sm_80"}));
  EXPECT_EQ(TargetNames(8, 9), (Names{"sm_89", "sm_86", "sm_80"}));
  EXPECT_EQ(TargetNames(8, 7), (Names{"sm_87"}));
  EXPECT_EQ(TargetNames(9, 0), (Names{"sm_90a", "sm_90"}));
  EXPECT_EQ(TargetNames(10, 0), (Names{"sm_100a", "sm_100f", "sm_100"}));
  EXPECT_EQ(TargetNames(10, 3), (Names{"sm_103a", "sm_103", "sm_100f", "sm_100"}));
  EXPECT_EQ(TargetNames(12, 1), (Names{"sm_121a", "sm_121", "sm_120f", "sm_120"}));
  EXPECT_EQ(TargetNames(7, 0), Names{});
}

TEST(CudaTargets, AGpuFromTheFutureRunsPlainCodeThroughThePtx) {
  const std::vector<std::string> names = TargetNames(14, 0);
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "sm_121");
  EXPECT_THAT(names, testing::Each(testing::Not(testing::EndsWith("a"))));
}

TEST_P(CudaDeviceTest, SpecIsWhatTheDriverTellsAndTheDataFileFillsIn) {
  const auto device = Open();
  const DeviceSpec& spec = device->spec();
  EXPECT_EQ(spec.name, "NVIDIA H200");
  EXPECT_EQ(ToString(spec.target), "sm_90a");
  EXPECT_EQ(spec.multiprocessors, 132);
  EXPECT_DOUBLE_EQ(spec.clock_ghz, 1.98);
  EXPECT_NEAR(spec.memory_gbps, 4917, 1);
  EXPECT_DOUBLE_EQ(spec.memory_gib, 1);
  EXPECT_EQ(spec.l2_bytes, 60 << 20);
  EXPECT_EQ(spec.shared_bytes, 232448);
  EXPECT_EQ(spec.shared_bytes_per_sm, 233472);
  EXPECT_EQ(spec.registers_per_sm, 65536);
  const DeviceSpec& row = FindDeviceSpec("h200");
  EXPECT_EQ(spec.f32_flops_per_clock, row.f32_flops_per_clock);
  EXPECT_EQ(spec.tensor_flops_per_clock, row.tensor_flops_per_clock);
  EXPECT_EQ(spec.launch_us, row.launch_us);
}

TEST_P(CudaDeviceTest, ClocksThatTheDriverHidesComeFromTheRowOfTheDevice) {
  fake_driver::Gpu gpu;
  gpu.name = "NVIDIA H100 80GB HBM3";
  gpu.attributes = {{CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 0}, {CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 0}};
  fake_driver::Reset({gpu});
  const auto device = Open();
  EXPECT_EQ(device->spec().clock_ghz, FindDeviceSpec("h100").clock_ghz);
  EXPECT_EQ(device->spec().memory_gbps, FindDeviceSpec("h100").memory_gbps);
}

TEST_P(CudaDeviceTest, QueryingMakesNoContextAndWorkMakesOne) {
  const auto device = Open();
  EXPECT_EQ(fake_driver::Calls("cuDevicePrimaryCtxRetain"), 0);
  device->Synchronize({});
  device->Synchronize({});
  EXPECT_EQ(fake_driver::Calls("cuDevicePrimaryCtxRetain"), 1);
}

TEST_P(CudaDeviceTest, TheCallersContextIsCurrentAgainAfterEveryCall) {
  const auto first = Open(0), second = Open(1);
  first->Synchronize({});
  const auto theirs = fake_driver::Retain(1);
  for (const CUcontext before : {CUcontext{nullptr}, theirs}) {
    fake_driver::SetCurrent(before);
    for (CudaDevice* device : {first.get(), second.get()}) {
      Buffer buffer = device->Allocate(1024);
      const Stream stream = device->CreateStream();
      device->Fill(buffer.data(), 1, 1024, stream);
      device->Synchronize(stream);
      device->DestroyStream(stream);
      EXPECT_EQ(fake_driver::Current(), before);
      EXPECT_THROW(device->DestroyStream({device}), Error);
      EXPECT_EQ(fake_driver::Current(), before) << "after an error";
    }
  }
  fake_driver::SetCurrent(nullptr);
  driver_->api().cuDevicePrimaryCtxRelease_v2(1);
}

TEST_P(CudaDeviceTest, ACurrentContextIsNotSetAgain) {
  const auto device = Open();
  fake_driver::SetCurrent(fake_driver::Retain(0));
  device->Synchronize({});
  EXPECT_EQ(fake_driver::Calls("cuCtxSetCurrent"), 0);
  fake_driver::SetCurrent(nullptr);
  driver_->api().cuDevicePrimaryCtxRelease_v2(0);
}

TEST_P(CudaDeviceTest, CopiesGoBothWaysAndFillsReachEveryByte) {
  const auto device = Open();
  const Stream stream = device->CreateStream();
  std::vector<int> in(1000), out(1000, -1);
  std::iota(in.begin(), in.end(), 0);
  {
    const Buffer buffer = device->Allocate(4000);
    device->Copy(buffer.data(), in.data(), 4000, stream);
    device->Copy(out.data(), buffer.data(), 4000, stream);
    device->Synchronize(stream);
    EXPECT_EQ(out, in);
    device->Fill(buffer.data(), 0x5a, 4000, stream);
    device->Copy(out.data(), buffer.data(), 4000, stream);
    device->Synchronize(stream);
    EXPECT_THAT(out, testing::Each(0x5a5a5a5a));
  }
  device->DestroyStream(stream);
}

TEST_P(CudaDeviceTest, EmptyCopiesAndFillsDoNothingAndNullPointersAreRefused) {
  const auto device = Open();
  char byte = 0;
  device->Copy(nullptr, nullptr, 0, {});
  device->Fill(nullptr, 0, 0, {});
  EXPECT_EQ(fake_driver::Calls("cuMemcpyAsync") + fake_driver::Calls("cuMemsetD8Async"), 0);
  EXPECT_THAT(ErrorOf([&] { device->Copy(nullptr, &byte, 1, {}); }, Code::kInvalidArgument),
              HasSubstr("to a null pointer"));
  EXPECT_THAT(ErrorOf([&] { device->Copy(&byte, nullptr, 1, {}); }, Code::kInvalidArgument),
              HasSubstr("from a null pointer"));
  ErrorOf([&] { device->Fill(nullptr, 0, 1, {}); }, Code::kInvalidArgument);
}

TEST_P(CudaDeviceTest, PinnedMemoryIsTheDriversAndPooled) {
  const auto device = Open();
  void* block = device->pinned_memory().Allocate(5000);
  device->pinned_memory().Free(block);
  EXPECT_EQ(device->pinned_memory().Allocate(4900), block);
  EXPECT_EQ(fake_driver::Calls("cuMemHostAlloc"), 1);
  device->pinned_memory().Free(block);
  EXPECT_EQ(device->memory().stats().allocations, 0u);
}

TEST_P(CudaDeviceTest, AFullDeviceIsAskedAgainAfterATrimThenIsOutOfMemory) {
  const auto device = Open();
  device->memory().Free(device->memory().Allocate(768u << 20));
  void* block = device->memory().Allocate(512u << 20);
  EXPECT_EQ(fake_driver::Calls("cuMemAlloc_v2"), 3);
  EXPECT_THAT(ErrorOf([&] { device->Allocate(768u << 20); }, Code::kOutOfMemory),
              HasSubstr("cuda:0: no memory for 805306368 bytes beside 536870912 in use"));
  device->memory().Free(block);
}

TEST_P(CudaDeviceTest, EventsMeasureWorkBetweenThem) {
  const auto device = Open();
  const auto start = device->CreateEvent(), stop = device->CreateEvent();
  EXPECT_THAT(ErrorOf([&] { stop->MillisecondsSince(*start); }, Code::kDevice),
              HasSubstr("both events must be recorded"));
  start->Record({});
  stop->Record({});
  EXPECT_GT(stop->MillisecondsSince(*start), 0);
}

TEST_P(CudaDeviceTest, EventsOfTwoDevicesCannotBeCompared) {
  const auto first = Open(0), second = Open(1);
  const auto here = first->CreateEvent(), there = second->CreateEvent();
  EXPECT_THAT(ErrorOf([&] { here->MillisecondsSince(*there); }, Code::kInvalidArgument), HasSubstr("cuda:0"));
}

TEST_P(CudaDeviceTest, AStreamThatIsCapturedOrCannotSayIsSaidToBe) {
  const auto device = Open();
  EXPECT_FALSE(device->IsCapturing({}));
  fake_driver::SetCapturing(true);
  EXPECT_TRUE(device->IsCapturing({}));
  fake_driver::SetCapturing(false);
  fake_driver::FailNext("cuStreamIsCapturing", CUDA_ERROR_UNKNOWN);
  EXPECT_TRUE(device->IsCapturing({}));
}

TEST_P(CudaDeviceTest, TheDefaultStreamCannotBeDestroyed) {
  ErrorOf([&] { Open()->DestroyStream({}); }, Code::kInvalidArgument);
}

TEST_P(CudaDeviceTest, EveryFailureOfTheDriverNamesDeviceFunctionAndError) {
  const auto device = Open(1);
  char bytes[2] = {};
  const struct {
    const char* function;
    std::function<void()> call;
  } cases[] = {
      {"cuDevicePrimaryCtxRetain", [&] { device->Synchronize({}); }},
      {"cuCtxGetCurrent", [&] { device->Synchronize({}); }},
      {"cuCtxSetCurrent", [&] { device->Synchronize({}); }},
      {"cuMemAlloc_v2", [&] { device->Allocate(1); }},
      {"cuMemHostAlloc", [&] { Buffer buffer(device->pinned_memory(), 1); }},
      {"cuMemcpyAsync", [&] { device->Copy(bytes, bytes + 1, 1, {}); }},
      {"cuMemsetD8Async", [&] { device->Fill(bytes, 0, 1, {}); }},
      {"cuStreamCreate", [&] { device->CreateStream(); }},
      {"cuStreamSynchronize", [&] { device->Synchronize({}); }},
      {"cuEventCreate", [&] { device->CreateEvent(); }},
      {"cuEventRecord", [&] { device->CreateEvent()->Record({}); }},
  };
  for (const auto& c : cases) {
    fake_driver::FailNext(c.function, CUDA_ERROR_ILLEGAL_ADDRESS);
    const std::string name = std::string(c.function).substr(0, std::string(c.function).find("_v2"));
    const std::string text = ErrorOf(c.call, Code::kDevice);
    EXPECT_THAT(text, HasSubstr("cuda:1: " + name)) << c.function;
    EXPECT_THAT(text, HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)")) << c.function;
    EXPECT_THAT(text, HasSubstr("restart it")) << c.function;
  }
}

TEST_P(CudaDeviceTest, ADriverThatIsDownAtProcessExitIsNoError) {
  auto device = Open();
  auto event = device->CreateEvent();
  Buffer buffer = device->Allocate(1);
  for (const char* function : {"cuEventDestroy_v2", "cuMemFree_v2", "cuDevicePrimaryCtxRelease_v2"})
    fake_driver::FailNext(function, CUDA_ERROR_DEINITIALIZED);
  event.reset();
  buffer = Buffer();
  device.reset();
  EXPECT_EQ(fake_driver::Alive().events, 1) << "the failure was injected";
  fake_driver::Reset();
}

TEST_P(CudaDeviceTest, ThreadsShareOneContextAndOnePool) {
  const auto device = Open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const Buffer buffer = device->Allocate(100 + i);
        device->Fill(buffer.data(), static_cast<std::uint8_t>(t), 100 + i, {});
        std::vector<std::uint8_t> out(100 + i);
        device->Copy(out.data(), buffer.data(), out.size(), {});
        device->Synchronize({});
        ASSERT_THAT(out, testing::Each(t));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fake_driver::Calls("cuDevicePrimaryCtxRetain"), 1);
  EXPECT_EQ(device->memory().stats().used_bytes, 0u);
}

}  // namespace
}  // namespace gemmsmith::cuda
