// The bytes of an entry and the text of a key, as they were when the format version was last raised.
#include <gtest/gtest.h>

#include <cstdlib>

#include "../support/cache_testing.h"
#include "jit/cache/entry_format.h"

namespace gemmsmith {
namespace {

constexpr const char* kAdvice =
    "The format has drifted: bump the format version (kEntryFormatVersion in src/jit/cache/entry_format.h), or old "
    "caches "
    "would be misread. Then write the new golden files: GEMMSMITH_UPDATE_GOLDEN=1 entry_golden_test";

constexpr ConfigField kFields[] = {{"block_m", true}, {"threads", false}};

CacheKey GoldenKey() {
  KernelSource source;
  source.target = {Isa::kCuda, 90, 'a'};
  source.text = "#include \"gemm.cuh\"\n";
  source.entry = "Gemm<64>";
  source.headers = {{"gemm.cuh", "// gemm"}};
  source.config = {"simt", kFields, {64, 8}};
  return MakeKey(source, "nvrtc 13.0.88");
}

Artifact GoldenArtifact() {
  Artifact artifact;
  artifact.parts["cubin"] = std::string(
                                "\x7f"
                                "ELF\0",
                                5) +
                            std::string(200, 'c');
  artifact.parts["ptx"] = ".version 9.0\n.target sm_90a\n";
  artifact.kernel_name = "Gemm<64>";
  artifact.lowered_name = "_Z4GemmILi64EEvv";
  artifact.target = {Isa::kCuda, 90, 'a'};
  artifact.problem = "m=1 n=2 k=3 f32 nt";
  artifact.config = "simt block_m=64 threads=8";
  artifact.compiler = "nvrtc 13.0.88";
  artifact.log = "a warning\n";
  artifact.compile_ms = 123.5;
  artifact.created_unix = 1'700'000'000;
  artifact.resources = {128, 16, 4096, 256, 2048};
  return artifact;
}

std::string Golden(const std::string& name, const std::string& now) {
  const std::string path = std::string(GEMMSMITH_SOURCE_DIR) + "/tests/golden/" + name;
  if (std::getenv("GEMMSMITH_UPDATE_GOLDEN") != nullptr) testing::WriteFile(path, now);
  return testing::ReadFile(path);
}

TEST(EntryGolden, AKeyReadsAsItDid) { EXPECT_EQ(GoldenKey().text, Golden("key.txt", GoldenKey().text)) << kAdvice; }

TEST(EntryGolden, AnEntryIsWrittenAsItWas) {
  // Raw, since the frames of another release of zstd may differ.
  const std::string entry = EncodeEntry(GoldenKey(), GoldenArtifact(), Codec::kRaw).value();
  EXPECT_TRUE(entry == Golden("entry_raw.gsk", entry)) << kAdvice;
}

TEST(EntryGolden, AnEntryIsReadAsItWas) {
  for (const auto& [name, codec] :
       {std::pair("entry_raw.gsk", Codec::kRaw), std::pair("entry_zstd.gsk", Codec::kZstd)}) {
    const Entry entry = DecodeEntry(Golden(name, EncodeEntry(GoldenKey(), GoldenArtifact(), codec).value()));
    ASSERT_EQ(entry.state, EntryState::kGood) << name << ": " << entry.reason << "\n" << kAdvice;
    EXPECT_EQ(entry.key_text, GoldenKey().text) << kAdvice;
    EXPECT_TRUE(entry.artifact == GoldenArtifact()) << kAdvice;
  }
}

}  // namespace
}  // namespace gemmsmith
