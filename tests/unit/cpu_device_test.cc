#include "runtime/cpu/cpu_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "../support/cpu_gemm.h"

namespace gemmsmith {
namespace {

TEST(CpuDevice, IsTheCpuAndListsWhatItRunsBestFirst) {
  const auto device = MakeCpuDevice();
  EXPECT_EQ(device->id(), DeviceId{});
  EXPECT_EQ(device->targets(), CpuTargets());
  EXPECT_EQ(device->spec().target, device->targets().front());
}

TEST(CpuDevice, CopiesAndFillsItsMemory) {
  const auto device = MakeCpuDevice();
  std::vector<std::byte> host(1000, std::byte{3}), back(1000);
  const Buffer buffer = device->Allocate(host.size());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 256, 0u);
  device->Copy(buffer.data(), host.data(), host.size());
  device->Fill(static_cast<std::byte*>(buffer.data()) + 500, 7, 500);
  device->Copy(back.data(), buffer.data(), back.size());
  device->Synchronize();
  std::fill(host.begin() + 500, host.end(), std::byte{7});
  EXPECT_EQ(back, host);
  device->Copy(nullptr, nullptr, 0);
}

TEST(CpuDevice, EventsMeasureTheTimeBetweenThem) {
  const auto device = MakeCpuDevice();
  const auto first = device->CreateEvent(), second = device->CreateEvent();
  const Stream stream = device->CreateStream();
  first->Record(stream);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  second->Record(stream);
  EXPECT_GE(second->MillisecondsSince(*first), 2.0);
  device->DestroyStream(stream);
}

TEST(CpuDevice, RunsAKernelThatItLoaded) {
  const auto device = MakeCpuDevice();
  GemmProblem p;
  p.m = p.n = p.k = p.lda = p.ldb = p.ldc = p.ldd = 2;
  const CodeTarget target = device->targets().front();
  const KernelFamily& family = testing_support::FamilyFor(target);
  const TileConfig config = family.Candidates(p, target, device->spec())[0];
  const auto compiler = target.isa == Isa::kX86 ? OpenX86Compiler() : OpenBuiltinCompiler();
  const auto kernel = device->Load(compiler->Compile(family.Render(p, config, target, {}), {}));
  const float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8};
  float d[4] = {};
  GemmArgs args;
  args.a = Tensor(a, {2, 2});
  args.b = Tensor(b, {2, 2});
  args.d = Tensor(d, {2, 2});
  LaunchStep step = family.MakeLaunch(p, config);
  step.bind(args, step.params.data());
  void* const parameters[] = {step.params.data()};
  kernel->Launch(step.grid, step.block, step.cluster, step.shared_bytes, parameters, {});
  EXPECT_THAT(d, ::testing::ElementsAre(19, 22, 43, 50));
}

}  // namespace
}  // namespace gemmsmith
