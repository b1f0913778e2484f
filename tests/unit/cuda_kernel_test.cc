#include "runtime/cuda/kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "fake_driver.h"
#include "gemmsmith/error.h"
#include "runtime/cuda/cuda_device.h"

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

Artifact Code90(const std::string& cubin, const std::string& ptx) {
  Artifact artifact;
  artifact.kernel_name = "Scale<4>";
  artifact.lowered_name = "_Z5ScaleILi4EEv";
  artifact.target = {Isa::kCuda, 90, 'a'};
  artifact.compiler = "nvrtc 13.0.88 (test)";
  if (!cubin.empty()) artifact.parts["cubin"] = cubin + " _Z5ScaleILi4EEv";
  if (!ptx.empty()) artifact.parts["ptx"] = ptx + " _Z5ScaleILi4EEv";
  return artifact;
}

fake_driver::Gpu GpuOf(int major, int minor) {
  fake_driver::Gpu gpu;
  gpu.major = major, gpu.minor = minor;
  return gpu;
}

/// Scale<4>(float* data, int count, double factor), over host memory.
void Scale(void** parameters) {
  float* data = *static_cast<float**>(parameters[0]);
  const int count = *static_cast<int*>(parameters[1]);
  const double factor = *static_cast<double*>(parameters[2]);
  for (int i = 0; i < count; ++i) data[i] = static_cast<float>(data[i] * factor);
}

class CudaKernelTest : public testing::Test {
 protected:
  CudaKernelTest() { Machine({}, 13000); }
  ~CudaKernelTest() override { EXPECT_EQ(fake_driver::Alive(), fake_driver::Live{}); }

  void Machine(const fake_driver::Gpu& gpu, int driver_version) {
    fake_driver::Reset({gpu, gpu}, driver_version);
    fake_driver::AddKernel("_Z5ScaleILi4EEv", scale_);
  }
  std::unique_ptr<CudaDevice> Open(const char* library = FAKE_LIBCUDA, int index = 0) {
    return std::make_unique<CudaDevice>(std::make_shared<const CudaDriver>(library), index);
  }
  void Launch(const Kernel& kernel, Dim3 grid = {}, Dim3 block = {}, Dim3 cluster = {},
              std::uint32_t shared_bytes = 0) {
    void* data = numbers_.data();
    int count = static_cast<int>(numbers_.size());
    double factor = 2;
    void* const args[] = {&data, &count, &factor};
    kernel.Launch(grid, block, cluster, shared_bytes, args, {});
  }

  fake_driver::Kernel scale_{{8, 4, 8}, Scale, 40, 1024, 512};
  std::vector<float> numbers_ = {1, 2, 3};
};

TEST_F(CudaKernelTest, ParametersGeometryAndStreamReachTheKernel) {
  const auto device = Open();
  const auto kernel = device->Load(Code90("cubin sm_90 cuda=13000", ""));
  const Stream stream = device->CreateStream();
  void* data = numbers_.data();
  int count = 3;
  double factor = 0.5;
  void* const args[] = {&data, &count, &factor};
  kernel->Launch({4, 2, 1}, {32, 4, 1}, {2, 1, 1}, 4096, args, stream);
  EXPECT_EQ(numbers_, (std::vector<float>{0.5, 1, 1.5}));
  const std::vector<fake_driver::Launch> launches = fake_driver::Launches();
  ASSERT_EQ(launches.size(), 1u);
  EXPECT_EQ(launches[0].grid, (Dim3{4, 2, 1}));
  EXPECT_EQ(launches[0].block, (Dim3{32, 4, 1}));
  EXPECT_EQ(launches[0].cluster, (Dim3{2, 1, 1}));
  EXPECT_EQ(launches[0].shared_bytes, 4096u);
  EXPECT_EQ(launches[0].stream, stream.handle);
  device->DestroyStream(stream);
}

TEST_F(CudaKernelTest, OverlapsLaunchesWhereTheStreamSaysSoAndTheDeviceCan) {
  for (const bool hopper : {true, false}) {
    Machine(hopper ? fake_driver::Gpu{} : GpuOf(8, 0), 13000);
    const auto kernel =
        Open()->Load(Code90(hopper ? "cubin sm_90 cuda=13000" : "", hopper ? "" : "ptx sm_80 cuda=13000"));
    void* data = numbers_.data();
    int count = 3;
    double factor = 1;
    void* const args[] = {&data, &count, &factor};
    for (const bool overlap : {false, true})
      for (const std::uint32_t cluster : hopper ? std::vector<std::uint32_t>{1, 2} : std::vector<std::uint32_t>{1}) {
        kernel->Launch({2, 1, 1}, {}, {cluster, 1, 1}, 0, args, {nullptr, overlap});
        EXPECT_EQ(fake_driver::Launches().back().overlaps, overlap && hopper);
        EXPECT_EQ(fake_driver::Launches().back().cluster.x, cluster);
      }
  }
}

