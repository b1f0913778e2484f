#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "cubin.h"
#include "jit/compiler.h"
#include "kernels/family.h"

namespace gemmsmith {

/// What NVRTC makes of one configuration of a template that is fed by bulk copies, with its shared memory asserted to
/// be what the host has. Expects what holds for all of them.
inline CubinKernel CompileConfig(const Compiler& nvrtc, const KernelFamily& family, std::string_view gemm,
                                 const GemmProblem& p, const TileConfig& c, const DeviceSpec& spec,
                                 const CodeTarget& target) {
  const LaunchStep step = family.MakeLaunch(p, c);
  KernelSource source = family.Render(p, c, target, {});
  source.text += fmt::format(
      "static_assert(gemmsmith::{}<Config>::kSharedBytes == {} && gemmsmith::{}<Config>::kThreads == {}, "
      "\"as the host has it\");\n",
      gemm, step.shared_bytes, gemm, step.block.x);
  const Artifact artifact = nvrtc.Compile(source, {});
  const std::vector<CubinKernel> kernels = ReadCubin(artifact.parts.at("cubin"));
  EXPECT_EQ(kernels.size(), 1u);
  const CubinKernel& kernel = kernels.at(0);
  EXPECT_EQ(kernel.resources.spill_bytes, 0);
  EXPECT_EQ(kernel.Count(sass::kLdl) + kernel.Count(sass::kStl), 0);
  EXPECT_EQ(kernel.resources.static_shared_bytes, 0);
  EXPECT_EQ(kernel.resources.max_threads, static_cast<int>(step.block.x));
  EXPECT_LE(kernel.resources.registers * kernel.resources.max_threads, 65536);
  EXPECT_LE(step.shared_bytes, spec.shared_bytes);
  // ptxas warns of products that it makes wait for each other, and of setmaxnreg that it ignores, by C75xx.
  EXPECT_THAT(artifact.log, testing::Not(testing::HasSubstr("C75")));
  return kernel;
}

}  // namespace gemmsmith
