// The bytes of a bundle, as they were when the format version was last raised.
#include <gtest/gtest.h>

#include <cstdlib>

#include "../support/bundle_testing.h"

namespace gemmsmith {
namespace {

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

const std::string kGolden = std::string(GEMMSMITH_SOURCE_DIR) + "/tests/golden/bundle.gsb";

TEST(BundleGolden, ABundleIsWrittenAsItWas) {
  const testing::TempDir dir;
  testing::MakeBundle(dir / "now.gsb", GoldenEntries());
  const std::string now = testing::ReadFile(dir / "now.gsb");
  if (std::getenv("GEMMSMITH_UPDATE_GOLDEN") != nullptr) testing::WriteFile(kGolden, now);
  EXPECT_TRUE(now == testing::ReadFile(kGolden)) << kAdvice;
}

TEST(BundleGolden, ABundleIsReadAsItWas) {
  const BundleReader reader(kGolden);
  reader.Verify();
  for (const testing::BundleEntry& wanted : GoldenEntries()) {
    const BundleRow* const row = reader.Find(wanted.key.digest);
    ASSERT_NE(row, nullptr) << kAdvice;
    const Entry entry = reader.Read(*row);
    EXPECT_EQ(entry.key_text, wanted.key.text) << kAdvice;
    EXPECT_TRUE(entry.artifact == wanted.artifact) << kAdvice;
  }
}

}  // namespace
}  // namespace gemmsmith
