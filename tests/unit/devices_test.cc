#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "fake_driver.h"
#include "gemmsmith/error.h"
#include "runtime/device_registry.h"

namespace gemmsmith {
namespace {

using testing::HasSubstr;

/// Stands for the CPU device, and for any device that is added later: the registry knows only the interface.
class PlainDevice final : public Device {
 public:
  DeviceId id() const override { return {}; }
  const DeviceSpec& spec() const override { return spec_; }
  std::vector<CodeTarget> targets() const override { return {{}}; }
  std::shared_ptr<const Kernel> Load(const Artifact&) override { return nullptr; }
  MemoryPool& memory() override { return pool_; }
  MemoryPool& pinned_memory() override { return pool_; }
  void Copy(void*, const void*, std::size_t, Stream) override {}
  void Fill(void*, std::uint8_t, std::size_t, Stream) override {}
  Stream CreateStream() override { return {}; }
  void DestroyStream(Stream) override {}
  void Synchronize(Stream) override {}
  std::unique_ptr<Event> CreateEvent() override { return nullptr; }

 private:
  DeviceSpec spec_;
  MemoryPool pool_{{"host", [](std::size_t) -> void* { return nullptr; }, [](void*, std::size_t) {}}};
};

std::unique_ptr<Device> MakePlain() { return std::make_unique<PlainDevice>(); }
constexpr DeviceId Cuda(int index) { return {DeviceKind::kCuda, static_cast<std::uint8_t>(index)}; }

std::string ErrorOf(DeviceRegistry& registry, DeviceId id, Code code) {
  try {
    registry.Get(id);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << ToString(id) << " was opened";
  return "";
}

TEST(Devices, WithoutADriverThereIsTheCpuAndAReason) {
  DeviceRegistry registry(MakePlain, "libcuda_that_is_not_here.so.1");
  EXPECT_THAT(registry.CudaStatus(), HasSubstr("CUDA driver not found"));
  EXPECT_THAT(registry.CudaStatus(), HasSubstr("libcuda_that_is_not_here.so.1"));
  EXPECT_EQ(registry.List(), std::vector<Device*>{&registry.Get({})});
  EXPECT_EQ(&registry.Best(), &registry.Get({}));
  EXPECT_THAT(ErrorOf(registry, Cuda(0), Code::kNotFound), HasSubstr("no device cuda:0: CUDA driver not found"));
}

TEST(Devices, ALibraryThatIsNoDriverIsNamedWithWhatItLacks) {
  DeviceRegistry registry(MakePlain, "libm.so.6");
  EXPECT_THAT(registry.CudaStatus(), HasSubstr("cuInit"));
}

TEST(Devices, DriverWithoutAGpuSaysSo) {
  constexpr struct {
    cuda::CUresult result;
    const char* status;
  } kCases[] = {{cuda::CUDA_ERROR_NO_DEVICE, "no CUDA GPU"},
                {cuda::CUDA_ERROR_STUB_LIBRARY, "is the toolkit's stub"},
                {cuda::CUDA_ERROR_UNKNOWN, "CUDA driver does not start"}};
  for (const auto& c : kCases) {
    fake_driver::Reset();
    fake_driver::FailNext("cuInit", c.result);
    DeviceRegistry registry(MakePlain, FAKE_LIBCUDA);
    EXPECT_THAT(registry.CudaStatus(), HasSubstr(c.status));
    EXPECT_EQ(&registry.Best(), &registry.Get({}));
  }
}

TEST(Devices, AllAreListedTheCpuFirstAndTheBestIsAGpu) {
  fake_driver::Reset({{}, {}});
  DeviceRegistry registry(MakePlain, FAKE_LIBCUDA);
  EXPECT_EQ(registry.CudaStatus(), "");
  const std::vector<Device*> devices = registry.List();
  EXPECT_EQ(devices, (std::vector<Device*>{&registry.Get({}), &registry.Get(Cuda(0)), &registry.Get(Cuda(1))}));
  EXPECT_EQ(&registry.Best(), &registry.Get(Cuda(0)));
  EXPECT_EQ(fake_driver::Alive().contexts, 0) << "listing devices must not make contexts";
}

TEST(Devices, AnIndexThatIsNotThereIsNamedWithWhatThereIs) {
  fake_driver::Reset({{}, {}});
  DeviceRegistry registry(MakePlain, FAKE_LIBCUDA);
  EXPECT_THAT(ErrorOf(registry, Cuda(7), Code::kNotFound), HasSubstr("no device cuda:7: this machine has 2"));
  EXPECT_THAT(ErrorOf(registry, {DeviceKind::kCpu, 1}, Code::kNotFound), HasSubstr("there is one CPU device"));
}

TEST(Devices, AGpuThatIsTooOldIsLeftOutWithAWarning) {
  fake_driver::Gpu old_gpu;
  old_gpu.major = 6, old_gpu.minor = 1;
  fake_driver::Reset({old_gpu, {}});
  std::string warning;
  SetErrorHandler([&](Severity, std::string_view message) { warning = message; });
  DeviceRegistry registry(MakePlain, FAKE_LIBCUDA);
  EXPECT_EQ(&registry.Best(), &registry.Get(Cuda(1)));
  SetErrorHandler({});
  EXPECT_THAT(warning, HasSubstr("cuda:0 is left out: cuda:0 has compute capability 6.1"));
  ErrorOf(registry, Cuda(0), Code::kUnsupported);
}

TEST(Devices, AGpuThatFailedToOpenCanBeAskedForAgain) {
  fake_driver::Reset();
  DeviceRegistry registry(MakePlain, FAKE_LIBCUDA);
  registry.CudaStatus();
  fake_driver::FailNext("cuDeviceGetName", cuda::CUDA_ERROR_DEVICE_UNAVAILABLE);
  EXPECT_THAT(ErrorOf(registry, Cuda(0), Code::kDevice), HasSubstr("CUDA_ERROR_DEVICE_UNAVAILABLE"));
  EXPECT_EQ(registry.Get(Cuda(0)).id(), Cuda(0));
}

TEST(Devices, ThreadsGetOneDevice) {
  fake_driver::Reset();
  DeviceRegistry registry(MakePlain, FAKE_LIBCUDA);
  std::array<Device*, 4> seen{};
  std::vector<std::thread> threads;
  for (Device*& device : seen) threads.emplace_back([&] { device = &registry.Get(Cuda(0)); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(seen, testing::Each(&registry.Get(Cuda(0))));
}

}  // namespace
}  // namespace gemmsmith
