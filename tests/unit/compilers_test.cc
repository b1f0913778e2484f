#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "cuda_sources.h"

namespace gemmsmith {
namespace {

using ::testing::ExitedWithCode;

const CodeTarget kAmpere{Isa::kCuda, 80, 0};

TEST(FindCompiler, TakesNvrtcFirstAndNvccNext) {
  std::string why;
  const auto nvrtc = OpenOrNull(OpenNvrtc, why), nvcc = OpenOrNull(OpenNvcc, why);
  if (nvrtc == nullptr && nvcc == nullptr) GTEST_SKIP() << why;
  EXPECT_EQ(FindCompiler(kAmpere, ""), nvrtc != nullptr ? nvrtc : nvcc);
  if (nvrtc != nullptr) {
    EXPECT_EQ(FindCompiler(kAmpere, "nvrtc"), nvrtc);
  }
  if (nvcc != nullptr) {
    EXPECT_EQ(FindCompiler(kAmpere, "nvcc"), nvcc);
  }
}

TEST(FindCompiler, RefusesAnUnknownName) {
  try {
    FindCompiler(kAmpere, "gcc");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_STREQ(error.what(), "unknown compiler \"gcc\": there are nvrtc and nvcc");
  }
}

TEST(FindCompiler, BringsItsOwnForTheCpu) {
  EXPECT_EQ(FindCompiler({Isa::kX86, 512, 0}, "nvcc")->name(), "x86");
  EXPECT_EQ(FindCompiler({Isa::kPortable, 0, 0}, "")->name(), "builtin");
}

// In processes of their own: the environment is read once.
void FindAndExit() {
  try {
    const auto compiler = FindCompiler(kAmpere, "");
    std::_Exit(compiler->name() == "nvcc" ? 5 : 6);
  } catch (const Error& error) {
    std::fputs(error.what(), stderr);
    std::_Exit(error.code() == Code::kNotFound ? 3 : 4);
  }
}

TEST(FindCompilerDeathTest, SaysWhatIsMissingWithoutAToolkit) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("GEMMSMITH_NVRTC", "/nonexistent/nvrtc", 1);
        setenv("GEMMSMITH_NVCC", "/nonexistent/nvcc", 1);
        FindAndExit();
      },
      ExitedWithCode(3), "no compiler for sm_80: NVRTC not found: .*; nvcc not found: ");
}

TEST(FindCompilerDeathTest, FallsBackToNvcc) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("GEMMSMITH_NVRTC", "/nonexistent/nvrtc", 1);
        std::string why;
        if (OpenOrNull(OpenNvcc, why) == nullptr) std::_Exit(5);  // none to fall back to
        FindAndExit();
      },
      ExitedWithCode(5), "");
}

}  // namespace
}  // namespace gemmsmith
