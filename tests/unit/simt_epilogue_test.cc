#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "cuda_on_host.h"
#include "cuda_sources.h"
#include "gemmsmith/args.h"
#include "gemmsmith/device.h"
#include "gemmsmith/verify.h"
#include "jit/toolchain.h"

namespace device {
#include "../golden/epilogues.inc"

/// Blocks that neither tiles nor a thread's part of them are multiples of.
struct small_blocks {
  enum : bool { kPaired = false };
  template <class Inputs, class Outputs>
  static void Apply(const Inputs& in, Outputs& out) {
    out.D(in.Accumulator());
    out.AmaxBlock(in.Accumulator(), 3, 10);
  }
};
}  // namespace device

namespace gemmsmith {
namespace {

namespace dev = device::gemmsmith;
using ::testing::HasSubstr;

const CodeTarget kTarget{Isa::kCuda, 80, 0};

struct Config {
  using A = float;
  using B = float;
  using D = float;
  using Accumulator = float;
  static constexpr int kBlockM = 32, kBlockN = 32, kBlockK = 16, kMicroM = 4, kMicroN = 4;
  static constexpr bool kAAlongK = true, kBAlongK = false, kReadC = true;
  static constexpr int kVectorA = 4, kVectorB = 4, kVectorD = 4;
};
struct PairedConfig : Config {
  static constexpr int kVectorD = 2;
};

/// A call over two tiles in each direction. Small whole numbers, so that every accumulator is exact.
class Call {
 public:
  explicit Call(const Epilogue& epilogue) {
    for (auto* whole : {&a_, &b_, &c_})
      for (float& x : *whole) x = static_cast<float>(static_cast<int>(random_() % 5) - 2);
    for (auto* some : {&rows_, &d_rows_, &columns_, &d_columns_, &blocks_, &d_blocks_})
      for (float& x : *some) x = Uniform();
    for (auto* narrow : {&bias_, &bias_m_, &residual_})
      for (Bfloat16& x : *narrow) Encode(DType::kBf16, &x, 0, Uniform());
    args.a = Tensor(a_.data(), {kBatch, kM, kK});
    args.b = Tensor(b_.data(), {kBatch, kK, kN});
    per_d_ = epilogue.pairs_columns() ? 2 : 1, columns_of_d_ = kN / per_d_;
    args.d = Tensor(d_.data(), {kBatch, kM, columns_of_d_});
    args.alpha = 0.5;
    if (per_d_ == 1) args.c = Tensor(c_.data(), {kBatch, kM, kN}), args.beta = -2;
    args.epilogue = &inputs;
    inputs.epilogue = epilogue;
    block_ = epilogue.block(EpilogueOutput::kAmaxBlock);
    const std::int64_t rows = (kM + block_.rows - 1) / block_.rows;
    blocks_across_ = (columns_of_d_ + block_.columns - 1) / block_.columns;
    amax_block_.resize(kBatch * rows * blocks_across_, NAN);
    inputs.amax_row = Tensor(amax_row_.data(), {kBatch, kM});
    inputs.amax_column = Tensor(amax_column_.data(), {kBatch, columns_of_d_});
    inputs.amax_block = Tensor(amax_block_.data(), {kBatch, rows, blocks_across_});
    inputs.bias = Tensor(bias_.data(), {kN});
    inputs.bias_m = Tensor(bias_m_.data(), {kM});
    inputs.residual = Tensor(residual_.data(), {kBatch, kM, columns_of_d_});
    inputs.scale_row = Tensor(rows_.data(), {kM});
    inputs.d_scale_row = Tensor(d_rows_.data(), {kM});
    inputs.scale_column = Tensor(columns_.data(), {kN});
    inputs.d_scale_column = Tensor(d_columns_.data(), {columns_of_d_});
    inputs.scale_block = Tensor(blocks_.data(), {kM, 1});
    inputs.d_scale_block = Tensor(d_blocks_.data(), {kM, 1});
    inputs.scalar = 1.5;
    inputs.d_scale = Scalar::OnDevice(&d_scale_);
  }
  Call(const Call&) = delete;