TEST_F(CudaKernelTest, NameAndResourcesAreThoseOfTheLoadedCode) {
  const auto kernel = Open()->Load(Code90("cubin sm_90 cuda=13000", ""));
  EXPECT_EQ(kernel->name(), "Scale<4>");
  EXPECT_EQ(kernel->resources().registers, 40);
  EXPECT_EQ(kernel->resources().static_shared_bytes, 1024);
}

TEST_F(CudaKernelTest, SharedMemoryIsOptedInOnceAtLoadUpToTheLimit) {
  const auto kernel = Open()->Load(Code90("cubin sm_90 cuda=13000", ""));
  EXPECT_EQ(fake_driver::MaxDynamicShared("_Z5ScaleILi4EEv"), 232448 - 1024);
  Launch(*kernel, {}, {}, {}, 232448 - 1024);
  Launch(*kernel, {}, {}, {}, 1);
  EXPECT_EQ(fake_driver::Calls("cuFuncSetAttribute"), 1);
}

TEST_F(CudaKernelTest, CodeForTheWrongGpuOrFromANewerToolkitFallsBackToPtx) {
  const struct {
    const char *name, *cubin, *ptx;
    fake_driver::Gpu gpu;
    int driver;
  } cases[] = {{"higher minor version", "cubin sm_89 cuda=13000", "ptx sm_80 cuda=13000", GpuOf(8, 6), 13000},
               {"other major version", "cubin sm_80 cuda=13000", "ptx sm_80 cuda=13000", {}, 13000},
               {"cubin of a newer CUDA", "cubin sm_90 cuda=13000", "ptx sm_90 cuda=12000", {}, 12040},
               {"no cubin", "", "ptx sm_75 cuda=12000", GpuOf(8, 9), 12040}};
  for (const auto& c : cases) {
    Machine(c.gpu, c.driver);
    const auto kernel = Open()->Load(Code90(c.cubin, c.ptx));
    numbers_ = {1, 2, 3};
    Launch(*kernel);
    EXPECT_EQ(numbers_, (std::vector<float>{2, 4, 6})) << c.name;
  }
}

