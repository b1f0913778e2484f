#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "../support/golden_epilogues.h"
#include "../support/random_trace.h"
#include "../unit/cuda_on_host.h"
#include "epilogue/cuda_text.h"

namespace device {
#include "epilogues.inc"
}  // namespace device

namespace gemmsmith {
namespace {

std::string Rendered() {
  std::string list, structs;
  for (const auto& [name, trace] : GoldenEpilogues()) {
    list += "GOLDEN_EPILOGUE(" + name + ")\n";
    structs += '\n' + CudaText(trace, name);
  }
  return "// Written by epilogue_text_test.\n#ifdef GOLDEN_EPILOGUE\n" + list + "#else\n" + structs + "\n#endif\n";
}

/// GEMMSMITH_UPDATE_GOLDEN=1 writes the file anew; look at the difference before you commit it.
TEST(EpilogueText, IsWhatTheGoldenFileSays) {
  const char* path = GEMMSMITH_SOURCE_DIR "/tests/golden/epilogues.inc";
  if (std::getenv("GEMMSMITH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << Rendered();
  std::ifstream file(path);
  EXPECT_EQ(Rendered(), std::string(std::istreambuf_iterator<char>(file), {})) << path;
}

/// What a template brings, here of one element. Blocks are of no interest to one element.
struct HostInputs {
  const EpilogueElement& element;
#define GEMMSMITH_EPILOGUE_INPUT(name, text, type, member, method, ...) \
  template <class... Block>                                             \
  type method(Block...) const {                                         \
    return element.member;                                              \
  }
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
};
struct HostOutputs {
  EpilogueResult result;
#define GEMMSMITH_EPILOGUE_OUTPUT(name, text, member, method, ...) \
  template <class... Block>                                        \
  void method(float value, Block...) {                             \
    result.member = value;                                         \
  }
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
};

/// Maxima are taken of magnitudes by the template.
EpilogueResult Magnitudes(EpilogueResult result) {
  const auto one = [](float x) { return std::isnan(x) ? std::bit_cast<float>(kNanBits) : std::fabs(x); };
  const auto d = std::isnan(result.d) ? std::bit_cast<float>(kNanBits) : result.d;
#define GEMMSMITH_EPILOGUE_OUTPUT(name, text, member, ...) result.member = one(result.member);
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
  result.d = d;
  return result;
}

template <class Golden>
void Compare(const std::string& name, const OpTrace& trace) {
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  EXPECT_EQ(Golden::kPaired, trace.paired());
  for (int i = 0; i < 20'000; ++i) {
    const EpilogueElement element = RandomElement(random);
    HostOutputs out;
    Golden::Apply(HostInputs{element}, out);
    const EpilogueResult expected = Evaluate(trace, element);
    ASSERT_TRUE(SameBits(Magnitudes(out.result), expected))
        << name << " seed " << seed << " acc " << element.accumulator << " bias " << element.bias << " residual "
        << element.residual << ": " << out.result.d << " for " << expected.d;
  }
}

TEST(EpilogueText, ComputesOnTheHostWhatTheInterpreterDoes) {
  const auto all = GoldenEpilogues();
  std::size_t i = 0;
#define GOLDEN_EPILOGUE(name)                         \
  ASSERT_EQ(all.at(i).first, #name);                  \
  Compare<device::name>(all[i].first, all[i].second); \
  ++i;
#include "epilogues.inc"
#undef GOLDEN_EPILOGUE
  EXPECT_EQ(i, all.size());
}

TEST(EpilogueText, SpellsOutEveryOperation) {
  const auto all = GoldenEpilogues();
  for (const OpInfo& info : AllOps()) {
    const auto uses = [&](const auto& row) { return row.second.Reads(info.op); };
    // A constant bool is always folded away.
    EXPECT_EQ(std::any_of(all.begin(), all.end(), uses), info.op != Op::kConstantBool) << info.text;
  }
}

}  // namespace
}  // namespace gemmsmith