  GemmProblem Problem() const { return Describe(args, DType::kF32); }

  template <class HostConfig, class GoldenEpilogue>
  void RunOnHost() {
    const GemmProblem problem = Problem();
    ASSERT_EQ(SimtFamily().WhyNot(problem, kTarget), "");
    TileConfig config = SimtFamily().Candidates(problem, kTarget, {}).at(0);
    for (const TileConfig& candidate : SimtFamily().Candidates(problem, kTarget, {}))
      if (candidate.Get("block_m") == 32 && candidate.Get("vector_a") == 4) config = candidate;
    ASSERT_LE(config.Get("vector_d"), 4 / per_d_);
    const LaunchStep step = SimtFamily().MakeLaunch(problem, config);
    auto bytes = step.params;
    step.bind(args, bytes.data());
    if (step.prepare != nullptr) step.prepare(args, Devices().Get({}), {});
    dev::SimtFusedParams params;
    ASSERT_EQ(step.param_bytes, sizeof params);
    ASSERT_EQ(step.block.x, static_cast<unsigned>(dev::SimtGemm<HostConfig>::kThreads));
    std::memcpy(&params, bytes.data(), sizeof params);
    cuda_on_host::Launch(step.grid, step.block.x, [&] {
      dev::SimtGemm<HostConfig>::Run(params.gemm, dev::Fused<GoldenEpilogue, dev::Bfloat16, dev::Bfloat16>{
                                                      params.epilogue, params.gemm.m, params.gemm.n});
    });
  }

  void ExpectCorrect() const {
    for (std::int64_t batch = 0; batch < kBatch; ++batch)
      for (std::int64_t i = 0; i < kM; ++i)
        for (std::int64_t j = 0; j < columns_of_d_; ++j) {
          const float expected = inputs.epilogue.Evaluate(Element(batch, i, j)).d;
          ASSERT_EQ(std::bit_cast<std::uint32_t>(d_[(batch * kM + i) * columns_of_d_ + j]),
                    std::bit_cast<std::uint32_t>(expected))
              << "seed " << seed_ << " batch " << batch << " row " << i << " column " << j << '\n'
              << inputs.epilogue.text();
        }
  }

  /// And nothing else is written.
  void ExpectCorrectMaxima() const {
    std::vector<float> rows(amax_row_.size()), columns(amax_column_.size()), blocks(amax_block_.size());
    for (std::int64_t batch = 0; batch < kBatch; ++batch)
      for (std::int64_t i = 0; i < kM; ++i)
        for (std::int64_t j = 0; j < columns_of_d_; ++j) {
          const EpilogueResult result = inputs.epilogue.Evaluate(Element(batch, i, j));
          const auto raise = [](float& to, float value) { to = std::isnan(value) || value > to ? value : to; };
          raise(rows[batch * kM + i], result.amax_row);
          raise(columns[batch * columns_of_d_ + j], result.amax_column);
          const std::int64_t of_entry = static_cast<std::int64_t>(blocks.size()) / kBatch;
          raise(blocks[batch * of_entry + i / block_.rows * blocks_across_ + j / block_.columns], result.amax_block);
        }
    using enum EpilogueOutput;
    const auto expect = [&](EpilogueOutput output, const std::vector<float>& found, const std::vector<float>& right) {
      for (std::size_t i = 0; i < found.size(); ++i)
        if (inputs.epilogue.Makes(output))
          ASSERT_TRUE(found[i] == right[i] || (std::isnan(found[i]) && std::isnan(right[i])))
              << "seed " << seed_ << " output " << static_cast<int>(output) << " at " << i << ": " << found[i]
              << " for " << right[i];
        else
          ASSERT_TRUE(std::isnan(found[i]));
    };
    expect(kAmaxRow, amax_row_, rows), expect(kAmaxColumn, amax_column_, columns);
    expect(kAmaxBlock, amax_block_, blocks);
  }
  void SetC(std::size_t index, float value) { c_[index] = value; }

  GemmArgs args;
  EpilogueArgs inputs;

 private:
  static constexpr std::int64_t kBatch = 2, kM = 40, kN = 56, kK = 24;

