#include <gmock/gmock.h>

#include "../support/cli_testing.h"
#include "gemmsmith/version.h"

namespace gemmsmith {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(Cli, AWrongCommandLineIsUsageAndSaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "subcommand"},
      {"frobnicate",
       "unknown command \"frobnicate\": there are run, compile, explain, evaluate, show-code, demo, devices, doctor, "
       "warm, "},
      {"compile --arch sm_80 --m 1 --n 1 --k 1 --epilogue bias+gloss", "gloss"},
      {"cache", "subcommand"},
      {"cache list --sort colour", "--sort"},
      {"cache list --arch sm_99", "unknown architecture \"sm_99\""},
      {"cache search", "text"},
      {"cache show", "key"},
      {"cache list --older-than 30", "--older-than"},
      {"cache list --smaller-than few", "--smaller-than"},
      {"cache list --limit 0", "--limit"},
      {"cache show 00 --sass --ptx", "--ptx excludes --sass"},
      {"cache prune", "a limit"},
      {"cache prune --max-age 30", "--max-age"},
      {"cache prune --max-size big", "--max-size"},
      {"cache prune --max-age -30d", "--max-age"},
      {"cache prune --max-size -2G", "--max-size"},
      {"cache prune --max-count -1", "--max-count"},
      {"tune", "--shapes"},
      {"tune --m 1 --n 1 --k 1 --budget 5", "--budget"},
      {"tune --m 1 --n 1 --k 1 --budget 0s", "--budget"},
      {"tune --m 1 --n 1 --k 1 --m-range 5:4", "1 <= FROM <= TO"},
      {"tune --m 1 --n 1 --k 1 --m-range 5", "1 <= FROM <= TO"},
      {"tune --m 1 --n 1 --k 1 --candidates 0", "--candidates"},
      {"run", "--shapes"},
      {"run --m 3", "--n"},
      {"run --m 1 --n 1 --k 1 --epilogue bias+gloss", "unknown name \"gloss\": there are bias, bias_m, relu"},
      {"run --m 1 --n 1 --k 1 --epilogue quantise_s8+relu", "quantise_s8 must be the last"},
      {"run --m 3 --n 4", "--k"},
      {"run --m 3 --n 4 --k -1", "--k"},
      {"run --m 3 --n 4 --k five", "--k"},
      {"run --m 1 --n 1 --k 1 --dtype f33", "unknown dtype \"f33\""},
      {"run --m 1 --n 1 --k 1 --dtype f64,f32,f32", "cannot be multiplied"},
      {"run --m 1 --n 1 --k 1 --layout xx", "--layout"},
      {"run --m 1 --n 1 --k 1 --compute tf31", "--compute"},
      {"run --m 1 --n 1 --k 1 --seeds 0", "--seeds"},
      {"run --m 1 --n 1 --k 1 --seeds 2 --stats", "--stats"},
      {"run --m 1 --n 1 --k 1 --seeds 2 --profile", "--profile"},
      {"run --m 1 --n 1 --k 1 --device tpu:0", "unknown device \"tpu:0\""},
      {"run --m 1 --n 1 --k 1 --threads 0", "--threads"},
      {"run --m 1 --n 1 --k 1 --num-sms 0", "--num-sms"},
      {"run --m 1 --n 1 --k 1 --shapes llama-3-8b", "--shapes"},
      {"run --m 1 --n 1 --k 1 --compiler cc", "--compiler"},
      {"run --m 1 --n 1 --k 1 --colour red", "--colour"},
      {"compile --m 1 --n 1 --k 1", "--arch or --gpu"},
      {"compile --m 1 --n 1 --k 1 --arch sm_80,sm_99", "unknown architecture \"sm_99\""},
      {"compile --m 1 --n 1 --k 1 --gpu h999", "unknown device \"h999\""},
      {"compile --m 1 --n 1 --k 1 --arch sm_80 --out somewhere", "--emit"},
      {"compile --m 1 --n 1 --k 1 --arch sm_80 --emit sass", "--emit"},
      {"explain --m 1 --n 1 --k 1 --arch sm_80 --device cpu", "--device"},
      {"show-code --m 1 --n 1 --k 1 --arch sm_80 --device cpu", "--device"},
      {"show-code --arch sm_80", "a problem"},
      {"cache export", "FILE"},
      {"cache import", "FILE"},
      {"cache export file --level 20", "--level"},
      {"bundle", "subcommand"},
      {"bundle list", "FILE"},
      {"bundle build --m 1 --n 1 --k 1 --out file", "--arch or --gpu"},
      {"bundle build --arch sm_80 --out file", "--shapes"},
      {"bundle build --arch sm_80 --m 1 --n 1 --k 1", "--out"},
      {"warm --m 1 --n 1 --k 1", "--arch or --gpu"},
      {"warm --m 1 --n 1 --k 1 --arch sm_80 --no-cache", "--no-cache"},
      {"select", "subcommand"},
      {"select score", "--data"},
      {"plot --n 1 --k 1", "--out"},
      {"plot --n 1 --k 1 --out p.svg --gpu h999", "unknown device \"h999\""},
      {"devices --check", "--check"}};
  for (const auto& [line, complaint] : cases) {
    const Result text = Run(line);
    EXPECT_EQ(text.exit_code, 2) << line;
    EXPECT_THAT(text.out, IsEmpty()) << line;
    EXPECT_THAT(text.err, HasSubstr(complaint)) << line;
    const Result with_json = Run(std::string(line) + " --json");
    EXPECT_EQ(with_json.exit_code, 2) << line;
    const json document = with_json.Json();
    ASSERT_TRUE(document.is_object()) << with_json.out;
    EXPECT_EQ(document["error"]["code"], "usage");
    EXPECT_THAT(document["error"]["message"].get<std::string>(), HasSubstr(complaint));
  }
}

