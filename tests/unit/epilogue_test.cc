#include "gemmsmith/epilogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <thread>

#include "epilogue/trace.h"
#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

template <class Function>
std::string ErrorOf(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument) << error.what();
    return error.what();
  }
  return "no error";
}
std::string ParseError(std::string_view chain) {
  return ErrorOf([&] { Epilogue::Parse(chain); });
}

/// An element whose members are all different.
EpilogueElement Distinct(float accumulator = 1.25f) {
  EpilogueElement e;
  float next = 1.5f;
#define GEMMSMITH_EPILOGUE_INPUT(name, text, type, member, ...) e.member = static_cast<type>(next *= -1.5f);
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
  e.accumulator = accumulator;
  return e;
}

/// Each name against its formula in double.
TEST(EpilogueNames, MeanWhatTheirFormulasSay) {
  struct Row {
    const char* name;
    double (*formula)(double x, const EpilogueElement& e);
  };
  const Row rows[] = {
      {"bias", [](double x, const EpilogueElement& e) { return x + e.bias; }},
      {"bias_m", [](double x, const EpilogueElement& e) { return x + e.bias_m; }},
      {"relu", [](double x, const EpilogueElement&) { return std::max(x, 0.0); }},
      {"gelu", [](double x, const EpilogueElement&) { return x * 0.5 * std::erfc(-x * std::sqrt(0.5)); }},
      {"gelu_tanh",
       [](double x, const EpilogueElement&) {
         return x / 2 * (1 + std::tanh(std::sqrt(2 / 3.14159265358979) * (x + 0.044715 * x * x * x)));
       }},
      {"silu", [](double x, const EpilogueElement&) { return x / (1 + std::exp(-x)); }},
      {"swiglu", [](double x, const EpilogueElement& e) { return x / (1 + std::exp(-x)) * e.paired; }},
      {"tanh", [](double x, const EpilogueElement&) { return std::tanh(x); }},
      {"sigmoid", [](double x, const EpilogueElement&) { return 1 / (1 + std::exp(-x)); }},
      {"residual", [](double x, const EpilogueElement& e) { return x + e.residual; }},
      {"scale", [](double x, const EpilogueElement& e) { return x * e.scalar; }},
      {"scale_row", [](double x, const EpilogueElement& e) { return x * e.scale_row; }},
      {"scale_column", [](double x, const EpilogueElement& e) { return x * e.scale_column; }},
      {"scale_block", [](double x, const EpilogueElement& e) { return x * e.scale_block; }},
      {"amax_row", [](double x, const EpilogueElement&) { return x; }},
      {"amax_column", [](double x, const EpilogueElement&) { return x; }},
      {"amax_block", [](double x, const EpilogueElement&) { return x; }},
      {"d_scale", [](double x, const EpilogueElement& e) { return x * e.d_scale; }},
      {"d_scale_row", [](double x, const EpilogueElement& e) { return x * e.d_scale_row; }},
      {"d_scale_column", [](double x, const EpilogueElement& e) { return x * e.d_scale_column; }},
      {"d_scale_block", [](double x, const EpilogueElement& e) { return x * e.d_scale_block; }},
      {"quantise_s8", [](double x, const EpilogueElement&) { return std::nearbyint(x); }},
      {"quantise_u8", [](double x, const EpilogueElement&) { return std::max(0.0, std::nearbyint(x)); }},
      {"quantise_e4m3", [](double x, const EpilogueElement&) { return std::nearbyint(x * 256) / 256; }},
      {"quantise_e5m2", [](double x, const EpilogueElement&) { return std::nearbyint(x * 256) / 256; }},
  };
  ASSERT_EQ(std::size(rows), EpilogueNames().size());
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    ASSERT_EQ(EpilogueNames()[i].name, rows[i].name);
    const Epilogue epilogue = Epilogue::Parse(rows[i].name);
    for (const float x : {-7.5f, -1.5f, -0.0078125f, -0.0f, 0.0f, 0.00390625f, 0.75f, 2.5f, 11.0f}) {
      // The values here have too many bits for the small types but in their coarsest binades.
      if (epilogue.rounded_to() != DType::kF32 && !Info(epilogue.rounded_to()).is_integer() && std::fabs(x) > 0.01f)
        continue;
      const EpilogueElement element = Distinct(x);
      const double expected = rows[i].formula(x, element);
      EXPECT_NEAR(epilogue.Evaluate(element).d, expected, 1e-6 * (1 + std::fabs(expected))) << rows[i].name << ' ' << x;
    }
  }
}