  float Sum(std::int64_t batch, std::int64_t i, std::int64_t column) const {
    float sum = 0;
    for (std::int64_t k = 0; k < kK; ++k) sum += a_[(batch * kM + i) * kK + k] * b_[(batch * kK + k) * kN + column];
    return sum;
  }
  float Uniform() { return std::uniform_real_distribution<float>(-2, 2)(random_); }
  EpilogueElement Element(std::int64_t batch, std::int64_t i, std::int64_t j) const {
    EpilogueElement e;
    const std::int64_t at = (batch * kM + i) * columns_of_d_ + j, of_product = j * per_d_;
    e.accumulator = 0.5f * Sum(batch, i, of_product) - (per_d_ == 1 ? 2 * c_[at] : 0.0f);
    e.bias = static_cast<float>(Decode(DType::kBf16, bias_.data(), of_product));
    e.scale_column = columns_[of_product];
    if (per_d_ == 2) {
      e.paired = 0.5f * Sum(batch, i, of_product + 1);
      e.paired_bias = static_cast<float>(Decode(DType::kBf16, bias_.data(), of_product + 1));
      e.paired_scale_column = columns_[of_product + 1];
    }
    e.bias_m = static_cast<float>(Decode(DType::kBf16, bias_m_.data(), i));
    e.residual = static_cast<float>(Decode(DType::kBf16, residual_.data(), at));
    e.scalar = 1.5f, e.d_scale = d_scale_;
    e.scale_row = rows_[i], e.d_scale_row = d_rows_[i], e.d_scale_column = d_columns_[j];
    e.scale_block = blocks_[i], e.d_scale_block = d_blocks_[i];
    e.row = static_cast<std::int32_t>(i), e.column = static_cast<std::int32_t>(j);
    return e;
  }