TEST_F(Cli, AFailureExitsWithOneAndIsAJsonDocumentToo) {
  const std::string broken = Write("broken.shapes", "good 1 2 3\nbad 1 2\n");
  const std::tuple<std::string, const char*, std::string> cases[] = {
      {"run --shapes " + Path("none"), "I/O error", Path("none")},
      {"run --shapes " + broken, "invalid argument", broken + ":2: "},
      {"run --shapes " + Write("empty.shapes", "# nothing\n"), "invalid argument", "no problem"},
      {"run --m 4 --n 4 --k 4 --device cuda:99", "not found", "cuda:99"},
      {"run --m 200000000 --n 200000000 --k 1 --device cpu", "out of memory", "memory"},
      {"run --m 1099511627776 --n 1099511627776 --k 1", "invalid argument", "address space"},
      {"run --m 4 --n 4 --k 4 --dtype e4m3 --device cpu", "unsupported", "e4m3"},
      {"run --m 4 --n 4 --k 4 --compute tf32 --dtype bf16", "invalid argument", "not for bf16 by bf16"},
      {"run --m 4 --n 4 --k 4 --device cpu --stats", "unsupported", "--stats is for emulated devices, not for cpu"},
      {"run --m 4 --n 4 --k 4 --device cpu --seeds 3", "unsupported", "--seeds is for emulated devices, not for cpu"}};
  for (const auto& [line, code, complaint] : cases) {
    const Result text = Run(line);
    EXPECT_EQ(text.exit_code, 1) << line;
    EXPECT_THAT(text.out, IsEmpty()) << line;
    EXPECT_THAT(text.err, HasSubstr(complaint));
    const Result with_json = Run(line + " --json");
    EXPECT_EQ(with_json.exit_code, 1) << line;
    const json document = with_json.Json();
    ASSERT_TRUE(document.is_object()) << with_json.out;
    EXPECT_EQ(document["error"]["code"], code);
    EXPECT_THAT(document["error"]["message"].get<std::string>(), HasSubstr(complaint));
    EXPECT_TRUE(document["error"].contains("remedy"));
  }
}

TEST_F(Cli, EveryCommandExplainsItselfWithAnExample) {
  for (const std::string command : {"",
                                    "run",
                                    "compile",
                                    "explain",
                                    "demo",
                                    "devices",
                                    "doctor",
                                    "warm",
                                    "tune",
                                    "cache",
                                    "cache stats",
                                    "cache list",
                                    "cache search",
                                    "cache show",
                                    "cache verify",
                                    "cache prune",
                                    "cache clear",
                                    "cache report",
                                    "cache export",
                                    "cache import",
                                    "bundle",
                                    "bundle build",
                                    "bundle list"}) {
    const Result help = Run(command + " --help");
    EXPECT_EQ(help.exit_code, 0) << command;
    EXPECT_THAT(help.out, HasSubstr("Example")) << command;
    EXPECT_THAT(help.out.substr(help.out.find("Example")), HasSubstr("gemmsmith " + command)) << command;
    EXPECT_THAT(help.err, IsEmpty());
  }
}

