#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "kernels/family.h"

namespace gemmsmith {

const KernelFamily& Sm90Family();

namespace {

struct Row {
  const char* name;
  const char* dtypes;
  const char* layout;
  std::int64_t k;
  BetaClass beta = BetaClass::kZero;
  const char* epilogue = nullptr;
};
/// A long k is split.
constexpr Row kRows[] = {
    {"bf16_nt", "bf16", "nt", 512},
    {"f16_tn_c", "f16", "tn", 512, BetaClass::kGeneral},
    {"e4m3_nt_bias_gelu", "e4m3,e4m3,bf16", "nt", 512, BetaClass::kZero, "bias+gelu"},
    {"s8_nt_split", "s8,s8,f16", "nt", 65536, BetaClass::kZero, "scale_column"},
};

/// The text of the best configuration, and of what comes after it.
std::string Rendered(const Row& row) {
  const CodeTarget target{Isa::kCuda, 90, 'a'};
  GemmProblem p = MakeProblem(128, 512, row.k, DType::kF32, row.layout, row.beta);
  SetDTypes(p, row.dtypes);
  if (row.epilogue != nullptr) SetEpilogue(p, Epilogue::Parse(row.epilogue), DType::kF16);
  const std::vector<TileConfig> configs = Sm90Family().Candidates(p, target, FindDeviceSpec("h200"));
  const bool split = row.k > 1024;
  const auto config =
      std::find_if(configs.begin(), configs.end(), [&](const TileConfig& c) { return (c.Get("splits") > 1) == split; });
  if (config == configs.end()) return "no such configuration";
  std::string text = Sm90Family().Render(p, *config, target, {}).text;
  if (const auto after = Sm90Family().After(p, *config, target, {})) text += "\n// and then\n" + after->source.text;
  return text;
}

/// GEMMSMITH_UPDATE_GOLDEN=1 writes the files anew; look at the difference before you commit it.
TEST(Sm90Source, IsWhatTheGoldenFilesSay) {
  for (const Row& row : kRows) {
    const std::string path = std::string(GEMMSMITH_SOURCE_DIR "/tests/golden/sm90_") + row.name + ".cu";
    const std::string text = Rendered(row);
    if (std::getenv("GEMMSMITH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
    std::ifstream file(path);
    EXPECT_EQ(text, std::string(std::istreambuf_iterator<char>(file), {})) << path;
  }
}

}  // namespace
}  // namespace gemmsmith
