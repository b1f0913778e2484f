#include <gmock/gmock.h>

#include "../support/cli_testing.h"

namespace gemmsmith {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(Cli, WarmAndBundleRefuseWhatDoesNotGoWithAModel) {
  const std::pair<const char*, const char*> cases[] = {
      {"--model deepseek-v3", "--arch or --gpu"},
      {"--arch sm_90a", "--model"},
      {"--arch sm_90a --model deepseek-v3 --layout nn", "--layout"},
      {"--arch sm_90a --model deepseek-v3 --m 1 --n 1 --k 1", "--m"},
      {"--arch sm_90a --model deepseek-v3 --shapes llama-3-8b", "--shapes"},
      {"--arch sm_90a --model deepseek-v3 --m-range 64", "FIRST:LAST"},
      {"--arch sm_90a --model deepseek-v3 --m-range 64:1", "FIRST:LAST"},
      {"--arch sm_90a --shapes deepseek-v3 --m-range 1:64", "--model"}};
  for (const std::string command : {"warm ", "bundle build --out file "})
    for (const auto& [line, complaint] : cases) {
      const Result result = Run(command + line);
      EXPECT_EQ(result.exit_code, 2) << command << line;
      EXPECT_THAT(result.err, HasSubstr(complaint)) << command << line;
    }
  EXPECT_EQ(Run("compile --arch sm_90a --model deepseek-v3").exit_code, 2) << "it has no such option";
}

TEST_F(Cli, WarmSaysWhatItCannotServe) {
  const Result processor = Run("warm --model llama-3-8b --arch x86-64-avx512 --json");
  EXPECT_EQ(processor.exit_code, 1);
  EXPECT_EQ(processor.Json()["error"]["code"], "unsupported");
  EXPECT_EQ(Run("warm --arch sm_90a --model " + Path("none.json")).exit_code, 1);
  const Result old = Run("warm --model llama-3-8b --dtype e4m3,e4m3,bf16 --arch sm_80 --m-range 1:64 --json");
  EXPECT_EQ(old.exit_code, 1);
  EXPECT_EQ(old.Json()["failures"].size(), 4u) << old.out;
}

TEST_F(Cli, WarmMakesAllThatAModelNeedsOverARangeOfRows) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string line = " --model llama-3-8b --m-range 1:8192 --arch sm_90a --jobs 2 --json";
  const json first = Run("warm" + line).Json();
  EXPECT_EQ(first["ok"], true);
  EXPECT_EQ(first["problems"], 4);
  EXPECT_EQ(first["found"], 0);
  EXPECT_GT(first["compiled"], 4);
  EXPECT_LT(first["compiled"], 40);
  for (const json& kernel : first["kernels"])
    EXPECT_THAT(kernel["problems"].get<std::vector<std::string>>(), Each(StartsWith("llama3.")));
  const json again = Run("warm" + line).Json();
  EXPECT_EQ(again["compiled"], 0);
  EXPECT_EQ(again["found"], first["compiled"]);
  const json one = Run("warm --shapes " + Write("one.shapes", "any 3000 4096 4096 layout=nt\n") +
                       " --dtype bf16 --arch sm_90a --json")
                       .Json();
  EXPECT_EQ(one["compiled"], 0) << "any m of the range is served";
  const json bundle = Run("bundle build --out " + Path("model.gsb") + line).Json();
  EXPECT_EQ(bundle["bundle"]["kernels"], first["compiled"]) << "the same list";
}

}  // namespace
}  // namespace gemmsmith