TEST_F(Cli, TheInstructionSetOfTheEnvironmentIsTheBestThatCpuKernelsUse) {
  struct Row {
    const char *isa, *dtype, *math;  // Numbers of CpuMath.
  };
  for (const auto& [isa, dtype, math] : {Row{"avx512-vnni", "bf16,bf16,f32", " math=0 "},
                                         {"avx512", "s8", " math=3 "},
                                         {"avx2", "u8", " math=3 "},
                                         {"portable", "s8", "portable "}}) {
    const std::string line = std::string("run --m 9 --n 9 --k 9 --device cpu --check --json --dtype ") + dtype;
    const json run = Run(line, {std::string("GEMMSMITH_CPU_ISA=") + isa}).Json();
    EXPECT_NE(run.at("config").get<std::string>().find(math), std::string::npos) << isa << ": " << run;
  }
  EXPECT_NE(Run("devices", {"GEMMSMITH_CPU_ISA=mmx"}).err.find("none of portable, avx2"), std::string::npos);
}

TEST_F(Cli, VersionIsTheLibrarys) { EXPECT_EQ(Run("--version").out, GEMMSMITH_VERSION "\n"); }

TEST_F(Cli, RunChecksAndTimesAProblem) {
  const Result result = Run("run --m 70 --n 90 --k 110 --device cpu --check --json");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, IsEmpty());
  const json document = result.Json();
  ASSERT_TRUE(document.is_object()) << result.out;
  EXPECT_EQ(document["device"], "cpu");
  EXPECT_THAT(document["config"].get<std::string>(), Not(IsEmpty()));
  EXPECT_EQ(document["source"], "compiled");
  for (const char* field : {"compile_ms", "first_ms", "median_ms", "gflops"})
    EXPECT_GT(document[field].get<double>(), 0) << field;
  EXPECT_LE(document["max_error"].get<double>(), document["tolerance"].get<double>());
  EXPECT_EQ(document["checked"], 70 * 90);
  EXPECT_EQ(document["ok"], true);
}

TEST_F(Cli, RunIsRightInEveryLayoutTypeAndScaling) {
  for (const char* options :
       {"--layout nn", "--layout nt --dtype f64", "--layout tn --alpha -0.5 --beta 2", "--layout tt --batch 3 --beta 1",
        "--no-jit", "--no-jit --dtype f64 --layout tn --batch 2", "--no-cache", "--threads 1", "--seed 77"}) {
    const Result result = Run(std::string("run --m 37 --n 41 --k 53 --device cpu --check --json ") + options);
    EXPECT_EQ(result.exit_code, 0) << options << result.out << result.err;
    EXPECT_EQ(result.Json()["ok"], true) << options;
  }
  EXPECT_THAT(Run("run --m 256 --n 256 --k 256 --device cpu --threads 1 --json").Json()["config"].get<std::string>(),
              HasSubstr("threads=1"));
  EXPECT_THAT(Run("run --m 8 --n 8 --k 8 --device cpu --no-jit --json").Json()["config"].get<std::string>(),
              StartsWith("portable"));
}

TEST_F(Cli, AWrongResultIsAFailure) {
  // As f32 this alpha is infinite; the reference, where the sum is small, is not.
  const std::string line = "run --m 8 --n 8 --k 4 --alpha 1e39 --device cpu";
  const Result with_json = Run(line + " --check --json");
  EXPECT_EQ(with_json.exit_code, 1);
  EXPECT_EQ(with_json.Json()["ok"], false);
  const Result text = Run(line + " --check");
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_THAT(text.out, HasSubstr("WRONG"));
  EXPECT_EQ(Run(line).exit_code, 0) << "nobody asked for a check";
}

TEST_F(Cli, RunTakesSizesOfZero) {
  for (const char* sizes :
       {"--m 0 --n 4 --k 4", "--m 4 --n 0 --k 4", "--m 4 --n 4 --k 0", "--m 4 --n 4 --k 0 --beta 2"}) {
    const Result result = Run(std::string("run --device cpu --check --json ") + sizes);
    EXPECT_EQ(result.exit_code, 0) << sizes << result.out;
    EXPECT_EQ(result.Json()["ok"], true) << sizes;
  }
}