TEST(EpilogueNames, AreAllInTheDocumentation) {
  std::ifstream file(GEMMSMITH_SOURCE_DIR "/docs/epilogues.md");
  const std::string page(std::istreambuf_iterator<char>(file), {});
  for (const EpilogueName& name : EpilogueNames()) {
    std::string meaning(name.meaning);
    for (std::size_t at = 0; (at = meaning.find('|', at)) != std::string::npos; at += 2) meaning.insert(at, "\\");
    EXPECT_THAT(page, HasSubstr("| `" + std::string(name.name) + "` | " + meaning)) << "docs/epilogues.md";
  }
}

TEST(EpilogueParse, AppliesNamesFromLeftToRight) {
  const EpilogueElement e = Distinct(-3);
  EXPECT_EQ(Epilogue::Parse("bias+relu").Evaluate(e).d, std::max(0.0f, e.accumulator + e.bias));
  EXPECT_EQ(Epilogue::Parse("relu+bias").Evaluate(e).d, e.bias);
  EXPECT_EQ(Epilogue::Parse("scale_row+residual").Evaluate(e).d, e.accumulator * e.scale_row + e.residual);
}

TEST(EpilogueParse, AppliesWhatStandsBeforeSwigluToBothColumns) {
  const Epilogue by_hand = Trace([](Value acc, Inputs in) {
    const Value gate = acc * in.ScaleRow() * in.ScaleColumn() + in.Bias();
    const Value linear = in.Paired() * in.ScaleRow() * in.PairedScaleColumn() + in.PairedBias();
    return Swiglu(gate, linear) + in.Residual();
  });
  EXPECT_EQ(Epilogue::Parse("scale_row+scale_column+bias+swiglu+residual"), by_hand);
}

