#include <gtest/gtest.h>

#include "../support/random_trace.h"

namespace gemmsmith {
namespace {

constexpr int kTraces = 10000, kElements = 20;

class EpilogueTrace : public testing::Test {
 protected:
  template <class Visit>
  void ForRandomTraces(const Visit& visit) {
    for (int i = 0; i < kTraces && !HasFailure(); ++i) {
      const OpTrace trace = RandomTrace(random_).Make(1 + static_cast<int>(random_() % 60));
      SCOPED_TRACE(testing::Message() << "seed " << seed_ << '\n' << ToText(trace));
      visit(trace);
    }
  }
  const unsigned seed_ = std::random_device{}();
  std::mt19937 random_{seed_};
};

TEST_F(EpilogueTrace, CanonicalFormComputesTheSameBits) {
  ForRandomTraces([&](const OpTrace& trace) {
    const OpTrace canonical = Canonical(trace);
    for (int i = 0; i < kElements; ++i) {
      const EpilogueElement element = RandomElement(random_);
      ASSERT_TRUE(SameBits(Evaluate(trace, element), Evaluate(canonical, element))) << ToText(canonical);
    }
  });
}

TEST_F(EpilogueTrace, CanonicalFormIsItsOwnCanonicalForm) {
  ForRandomTraces([](const OpTrace& trace) {
    const OpTrace canonical = Canonical(trace);
    EXPECT_EQ(Canonical(canonical), canonical) << ToText(canonical);
  });
}

TEST_F(EpilogueTrace, CanonicalFormDoesNotDependOnHowATraceIsBuilt) {
  ForRandomTraces(
      [&](const OpTrace& trace) { EXPECT_EQ(ToText(Canonical(Shuffled(trace, random_))), ToText(Canonical(trace))); });
}

TEST_F(EpilogueTrace, CanonicalFormHasNothingTwiceUnusedOrConstantButConstants) {
  ForRandomTraces([](const OpTrace& trace) {
    const OpTrace canonical = Canonical(trace);
    std::vector<bool> used(canonical.body.size());
    for (const OpOutput& output : canonical.outputs) used[output.value] = true;
    for (std::size_t i = canonical.body.size(); i-- > 0;) {  // users come after what they use
      const OpNode& node = canonical.body[i];
      EXPECT_TRUE(used[i]);
      EXPECT_EQ(std::count(canonical.body.begin(), canonical.body.end(), node), 1);
      bool constant = Info(node.op).arity > 0;
      for (int j = 0; j < Info(node.op).arity; ++j) {
        used[node.operands[j]] = true;
        constant = constant && Info(canonical.body[node.operands[j]].op).kind == OpKind::kConstant;
      }
      EXPECT_FALSE(constant);
    }
  });
}

TEST_F(EpilogueTrace, DifferentConstantsMakeDifferentTexts) {
  for (int i = 0; i < kTraces; ++i) {
    OpTrace x{{{Op::kAccumulator}, {Op::kConstantF32}, {Op::kMul, {0, 1, -1}}}, {{OutputKind::kD, 2}}}, y = x;
    x.body[1].bits = static_cast<std::uint32_t>(random_());
    y.body[1].bits = x.body[1].bits ^ (1u << random_() % 32);
    const auto is_nan = [](std::uint32_t bits) { return (bits & 0x7fffffff) > 0x7f800000; };
    const bool both_nan = is_nan(x.body[1].bits) && is_nan(y.body[1].bits);
    EXPECT_EQ(ToText(Canonical(x)) == ToText(Canonical(y)), both_nan) << "seed " << seed_;
  }
}

}  // namespace
}  // namespace gemmsmith
