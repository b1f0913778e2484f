#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <tuple>

#include "device_matrix.h"
#include "gemmsmith/gemmsmith.h"
#include "jit/compiler.h"
#include "kernels/family.h"

namespace gemmsmith {

struct Types {
  DType a, b, d;
  ComputeMode compute = ComputeMode::kIeee;
  bool integer() const { return Info(a).is_integer(); }
};

struct Case {
  std::int64_t m, n, k;
  Types types{DType::kBf16, DType::kBf16, DType::kBf16};
  std::string layout = "nt";
  double alpha = 1, beta = 0;
  std::int64_t batch = 1, padding = 0;
  bool column_major_d = false;
  const char* epilogue = nullptr;
  Scaling scaling = Scaling::kNone;

  std::string Text() const {
    return fmt::format("m={} n={} k={} {},{},{}{} {} alpha={} beta={} batch={} padding={}{} {}", m, n, k,
                       ToString(types.a), ToString(types.b), ToString(types.d),
                       types.compute == ComputeMode::kTf32 ? " as tf32" : "", layout, alpha, beta, batch, padding,
                       column_major_d ? " column-major D" : "", epilogue == nullptr ? "" : epilogue) +
           (scaling == Scaling::kNone ? "" : fmt::format(" scaling={}", ToString(scaling)));
  }
};

/// Operands of a case, random, with D poisoned unless it is read as C; and what its epilogue reads and stores.
class Operands {
 public:
  Operands(Device& device, const Case& c, std::uint64_t seed)
      : case_(c),
        a_(device, c.types.a, {c.batch, c.m, c.k, c.layout[0] == 't', c.padding}),
        b_(device, c.types.b, {c.batch, c.k, c.n, c.layout[1] == 't', c.padding}),
        d_(device, c.types.d, {c.batch, c.m, DColumns(c), c.column_major_d, c.padding}),
        before_(device, c.types.d, {c.batch, c.m, DColumns(c), c.column_major_d, c.padding}),
        row_(device, DType::kF32, {1, 1, c.m, false, 0}),
        column_(device, DType::kF32, {1, 1, c.n, false, 0}),
        amax_row_(device, DType::kF32, {1, c.batch, c.m, false, 0}),
        amax_column_(device, DType::kF32, {1, c.batch, DColumns(c), false, 0}),
        scale_a_(device, DType::kF32, {1, c.m, Blocks(c.k), c.m % 2 == 0, 0}),
        scale_b_(device, DType::kF32,
                 {1, c.scaling == Scaling::kBlock1x128 ? c.n : Blocks(c.n), Blocks(c.k), c.n % 2 == 0, 0}) {
    for (auto [matrix, offset] :
         {std::pair{&a_, 0}, {&b_, 1}, {&before_, 2}, {&row_, 3}, {&column_, 4}, {&scale_a_, 5}, {&scale_b_, 6}})
      matrix->Randomize(seed + static_cast<std::uint64_t>(offset));
    for (Matrix* matrix : {&d_, &amax_row_, &amax_column_}) matrix->PoisonAll();
    if (c.beta != 0) d_.Randomize(seed + 2);
  }

  GemmArgs Args(Tensor Matrix::*side) {
    GemmArgs args;
    args.a = a_.*side, args.b = b_.*side, args.d = d_.*side;
    if (case_.beta != 0) args.c = d_.*side;
    args.alpha = case_.alpha, args.beta = case_.beta;
    if (case_.epilogue != nullptr) {
      EpilogueArgs& e = side == &Matrix::host ? host_epilogue_ : epilogue_;
      e.epilogue = Epilogue::Parse(case_.epilogue);
      e.bias = e.scale_column = Line(column_.*side, case_.n);
      e.scale_row = Line(row_.*side, case_.m);
      e.residual = before_.*side;
      e.amax_row = amax_row_.*side, e.amax_column = amax_column_.*side;
      args.epilogue = &e;
    }
    if (case_.scaling != Scaling::kNone) {
      ScaleArgs& scales = side == &Matrix::host ? host_scales_ : scales_;
      scales.a = scale_a_.*side, scales.b = scale_b_.*side;
      args.scales = &scales;
    }
    return args;
  }
  VerifyReport Check(const GemmProblem& problem, std::uint64_t seed) {
    for (Matrix* matrix : {&d_, &amax_row_, &amax_column_}) matrix->Download();
    return Verify(problem, Args(&Matrix::host), before_.host, seed);
  }
  const std::vector<std::byte>& result() const { return d_.bytes(); }

