#include "gemmsmith/bundle.h"

#include <gmock/gmock.h>

#include "../support/bundle_testing.h"
#include "gemmsmith/engine.h"
#include "jit/cache/disk_tier.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;
using testing::KeyOf;
using testing::MakeArtifact;

class Bundle : public ::testing::Test {
 protected:
  void Fill(const std::string& folder, int count) {
    DiskTier disk(dir_ / folder, {});
    for (int i = 0; i < count; ++i) {
      const std::string kernel = "f" + std::to_string(i);
      artifacts_.try_emplace(kernel, MakeArtifact(kernel, random_));
      disk.Put(KeyOf(kernel), std::make_shared<const Artifact>(artifacts_.at(kernel)));
    }
  }
  Code CodeOf(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& error) {
      return error.code();
    }
    return Code::kInternal;
  }

  testing::TempDir dir_;
  testing::Warnings warnings_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  std::map<std::string, Artifact> artifacts_;
  const std::string path_ = dir_ / "kernels.gsb";
};

TEST_F(Bundle, CarriesACacheToAnother) {
  Fill("one", 20);
  const BundleSummary exported = ExportBundle(dir_ / "one", path_);
  EXPECT_EQ(exported.kernels, 20u);
  EXPECT_EQ(exported.left_out, 0u);
  EXPECT_EQ(exported.stored_bytes, fs::file_size(path_));
  Fill("two", 5);
  const BundleSummary imported = ImportBundle(path_, dir_ / "two");
  EXPECT_EQ(imported.kernels, 15u);
  EXPECT_EQ(imported.left_out, 5u);
  DiskTier disk(dir_ / "two", {});
  for (const auto& [kernel, artifact] : artifacts_) {
    const ArtifactPtr got = disk.Get(KeyOf(kernel));
    ASSERT_NE(got, nullptr) << kernel;
    EXPECT_EQ(got->parts, artifact.parts);
  }
}

TEST_F(Bundle, ExportOfAnImportIsTheSameFile) {
  Fill("one", 7);
  ExportBundle(dir_ / "one", path_);
  ImportBundle(path_, dir_ / "two");
  ExportBundle(dir_ / "two", dir_ / "again.gsb");
  EXPECT_EQ(testing::ReadFile(dir_ / "again.gsb"), testing::ReadFile(path_));
}

TEST_F(Bundle, ListsItsKernels) {
  Fill("one", 3);
  ExportBundle(dir_ / "one", path_);
  const std::vector<BundleKernel> kernels = ReadBundle(path_);
  ASSERT_EQ(kernels.size(), 3u);
  EXPECT_TRUE(std::ranges::is_sorted(kernels, {}, &BundleKernel::key));
  for (const BundleKernel& kernel : kernels) {
    EXPECT_EQ(kernel.key, KeyOf(kernel.name).digest.Hex());
    EXPECT_EQ(kernel.key_text, KeyOf(kernel.name).text);
    EXPECT_EQ(kernel.target, "sm_90a");
    EXPECT_EQ(kernel.raw_bytes, artifacts_.at(kernel.name).size());
  }
}

TEST_F(Bundle, LeavesOutWhatIsBroken) {
  Fill("one", 3);
  testing::WriteFile(testing::EntryPath(dir_ / "one", KeyOf("f1")), "broken");
  const BundleSummary summary = ExportBundle(dir_ / "one", path_);
  EXPECT_EQ(summary.kernels, 2u);
  EXPECT_EQ(summary.left_out, 1u);
}

TEST_F(Bundle, OfNoCacheIsEmpty) {
  EXPECT_EQ(ExportBundle(dir_ / "none", path_).kernels, 0u);
  EXPECT_TRUE(ReadBundle(path_).empty());
  EXPECT_FALSE(fs::exists(dir_ / "none"));
}

TEST_F(Bundle, NothingOfABrokenOneIsImported) {
  Fill("one", 3);
  ExportBundle(dir_ / "one", path_);
  std::string bytes = testing::ReadFile(path_);
  for (const std::size_t at : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    bytes[at] ^= 1;
    testing::WriteFile(path_, bytes);
    EXPECT_EQ(CodeOf([&] { ImportBundle(path_, dir_ / "two"); }), Code::kInvalidArgument) << at;
    EXPECT_EQ(CodeOf([&] { ReadBundle(path_); }), Code::kInvalidArgument) << at;
    EXPECT_FALSE(fs::exists(dir_ / "two")) << at;
    bytes[at] ^= 1;
  }
}

TEST_F(Bundle, AFileOrFolderThatCannotBeUsedIsAnError) {
  Fill("one", 1);
  EXPECT_EQ(CodeOf([&] { ExportBundle(dir_ / "one", dir_ / "none/file"); }), Code::kIo);
  EXPECT_EQ(CodeOf([&] { ImportBundle(dir_ / "none", dir_ / "two"); }), Code::kIo);
  for (const int level : {-1, 0, 20})
    EXPECT_EQ(CodeOf([&] { ExportBundle(dir_ / "one", path_, {.level = level}); }), Code::kInvalidArgument) << level;
  EXPECT_FALSE(fs::exists(path_));
  ExportBundle(dir_ / "one", path_);
  testing::WriteFile(dir_ / "file", "");
  EXPECT_EQ(CodeOf([&] { ImportBundle(path_, dir_ / "file/cache"); }), Code::kIo);
}

TEST_F(Bundle, OfAnEngineHoldsNoCodeOfTheProcessor) {
  EngineOptions options;
  options.cache_dir = dir_ / "cache";
  Engine engine(options);
  const DeviceSpec spec = engine.devices().Get({}).spec();
  engine.CompileAhead(MakeProblem(8, 8, 8, DType::kF32, "nn", BetaClass::kZero), {Isa::kPortable, 0, 0}, spec);
  EXPECT_EQ(engine.WriteBundle(path_).kernels, 0u);
  EXPECT_TRUE(ReadBundle(path_).empty());
}

}  // namespace
}  // namespace gemmsmith