TEST_F(Cli, AShapesFileOrStandardInputGivesAListOfResults) {
  const std::string file = Write("some.shapes", "first 3,5 7 9 layout=nt\nsecond 4 4 4 beta=1 dtype=f64\n");
  for (const auto& [argument, input] : {std::pair{file, std::string("/dev/null")}, std::pair{std::string("-"), file}}) {
    const json document = Run("run --device cpu --check --json --shapes " + argument, {}, input).Json();
    ASSERT_TRUE(document.is_object());
    EXPECT_EQ(document["ok"], true);
    ASSERT_EQ(document["results"].size(), 3u);
    EXPECT_EQ(document["results"][1]["name"], "first");
    EXPECT_EQ(document["results"][1]["m"], 5);
    EXPECT_EQ(document["results"][2]["a_type"], "f64");
  }
  EXPECT_EQ(Run("run --device cpu --json --dtype f64 --shapes " + file).Json()["results"][0]["a_type"], "f64");
  const Result text = Run("run --device cpu --check --shapes " + file);
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("second"));
  EXPECT_THAT(text.err, IsEmpty()) << "progress is for terminals";
}

TEST_F(Cli, ExplainRanksCandidatesWithTheirTerms) {
  for (const char* where : {"--device cpu", "--gpu h200", "--arch sm_80"}) {
    const json document = Run(std::string("explain --m 64 --n 64 --k 64 --json ") + where).Json();
    ASSERT_TRUE(document.is_object()) << where;
    const json& ranked = document["ranked"];
    ASSERT_GT(ranked.size(), 1u) << where;
    for (std::size_t i = 1; i < ranked.size(); ++i)
      EXPECT_LE(ranked[i - 1]["microseconds"].get<double>(), ranked[i]["microseconds"].get<double>());
    EXPECT_EQ(ranked[0]["behind"], 0);
    EXPECT_DOUBLE_EQ(ranked[1]["behind"].get<double>(),
                     ranked[1]["microseconds"].get<double>() / ranked[0]["microseconds"].get<double>() - 1);
    EXPECT_TRUE(ranked[0]["terms"].contains(ranked[0]["limiting"].get<std::string>())) << ranked[0];
  }
}

TEST_F(Cli, DevicesListsWhatIsHereAndWhatIsKnown) {
  const json document = Run("devices --json").Json();
  ASSERT_TRUE(document.is_object());
  EXPECT_EQ(document["devices"][0]["id"], "cpu");
  EXPECT_GT(document["devices"][0]["peak_f32_gflops"].get<double>(), 0);
  std::vector<std::string> names;
  for (const json& spec : document["specs"]) names.push_back(spec["name"]);
  EXPECT_THAT(names, Contains("h200"));
  EXPECT_THAT(Run("devices").out, HasSubstr("h200"));
}

TEST_F(Cli, DoctorFindsOrSaysWhatToDo) {
  EXPECT_EQ(Run("doctor").exit_code, 0);
  std::vector<std::string> items;
  for (const json& finding : List("doctor --json", "findings")) {
    items.push_back(finding["item"]);
    if (finding["status"] == "ok")
      EXPECT_NE(finding["version"].get<std::string>() + finding["path"].get<std::string>(), "") << finding;
    else
      EXPECT_NE(finding["remedy"], "") << finding;
  }
  for (const char* item : {"CPU", "CUDA driver", "CUDA toolkit", "NVRTC", "nvcc", "cache directory"})
    EXPECT_THAT(items, Contains(item));
}

TEST_F(Cli, DoctorReportsACompilerThatIsNotWhereItWasNamed) {
  for (const json& finding : List("doctor --json", "findings", {"GEMMSMITH_NVRTC=/nonexistent"}))
    if (finding["item"] == "NVRTC") {
      EXPECT_EQ(finding["status"], "missing");
      EXPECT_THAT(finding["remedy"].get<std::string>(), HasSubstr("/nonexistent"));
    }
}

TEST_F(Cli, CacheStatsCountsWhatCompileKept) {
  const json empty = Run("cache stats --json").Json();
  EXPECT_EQ(empty["directory"], Path("cache"));
  EXPECT_EQ(empty["disk_kernels"], 0);
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  Run("compile --arch sm_80 --m 64 --n 64 --k 64");
  EXPECT_EQ(Run("cache stats --json").Json()["disk_kernels"], 1);
  EXPECT_EQ(Run("cache stats --json --cache-dir " + Path("other")).Json()["disk_kernels"], 0);
}

