// The functions that epilogues compute on vectors, against the double functions of the C library.
//
// All floats, which takes minutes for each function:
//   GEMMSMITH_LONG_TESTS=1 build/dev/x86_vector_math_test --gtest_filter='*EveryFloat*'
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "../support/cpu_tile.h"

namespace gemmsmith {
namespace {

using namespace testing_support;

struct Function {
  const char* name;
  Value (*traced)(const Value&);
  double (*exact)(double);
};
double ExactRsqrt(double x) { return 1 / std::sqrt(x); }
constexpr Function kFunctions[] = {
    {"exp", Exp, std::exp}, {"log", Log, std::log},       {"tanh", Tanh, std::tanh},
    {"erf", Erf, std::erf}, {"rsqrt", Rsqrt, ExactRsqrt},
};

/// Applies a function to many floats: each is C of a tile whose k is 0.
class Vectorised {
 public:
  static constexpr int kRows = 6, kColumns = 32;

  Vectorised(const Function& function, const CodeTarget& target)
      : epilogue_(Outputs(function.traced(TracedAccumulator()))) {
    MicroKernelRecipe recipe;
    recipe.mr = kRows;
    recipe.nr = target.version == 512 ? kColumns : kColumns / 2;
    recipe.epilogue_id = epilogue_.id();
    columns_ = recipe.nr;
    kernel_ = CompileRecipe(recipe, target);
  }
  int size() const { return kRows * columns_; }
  void operator()(const float* x, float* y) const {
    const float alpha = -0.0f, beta = 1;
    const CpuEpilogue epilogue{};
    MicroKernelArgs args{};
    args.a = args.b = args.ahead = x;
    args.a_row = 4;
    args.c = x;
    args.d = y;
    args.c_row = args.d_row = columns_ * 4;
    args.alpha = &alpha;
    args.beta = &beta;
    args.columns = columns_;
    args.epilogue = &epilogue;
    kernel_->entries().full_full(&args);
  }

 private:
  const Epilogue epilogue_;
  int columns_;
  std::shared_ptr<const CpuKernel> kernel_;
};

/// How far y is from `exact`, in units of the last place that a float has there. Infinity is where the next float would
/// be.
double UlpError(float y, double exact) {
  if (std::isnan(y) || std::isnan(exact))
    return std::isnan(y) && std::isnan(exact) ? 0 : std::numeric_limits<double>::infinity();
  if (std::isinf(exact)) return y == exact ? 0 : std::numeric_limits<double>::infinity();
  const double value = std::isinf(y) ? std::copysign(0x1p128, y) : y;
  const int exponent = exact == 0 ? -126 : std::max(std::ilogb(exact), -126);
  return std::fabs(value - std::clamp(exact, -0x1p128, 0x1p128)) / std::ldexp(1, std::min(exponent, 127) - 23);
}

struct Worst {
  double error = 0;
  float x = 0, y = 0;
};

void Compare(const Function& function, const float* x, const float* y, int count, Worst& worst) {
  for (int i = 0; i < count; ++i) {
    const double exact = function.exact(x[i]);
    const float nearest = static_cast<float>(exact);
    if (std::memcmp(&nearest, &y[i], sizeof(float)) == 0) continue;
    double error = UlpError(y[i], exact);
    if (exact == 0 && std::signbit(exact) != std::signbit(y[i])) error = std::numeric_limits<double>::infinity();
    if (error > worst.error) worst = {error, x[i], y[i]};
  }
}

/// Over first, first + step, ... as bits of floats.
Worst WorstOf(const Function& function, const CodeTarget& target, std::uint64_t first, std::uint64_t step) {
  const Vectorised vectorised(function, target);
  std::vector<float> x(vectorised.size()), y(x.size());
  Worst worst;
  for (std::uint64_t bits = first; bits < std::uint64_t{1} << 32;) {
    for (float& element : x) {
      element = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
      bits += step;
    }
    vectorised(x.data(), y.data());
    Compare(function, x.data(), y.data(), static_cast<int>(x.size()), worst);
  }
  return worst;
}

class X86VectorMath : public ::testing::TestWithParam<CodeTarget> {};

TEST_P(X86VectorMath, IsWithin2UlpOnASampleOfAllFloats) {
  for (const Function& function : kFunctions) {
    const Worst worst = WorstOf(function, GetParam(), std::random_device{}() % 10007, 10007);
    EXPECT_LE(worst.error, 2) << function.name << '(' << worst.x << ") = " << worst.y;
  }
}

TEST_P(X86VectorMath, IsWithin2UlpAroundWhateverIsSpecial) {
  const float specials[] = {0,
                            1,
                            2.0f / 3,
                            4.0f / 3,
                            9.2f,
                            4,
                            3.875f,
                            0.125f,
                            7.375f,
                            0.34657359f,
                            88.722839f,
                            87.33654f,
                            103.97208f,
                            103.27893f,
                            std::numeric_limits<float>::min(),
                            std::numeric_limits<float>::max(),
                            std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()};
  for (const Function& function : kFunctions) {
    const Vectorised vectorised(function, GetParam());
    std::vector<float> x(vectorised.size()), y(x.size());
    for (const float special : specials)
      for (const float sign : {1.0f, -1.0f}) {
        const auto first = std::bit_cast<std::uint32_t>(sign * special) - static_cast<std::uint32_t>(x.size()) / 2;
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::bit_cast<float>(first + static_cast<std::uint32_t>(i));
        vectorised(x.data(), y.data());
        Worst worst;
        Compare(function, x.data(), y.data(), static_cast<int>(x.size()), worst);
        EXPECT_LE(worst.error, 2) << function.name << '(' << worst.x << ") = " << worst.y;
      }
  }
}

class X86VectorMathOf : public ::testing::TestWithParam<std::tuple<CodeTarget, Function>> {};

TEST_P(X86VectorMathOf, EveryFloatIsWithin2Ulp) {
  if (std::getenv("GEMMSMITH_LONG_TESTS") == nullptr) GTEST_SKIP() << "takes minutes: set GEMMSMITH_LONG_TESTS=1";
  const auto& [target, function] = GetParam();
  const Worst worst = WorstOf(function, target, 0, 1);
  EXPECT_LE(worst.error, 2) << function.name << '(' << worst.x << ") = " << worst.y;
  std::printf("%s: %.3f ulp at %a\n", function.name, worst.error, static_cast<double>(worst.x));
}

INSTANTIATE_TEST_SUITE_P(Targets, X86VectorMath, ::testing::ValuesIn(X86Targets()),
                         [](const auto& info) { return NameOf(info.param); });
INSTANTIATE_TEST_SUITE_P(Targets, X86VectorMathOf,
                         ::testing::Combine(::testing::ValuesIn(X86Targets()), ::testing::ValuesIn(kFunctions)),
                         [](const auto& info) {
                           return NameOf(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
                         });

}  // namespace
}  // namespace gemmsmith
