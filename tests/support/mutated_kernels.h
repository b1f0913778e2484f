#pragma once

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "emulated_gemm.h"
#include "gemmsmith/gemmsmith.h"
#include "kernels/family.h"
#include "mutants.h"

namespace gemmsmith {
const KernelFamily& Sm80Family();
}

namespace gemmsmith::emulator {

/// A kernel with a problem, of which mutants are run.
class MutatedKernel {
 public:
  MutatedKernel(std::string_view target, const GemmProblem& problem) : problem_(problem), state_(MakeState(target)) {
    state_->options.threads = 1;
    state_->options.instruction_budget = 50'000'000;  // many times what it takes
  }
  virtual ~MutatedKernel() = default;

  const KernelSource& source() const { return source_; }
  int plain_maps() const { return plain_maps_; }
  std::shared_ptr<const Kernel> Load(const Mutant& mutant) const { return LoadPtx(state_, mutant.ptx, source_.entry); }
  /// What the device says, or the result; empty: nothing is wrong.
  std::string Run(const Kernel& kernel, const Mutant& mutant, std::uint64_t seed) {
    state_->options.seed = seed;
    Clear();
    try {
      Launch(kernel, mutant);
    } catch (const Error& error) {
      return error.what();
    }
    const std::string wrong = Wrong();
    return wrong.empty() ? "" : "wrong result: " + wrong;
  }

 protected:
  virtual void Clear() = 0;
  virtual void Launch(const Kernel& kernel, const Mutant& mutant) = 0;
  virtual std::string Wrong() const = 0;

  const GemmProblem problem_;
  const std::shared_ptr<DeviceState> state_;
  KernelSource source_;
  int plain_maps_ = 0;  // tensor maps, whose swizzle can be taken away
};

/// tests/mutants/hopper_gemm.cu: two tiles of each of two CTAs, ragged, through more than a lap of the ring each.
class HopperKernel final : public MutatedKernel {
 public:
  HopperKernel() : MutatedKernel("sm_90a", MakeProblem(kM, kN, kK)), gemm_(state_, kM, kN, kK) {
    std::stringstream text;
    text << std::ifstream(GEMMSMITH_SOURCE_DIR "/tests/mutants/hopper_gemm.cu").rdbuf();
    source_.name = "hopper_gemm.cu";
    source_.entry = "Gemm";
    source_.target = state_->target;
    source_.text = text.str();
    source_.options.line_info = true;
    plain_maps_ = 3;
  }

 private:
  static constexpr int kM = 200, kN = 120, kK = 328;

  void Clear() override { std::fill_n(gemm_.d.as<std::uint16_t>(), kM * kN, std::uint16_t{0x7fc1}); }
  std::string Wrong() const override { return gemm_.Check(); }
  void Launch(const Kernel& kernel, const Mutant& mutant) override {
    const auto swizzle = [&](int map) { return mutant.plain_map == map ? 0u : 3u; };
    OpaqueMap a = MapOf(gemm_.a.as<void>(), MemoryType::kBf16, kM, kK, 128, 64, swizzle(0));
    OpaqueMap b = MapOf(gemm_.b.as<void>(), MemoryType::kBf16, kN, kK, 32, 64, swizzle(1));
    OpaqueMap d = MapOf(gemm_.d.as<void>(), MemoryType::kBf16, kM, kN, 64, 64, swizzle(2));
    int n = kN, k = kK;
    void* args[] = {&a, &b, &d, &n, &k};
    constexpr std::uint32_t kStages = 3 * (128 + 64) * 128, kOut = 2 * 64 * 128;
    kernel.Launch({2, 1, 1}, {288, 1, 1}, {2, 1, 1}, kStages + kOut, args, {});
  }

  Bf16Gemm gemm_;
};

/// The sm_80 template as its family renders it, with tiles of 32 by 32 and four stages.
class AmpereKernel final : public MutatedKernel {
 public:
  explicit AmpereKernel(const GemmProblem& problem)
      : MutatedKernel("sm_80", problem),
        a_(state_, Bytes(problem.a_type, problem.m, problem.k)),
        b_(state_, Bytes(problem.b_type, problem.k, problem.n)),
        d_(state_, Bytes(problem.d_type, problem.m, problem.n)) {
    args_.a = View(a_, problem.a_type, problem.a_layout, problem.m, problem.k);
    args_.b = View(b_, problem.b_type, problem.b_layout, problem.k, problem.n);
    args_.d = View(d_, problem.d_type, problem.d_layout, problem.m, problem.n);
    FillRandom(Tensor(a_.as<void>(), problem.a_type, {problem.m * problem.k}), 1);
    FillRandom(Tensor(b_.as<void>(), problem.b_type, {problem.k * problem.n}), 2);
    const auto configs = Sm80Family().Candidates(problem, state_->target, DefaultDeviceSpec(state_->target));
    const auto small = std::find_if(configs.begin(), configs.end(), [](const TileConfig& config) {
      return config.Get("block_m") == 32 && config.Get("block_n") == 32;
    });
    if (small == configs.end()) throw Fail(Code::kNotFound, "", "the sm80 family has no small tile for it");
    CompileOptions options;
    options.line_info = true;
    source_ = Sm80Family().Render(problem, *small, state_->target, options);
    launch_ = Sm80Family().MakeLaunch(problem, *small);
  }

 private:
  static std::size_t Bytes(DType type, std::int64_t rows, std::int64_t columns) {
    return static_cast<std::size_t>(rows * columns) * SizeOf(type);
  }
  static Tensor View(const DeviceBytes& bytes, DType type, Layout layout, std::int64_t rows, std::int64_t columns) {
    if (layout == Layout::kRowMajor) return Tensor(bytes.as<void>(), type, {rows, columns});
    return Tensor(bytes.as<void>(), type, {columns, rows}).Transposed();
  }

  void Clear() override { Poison(Tensor(d_.as<void>(), problem_.d_type, {problem_.m * problem_.n})); }
  std::string Wrong() const override {
    const VerifyReport report = Verify(problem_, args_, {}, 1);
    if (report.ok) return "";
    return fmt::format("error {} at ({}, {})", report.max_error, report.worst_row, report.worst_column);
  }
  void Launch(const Kernel& kernel, const Mutant&) override {
    alignas(128) auto params = launch_.params;
    launch_.bind(args_, params.data());
    void* const pointers[] = {params.data()};
    kernel.Launch(launch_.grid, launch_.block, launch_.cluster, launch_.shared_bytes, pointers, {});
  }

  DeviceBytes a_, b_, d_;
  GemmArgs args_;
  LaunchStep launch_;
};

}  // namespace gemmsmith::emulator