TEST_F(Cli, AnEpilogueMakesAnotherKernel) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string compile = "compile --json --arch sm_80 --m 64 --n 64 --k 64 --dtype bf16";
  const json plain = List(compile, "kernels"), fused = List(compile + " --epilogue bias+gelu", "kernels"),
             again = List(compile + " --epilogue bias+gelu", "kernels");
  EXPECT_NE(plain[0]["key"], fused[0]["key"]);
  EXPECT_EQ(again[0]["source"], "disk");
  EXPECT_THAT(List("cache list --json", "kernels")[0].dump() + List("cache list --json", "kernels")[1].dump(),
              HasSubstr("epilogue="));
  EXPECT_EQ(Run("explain --m 64 --n 64 --k 64 --epilogue relu --gpu h200").exit_code, 0);
}

TEST_F(Cli, ShowCodePrintsTheSourceForAGpuAndTheMachineCodeForACpu) {
  const std::string problem = "show-code --m 64 --n 60 --k 64";
  const Result cuda = Run(problem + " --dtype bf16 --epilogue bias+gelu --arch sm_90a");
  EXPECT_EQ(cuda.exit_code, 0) << cuda.err;
  EXPECT_THAT(cuda.out, StartsWith("// m=64 n=60 k=64 bf16 nn epilogue="));
  EXPECT_THAT(cuda.out, HasSubstr("struct Epilogue {"));
  const json gpu = Run(problem + " --gpu a100 --json").Json();
  EXPECT_EQ(gpu["target"], "sm_80");
  EXPECT_EQ(gpu["problem"]["n"], 60);
  EXPECT_THAT(gpu["config"].get<std::string>(), StartsWith("simt "));
  EXPECT_THAT(gpu["code"].get<std::string>(), HasSubstr("__global__"));
  const Result avx2 = Run(problem + " --arch x86-64-avx2");
  EXPECT_THAT(avx2.out, HasSubstr("; full tile: "));
  EXPECT_THAT(avx2.out, HasSubstr("vfmadd231ps ymm"));
  const json cpu = Run(problem + " --device cpu --json").Json();
  EXPECT_EQ(cpu["config"], Run("explain --m 64 --n 60 --k 64 --device cpu --json").Json()["ranked"][0]["config"]);
  EXPECT_EQ(Run("show-code --shapes llama-3-8b --gpu h200 --json").Json()["results"][0]["problem"]["acc_type"], "f32");
}

TEST_F(Cli, RunRefusesAnEpilogueThatDoesNotFitTheProblemAndSaysWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"run --m 8 --n 8 --k 8 --dtype f64 --epilogue relu", "epilogues compute in f32"},
      {"run --m 8 --n 7 --k 8 --epilogue swiglu", "n=7 must be even"},
      {"run --m 8 --n 8 --k 8 --beta 1 --epilogue swiglu", "takes no c"},
  };
  for (const auto& [line, message] : cases) {
    const Result result = Run(line);
    EXPECT_EQ(result.exit_code, 1) << line;
    EXPECT_THAT(result.err, HasSubstr(message)) << line;
  }
}

/// Where a kernel fuses it, that is; else the refusal comes after the tensors were found to fit the epilogue.
TEST_F(Cli, RunMakesTensorsForEveryEpilogueAndChecksTheResult) {
  for (const std::string size : {"--m 5 --n 262 --k 40", "--batch 3 --m 7 --n 6 --k 9"})
    for (const char* chain :
         {"bias+gelu", "bias_m+residual+silu", "scale+scale_row+scale_column+scale_block", "bias+scale_column+swiglu",
          "swiglu+residual+d_scale_column", "amax_row+amax_column+amax_block", "swiglu+amax_block+d_scale_block",
          "relu+d_scale+quantise_u8", "gelu+d_scale_row+quantise_s8", "swiglu+d_scale_row+quantise_e4m3"}) {
      const Result result = Run("run --device cpu --check --json " + size + " --epilogue " + chain);
      const json document = result.Json();
      if (result.exit_code == 0) {
        EXPECT_EQ(document["epilogue"], chain);
        EXPECT_EQ(document["ok"], true) << chain;
      } else {
        EXPECT_THAT(document["error"]["message"].get<std::string>(), StartsWith("gemm: no kernel for")) << chain;
      }
    }
}