  const unsigned seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
  std::vector<float> a_ = std::vector<float>(kBatch * kM * kK), b_ = std::vector<float>(kBatch * kK * kN),
                     c_ = std::vector<float>(kBatch * kM * kN), d_ = c_;
  std::vector<float> rows_ = std::vector<float>(kM), d_rows_ = rows_, columns_ = std::vector<float>(kN),
                     d_columns_ = columns_, blocks_ = rows_, d_blocks_ = rows_;
  std::vector<Bfloat16> bias_ = std::vector<Bfloat16>(kN), bias_m_ = std::vector<Bfloat16>(kM),
                        residual_ = std::vector<Bfloat16>(kBatch * kM * kN);
  float d_scale_ = -0.75f;
  std::int64_t per_d_ = 1, columns_of_d_ = kN, blocks_across_ = 1;
  EpilogueBlock block_;
  std::vector<float> amax_row_ = std::vector<float>(kBatch * kM, NAN),
                     amax_column_ = std::vector<float>(kBatch * kN, NAN), amax_block_;
};

template <class GoldenEpilogue, class HostConfig = Config>
void Check(const Epilogue& epilogue) {
  Call call{epilogue};
  call.RunOnHost<HostConfig, GoldenEpilogue>();
  call.ExpectCorrect();
  call.ExpectCorrectMaxima();
}
template <class GoldenEpilogue, class HostConfig = Config>
void Check(const char* chain) {
  Check<GoldenEpilogue, HostConfig>(Epilogue::Parse(chain));
}

TEST(SimtEpilogueOnHost, StoresWhatTheInterpreterSays) {
  Check<device::chain_bias_gelu>("bias+gelu");
  Check<device::chain_bias_silu>("bias+silu");
  Check<device::chain_bias_gelu_tanh_residual>("bias+gelu_tanh+residual");
  Check<device::name_tanh>("tanh");
}
TEST(SimtEpilogueOnHost, ReadsEveryInputFromItsPlace) {
  Check<device::name_bias>("bias");
  Check<device::name_bias_m>("bias_m");
  Check<device::name_residual>("residual");
  Check<device::name_scale>("scale");
  Check<device::name_scale_row>("scale_row");
  Check<device::name_scale_column>("scale_column");
  Check<device::name_scale_block>("scale_block");
  Check<device::name_d_scale>("d_scale");
  Check<device::name_d_scale_row>("d_scale_row");
  Check<device::name_d_scale_column>("d_scale_column");
  Check<device::name_d_scale_block>("d_scale_block");
}

TEST(SimtEpilogueOnHost, MakesOneColumnOfTwo) {
  Check<device::name_swiglu, PairedConfig>("swiglu");
  Check<device::chain_scale_row_scale_column_bias_swiglu_amax_row_d_scale_row_quantise_s8, PairedConfig>(
      "scale_row+scale_column+bias+swiglu+amax_row+d_scale_row+quantise_s8");
}
TEST(SimtEpilogueOnHost, StoresMaximaOfRowsColumnsAndBlocks) {
  Check<device::name_amax_row>("amax_row");
  Check<device::name_amax_column>("amax_column");
  Check<device::name_amax_block>("amax_block");
  Check<device::small_blocks>(Trace([](Value acc, Inputs) { return Outputs(acc).AmaxBlock(acc, {3, 10}); }));
}
TEST(SimtEpilogueOnHost, ANaNIsTheLargest) {
  for (const float value : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Call call{Epilogue::Parse("amax_row")};
    call.SetC(77, value);
    call.RunOnHost<Config, device::name_amax_row>();
    call.ExpectCorrectMaxima();
  }
}

TEST(SimtEpilogue, IsRenderedIntoTheSourceAndTheNameButNotIntoOthers) {
  const Call call{Epilogue::Parse("bias+relu")};
  GemmProblem problem = call.Problem();
  const TileConfig config = SimtFamily().Candidates(problem, kTarget, {}).at(0);
  const KernelSource fused = SimtFamily().Render(problem, config, kTarget, {});
  EXPECT_THAT(fused.text, HasSubstr("struct Epilogue {"));
  EXPECT_THAT(fused.text, HasSubstr("gemmsmith::Fused<Epilogue, gemmsmith::Bfloat16, float>"));
  problem.epilogue_id = 0;
  const KernelSource plain = SimtFamily().Render(problem, config, kTarget, {});
  EXPECT_THAT(plain.text, Not(HasSubstr("pilogue")));
  EXPECT_NE(plain.entry, fused.entry);
  EXPECT_LT(plain.headers.size(), fused.headers.size());
}

TEST(SimtEpilogue, CompilesWithNvrtcWithoutSpilling) {
  std::string why;
  const auto nvrtc = OpenOrNull(OpenNvrtc, why);
  if (nvrtc == nullptr) GTEST_SKIP() << why;
  for (const char* chain :
       {"bias+gelu", "scale_row+scale_column+bias_m+residual", "scale_block+d_scale+quantise_e4m3",
        "bias+scale_column+swiglu", "gelu+amax_row+amax_column+amax_block", "swiglu+amax_row+d_scale_row"}) {
    const Call call{Epilogue::Parse(chain)};
    for (const CodeTarget& target : {kTarget, CodeTarget{Isa::kCuda, 75, 0}, CodeTarget{Isa::kCuda, 90, 'a'}}) {
      const TileConfig config = SimtFamily().Candidates(call.Problem(), target, {}).at(0);
      const Artifact artifact = nvrtc->Compile(SimtFamily().Render(call.Problem(), config, target, {}), {});
      EXPECT_EQ(artifact.resources.spill_bytes, 0) << chain << ' ' << ToString(target);
    }
  }
}

TEST(SimtEpilogue, RefusesWhatTheTemplateCannotDo) {
  const auto reason = [](const Epilogue& epilogue, std::int64_t m = 64) {
    GemmProblem problem = MakeProblem(m, 64, 64);
    problem.epilogue_id = epilogue.id();
    return SimtFamily().WhyNot(problem, kTarget);
  };
  EXPECT_EQ(reason(Epilogue::Parse("gelu")), "");
  const Epilogue indexed = Trace([](Value acc, Inputs in) { return Select(in.Row() < 3, acc, 0.0f); });
  EXPECT_EQ(reason(indexed), "");
  EXPECT_THAT(reason(indexed, std::int64_t{1} << 31), HasSubstr("2^31"));
}

}  // namespace
}  // namespace gemmsmith