TEST(EpilogueParse, SaysWhatItDoesNotKnowAndWhatThereIs) {
  EXPECT_THAT(ParseError("bias+gellu"), AllOf(HasSubstr("\"gellu\""), HasSubstr("gelu_tanh"), HasSubstr("swiglu")));
  for (const char* empty : {"", "bias+", "+bias", "bias++gelu"}) EXPECT_THAT(ParseError(empty), HasSubstr("\"\""));
  EXPECT_THAT(ParseError("bias gelu"), HasSubstr("\"bias gelu\""));
  EXPECT_THAT(ParseError("\x1b[2J"), HasSubstr("\"?[2J\""));
  EXPECT_THAT(ParseError(std::string(100'000, 'x')), HasSubstr("...\""));
}

TEST(EpilogueParse, SaysWhatIsOutOfPlace) {
  EXPECT_THAT(ParseError("quantise_s8+relu"), AllOf(HasSubstr("quantise_s8 must be the last"), HasSubstr("relu")));
  EXPECT_THAT(ParseError("swiglu+bias"), HasSubstr("bias must stand before swiglu"));
  EXPECT_THAT(ParseError("swiglu+swiglu"), HasSubstr("swiglu must stand before swiglu"));
  EXPECT_THAT(ParseError("residual+swiglu"), HasSubstr("residual must stand after swiglu"));
  EXPECT_THAT(ParseError("amax_row+swiglu"), HasSubstr("amax_row must stand after swiglu"));
  EXPECT_THAT(ParseError("amax_row+amax_row"), HasSubstr("amax_row is set twice"));
  std::string many = "relu";
  for (int i = 0; i < 32; ++i) many += "+relu";
  EXPECT_THAT(ParseError(many), HasSubstr("more than 32"));
}

TEST(EpilogueOutputs, HoldMagnitudesOfTheValueAtTheirPlace) {
  const EpilogueElement e = Distinct(-3);
  const EpilogueResult result = Epilogue::Parse("amax_row+relu+amax_column+bias+amax_block").Evaluate(e);
  EXPECT_EQ(result.amax_row, 3);
  EXPECT_EQ(result.amax_column, 0);
  EXPECT_EQ(result.amax_block, std::fabs(e.bias));
  EXPECT_EQ(result.d, e.bias);
}

TEST(EpilogueTrace, IsTheSameByNameAndByExpression) {
  EXPECT_EQ(Trace([](Value acc, Inputs in) { return Gelu(acc + in.Bias()); }), Epilogue::Parse("bias+gelu"));
  EXPECT_EQ(Trace([](Value acc, Inputs in) {
              return Outputs(RoundTo(DType::kE4m3, in.DScale() * Relu(acc))).AmaxRow(Relu(acc));
            }),
            Epilogue::Parse("relu+amax_row+d_scale+quantise_e4m3"));
  EXPECT_NE(Epilogue::Parse("gelu"), Epilogue::Parse("gelu_tanh"));
}

TEST(EpilogueTrace, HasATextThatPeopleCanRead) {
  EXPECT_EQ(Epilogue::Parse("bias+silu+amax_block+quantise_s8").text(),
            "v0 = acc\n"
            "v1 = bias\n"
            "v2 = add v0 v1\n"
            "v3 = neg v2\n"
            "v4 = exp v3\n"
            "v5 = f32 1\n"
            "v6 = add v4 v5\n"
            "v7 = div v2 v6\n"
            "v8 = to_s8 v7\n"
            "d v8\n"
            "amax_block 1x128 v7\n");
}

TEST(EpilogueTrace, FoldsConstantsAndSharesWhatIsEqual) {
  const Epilogue folded = Trace([](Value acc, Inputs) {
    const Value two = Exp(0.0f) + 1.0f;
    return Select(two < 3.0f, (acc + two) * (two + acc), acc / 0.0f);
  });
  EXPECT_EQ(folded.text(), "v0 = acc\nv1 = f32 2\nv2 = add v0 v1\nv3 = mul v2 v2\nd v3\n");
}

TEST(EpilogueTrace, ConvertsIntegersBesideFloatsAndRefusesOtherMixtures) {
  EpilogueElement e;
  e.row = 7, e.column = 9;
  EXPECT_EQ(Trace([](Value, Inputs in) { return in.Row() * 0.5f + in.Column(); }).Evaluate(e).d, 12.5f);
  EXPECT_EQ(Trace([](Value acc, Inputs in) { return Select(in.Column() <= in.Row(), acc, -1e30f); }).Evaluate(e).d,
            -1e30f);
  EXPECT_EQ(Trace([](Value, Inputs in) { return in.Row() - in.Column() * 2; }).Evaluate(e).d, -11);
  EXPECT_THAT(ErrorOf([] { Inputs().Row() / Inputs().Column(); }),
              AllOf(HasSubstr("div(s32, s32)"), HasSubstr("div(f32, f32)")));
  EXPECT_THAT(ErrorOf([] { (Inputs().Row() < 3) + 1.0f; }), HasSubstr("add(bool, f32)"));
  EXPECT_THAT(ErrorOf([] { Trace([](Value acc, Inputs) { return acc < 1.0f; }); }),
              HasSubstr("d must be f32, not bool"));
  EXPECT_THAT(ErrorOf([] { RoundTo(DType::kF64, 1.0f); }), HasSubstr("f64"));
  EXPECT_THAT(ErrorOf([] { RoundTo(DType::kS32, 1.0f); }), HasSubstr("s32"));
}

TEST(EpilogueTrace, RefusesWhatIsTooLargeOrHasTwoBlockSizes) {
  const auto deep = [](int depth, bool wide) {
    return [=] {
      Trace([=](Value acc, Inputs) {
        Value sum = acc;
        for (int i = 0; i < depth; ++i) sum = wide ? Exp(sum) + Exp(acc + static_cast<float>(i)) : Exp(sum);
        return sum;
      });
    };
  };
  EXPECT_EQ(ErrorOf(deep(999, false)), "no error");
  EXPECT_THAT(ErrorOf(deep(1000, false)), HasSubstr("more than 1000"));
  EXPECT_THAT(ErrorOf(deep(100'000, false)), HasSubstr("more than 1000"));
  EXPECT_THAT(ErrorOf(deep(400, true)), HasSubstr("at most 1000"));
  EXPECT_THAT(ErrorOf([] { Trace([](Value, Inputs in) {
                             return in.ScaleBlock({1, 64}) + in.ScaleBlock({1, 128});
                           }); }),
              AllOf(HasSubstr("1 x 64"), HasSubstr("1 x 128")));
  EXPECT_THAT(ErrorOf([] { Trace([](Value, Inputs in) { return in.ScaleBlock({0, 64}); }); }), HasSubstr("0 x 64"));
}

TEST(EpilogueTrace, IsFastThoughItsExpressionIsSharedExponentially) {
  const Epilogue doubled = Trace([](Value acc, Inputs) {
    for (int i = 0; i < 60; ++i) acc = acc + acc;
    return acc;
  });
  EpilogueElement e;
  e.accumulator = 1;
  EXPECT_EQ(doubled.Evaluate(e).d, 0x1p60f);
}

TEST(EpilogueCheck, RefusesTracesThatAreNone) {
  const OpNode acc{Op::kAccumulator}, add{Op::kAdd, {0, 0, -1}}, row{Op::kRow};
  EXPECT_THAT(ErrorOf([&] { Canonical({{acc}, {}}); }), HasSubstr("D is not set"));
  EXPECT_THAT(ErrorOf([&] { Canonical({{add}, {{OutputKind::kD, 0}}}); }), HasSubstr("not computed before"));
  EXPECT_THAT(ErrorOf([&] { Canonical({{acc}, {{OutputKind::kD, 1}}}); }), HasSubstr("not computed"));
  EXPECT_THAT(ErrorOf([&] { Canonical({{row, add}, {{OutputKind::kD, 1}}}); }), HasSubstr("add takes f32"));
}

/// IEEE's special values, operation by operation; NaN as NaN.
TEST(EpilogueOps, TreatSpecialValuesAsIeeeSays) {
  struct Row {
    Value (*make)(const Value& x, const Value& y);
    float x, y, expected;
  };
  const auto min = [](const Value& x, const Value& y) { return Min(x, y); };
  const auto max = [](const Value& x, const Value& y) { return Max(x, y); };
  const auto relu = [](const Value& x, const Value&) { return Relu(x); };
  const auto s32 = [](const Value& x, const Value&) { return ToF32(ToS32(x)); };
  const auto round = [](const Value& x, const Value&) { return Round(x); };
  const auto e4m3 = [](const Value& x, const Value&) { return RoundTo(DType::kE4m3, x); };
  const auto e5m2 = [](const Value& x, const Value&) { return RoundTo(DType::kE5m2, x); };
  const auto s8 = [](const Value& x, const Value&) { return RoundTo(DType::kS8, x); };
  const auto u8 = [](const Value& x, const Value&) { return RoundTo(DType::kU8, x); };
  const auto equal = [](const Value& x, const Value& y) { return Select(x == y, 1.0f, 0.0f); };
  const auto less = [](const Value& x, const Value& y) { return Select(x < y, 1.0f, 0.0f); };
  const auto rsqrt = [](const Value& x, const Value&) { return Rsqrt(x); };
  const auto add = [](const Value& x, const Value& y) { return x + y; };
  const Row rows[] = {
      {min, kNan, 1, kNan},
      {min, 1, kNan, kNan},
      {min, 0.0f, -0.0f, -0.0f},
      {max, -0.0f, 0.0f, 0.0f},
      {max, kNan, kInf, kNan},
      {relu, kNan, 0, kNan},
      {relu, -0.0f, 0, -0.0f},
      {relu, -kInf, 0, 0},
      {s32, kNan, 0, 0},
      {s32, -1.9f, 0, -1},
      {s32, kInf, 0, 0x1p31f},
      {s32, -kInf, 0, -0x1p31f},
      {round, 2.5f, 0, 2},
      {round, 3.5f, 0, 4},
      {round, -0.4f, 0, -0.0f},
      {e4m3, 449, 0, 448},
      {e4m3, -kInf, 0, -448},
      {e4m3, kNan, 0, kNan},
      {e4m3, 17, 0, 16},
      {e4m3, 19, 0, 20},
      {e4m3, 0x1p-10f, 0, 0},
      {e4m3, 0x3p-10f, 0, 0x1p-8f},
      {e5m2, kInf, 0, 57344},
      {e5m2, -1e9f, 0, -57344},
      {s8, 2.5f, 0, 2},
      {s8, 1000, 0, 127},
      {s8, -kInf, 0, -128},
      {s8, kNan, 0, 0},
      {u8, -3, 0, 0},
      {u8, 255.5f, 0, 255},
      {equal, kNan, kNan, 0},
      {equal, 0.0f, -0.0f, 1},
      {less, kNan, 1, 0},
      {rsqrt, -0.0f, 0, -kInf},
      {rsqrt, -1, 0, kNan},
      {add, 0x1p-149f, 0x1p-149f, 0x1p-148f},
      {add, kInf, -kInf, kNan},
  };
  for (const Row& row : rows) {
    const Epilogue epilogue(Outputs(row.make(TracedAccumulator(), Inputs().Bias())));
    EpilogueElement e;
    e.accumulator = row.x, e.bias = row.y;
    const float d = epilogue.Evaluate(e).d;
    EXPECT_TRUE(std::isnan(row.expected) ? std::isnan(d)
                                         : d == row.expected && std::signbit(d) == std::signbit(row.expected))
        << epilogue.text() << row.x << ' ' << row.y << ": " << d << " for " << row.expected;
    // The same where it is folded.
    EXPECT_EQ(Epilogue(Outputs(row.make(row.x, row.y))).text(), Epilogue(Outputs(Value(row.expected))).text());
  }
}

TEST(EpilogueOps, MayBeMovedByUlpsWhereBackendsMayDiffer) {
  EpilogueElement e;
  e.accumulator = 0.5f;
  const Epilogue tanh = Epilogue::Parse("tanh"), relu = Epilogue::Parse("relu");
  const float exact = tanh.Evaluate(e).d;
  EXPECT_EQ(tanh.Evaluate(e, 2).d, std::nextafter(std::nextafter(exact, kInf), kInf));
  EXPECT_EQ(tanh.Evaluate(e, -1).d, std::nextafter(exact, -kInf));
  EXPECT_EQ(relu.Evaluate(e, 2).d, 0.5f);
  e.accumulator = kInf;
  EXPECT_EQ(Epilogue(Outputs(Exp(TracedAccumulator()))).Evaluate(e, -2).d, kInf);
}

TEST(EpilogueOps, RoundToTheNearestAsEncodeDoes) {
  std::mt19937 random(std::random_device{}());
  for (const DType dtype : {DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2, DType::kS8, DType::kU8}) {
    const Epilogue epilogue(Outputs(RoundTo(dtype, TracedAccumulator())));
    EXPECT_EQ(epilogue.rounded_to(), dtype);
    for (int i = 0; i < 10'000; ++i) {
      EpilogueElement e;
      e.accumulator = std::uniform_real_distribution<float>(-100, 100)(random);
      std::uint64_t storage = 0;
      Encode(dtype, &storage, 0, e.accumulator);
      ASSERT_EQ(epilogue.Evaluate(e).d, Decode(dtype, &storage, 0)) << ToString(dtype) << ' ' << e.accumulator;
    }
  }
}

TEST(EpilogueId, IsZeroForNoneAndFindsTheEpilogue) {
  EXPECT_EQ(Epilogue().id(), 0u);
  EXPECT_EQ(Trace([](Value acc, Inputs) { return acc; }).id(), 0u);
  EXPECT_EQ(Epilogue::Find(0), Epilogue());
  const Epilogue gelu = Epilogue::Parse("bias+gelu");
  EXPECT_NE(gelu.id(), 0u);
  EXPECT_EQ(Epilogue::Parse("bias+gelu").id(), gelu.id());
  EXPECT_NE(Epilogue::Parse("gelu").id(), gelu.id());
  EXPECT_EQ(Epilogue::Find(gelu.id()), gelu);
  EXPECT_EQ(Epilogue::Find(gelu.id() + 2), std::nullopt);
}

TEST(EpilogueId, MayBeMadeByManyThreads) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 200; ++i) {
        const Epilogue epilogue = Trace([&](Value acc, Inputs) { return acc * static_cast<float>(i + 2); });
        EXPECT_EQ(Epilogue::Find(epilogue.id()), epilogue);
      }
    });
}

TEST(EpilogueInputs, AreThoseThatTheTraceReads) {
  const Epilogue epilogue = Epilogue::Parse("scale_row+bias+swiglu");
  EXPECT_TRUE(epilogue.Reads(EpilogueInput::kBias));
  EXPECT_TRUE(epilogue.Reads(EpilogueInput::kPairedBias));
  EXPECT_TRUE(epilogue.Reads(EpilogueInput::kScaleRow));
  EXPECT_FALSE(epilogue.Reads(EpilogueInput::kBiasM));
  EXPECT_FALSE(epilogue.Reads(EpilogueInput::kResidual));
}

TEST(EpiloguePattern, FollowsFromTheTrace) {
  EXPECT_EQ(Epilogue::Parse("bias+gelu").trace().pattern(), OpPattern::kElementwise);
  EXPECT_EQ(Epilogue::Parse("swiglu").trace().pattern(), OpPattern::kPairwise);
  EXPECT_EQ(Epilogue::Parse("swiglu+amax_row").trace().pattern(), OpPattern::kReduction);
}

}  // namespace
}  // namespace gemmsmith
