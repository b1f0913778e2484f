#include "launches.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "driver.h"
#include "kernels/family.h"

namespace gemmsmith::bench {
namespace {

constexpr int kCalls = 2000;

double MicrosecondsPerCall(Device& gpu, Stream stream, const std::function<void()>& call) {
  gpu.Synchronize(stream);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kCalls; ++i) call();
  gpu.Synchronize(stream);
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() / kCalls;
}

}  // namespace

nlohmann::json CompareLaunches(Engine& engine, Device& gpu, int rounds) {
  constexpr std::int64_t kSize = 64;
  const Buffer a = gpu.Allocate(kSize * kSize * 2), b = gpu.Allocate(kSize * kSize * 2),
               d = gpu.Allocate(kSize * kSize * 2);
  GemmArgs args;
  args.a = Tensor(a.data(), DType::kBf16, {kSize, kSize}, gpu.id());
  args.b = Tensor(b.data(), DType::kBf16, {kSize, kSize}, gpu.id()).Transposed();
  args.d = Tensor(d.data(), DType::kBf16, {kSize, kSize}, gpu.id());
  for (const Tensor& tensor : {args.a, args.b}) gpu.Fill(tensor.data, 0, kSize * kSize * 2);
  const Stream stream = gpu.CreateStream();
  const GemmProblem problem = Describe(args, DType::kF32);
  const PlanInfo plan = engine.Prepare(problem, gpu.id());
  const PreparedGemm prepared = engine.Prepare(args);

  const KernelFamily& family = FindFamily(plan.config.family);
  const KernelSource source = family.Render(problem, plan.config, gpu.targets().front(), {});
  LaunchStep step = family.MakeLaunch(problem, plan.config);
  EncodeMaps(step, gpu);
  alignas(128) std::byte params[LaunchStep::kMaxParamBytes];
  BindCall(step, args, nullptr, gpu, params);
  const BareKernel bare(engine.Emit(source, "cubin"), source.entry, step.shared_bytes);

  struct Way {
    const char* name;
    std::function<void()> call;
    std::vector<double> microseconds = {};
  };
  Way ways[] = {
      {"bare", [&] { bare.Launch(step.grid, step.block, step.cluster, step.shared_bytes, params, stream); }},
      {"prepared", [&] { prepared.Run(stream); }},
      {"gemm", [&] { engine.Gemm(args, stream); }},
  };
  for (int round = -1; round < rounds; ++round)
    for (Way& way : ways) {
      const double microseconds = MicrosecondsPerCall(gpu, stream, way.call);
      if (round >= 0) way.microseconds.push_back(microseconds);  // the first warms up
    }
  nlohmann::json row = {{"calls", kCalls}, {"config", ToString(plan.config)}};
  for (Way& way : ways) {
    std::nth_element(way.microseconds.begin(), way.microseconds.begin() + rounds / 2, way.microseconds.end());
    row[way.name] = way.microseconds[static_cast<std::size_t>(rounds / 2)];
  }
  gpu.DestroyStream(stream);
  return row;
}

}  // namespace gemmsmith::bench
