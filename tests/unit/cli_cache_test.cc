// `gemmsmith cache` on caches whose contents are known.
#include <gmock/gmock.h>

#include "../support/cache_testing.h"
#include "../support/cli_testing.h"
#include "jit/cache/disk_tier.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::KeyOf;
using testing::MakeArtifact;

class CliCache : public Cli {
 protected:
  void Put(const std::string& name, std::size_t bytes, std::chrono::seconds unused = 0s) {
    Artifact artifact = MakeArtifact(name, random_);
    artifact.parts["cubin"] = random_.Bytes(bytes);
    DiskTier(Path("cache"), 60s).Put(KeyOf(name), std::make_shared<const Artifact>(artifact));
    testing::ShiftTime(testing::EntryPath(Path("cache"), KeyOf(name)), -unused);
  }
  std::vector<std::string> Names(const std::string& options) const {
    std::vector<std::string> names;
    for (const json& kernel : List("cache list --json " + options, "kernels")) names.push_back(kernel["name"]);
    return names;
  }
  /// A toolkit that has just the one program, and nothing in PATH: its folder.
  std::string Toolkit(const std::string& program, const std::string& script) const {
    const fs::path home = Path("with-" + program);
    fs::create_directories(home / "bin");
    std::ofstream(home / "bin" / program) << "#!/bin/sh\n" << script;
    fs::permissions(home / "bin" / program, fs::perms::owner_all);
    return home;
  }
  static std::vector<std::string> With(const std::string& toolkit) {
    return {"CUDA_HOME=" + toolkit, "PATH=/nonexistent", "HOME=/nonexistent"};
  }

  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
};

TEST_F(CliCache, ListsByAgeAndSize) {
  Put("small", 1'000, 50h);
  Put("medium", 20'000, 26h);
  Put("large", 300'000);
  const struct {
    const char* options;
    std::vector<std::string> names;
  } cases[] = {{"", {"large", "medium", "small"}},
               {"--older-than 1d", {"medium", "small"}},
               {"--older-than 49h", {"small"}},
               {"--newer-than 30h", {"large", "medium"}},
               {"--older-than 25h --newer-than 2d", {"medium"}},
               {"--larger-than 10K", {"large", "medium"}},
               {"--smaller-than 100k", {"medium", "small"}},
               {"--larger-than 10K --smaller-than 100K", {"medium"}},
               {"--larger-than 1M", {}},
               {"--sort age", {"small", "medium", "large"}},
               {"--sort use", {"large", "medium", "small"}},
               {"--sort age --limit 2", {"small", "medium"}},
               {"--limit 100", {"large", "medium", "small"}}};
  for (const auto& c : cases) EXPECT_EQ(Names(c.options), c.names) << c.options;
  EXPECT_EQ(List("cache search m --sort size --limit 1 --json", "kernels")[0]["name"], "large") << "in its problem";
}

TEST_F(CliCache, ShowsThePtx) {
  Put("gemm", 100);
  const std::string show = "cache show " + KeyOf("gemm").digest.Hex();
  EXPECT_EQ(Run(show + " --ptx").out, ".version 9.0\n.entry gemm() { ret; }");
  EXPECT_EQ(Run(show + " --ptx --json").Json()["ptx"], ".version 9.0\n.entry gemm() { ret; }");
  EXPECT_FALSE(Run(show + " --json").Json().contains("ptx"));
  Artifact artifact = MakeArtifact("bare", random_);
  artifact.parts.erase("ptx");
  DiskTier(Path("cache"), 60s).Put(KeyOf("bare"), std::make_shared<const Artifact>(artifact));
  const Result none = Run("cache show " + KeyOf("bare").digest.Hex() + " --ptx --json");
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_EQ(none.Json()["error"]["code"], "not found");
  EXPECT_THAT(none.err, HasSubstr("holds no ptx"));
}

TEST_F(CliCache, ShowsTheMachineCodeByWhicheverDisassemblerThereIs) {
  Put("gemm", 100);
  const std::string show = "cache show " + KeyOf("gemm").digest.Hex() + " --sass";
  const std::string echo = R"sh(echo "$0 $1 $(/usr/bin/wc -c <"$2")")sh";
  const std::string nvdisasm = Toolkit("nvdisasm", echo), cuobjdump = Toolkit("cuobjdump", echo);
  EXPECT_EQ(Run(show, With(nvdisasm)).out, nvdisasm + "/bin/nvdisasm --print-code 100\n");
  EXPECT_EQ(Run(show, With(cuobjdump)).out, cuobjdump + "/bin/cuobjdump --dump-sass 100\n");
  EXPECT_THAT(Run(show + " --json", With(nvdisasm)).Json()["sass"].get<std::string>(), HasSubstr("--print-code 100"));
}

TEST_F(CliCache, SaysWhatADisassemblerSaidThatFailed) {
  Put("gemm", 100);
  const Result failed = Run("cache show " + KeyOf("gemm").digest.Hex() + " --sass --json",
                            With(Toolkit("nvdisasm", "echo no such architecture; exit 3")));
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(failed.Json()["error"]["code"], "unsupported");
  EXPECT_THAT(failed.err, HasSubstr("exit code 3: no such architecture"));
}

TEST_F(CliCache, SaysWhereItLookedForADisassembler) {
  for (const char* program : {"nvdisasm", "cuobjdump"})
    if (fs::exists(fs::path("/usr/local/cuda/bin") / program)) GTEST_SKIP() << "the toolkit has a disassembler";
  Put("gemm", 100);
  const Result none = Run("cache show " + KeyOf("gemm").digest.Hex() + " --sass --json", With("/none"));
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_EQ(none.Json()["error"]["code"], "not found");
  EXPECT_THAT(none.err, HasSubstr("looked in /none/bin, /usr/local/cuda/bin, /nonexistent"));
  EXPECT_THAT(none.err, HasSubstr("set CUDA_HOME"));
}

}  // namespace
}  // namespace gemmsmith