TEST_F(Cli, CacheCommandsAnswerForAnEmptyCacheAndMakeNone) {
  EXPECT_EQ(List("cache list --json", "kernels"), json::array());
  EXPECT_EQ(List("cache search gemm --json", "kernels"), json::array());
  EXPECT_EQ(Run("cache verify --json").Json()["checked"], 0);
  EXPECT_EQ(Run("cache prune --max-count 0 --json").Json()["removed_kernels"], 0);
  EXPECT_EQ(Run("cache clear --json").Json()["kept_kernels"], 0);
  EXPECT_EQ(Run("cache report").exit_code, 2) << "neither --out nor --json";
  const Result show = Run("cache show 00 --json");
  EXPECT_EQ(show.exit_code, 1);
  EXPECT_EQ(show.Json()["error"]["code"], "not found");
  EXPECT_FALSE(fs::exists(Path("cache")));
}

TEST_F(Cli, CacheCommandsListVerifyAndPruneWhatCompileKept) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string compile = "compile --arch sm_80,sm_90a --m 64 --n 64 --k 64";
  for (int i = 0; i < 2; ++i) ASSERT_EQ(Run(compile).exit_code, 0);
  EXPECT_EQ(Run("cache stats --json").Json()["history"]["disk_hits"], 2);
  const json kernels = List("cache list --json --sort size", "kernels");
  ASSERT_EQ(kernels.size(), 2u);
  EXPECT_GE(kernels[0]["stored_bytes"], kernels[1]["stored_bytes"]);
  for (const json& kernel : kernels) EXPECT_EQ(kernel["usage_count"], 1);
  const json one = List("cache list --json --arch sm_80", "kernels");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(List("cache search SM_80 --json", "kernels"), one);
  EXPECT_EQ(List("cache list --name nothing --json", "kernels"), json::array());

  const std::string key = one[0]["key"];
  EXPECT_EQ(Run("cache show " + key.substr(0, 16) + " --json").Json()["key"], key);
  EXPECT_THAT(Run("cache show " + key).out, HasSubstr("toolchain="));
  EXPECT_EQ(Run("cache show " + key + " --source").exit_code, 1) << "none was kept";

  EXPECT_EQ(Run("cache verify").exit_code, 0);
  Write("cache/kernels/" + key.substr(0, 2) + "/" + key + ".gsk", "broken");
  const Result broken = Run("cache verify --json");
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_EQ(broken.Json()["broken"][0]["key"], key);
  EXPECT_EQ(Run("cache verify --repair").exit_code, 0);
  EXPECT_EQ(Run("cache stats --json").Json()["quarantined"], 1);

  EXPECT_EQ(Run("cache prune --max-size 1G --max-age 30d --json").Json()["removed_kernels"], 0);
  EXPECT_EQ(Run("cache prune --max-size 1K --dry-run --json").Json()["removed_kernels"], 1);
  EXPECT_EQ(Run("cache clear --json").Json()["removed_kernels"], 1);
  EXPECT_EQ(Run("cache stats --json").Json()["history"]["misses"], 0);
}

TEST_F(Cli, CompileForCudaNeedsNoGpuAndFindsItsKernelsAgain) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string line = "compile --arch sm_80,sm_90a --m 256 --n 512 --k 128 --dtype bf16 --jobs 2 --json";
  const Result result = Run(line);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json first = result.Json()["kernels"];
  ASSERT_EQ(first.size(), 2u) << result.out;
  EXPECT_EQ(first[0]["arch"], "sm_80");
  EXPECT_EQ(first[1]["arch"], "sm_90a");
  for (const json& kernel : first) {
    EXPECT_EQ(kernel["cached"], false);
    EXPECT_NE(kernel["name"], "");
    EXPECT_GT(kernel["compile_ms"].get<double>(), 0);
    EXPECT_GT(kernel["cubin_bytes"].get<int>(), 0);
    EXPECT_GT(kernel["registers"].get<int>(), 0);
    EXPECT_EQ(kernel["spill_bytes"], 0);
    EXPECT_GT(kernel["shared_bytes"].get<int>(), 0);
    EXPECT_EQ(kernel["key"].get<std::string>().size(), 32u);
    EXPECT_EQ(kernel["problems"].size(), 1u);
  }
  const json again = List(line, "kernels");
  ASSERT_EQ(again.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(again[i]["cached"], true);
    EXPECT_EQ(again[i]["source"], "disk");
    EXPECT_EQ(again[i]["key"], first[i]["key"]);
  }
  for (const json& kernel : List(line + " --no-cache", "kernels")) EXPECT_EQ(kernel["cached"], false);
  for (const json& kernel : List(line + " --opt-level 1", "kernels")) EXPECT_EQ(kernel["cached"], false);
}

