#include <gmock/gmock.h>

#include "gpu_test.h"

namespace gemmsmith {
namespace {

using testing::HasSubstr;

constexpr const char* kSource = R"(
template <int kFactor>
__global__ void Scale(float* x, float offset, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = x[i] * kFactor + offset;
}

extern "C" __global__ void Reverse(int* x, int n) {
  extern __shared__ int tile[];  // (n)
  for (int i = threadIdx.x; i < n; i += blockDim.x) tile[i] = x[i];
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = tile[n - 1 - i];
}

extern "C" __global__ void ClusterRank(unsigned* ranks) {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  ranks[blockIdx.x] = rank;
}
)";

class GpuUserKernelTest : public GpuTest {
 protected:
  static KernelSource Source(const std::string& entry, const CodeTarget& target) {
    KernelSource source;
    source.name = entry;
    source.text = kSource;
    source.entry = entry;
    source.target = target;
    if (target.version < 90) source.text.resize(source.text.find("extern \"C\" __global__ void ClusterRank"));
    return source;
  }
  static std::shared_ptr<const Kernel> Compile(const std::string& entry, const CodeTarget& target) {
    return engine().Compile(Source(entry, target), kGpu);
  }
  static CodeTarget Own() { return device().targets().front(); }

  static void ExpectScales(const Kernel& kernel) {
    constexpr int kCount = 1000;
    std::vector<float> x(kCount);
    for (int i = 0; i < kCount; ++i) x[i] = static_cast<float>(i);
    const Buffer buffer = device().Allocate(sizeof(float) * kCount);
    device().Copy(buffer.data(), x.data(), buffer.bytes());
    void* data = buffer.data();
    float offset = 0.5f;
    int count = kCount;
    void* const args[] = {&data, &offset, &count};
    kernel.Launch({4, 1, 1}, {256, 1, 1}, {}, 0, args, {});
    device().Copy(x.data(), buffer.data(), buffer.bytes());
    device().Synchronize();
    for (int i = 0; i < kCount; ++i) ASSERT_EQ(x[i], static_cast<float>(3 * i) + 0.5f) << i;
  }
};

TEST_F(GpuUserKernelTest, ATemplateOfTheUsersIsCompiledAndLaunched) {
  const auto kernel = Compile("Scale<3>", Own());
  EXPECT_GT(kernel->resources().registers, 0);
  ExpectScales(*kernel);
}

TEST_F(GpuUserKernelTest, CodeOfAnOlderArchitectureRunsThroughThePtx) {
  ExpectScales(*Compile("Scale<3>", ParseTarget("sm_75")));
}

TEST_F(GpuUserKernelTest, AllSharedMemoryOfABlockCanBeUsed) {
  const auto kernel = Compile("Reverse", Own());
  int count = static_cast<int>(device().spec().shared_bytes / sizeof(int));
  std::vector<int> x(count);
  for (int i = 0; i < count; ++i) x[i] = i;
  const Buffer buffer = device().Allocate(sizeof(int) * x.size());
  device().Copy(buffer.data(), x.data(), buffer.bytes());
  void* data = buffer.data();
  void* const args[] = {&data, &count};
  kernel->Launch({}, {512, 1, 1}, {}, static_cast<std::uint32_t>(buffer.bytes()), args, {});
  device().Copy(x.data(), buffer.data(), buffer.bytes());
  device().Synchronize();
  for (int i = 0; i < count; ++i) ASSERT_EQ(x[i], count - 1 - i);
}

TEST_F(GpuUserKernelTest, ClustersHaveTheShapeThatWasAskedFor) {
  if (Own().version < 90 || Own().version >= 120) GTEST_SKIP() << device().spec().name << " has no clusters";
  const auto kernel = Compile("ClusterRank", Own());
  const Buffer buffer = device().Allocate(8 * sizeof(unsigned));
  void* data = buffer.data();
  void* const args[] = {&data};
  kernel->Launch({8, 1, 1}, {32, 1, 1}, {4, 1, 1}, 0, args, {});
  std::vector<unsigned> ranks(8);
  device().Copy(ranks.data(), buffer.data(), buffer.bytes());
  device().Synchronize();
  EXPECT_THAT(ranks, testing::ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
}

TEST_F(GpuUserKernelTest, LaunchesBeyondTheLimitsAreRefusedAndTheDeviceGoesOn) {
  const auto kernel = Compile("Scale<3>", Own());
  const struct {
    Dim3 block;
    std::uint32_t shared_bytes;
    const char* text;
  } cases[] = {{{2048, 1, 1}, 0, "block (2048, 1, 1)"},
               {{32, 1, 1}, 1u << 20, "1048576 bytes of shared memory"},
               {{32, 1, 1}, 0, "0 arguments, the kernel takes 3"}};
  for (const auto& c : cases) {
    try {
      kernel->Launch({}, c.block, {}, c.shared_bytes, {}, {});
      ADD_FAILURE() << c.text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(c.text));
    }
  }
  ExpectScales(*kernel);
}

TEST_F(GpuUserKernelTest, ASourceThatDoesNotCompileIsAnErrorWithTheCompilersLog) {
  KernelSource source = Source("Scale<3>", Own());
  source.text += "\n#error no good\n";
  try {
    engine().Compile(source, kGpu);
    FAIL() << "it compiled";
  } catch (const CompileError& error) {
    EXPECT_THAT(error.log(), HasSubstr("no good"));
  }
}

}  // namespace
}  // namespace gemmsmith
