#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "kernels/family.h"

namespace gemmsmith {

/// A problem (128, 512) whose kernel's text is kept in tests/golden. A long k is split.
struct GoldenRow {
  const char* name;
  const char* dtypes;
  const char* layout;
  std::int64_t k;
  BetaClass beta = BetaClass::kZero;
  const char* epilogue = nullptr;
  const char* grouping = "none";
};

/// The text of the best configuration for a device, and of what comes after it.
inline std::string GoldenText(const KernelFamily& family, const DeviceSpec& spec, const GoldenRow& row) {
  GemmProblem p = MakeProblem(128, 512, row.k, DType::kF32, row.layout, row.beta);
  SetDTypes(p, row.dtypes);
  if (p.a_type == DType::kF32) p.compute = ComputeMode::kTf32;
  SetGrouping(p, row.grouping);
  if (row.epilogue != nullptr) SetEpilogue(p, Epilogue::Parse(row.epilogue), DType::kF16);
  const std::vector<TileConfig> configs = family.Candidates(p, spec.target, spec);
  const bool split = row.k > 1024;
  const auto config =
      std::find_if(configs.begin(), configs.end(), [&](const TileConfig& c) { return (c.Get("splits") > 1) == split; });
  if (config == configs.end()) return "no such configuration";
  std::string text = family.Render(p, *config, spec.target, {}).text;
  if (const auto after = family.After(p, *config, spec.target, {})) text += "\n// and then\n" + after->source.text;
  return text;
}

/// GEMMSMITH_UPDATE_GOLDEN=1 writes the files anew; look at the difference before you commit it.
inline void ExpectGolden(const KernelFamily& family, const DeviceSpec& spec, std::span<const GoldenRow> rows) {
  for (const GoldenRow& row : rows) {
    const std::string path = fmt::format("{}/tests/golden/{}_{}.cu", GEMMSMITH_SOURCE_DIR, family.name(), row.name);
    const std::string text = GoldenText(family, spec, row);
    if (std::getenv("GEMMSMITH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
    std::ifstream file(path);
    EXPECT_EQ(text, std::string(std::istreambuf_iterator<char>(file), {})) << path;
  }
}

}  // namespace gemmsmith
