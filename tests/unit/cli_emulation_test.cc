// run on emulated devices: statistics, hunts through seeds, and the compute mode of f32.
#include <gmock/gmock.h>

#include "../support/cli_testing.h"

namespace gemmsmith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kRun = "run --m 64 --n 64 --k 64 --dtype bf16 --device emulator:sm_80 ";

TEST_F(Cli, StatisticsTellWhatTheKernelDid) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const Result result = Run(std::string(kRun) + "--stats --check --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json document = result.Json();
  EXPECT_EQ(document["ok"], true);
  ASSERT_EQ(document["statistics"].size(), 1u) << result.out;
  const json& kernel = document["statistics"][0];
  EXPECT_EQ(kernel["launches"], 1) << "the calls after the first are not counted";
  std::uint64_t instructions = 0, multiply_adds = 0;
  for (const auto& [name, count] : kernel["classes"].items()) instructions += count.get<std::uint64_t>();
  EXPECT_EQ(kernel["instructions"], instructions);
  for (const json& product : kernel["tensor_cores"]) {
    EXPECT_THAT(product["name"].get<std::string>(), StartsWith("mma.m16n8k16.f32.bf16.bf16.f32"));
    multiply_adds += product["multiply_adds"].get<std::uint64_t>();
  }
  EXPECT_GE(multiply_adds, 64u * 64 * 64);
  // Each operand is read once at least, and D (64, 64) written once.
  EXPECT_GE(kernel["global"]["cp_async"]["bytes"], 2 * 64 * 64 * 2);
  EXPECT_EQ(kernel["global"]["stores"]["distinct_bytes"], 64 * 64 * 2);
  EXPECT_GT(kernel["shared"]["ldmatrix"]["requests"], 0);
  EXPECT_EQ(kernel["shared"]["ldmatrix"]["conflicts"], 0) << "its tiles are swizzled";
  EXPECT_EQ(kernel["bulk"]["loads"]["copies"], 0);
  EXPECT_GT(kernel["waits"]["cta_barrier"], 0);
}

TEST_F(Cli, StatisticsArePrintedAsTables) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const Result one = Run(std::string(kRun) + "--stats");
  ASSERT_EQ(one.exit_code, 0) << one.err;
  for (const char* title : {"1 launch, ", "work ", "matrix ", "tensor cores ", "mma.m16n8k16.f32.bf16.bf16.f32 ",
                            "global memory ", "coalesced", "shared memory ", "ldmatrix ", "wavefronts", "conflicts",
                            "asynchronous copies ", "cp_async ", "waits of warps "})
    EXPECT_THAT(one.out, HasSubstr(title));
  EXPECT_THAT(one.out, Not(HasSubstr("bulk"))) << "what the kernel does not do is left out";
  const std::string file = Write("some.shapes", "first 16 16 16\nsecond 32 32 32\n");
  const Result list = Run("run --device emulator:sm_80 --stats --shapes " + file);
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr("\nfirst: "));
  EXPECT_THAT(list.out, HasSubstr("\nsecond: "));
}

TEST_F(Cli, AHuntThroughSeedsEndsWithNoFaultOrWithTheFirst) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const Result good = Run(std::string(kRun) + "--seeds 3 --check");
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr(": 3 seeds, no fault\n"));
  EXPECT_THAT(good.err, IsEmpty()) << "progress is for terminals";
  const json document = Run(std::string(kRun) + "--seeds 2 --json", {"GEMMSMITH_EMULATOR_SEED=40"}).Json();
  EXPECT_EQ(document["first_seed"], 40);
  EXPECT_EQ(document["seeds"], 2);
  EXPECT_EQ(document["ok"], true);
  EXPECT_FALSE(document.contains("seed"));
  // As f32 this alpha is infinite; the reference, where the sum is small, is not.
  const std::string wrong = "run --m 8 --n 8 --k 4 --alpha 1e39 --device emulator:sm_80 --check --seeds 3";
  const Result bad = Run(wrong + " --json", {"GEMMSMITH_EMULATOR_SEED=7", "GEMMSMITH_EMULATOR_CHECKS=off"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_EQ(bad.Json()["ok"], false) << bad.out;
  EXPECT_EQ(bad.Json()["seed"], 7);
  EXPECT_EQ(bad.Json()["seeds"], 1) << "the first fault ends the hunt";
  EXPECT_EQ(bad.Json()["reproduce"], "GEMMSMITH_EMULATOR_SEED=7");
  EXPECT_THAT(bad.Json()["fault"].get<std::string>(), StartsWith("the result is wrong"));
  const Result text = Run(wrong);
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.out, HasSubstr("FAULT with seed 1, after 0 without"));
  EXPECT_THAT(text.out, HasSubstr("GEMMSMITH_EMULATOR_SEED=1"));
}

TEST_F(Cli, ComputeModeTf32LetsF32UseTensorCoresAndWidensTheTolerance) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string run = "run --m 33 --n 40 --k 24 --device emulator:sm_80 --check --json";
  const json ieee = Run(run).Json(), tf32 = Run(run + " --compute tf32").Json();
  EXPECT_EQ(ieee["compute"], "ieee");
  EXPECT_THAT(ieee["config"].get<std::string>(), StartsWith("simt "));
  EXPECT_EQ(tf32["compute"], "tf32");
  EXPECT_THAT(tf32["config"].get<std::string>(), StartsWith("sm80 "));
  EXPECT_EQ(tf32["ok"], true);
  EXPECT_GT(tf32["tolerance"], ieee["tolerance"]);
  EXPECT_GT(tf32["max_error"], ieee["tolerance"]) << "it is tf32 indeed";
  const std::string file = Write("some.shapes", "a 16 16 16 compute=tf32\nb 16 16 16\n");
  const auto modes = [&](const std::string& options) {
    std::vector<std::string> words;
    for (const json& result : List("run --device cpu --check --json --shapes " + file + options, "results"))
      words.push_back(result["compute"]);
    return words;
  };
  EXPECT_THAT(modes(""), ElementsAre("tf32", "ieee"));
  EXPECT_THAT(modes(" --compute ieee"), ElementsAre("ieee", "ieee"));
  EXPECT_THAT(modes(" --dtype bf16"), ElementsAre("ieee", "ieee")) << "of f32 alone";
}

}  // namespace
}  // namespace gemmsmith
