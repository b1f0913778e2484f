#include "jit/key.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <set>

namespace gemmsmith {
namespace {

constexpr ConfigField kFields[] = {{"block_m", true}, {"threads", false}, {"stages", true}};
constexpr std::string_view kToolchain = "nvrtc 13.0.88 (build 36424714)";

KernelSource Source() {
  KernelSource source;
  source.name = "simt 64x64";
  source.target = {Isa::kCuda, 90, 'a'};
  source.text = "#include \"gemm.cuh\"\n";
  source.entry = "Gemm<64, 64>";
  source.headers = {{"gemm.cuh", "// gemm"}, {"params.h", "// params"}};
  source.config = {"simt", kFields, {64, 8, 3}};
  return source;
}

struct Change {
  const char* what;
  std::function<void(KernelSource&)> apply;
};

const Change kChangesCode[] = {
    {"family", [](auto& s) { s.config.family = "sm80"; }},
    {"no family", [](auto& s) { s.config = {}; }},
    {"text of a header", [](auto& s) { s.headers[1].text += " "; }},
    {"name of a header", [](auto& s) { s.headers[1].name = "param.h"; }},
    {"one header less", [](auto& s) { s.headers.pop_back(); }},
    {"one header more",
     [](auto& s) {
       s.headers.push_back({"empty.cuh", ""});
     }},
    {"text moved from one header to another", [](auto& s) { std::swap(s.headers[0].text, s.headers[1].text); }},
    {"source", [](auto& s) { s.text += " "; }},
    {"entry", [](auto& s) { s.entry = "Gemm<64, 32>"; }},
    {"suffix of the target", [](auto& s) { s.target.suffix = 0; }},
    {"version of the target", [](auto& s) { s.target.version = 80; }},
    {"isa",
     [](auto& s) {
       s.target = {Isa::kX86, 2, 0};
     }},
    {"first baked field", [](auto& s) { s.config.values[0] = 32; }},
    {"last baked field", [](auto& s) { s.config.values[2] = 4; }},
    {"opt_level", [](auto& s) { s.options.opt_level = 2; }},
    {"fast_math", [](auto& s) { s.options.fast_math = true; }},
    {"register_usage_level", [](auto& s) { s.options.register_usage_level = 6; }},
    {"line_info", [](auto& s) { s.options.line_info = true; }},
};

const Change kChangesNoCode[] = {
    {"name", [](auto& s) { s.name = "another"; }},
    {"order of the headers", [](auto& s) { std::swap(s.headers[0], s.headers[1]); }},
    {"a field given at launch", [](auto& s) { s.config.values[1] = 16; }},
    {"warn_local_memory", [](auto& s) { s.options.warn_local_memory = true; }},
};

TEST(Key, EveryFieldThatChangesCodeChangesIt) {
  std::set<Digest> digests = {MakeKey(Source(), kToolchain).digest};
  for (const Change& change : kChangesCode) {
    KernelSource source = Source();
    change.apply(source);
    const CacheKey key = MakeKey(source, kToolchain);
    EXPECT_TRUE(digests.insert(key.digest).second) << change.what << "\n" << key.text;
    EXPECT_NE(key.recipe, MakeKey(Source(), kToolchain).recipe) << change.what;
  }
}

TEST(Key, WhatDoesNotChangeCodeDoesNotChangeIt) {
  for (const Change& change : kChangesNoCode) {
    KernelSource source = Source();
    change.apply(source);
    EXPECT_EQ(MakeKey(source, kToolchain), MakeKey(Source(), kToolchain)) << change.what;
  }
}

TEST(Key, IsRecipeThenToolchainThenFormat) {
  const CacheKey key = MakeKey(Source(), kToolchain), other = MakeKey(Source(), "nvrtc 12.9.86");
  EXPECT_EQ(key.recipe, other.recipe);
  EXPECT_NE(key, other);
  EXPECT_EQ(key.text, key.recipe + "toolchain=30:" + std::string(kToolchain) + "\nformat=1:1\n");
  EXPECT_EQ(key.digest, DigestOf(key.text));
}

TEST(Key, ReadsAsLines) {
  const std::string text = MakeKey(Source(), kToolchain).text;
  for (const char* line : {"family=4:simt\n", "entry=12:Gemm<64, 64>\n", "target=6:sm_90a\n", "config.block_m=2:64\n",
                           "option.opt_level=1:3\n", "option.fast_math=1:0\n"})
    EXPECT_NE(text.find(line), text.npos) << line << text;
  EXPECT_EQ(text.find("threads"), text.npos);
  EXPECT_EQ(text.find("warn"), text.npos);
}

TEST(Key, AValueCannotImitateAnotherField) {
  KernelSource one = Source(), two = Source();
  one.entry = "f\ntarget=6:sm_90a";
  two.entry = "f";
  EXPECT_NE(MakeKey(one, kToolchain), MakeKey(two, kToolchain));
  one = two = Source();
  one.headers = {{"a", "b\nc=1:d"}};
  two.headers = {{"a", "b"}, {"c", "d"}};
  EXPECT_NE(MakeKey(one, kToolchain), MakeKey(two, kToolchain));
}

TEST(Key, AUsersKernelIsNamedUser) {
  KernelSource source = Source();
  source.config = {};
  EXPECT_TRUE(MakeKey(source, kToolchain).text.starts_with("family=4:user\n"));
}

TEST(Key, IsReadBackFromItsText) {
  KernelSource source = Source();
  source.entry = "f\ntoolchain=1:x\nformat=1:1\n";
  for (const CacheKey& key : {MakeKey(Source(), kToolchain), MakeKey(source, "nvcc\n13")}) {
    const std::optional<CacheKey> again = ParseKey(key.text);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, key);
    EXPECT_EQ(again->recipe, key.recipe);
    for (std::size_t size = 0; size < key.text.size(); ++size) EXPECT_FALSE(ParseKey(key.text.substr(0, size))) << size;
    EXPECT_FALSE(ParseKey(key.text + "x"));
  }
  for (const char* text : {"", "x", "a=1:", "toolchain=1:x\n", "a=99999999999999999999999:x\n", "a=-1:x\n"})
    EXPECT_FALSE(ParseKey(text)) << text;
}

TEST(Key, ToolchainsAreOrderedByTheNumbersOfTheirVersion) {
  const char* const ascending[] = {"nvrtc",         "nvcc 12.9.86",  "nvrtc 13.0.9",
                                   "nvrtc 13.0.88", "nvcc 13.0.100", "nvrtc 13.1.2"};
  for (std::size_t i = 0; i < std::size(ascending); ++i)
    for (std::size_t j = 0; j < std::size(ascending); ++j)
      EXPECT_EQ(ToolchainLess(MakeKey(Source(), ascending[i]), MakeKey(Source(), ascending[j])), i < j)
          << i << " " << j;
}

TEST(Key, HasADigestOf32HexadecimalDigits) {
  const std::string digest = MakeKey(Source(), kToolchain).digest.Hex();
  EXPECT_EQ(digest.size(), 32u);
  EXPECT_EQ(digest.find_first_not_of("0123456789abcdef"), digest.npos);
  printf("key=%s\n", digest.c_str());  // for the next test, which runs this one in a new process
}

TEST(Key, IsTheSameInAnotherProcess) {
  const std::string command = "'" + std::filesystem::read_symlink("/proc/self/exe").string() +
                              "' --gtest_filter=Key.HasADigestOf32HexadecimalDigits";
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output(4096, 0);
  output.resize(fread(output.data(), 1, output.size(), pipe));
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_NE(output.find("key=" + MakeKey(Source(), kToolchain).digest.Hex() + "\n"), output.npos) << output;
}

}  // namespace
}  // namespace gemmsmith
