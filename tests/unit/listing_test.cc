#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <sstream>

#include "gemmsmith/engine.h"
#include "gemmsmith/error.h"
#include "jit/compiler.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

KernelSource Source(const GemmProblem& problem, const char* target) {
  return Engine().Render(problem, ParseTarget(target), Devices().Get({}).spec());
}

/// What a listing says: bytes from their offset on; -1: a part of a jump that was not known yet.
std::map<std::size_t, std::vector<int>> Instructions(const std::string& listing) {
  static const std::regex line_with_bytes(" *([0-9a-f]+)  [a-z{].*; ([0-9A-F.]+)");
  std::map<std::size_t, std::vector<int>> instructions;
  std::istringstream lines(listing);
  std::smatch match;
  for (std::string line; std::getline(lines, line);) {
    if (!std::regex_match(line, match, line_with_bytes)) continue;
    std::vector<int>& bytes = instructions[std::stoul(match[1], nullptr, 16)];
    const std::string digits = match[2];
    for (std::size_t i = 0; i < digits.size(); i += 2)
      bytes.push_back(digits[i] == '.' ? -1 : std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return instructions;
}

TEST(Listing, EveryInstructionStandsWhereTheCompiledCodeHasItsBytes) {
  for (const char* target : {"x86-64-avx2", "x86-64-avx512"})
    for (const GemmProblem& problem : {MakeProblem(130, 137, 64), MakeProblem(40, 77, 99, DType::kF64, "tn"),
                                       MakeProblem(4, 301, 500, DType::kF32, "nt")}) {
      const KernelSource source = Source(problem, target);
      const std::string code = OpenX86Compiler()->Compile(source, {}).parts.at("x86");
      const auto instructions = Instructions(ListCode(source));
      ASSERT_GT(instructions.size(), 50u) << source.text;
      for (const auto& [offset, bytes] : instructions)
        for (std::size_t i = 0; i < bytes.size(); ++i) {
          const std::size_t at = sizeof(MicroKernelHeader) + offset + i;
          ASSERT_LT(at, code.size());
          if (bytes[i] >= 0) {
            ASSERT_EQ(static_cast<unsigned char>(code[at]), bytes[i]) << target << ' ' << source.text << ' ' << offset;
          }
        }
    }
}

TEST(Listing, NamesTheEntriesThatThereAre) {
  const std::string all = ListCode(Source(MakeProblem(130, 137, 64), "x86-64-avx512"));
  for (const char* entry : {"; full tile: ", "; column tail: ", "; row tail: ", "; row and column tail: "})
    EXPECT_THAT(all, HasSubstr(entry));
  const std::string whole = ListCode(Source(MakeProblem(128, 256, 64), "x86-64-avx512"));
  EXPECT_THAT(whole, HasSubstr("; full tile: "));
  EXPECT_THAT(whole, Not(HasSubstr("column tail")));
}

TEST(Listing, IsAPartOfX86KernelsOnly) {
  Engine engine;
  const GemmProblem problem = MakeProblem(8, 8, 8);
  const KernelSource x86 = Source(problem, "x86-64-avx2");
  EXPECT_EQ(engine.Emit(x86, "listing"), ListCode(x86));
  EXPECT_THROW(engine.Emit(Source(problem, "portable"), "listing"), Error);
}

}  // namespace
}  // namespace gemmsmith
