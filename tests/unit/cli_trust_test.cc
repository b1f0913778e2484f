#include <gmock/gmock.h>

#include "../support/cli_testing.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;

class CliTrust : public Cli {};

TEST_F(CliTrust, ASignedBundleServesWhoeverTrustsItsKey) {
  if (!HasNvrtc()) GTEST_SKIP() << "no NVRTC";
  const std::string ours = Run("bundle keygen --json " + Path("ours")).Json()["public_key"];
  EXPECT_EQ(ours + "\n", Read(Path("ours.pub")));
  EXPECT_EQ(Run("bundle keygen " + Path("theirs")).exit_code, 0);
  EXPECT_EQ(Run("bundle keygen " + Path("ours")).exit_code, 1) << "no key is overwritten";

  const std::string what = " --arch sm_80 --m 64 --n 64 --k 64", sign = " --sign " + Path("ours.key");
  EXPECT_EQ(Run("bundle build --level 1 --out " + Path("b.gsb") + sign + what).exit_code, 0);
  EXPECT_EQ(Run("cache export --level 1 " + Path("c.gsb") + sign).exit_code, 0);
  EXPECT_EQ(Read(Path("b.gsb")), Read(Path("c.gsb")));
  EXPECT_EQ(Run("cache export --sign " + Path("ours.pub") + " " + Path("d.gsb")).exit_code, 1) << "no secret key";
  EXPECT_EQ(Run("bundle list --json " + Path("b.gsb")).Json()["signer"], ours);
  EXPECT_THAT(Run("bundle list " + Path("b.gsb")).out, HasSubstr("signed by " + ours));
  EXPECT_EQ(Run("bundle list " + Path("b.gsb") + " --signer " + Path("theirs.pub")).exit_code, 1);
  EXPECT_EQ(Run("bundle list --signer " + Path("theirs.pub") + " --signer " + ours + " " + Path("b.gsb")).exit_code, 0);
  const std::string import = "cache import --cache-dir " + Path("new") + " " + Path("b.gsb") + " --signer ";
  EXPECT_EQ(Run(import + Path("theirs.pub")).exit_code, 1);
  EXPECT_FALSE(fs::exists(Path("new")));
  EXPECT_EQ(Run(import + ours, {"GEMMSMITH_TRUSTED_SIGNERS=" + Path("theirs.pub")}).exit_code, 0);

  std::vector<std::string> settings = {"GEMMSMITH_NVRTC=/nonexistent", "GEMMSMITH_NVCC=/nonexistent",
                                       "GEMMSMITH_BUNDLES=" + Path("b.gsb"),
                                       "GEMMSMITH_TRUSTED_SIGNERS=" + Path("theirs.pub")};
  const std::string elsewhere = "compile --cache-dir " + Path("other") + what;
  const Result refused = Run(elsewhere, settings);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("it is signed by " + ours));
  settings.back() += ":" + ours;
  EXPECT_EQ(Run(elsewhere, settings).exit_code, 0);
}

TEST_F(CliTrust, ACacheFolderThatOthersCanWriteToIsUsedOnlyIfToldTo) {
  fs::create_directory(Path("cache"));
  fs::permissions(Path("cache"), fs::perms::all);
  const Result result = Run("cache stats --json");
  EXPECT_THAT(result.Json()["disk_status"].get<std::string>(), HasSubstr("chmod go-w " + Path("cache")));
  EXPECT_THAT(result.err, HasSubstr("not safe to take code from"));
  EXPECT_EQ(Run("cache export " + Path("b.gsb")).exit_code, 1);
  for (const char* setting : {"0", "yes"})
    EXPECT_NE(Run("cache stats --json", {std::string("GEMMSMITH_ALLOW_SHARED_CACHE=") + setting}).Json()["disk_status"],
              "");
  EXPECT_EQ(Run("cache stats --json", {"GEMMSMITH_ALLOW_SHARED_CACHE=1"}).Json()["disk_status"], "");
  EXPECT_EQ(Run("cache export " + Path("b.gsb"), {"GEMMSMITH_ALLOW_SHARED_CACHE=1"}).exit_code, 0);
}

}  // namespace
}  // namespace gemmsmith
