// The bytes of a bundle, as they were when the format version was last raised.
#include <gtest/gtest.h>

#include <cstdlib>

#include "../support/bundle_testing.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAdvice =
    "The format has drifted: bump kBundleFormatVersion in src/jit/cache/bundle_format.h, or old bundles would be "
    "misread. Then write the new golden file: GEMMSMITH_UPDATE_GOLDEN=1 bundle_golden_test";

/// Too short to be made smaller, since the frames of another release of zstd may differ.
std::vector<testing::BundleEntry> GoldenEntries() {
  Artifact artifact;
  artifact.parts["cubin"] = "cubin";
  artifact.lowered_name = artifact.kernel_name = "f";
  artifact.target = {Isa::kCuda, 90, 'a'};
  artifact.config = "simt block_m=64 threads=8";
  artifact.compiler = "nvrtc 13.0.88";
  artifact.resources = {128, 16, 4096, 256, 2048};
  Artifact other = artifact;
  other.parts["ptx"] = "ptx";
  return {{testing::KeyOf("f"), artifact}, {testing::KeyOf("g"), other}};
}

const std::string kFolder = std::string(GEMMSMITH_SOURCE_DIR) + "/tests/golden/";

class BundleGolden : public ::testing::TestWithParam<const char*> {
 protected:
  /// Signed by a key that everybody knows, or by nobody.
  void Make(const fs::path& path) const {
    const bool is_signed = std::string_view(GetParam()) == "bundle_signed.gsb";
    const fs::path key = dir_ / "golden.key";
    testing::WriteFile(key, "gemmsmith-secret-key:" + std::string(64, '7') + "\n");
    fs::permissions(key, fs::perms::owner_read);
    testing::MakeBundle(path, GoldenEntries(), {1, is_signed ? key : ""});
  }

  const testing::TempDir dir_;
  const std::string golden_ = kFolder + GetParam();
};

TEST_P(BundleGolden, ABundleIsWrittenAsItWas) {
  Make(dir_ / "now.gsb");
  const std::string now = testing::ReadFile(dir_ / "now.gsb");
  if (std::getenv("GEMMSMITH_UPDATE_GOLDEN") != nullptr) testing::WriteFile(golden_, now);
  EXPECT_TRUE(now == testing::ReadFile(golden_)) << kAdvice;
}

TEST_P(BundleGolden, ABundleIsReadAsItWas) {
  BundleReader reader(golden_);
  if (reader.signer()) reader.RequireSigner({*reader.signer()});
  reader.Verify();
  for (const testing::BundleEntry& wanted : GoldenEntries()) {
    const BundleRow* const row = reader.Find(wanted.key.digest);
    ASSERT_NE(row, nullptr) << kAdvice;
    const Entry entry = reader.Read(*row);
    EXPECT_EQ(entry.key_text, wanted.key.text) << kAdvice;
    EXPECT_TRUE(entry.artifact == wanted.artifact) << kAdvice;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, BundleGolden, ::testing::Values("bundle.gsb", "bundle_signed.gsb"),
                         [](const auto& file) { return std::string(file.index == 0 ? "Unsigned" : "Signed"); });

}  // namespace
}  // namespace gemmsmith