TEST_F(Cli, KernelsThatServeSeveralProblemsCountOnce) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string file = Write("twins.shapes", "a 256 512 128\nb 256 512 128\n");
  const json kernels = List("compile --gpu a100 --json --shapes " + file, "kernels");
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_EQ(kernels[0]["problems"].size(), 2u);
}

TEST_F(Cli, CompileForTheCpuNeedsNoCompiler) {
  const json kernels = List("compile --arch x86-64-avx2 --m 64 --n 64 --k 64 --json", "kernels");
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_GT(kernels[0]["code_bytes"].get<int>(), 0);
}

TEST_F(Cli, EmitWritesSourcePtxAndCubin) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const Result result =
      Run("compile --arch sm_80 --m 64 --n 64 --k 64 --emit source,ptx,cubin --json --out " + Path("a/b"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const json files = result.Json()["files"];
  ASSERT_EQ(files.size(), 3u);
  EXPECT_THAT(Read(files[0].get<std::string>()), HasSubstr("#include"));
  EXPECT_TRUE(fs::exists(Path("a/b/gemm_simt.cuh"))) << "a source comes with its headers";
  EXPECT_THAT(Read(files[1].get<std::string>()), HasSubstr(".target sm_80"));
  EXPECT_THAT(Read(files[2].get<std::string>()), StartsWith("\x7f"
                                                            "ELF"));
}

TEST_F(Cli, EmitIntoAFolderThatCannotBeMadeFails) {
  const std::string file = Write("file", "");
  const Result result = Run("compile --arch portable --m 4 --n 4 --k 4 --emit source --out " + file + "/x --json");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.Json()["error"]["code"], "I/O error");
}

TEST_F(Cli, ACacheFolderThatCannotBeWrittenIsAWarning) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const Result result =
      Run("compile --arch sm_80 --m 64 --n 64 --k 64 --json --cache-dir " + Write("file", "") + "/cache");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.Json()["kernels"].size(), 1u);
  EXPECT_THAT(result.err, HasSubstr("warn"));
}

TEST_F(Cli, ProfileDumpAndTraceTellOfTheKernels) {
  const Result result = Run("run --m 16 --n 16 --k 16 --device cpu --json --profile --debug-dump " + Path("dump.json"),
                            {"GEMMSMITH_TRACE=" + Path("trace.json")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::string> stages;
  const json document = result.Json();
  for (const json& stage : document["profile"]) stages.push_back(stage["stage"]);
  EXPECT_THAT(stages, Contains("compile"));
  EXPECT_THAT(stages, Contains("launch"));
  const json dump = json::parse(Read(Path("dump.json")));
  ASSERT_EQ(dump["kernels"].size(), 1u);
  for (const char* field : {"name", "problem", "config", "key", "key_text", "source"})
    EXPECT_NE(dump["kernels"][0][field], "") << field;
  EXPECT_GT(json::parse(Read(Path("trace.json")))["traceEvents"].size(), 2u);
  EXPECT_THAT(Run("run --m 16 --n 16 --k 16 --device cpu --profile").out, HasSubstr("launch"));
}

TEST_F(Cli, ABundleServesAProcessThatHasNoCompiler) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string shapes = Write("some.shapes", "a 256 512 128\nb 16 512 128 dtype=bf16\n");
  const std::string what = " --json --arch sm_80,sm_90a --shapes " + shapes;
  const Result built = Run("bundle build --level 1 --out " + Path("b.gsb") + what);
  EXPECT_EQ(built.exit_code, 0) << built.err;
  const json document = built.Json();
  ASSERT_TRUE(document.is_object()) << built.out;
  EXPECT_EQ(document["bundle"]["kernels"], document["kernels"].size());
  EXPECT_EQ(document["bundle"]["stored_bytes"], fs::file_size(Path("b.gsb")));
  EXPECT_EQ(List("bundle list --json " + Path("b.gsb"), "kernels").size(), document["kernels"].size());

  const std::vector<std::string> no_compiler = {"GEMMSMITH_NVRTC=/nonexistent", "GEMMSMITH_NVCC=/nonexistent"};
  std::vector<std::string> with_bundle = no_compiler;
  with_bundle.push_back("GEMMSMITH_BUNDLES=" + Path("none") + ":" + Path("b.gsb"));
  const std::string elsewhere = "compile --cache-dir " + Path("other") + what;
  EXPECT_EQ(Run(elsewhere, no_compiler).exit_code, 1);
  const Result served = Run(elsewhere, with_bundle);
  EXPECT_EQ(served.exit_code, 0) << served.out;
  EXPECT_THAT(served.err, HasSubstr(Path("none"))) << "a bundle that is not there is a warning";
  const json kernels = served.Json()["kernels"];
  ASSERT_EQ(kernels.size(), document["kernels"].size());
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    EXPECT_EQ(kernels[i]["source"], "bundle");
    EXPECT_EQ(kernels[i]["key"], document["kernels"][i]["key"]);
  }
  EXPECT_FALSE(fs::exists(Path("other/kernels"))) << "a bundle is on disk already";
  for (const json& kernel : List("compile" + what, "kernels", no_compiler)) EXPECT_EQ(kernel["source"], "disk");
  EXPECT_EQ(Run("compile --arch sm_75 --json --shapes " + shapes, with_bundle).exit_code, 1) << "of another target";
}