 private:
  static std::int64_t DColumns(const Case& c) {
    return c.epilogue != nullptr && Epilogue::Parse(c.epilogue).pairs_columns() ? c.n / 2 : c.n;
  }
  static std::int64_t Blocks(std::int64_t extent) { return (extent + 127) / 128; }
  static Tensor Line(Tensor t, std::int64_t length) { return Tensor(t.data, t.dtype, {length}, t.device); }

  const Case case_;
  Matrix a_, b_, d_, before_, row_, column_, amax_row_, amax_column_, scale_a_, scale_b_;
  EpilogueArgs epilogue_, host_epilogue_;
  ScaleArgs scales_, host_scales_;
};

/// A family's kernels on an emulated device, as they ship, against float64 references.
class EmulatedFamily : public testing::Test {
 protected:
  explicit EmulatedFamily(const KernelFamily& family) : family_(family) {}

  void SetUp() override { UseDevice("emulator:sm_80"); }
  /// GEMMSMITH_TEST_DEVICE names a device to take instead, such as "cuda:0".
  void UseDevice(std::string_view name) {
    const char* const instead = std::getenv("GEMMSMITH_TEST_DEVICE");
    try {
      device_ = &engine().devices().Get(ParseDeviceId(instead == nullptr ? name : instead));
      nvrtc_ = OpenNvrtc();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    if (const CodeTarget target = device_->targets().front(); !family_.Targets(target))
      GTEST_SKIP() << family_.name() << " has no kernels for " << ToString(target);
  }

  /// One for the whole program, without a disk tier: what is tested is what is compiled now.
  static Engine& engine() {
    static Engine engine([] {
      EngineOptions options;
      options.enable_disk = false;
      return options;
    }());
    return engine;
  }

  static GemmProblem Problem(const Case& c, Operands& operands) {
    return Describe(operands.Args(&Matrix::there), DefaultAccumulator(c.types.a), c.types.compute);
  }
  static void ExpectRight(const Case& c, const GemmProblem& problem, Operands& operands, std::string_view what) {
    const VerifyReport report = operands.Check(problem, seed_);
    EXPECT_TRUE(report.ok) << c.Text() << " by " << what << ": error " << report.max_error << " of " << report.tolerance
                           << " allowed, at (" << report.worst_row << ", " << report.worst_column << "), seed "
                           << seed_;
  }

  /// As an engine runs it. `family`: what is expected to.
  void ExpectEngineRight(const Case& c, std::string_view family) {
    Operands operands(*device_, c, ++seed_);
    const GemmProblem problem = Problem(c, operands);
    engine().Gemm(problem, operands.Args(&Matrix::there));
    device_->Synchronize();
    const std::string config = ToString(engine().Prepare(problem, device_->id()).config);
    if (device_->emulation() != nullptr) {
      EXPECT_EQ(config.substr(0, config.find(' ')), family) << c.Text();
    }
    ExpectRight(c, problem, operands, config);
  }

  /// The plan's steps, as an engine launches them.
  void RunConfig(const GemmProblem& problem, const TileConfig& config, const GemmArgs& given) {
    const GemmArgs args = problem.d_layout == Layout::kColMajor ? Canonical(given) : given;
    const CodeTarget target = device_->targets().front();
    const GemmProblem canonical = Canonical(problem);
    std::vector<FollowUp> steps;
    steps.push_back({family_.Render(canonical, config, target, {}), family_.MakeLaunch(canonical, config)});
    if (auto after = family_.After(canonical, config, target, {})) steps.push_back(std::move(*after));
    Buffer workspace = device_->Allocate(steps.front().launch.workspace_bytes + 1);
    for (const FollowUp& step : steps)
      if (step.launch.prepare != nullptr) step.launch.prepare(args, *device_, {});
    for (FollowUp& step : steps) {
      LaunchStep& launch = step.launch;
      EncodeMaps(launch, *device_);
      alignas(128) auto params = launch.params;
      BindCall(launch, args, workspace.data(), *device_, params.data());
      void* const pointers[] = {params.data()};
      Load(step.source)->Launch(launch.grid, launch.block, launch.cluster, launch.shared_bytes, pointers, {});
    }
    device_->Synchronize();
  }
  /// Those of the family's configurations that `wanted` takes.
  template <class Wanted>
  void ExpectConfigsRight(const Case& c, const Wanted& wanted) {
    std::optional<Operands> operands(std::in_place, *device_, c, ++seed_);
    const GemmProblem problem = Problem(c, *operands);
    const CodeTarget target = device_->targets().front();
    ASSERT_EQ(family_.WhyNot(Canonical(problem), target), "") << c.Text();
    const std::vector<TileConfig> configs = family_.Candidates(Canonical(problem), target, device_->spec());
    int run = 0;
    for (const TileConfig& config : configs) {
      if (!wanted(config, configs)) continue;
      operands.emplace(*device_, c, seed_);
      RunConfig(problem, config, operands->Args(&Matrix::there));
      ExpectRight(c, problem, *operands, ToString(config));
      ++run;
    }
    EXPECT_GT(run, 0) << c.Text();
  }
  static bool All(const TileConfig&, const std::vector<TileConfig>&) { return true; }
  /// The default, and one that assumes nothing about alignment.
  static bool FirstAndLast(const TileConfig& config, const std::vector<TileConfig>& all) {
    return config == all.front() || config == all.back();
  }
  static bool Splitting(const TileConfig& config, const std::vector<TileConfig>&) { return config.Get("splits") > 1; }
  static bool FirstSplitting(const TileConfig& config, const std::vector<TileConfig>& all) {
    return config == *std::find_if(all.begin(), all.end(), [](const TileConfig& c) { return c.Get("splits") > 1; });
  }

  const KernelFamily& family_;
  Device* device_ = nullptr;
  static inline std::uint64_t seed_ = std::random_device()();

 private:
  std::shared_ptr<const Kernel> Load(const KernelSource& source) {
    static std::map<std::string, std::shared_ptr<const Kernel>> kernels;
    auto& kernel = kernels[fmt::format("{}\n{}", ToString(device_->id()), source.text)];
    if (kernel == nullptr) kernel = device_->Load(nvrtc_->Compile(source, {}));
    return kernel;
  }

  std::shared_ptr<const Compiler> nvrtc_;
};

inline std::string TypesAndLayout(const testing::TestParamInfo<std::tuple<Types, const char*>>& row) {
  const auto& [types, layout] = row.param;
  return fmt::format("{}_{}_{}_{}", ToString(types.a), ToString(types.b), ToString(types.d), layout);
}

/// Of m, n, k; ragged ones among them.
inline constexpr std::int64_t kShapes[][3] = {
    {1, 1, 1},     {1, 2, 3},      {7, 5, 3},      {16, 8, 16},    {16, 16, 16},   {17, 33, 65},   {32, 32, 32},
    {31, 63, 17},  {64, 64, 64},   {64, 32, 128},  {65, 48, 96},   {63, 65, 127},  {1, 256, 64},   {256, 1, 64},
    {3, 129, 40},  {96, 96, 96},   {100, 72, 130}, {128, 16, 264}, {128, 128, 32}, {129, 127, 31}, {40, 200, 56},
    {8, 120, 512}, {72, 24, 200},  {33, 34, 35},   {130, 66, 258}, {16, 144, 320}, {48, 80, 112},  {5, 250, 9},
    {250, 6, 12},  {111, 11, 222}, {160, 96, 24},  {24, 264, 48},
};
static_assert(std::size(kShapes) >= 30);

}  // namespace gemmsmith