TEST_F(CudaKernelTest, ADriverThatIsTooOldIsAnErrorWithBothReasonsItsVersionAndWhatIsNeeded) {
  Machine({}, 12040);
  const auto device = Open();
  const std::string text =
      ErrorOf([&] { device->Load(Code90("cubin sm_90 cuda=13000", "ptx sm_90 cuda=13000")); }, Code::kDevice);
  for (const char* part : {"cuda:0: load Scale<4> (sm_90a, nvrtc 13.0.88", "cubin: CUDA_ERROR_NO_BINARY_FOR_GPU",
                           "ptx: CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "ptxas: the fake driver refuses",
                           "the driver is of CUDA 12.4", "needs driver 580 or newer", "compile it with CUDA 12.x"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST_F(CudaKernelTest, CodeForANewerGpuIsAnErrorThatNamesTheTarget) {
  Machine(GpuOf(8, 0), 13000);
  EXPECT_THAT(ErrorOf([&] { Open()->Load(Code90("cubin sm_90 cuda=13000", "ptx sm_90 cuda=13000")); }, Code::kDevice),
              HasSubstr("compile it for a target of this device (it was compiled for sm_90a)"));
}

TEST_F(CudaKernelTest, ArtifactsWithoutCudaCodeOrWithoutTheKernelAreRefused) {
  const auto device = Open();
  EXPECT_THAT(ErrorOf([&] { device->Load(Code90("", "")); }, Code::kInvalidArgument), HasSubstr("holds no CUDA code"));
  Artifact other = Code90("cubin sm_90 cuda=13000", "");
  other.lowered_name = "nothing";
  EXPECT_THAT(ErrorOf([&] { device->Load(other); }, Code::kDevice),
              HasSubstr("cuModuleGetFunction(nothing): CUDA_ERROR_NOT_FOUND"));
}

TEST_F(CudaKernelTest, ADeviceThatIsOutOfMemoryDoesNotFallBack) {
  const auto device = Open();
  fake_driver::FailNext("cuModuleLoadDataEx", CUDA_ERROR_OUT_OF_MEMORY);
  ErrorOf([&] { device->Load(Code90("cubin sm_90 cuda=13000", "ptx sm_90 cuda=13000")); }, Code::kOutOfMemory);
  EXPECT_EQ(fake_driver::Calls("cuModuleLoadDataEx"), 1);
}

TEST_F(CudaKernelTest, LaunchesBeyondTheDevicesLimitsAreRefusedBeforeTheDriverSeesThem) {
  const auto kernel = Open()->Load(Code90("cubin sm_90 cuda=13000", ""));
  const struct {
    Dim3 grid, block, cluster;
    std::uint32_t shared_bytes;
    const char* text;
  } cases[] = {{{0, 1, 1}, {}, {}, 0, "grid (0, 1, 1) must be from 1 to (2147483647, 65535, 65535)"},
               {{1, 65536, 1}, {}, {}, 0, "grid (1, 65536, 1)"},
               {{}, {1, 1, 0}, {}, 0, "block (1, 1, 0) must be from 1 to (1024, 1024, 64)"},
               {{}, {1, 1, 65}, {}, 0, "block (1, 1, 65)"},
               {{}, {32, 32, 1}, {}, 0, "1024 threads, the limit is 512 (40 registers each, cuda:0)"},
               {{}, {}, {}, 231425, "231425 bytes of shared memory, the limit is 231424 beside 1024 static"},
               {{4, 4, 1}, {}, {4, 4, 1}, 0, "cluster (4, 4, 1) has 16 blocks, cuda:0 takes 1 to 8"},
               {{4, 1, 1}, {}, {0, 1, 1}, 0, "cluster (0, 1, 1) has 0 blocks"},
               {{6, 1, 1}, {}, {4, 1, 1}, 0, "grid (6, 1, 1) is not a multiple of cluster (4, 1, 1)"}};
  for (const auto& c : cases) {
    const auto launch = [&] { Launch(*kernel, c.grid, c.block, c.cluster, c.shared_bytes); };
    EXPECT_THAT(ErrorOf(launch, Code::kInvalidArgument), HasSubstr(c.text));
  }
  EXPECT_TRUE(fake_driver::Launches().empty());
}

TEST_F(CudaKernelTest, AWrongNumberOfArgumentsIsRefused) {
  const auto kernel = Open()->Load(Code90("cubin sm_90 cuda=13000", ""));
  EXPECT_THAT(ErrorOf([&] { kernel->Launch({}, {}, {}, 0, {}, {}); }, Code::kInvalidArgument),
              HasSubstr("0 arguments, the kernel takes 3"));
}

TEST_F(CudaKernelTest, OlderDriversLaunchWithoutTheExtendedCallAndRefuseClusters) {
  for (const char* library : {FAKE_LIBCUDA, FAKE_OLD_LIBCUDA}) {
    Machine({}, 11020);
    numbers_ = {1, 2, 3};
    const auto kernel = Open(library)->Load(Code90("cubin sm_90 cuda=11020", ""));
    Launch(*kernel, {2, 1, 1});
    EXPECT_EQ(numbers_, (std::vector<float>{2, 4, 6}));
    EXPECT_EQ(fake_driver::Calls("cuLaunchKernel"), library == std::string(FAKE_OLD_LIBCUDA) ? 1 : 0);
  }
  const auto kernel = Open(FAKE_OLD_LIBCUDA)->Load(Code90("cubin sm_90 cuda=11020", ""));
  EXPECT_THAT(ErrorOf([&] { Launch(*kernel, {2, 1, 1}, {}, {2, 1, 1}); }, Code::kUnsupported), HasSubstr("CUDA 11.2"));
}

TEST_F(CudaKernelTest, AFailedLaunchNamesKernelAndGeometry) {
  const auto kernel = Open()->Load(Code90("cubin sm_90 cuda=13000", ""));
  fake_driver::FailNext("cuLaunchKernelEx", CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_THAT(ErrorOf(
                  [&] {
                    Launch(*kernel, {7, 1, 1});
                  },
                  Code::kDevice),
              HasSubstr("cuda:0: launch of Scale<4>, grid (7, 1, 1), block (1, 1, 1)"));
}

TEST_F(CudaKernelTest, AKernelOutlivesItsDeviceAndIsUnloadedWithItsLastHolder) {
  auto device = Open();
  auto kernel = device->Load(Code90("cubin sm_90 cuda=13000", ""));
  device.reset();
  Launch(*kernel);
  EXPECT_EQ(fake_driver::Alive().modules, 1);
  kernel.reset();
  EXPECT_EQ(fake_driver::Alive().modules, 0);
}

TEST_F(CudaKernelTest, KernelsOfTwoDevicesRunEachOnItsOwnFromAnyThread) {
  const auto first = Open(), second = Open(FAKE_LIBCUDA, 1);
  const auto code = Code90("cubin sm_90 cuda=13000", "");
  const auto on_first = first->Load(code), on_second = second->Load(code);
  const auto work = [&] {
    std::vector<float> mine(16, 1);
    void* data = mine.data();
    int count = 16;
    double factor = 2;
    void* const args[] = {&data, &count, &factor};
    for (int i = 0; i < 10; ++i) {
      on_first->Launch({}, {}, {}, 0, args, {});
      on_second->Launch({}, {}, {}, 0, args, {});
    }
    EXPECT_THAT(mine, testing::Each(1048576.f));
  };
  std::thread one(work), two(work);
  one.join();
  two.join();
  int on_device[2] = {};
  for (const fake_driver::Launch& launch : fake_driver::Launches()) ++on_device[launch.device];
  EXPECT_EQ(on_device[0], 20);
  EXPECT_EQ(on_device[1], 20);
}

}  // namespace
}  // namespace gemmsmith::cuda
