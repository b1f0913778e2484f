#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "cubin.h"
#include "cuda_sources.h"

namespace gemmsmith {
namespace {

using namespace std::chrono_literals;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;

class Nvcc : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    nvcc_ = OpenOrNull(OpenNvcc, why);
    if (nvcc_ == nullptr) GTEST_SKIP() << why;
    std::string folder = testing::TempDir() + "nvcc_test-XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    setenv("TMPDIR", folder.c_str(), 1);
  }
  /// Every compile, whatever its end, leaves the temporary folder as it was, but for saved sources.
  void TearDown() override {
    if (nvcc_ == nullptr) return;
    unsetenv("TMPDIR");
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      EXPECT_EQ(entry.path().extension(), ".cu") << entry.path();
    std::filesystem::remove_all(folder_);
  }
  Artifact Compile(const KernelSource& source) const { return nvcc_->Compile(source, {}); }
  /// The error of a compile that must fail.
  template <class E = Error>
  E FailureOf(const KernelSource& source, const CompileControl& control = {}) const {
    try {
      nvcc_->Compile(source, control);
    } catch (const E& error) {
      return error;
    }
    throw std::runtime_error("compiled");
  }

  std::shared_ptr<const Compiler> nvcc_;
  std::filesystem::path folder_;
};

TEST_F(Nvcc, CompilesTheSimtTemplate) {
  const KernelSource source =
      SimtSources(DType::kBf16, Layout::kRowMajor, Layout::kColMajor, BetaClass::kGeneral, {Isa::kCuda, 90, 'a'}).at(0);
  const Artifact artifact = Compile(source);
  const std::vector<CubinKernel> kernels = ReadCubin(artifact.parts.at("cubin"));
  ASSERT_EQ(kernels.size(), 1u);
  EXPECT_EQ(artifact.kernel_name, source.name);
  EXPECT_EQ(artifact.lowered_name, source.entry);
  EXPECT_EQ(artifact.compiler, nvcc_->version());
  EXPECT_EQ(artifact.resources, kernels[0].resources);
  EXPECT_EQ(artifact.resources.spill_bytes, 0);
  EXPECT_GT(kernels[0].Count(sass::kFfma), 0);
  EXPECT_GT(artifact.compile_ms, 0);
  EXPECT_THAT(artifact.parts.at("ptx"), HasSubstr(".target sm_90a"));
}

TEST_F(Nvcc, NamesItsBuild) {
  EXPECT_THAT(nvcc_->version(), testing::MatchesRegex("nvcc [0-9.]+ build [^ ]+"));
  EXPECT_TRUE(std::filesystem::is_regular_file(nvcc_->path()));
}

TEST_F(Nvcc, FindsTheLoweredNameOfATemplateAmongOthers) {
  const Artifact artifact =
      Compile(UserSource("template <int A, int B> __global__ void Add(int* x) { *x += A + B; }\n"
                         "extern \"C\" __global__ void Other(int* x) { *x = 0; }\n",
                         "Add<3, 4>"));
  EXPECT_EQ(artifact.lowered_name, "_Z3AddILi3ELi4EEvPi");
}

TEST_F(Nvcc, NamesTheKernelsThereAreIfTheEntryIsNone) {
  KernelSource source = TinySource();
  source.entry = "Huge";
  const Error error = FailureOf(source);
  EXPECT_EQ(error.code(), Code::kInvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("\"Huge\" among: Tiny"));
}

TEST_F(Nvcc, ReadsHeadersFromTheSourceAlone) {
  KernelSource source =
      UserSource("#include \"deep/value.cuh\"\nextern \"C\" __global__ void Set(int* x) { *x = kValue; }\n", "Set");
  source.headers = {{"deep/value.cuh", "#pragma once\nconstexpr int kValue = 3;\n"}};
  EXPECT_NO_THROW(Compile(source));
  for (const char* outside : {"../value.cuh", "/tmp/value.cuh", "deep/../../value.cuh"}) {
    source.headers[0].name = outside;
    EXPECT_EQ(FailureOf(source).code(), Code::kInvalidArgument) << outside;
  }
}

TEST_F(Nvcc, FailsWithTheLogAndASavedSource) {
  const auto error =
      FailureOf<CompileError>(UserSource("extern \"C\" __global__ void Bad(int* x) { *x = missing; }\n", "Bad"));
  EXPECT_THAT(error.log(), HasSubstr("identifier \"missing\" is undefined"));
  EXPECT_TRUE(std::filesystem::is_regular_file(error.source_path()));
}

TEST_F(Nvcc, KeepsWarningsOfLocalMemoryInTheLog) {
  const Artifact artifact = Compile(LocalMemorySource());
  EXPECT_EQ(artifact.resources.spill_bytes, 64);
  EXPECT_THAT(artifact.log, HasSubstr("ocal memory"));
}

TEST_F(Nvcc, StopsWhenTimeIsUpOrWhenCancelled) {
  CompileControl late;
  late.timeout = 0s;
  EXPECT_THAT(FailureOf<CompileError>(TinySource(), late).what(), HasSubstr("more than 0 s"));
  CompileControl control;
  std::thread other([cancel = control.cancel]() mutable {
    std::this_thread::sleep_for(30ms);
    cancel.Cancel();
  });
  EXPECT_EQ(FailureOf(TinySource(), control).code(), Code::kCancelled);
  other.join();
}

TEST_F(Nvcc, NamesTheArchitecturesItKnowsWhenAskedForAnother) {
  KernelSource source = TinySource();
  source.target.version = 20;
  const Error error = FailureOf(source);
  EXPECT_EQ(error.code(), Code::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("sm_90"));
}

TEST_F(Nvcc, AsksForAHostCompilerWhereThereIsNone) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  const auto error = FailureOf<CompileError>(TinySource());
  setenv("PATH", path.c_str(), 1);
  EXPECT_THAT(error.what(), HasSubstr("install g++"));
}

// In a process of its own: the environment is read once.
TEST(NvccSearchDeathTest, SaysWhereItLookedAndWhatToDo) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("GEMMSMITH_NVCC", "/nonexistent/nvcc", 1);
        try {
          OpenNvcc();
        } catch (const Error& error) {
          std::fputs(error.what(), stderr);
          std::_Exit(error.code() == Code::kNotFound ? 3 : 4);
        }
        std::_Exit(0);
      },
      ExitedWithCode(3), "nvcc not found: looked in /nonexistent/nvcc; install .*GEMMSMITH_NVCC");
}

}  // namespace
}  // namespace gemmsmith