TEST_F(Cli, ABundleIsTheSameFileWhoeverBuildsIt) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string line = "bundle build --m 64 --n 64 --k 64 --arch sm_80,sm_90a --level 3 ";
  EXPECT_EQ(Run(line + "--jobs 1 --out " + Path("one")).exit_code, 0);
  EXPECT_EQ(Run(line + "--jobs 2 --cache-dir " + Path("other") + " --out " + Path("two")).exit_code, 0);
  EXPECT_EQ(Read(Path("one")), Read(Path("two")));
}

TEST_F(Cli, ACacheIsExportedAndImported) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  Run("compile --arch sm_80,sm_90a --m 64 --n 64 --k 64");
  const json exported = Run("cache export --json " + Path("all.gsb")).Json();
  EXPECT_EQ(exported["kernels"], 2);
  EXPECT_EQ(exported["file"], Path("all.gsb"));
  const std::string import = "cache import --json --cache-dir " + Path("other") + " " + Path("all.gsb");
  EXPECT_EQ(Run(import).Json()["kernels"], 2);
  EXPECT_EQ(Run(import).Json()["left_out"], 2);
  EXPECT_EQ(Run("cache stats --json --cache-dir " + Path("other")).Json()["disk_kernels"], 2);
  const Result broken = Run("cache import --json " + Write("broken", "not a bundle"));
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_EQ(broken.Json()["error"]["code"], "invalid argument");
}

TEST_F(Cli, WarmCompilesWhatItCanAndTellsWhatFailed) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string good = Write("good.shapes", "good 64 64 64\n");
  const std::string mixed = Write("mixed.shapes", "good 64 64 64\nbad 64 64 64 dtype=e4m3\n");
  const Result first = Run("warm --json --jobs 2 --arch sm_80 --shapes " + mixed);
  EXPECT_EQ(first.exit_code, 1);
  const json document = first.Json();
  ASSERT_TRUE(document.is_object()) << first.out;
  EXPECT_EQ(document["ok"], false);
  EXPECT_EQ(document["compiled"], 1);
  ASSERT_EQ(document["failures"].size(), 1u) << first.out;
  EXPECT_THAT(document["failures"][0]["problem"].get<std::string>(), StartsWith("bad: "));
  EXPECT_EQ(document["failures"][0]["code"], "unsupported");
  const json again = Run("warm --json --arch sm_80 --shapes " + good).Json();
  EXPECT_EQ(again["ok"], true);
  EXPECT_EQ(again["compiled"], 0) << "it goes on where it was";
  EXPECT_EQ(again["found"], 1);
  EXPECT_THAT(Run("warm --arch sm_80 --shapes " + mixed).err, HasSubstr("failed: bad: "));
}

TEST_F(Cli, LogsGoToStderr) {
  const Result result = Run("run --m 16 --n 16 --k 16 --device cpu --no-jit --json --verbose");
  EXPECT_TRUE(result.Json().is_object()) << result.out;
  EXPECT_THAT(result.err, HasSubstr("gemmsmith: "));
}

TEST_F(Cli, OutputThatCannotBeWrittenIsAFailure) {
  EXPECT_EQ(Run("devices --json", {}, "/dev/null", "/dev/full").exit_code, 1);
  EXPECT_EQ(Run("devices", {}, "/dev/null", "/dev/full").exit_code, 1);
}

}  // namespace
}  // namespace gemmsmith
