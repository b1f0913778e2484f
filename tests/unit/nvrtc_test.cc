#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <thread>

#include "cubin.h"
#include "cuda_sources.h"
#include "jit/toolchain.h"
#include "templates/params.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using ::testing::ExitedWithCode;
using ::testing::HasSubstr;

class Nvrtc : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    nvrtc_ = OpenOrNull(OpenNvrtc, why);
    if (nvrtc_ == nullptr) GTEST_SKIP() << why;
  }
  Artifact Compile(const KernelSource& source) const { return nvrtc_->Compile(source, {}); }
  CompileError FailureOf(const KernelSource& source, const CompileControl& control = {}) const {
    try {
      nvrtc_->Compile(source, control);
    } catch (const CompileError& error) {
      return error;
    }
    ADD_FAILURE() << "compiled";
    return {"", "", ""};
  }

  std::shared_ptr<const Compiler> nvrtc_;
};

/// Whether a handler was the process's own at a look.
bool IsOwn(void (*own)(int)) {
  struct sigaction now {};
  sigaction(SIGINT, nullptr, &now);
  return now.sa_handler == own;
}

TEST_F(Nvrtc, LeavesCtrlCToTheProgram) {
  void (*const own)(int) = [](int) {};
  struct sigaction mine {
  }, before{};
  mine.sa_handler = own;
  sigaction(SIGINT, &mine, &before);
  KernelSource source;
  source.name = source.entry = "K";
  source.target = {Isa::kCuda, 80, 0};
  for (int i = 0; i < 3000; ++i)
    source.text += fmt::format("template <int N> __device__ int F{}() {{ return N; }}\n", i);
  source.text += "extern \"C\" __global__ void K(int* p) { *p = F7<3>(); }";
  std::atomic<bool> over{false};
  int own_looks = 0, others = 0;
  std::thread watcher([&] {
    for (; !over.load(); std::this_thread::sleep_for(std::chrono::milliseconds(1))) ++(IsOwn(own) ? own_looks : others);
  });
  Compile(source);
  over.store(true);
  watcher.join();
  EXPECT_TRUE(IsOwn(own));
  EXPECT_LT(others, own_looks) << "NVRTC's handler ends the process";
  sigaction(SIGINT, &before, nullptr);
}

void ExpectGoodCode(const KernelSource& source, const Artifact& artifact) {
  const std::vector<CubinKernel> kernels = ReadCubin(artifact.parts.at("cubin"));
  ASSERT_EQ(kernels.size(), 1u);
  const CubinKernel& kernel = kernels[0];
  const bool f64 = source.name.find("f64") != source.name.npos;
  const TileConfig& c = source.config;
  EXPECT_EQ(artifact.lowered_name, source.entry);
  EXPECT_EQ(artifact.resources, kernel.resources);
  EXPECT_EQ(kernel.resources.spill_bytes, 0);
  EXPECT_EQ(kernel.Count(sass::kLdl) + kernel.Count(sass::kStl), 0);
  EXPECT_GE(kernel.Count(f64 ? sass::kDfma : sass::kFfma), c.Get("micro_m") * c.Get("micro_n"));
  EXPECT_EQ(kernel.Count(f64 ? sass::kFfma : sass::kDfma), 0);
  EXPECT_LE(kernel.resources.registers * kernel.resources.max_threads, 65536);
  EXPECT_EQ(kernel.resources.static_shared_bytes,
            2 * c.Get("block_k") * ((c.Get("block_m") + c.Get("block_n")) * (f64 ? 8 : 4) + 32));
  EXPECT_EQ(kernel.resources.max_threads, c.Get("block_m") * c.Get("block_n") / (c.Get("micro_m") * c.Get("micro_n")));
}

class NvrtcTarget : public Nvrtc, public testing::WithParamInterface<CodeTarget> {
 protected:
  void SetUp() override {
    Nvrtc::SetUp();
    if (nvrtc_ != nullptr && !nvrtc_->Supports(GetParam())) GTEST_SKIP() << nvrtc_->version() << " does not know it";
  }
};

TEST_P(NvrtcTarget, MakesGoodCodeOfTheSimtTemplateForEveryType) {
  for (DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBf16})
    for (const auto& [a, b, beta] : {std::tuple{Layout::kRowMajor, Layout::kColMajor, BetaClass::kZero},
                                     {Layout::kColMajor, Layout::kRowMajor, BetaClass::kGeneral}}) {
      const KernelSource source = SimtSources(dtype, a, b, beta, GetParam()).at(0);
      SCOPED_TRACE(source.name);
      ExpectGoodCode(source, Compile(source));
    }
}

INSTANTIATE_TEST_SUITE_P(All, NvrtcTarget,
                         testing::Values(CodeTarget{Isa::kCuda, 75, 0}, CodeTarget{Isa::kCuda, 80, 0},
                                         CodeTarget{Isa::kCuda, 86, 0}, CodeTarget{Isa::kCuda, 89, 0},
                                         CodeTarget{Isa::kCuda, 90, 'a'}, CodeTarget{Isa::kCuda, 100, 'a'},
                                         CodeTarget{Isa::kCuda, 120, 'a'}),
                         [](const auto& row) { return ToString(row.param); });

TEST_F(Nvrtc, MakesGoodCodeOfEveryTile) {
  for (DType dtype : {DType::kF64, DType::kF16})
    for (const KernelSource& source :
         SimtSources(dtype, Layout::kRowMajor, Layout::kRowMajor, BetaClass::kGeneral, {Isa::kCuda, 80, 0})) {
      SCOPED_TRACE(source.name);
      ExpectGoodCode(source, Compile(source));
    }
}

TEST_F(Nvrtc, KeepsVectorAccessesWholeAndNoVariables) {
  for (BetaClass beta : {BetaClass::kZero, BetaClass::kGeneral}) {
    const KernelSource source =
        SimtSources(DType::kF32, Layout::kRowMajor, Layout::kColMajor, beta, {Isa::kCuda, 90, 'a'}).at(0);
    const std::string ptx = Compile(source).parts.at("ptx");
    EXPECT_THAT(ptx, HasSubstr("ld.global.v4.f32"));
    EXPECT_THAT(ptx, HasSubstr("ld.shared.v4.f32"));
    EXPECT_THAT(ptx, HasSubstr("st.global.v4.b32"));
    EXPECT_THAT(ptx, testing::Not(HasSubstr("\n.global"))) << "variables that nobody needs";
  }
}

TEST_F(Nvrtc, SeesTheSameParametersAsTheHost) {
  struct Field {
    const char* name;
    std::size_t offset;
  };
#define GEMMSMITH_FIELD(name) \
  { #name, offsetof(SimtParams, name) }
  constexpr Field kFields[] = {
      GEMMSMITH_FIELD(a),
      GEMMSMITH_FIELD(b),
      GEMMSMITH_FIELD(c),
      GEMMSMITH_FIELD(d),
      GEMMSMITH_FIELD(alpha_pointer),
      GEMMSMITH_FIELD(beta_pointer),
      GEMMSMITH_FIELD(alpha),
      GEMMSMITH_FIELD(beta),
      GEMMSMITH_FIELD(m),
      GEMMSMITH_FIELD(n),
      GEMMSMITH_FIELD(k),
      GEMMSMITH_FIELD(batch),
      GEMMSMITH_FIELD(lda),
      GEMMSMITH_FIELD(ldb),
      GEMMSMITH_FIELD(ldc),
      GEMMSMITH_FIELD(ldd),
      GEMMSMITH_FIELD(batch_stride_a),
      GEMMSMITH_FIELD(batch_stride_b),
      GEMMSMITH_FIELD(batch_stride_c),
      GEMMSMITH_FIELD(batch_stride_d),
  };
#undef GEMMSMITH_FIELD
  KernelSource source =
      SimtSources(DType::kF32, Layout::kRowMajor, Layout::kRowMajor, BetaClass::kZero, {Isa::kCuda, 80, 0}).at(0);
  source.entry = "Read";
  for (const Field& field : kFields) {
    source.text = fmt::format(
        "#include \"params.h\"\nstatic_assert(sizeof(gemmsmith::SimtParams) == {});\n"
        "extern \"C\" __global__ void Read(const __grid_constant__ gemmsmith::SimtParams p, double* to) {{\n"
        "  *to = (double)(long long)p.{};\n}}\n",
        sizeof(SimtParams), field.name);
    const std::string offset = field.offset == 0 ? "" : fmt::format("+{}", field.offset);
    EXPECT_THAT(Compile(source).parts.at("ptx"), HasSubstr(fmt::format("[Read_param_0{}]", offset))) << field.name;
  }
}

TEST_F(Nvrtc, FillsInTheArtifact) {
  const Artifact artifact = Compile(TinySource());
  EXPECT_EQ(artifact.kernel_name, "user");
  EXPECT_EQ(artifact.lowered_name, "Tiny");
  EXPECT_EQ(artifact.target, (CodeTarget{Isa::kCuda, 80, 0}));
  EXPECT_EQ(artifact.compiler, nvrtc_->version());
  EXPECT_GT(artifact.compile_ms, 0);
  EXPECT_GT(artifact.created_unix, 1'600'000'000);
  EXPECT_GT(artifact.resources.registers, 0);
  EXPECT_THAT(artifact.parts.at("ptx"), HasSubstr(".target sm_80"));
  EXPECT_EQ(artifact.parts.at("ptx").find('\0'), std::string::npos);
}

TEST_F(Nvrtc, NamesItsBuild) {
  EXPECT_THAT(nvrtc_->version(), testing::MatchesRegex("nvrtc [0-9]+\\.[0-9]+ build [0-9a-f]+"));
  EXPECT_TRUE(std::filesystem::is_regular_file(nvrtc_->path()));
}

TEST_F(Nvrtc, MakesTheSameBytesFromTheSameSource) {
  const KernelSource source =
      SimtSources(DType::kF32, Layout::kRowMajor, Layout::kRowMajor, BetaClass::kZero, {Isa::kCuda, 90, 'a'}).at(0);
  std::future<Artifact> other = std::async(std::launch::async, [&] { return Compile(source); });
  const Artifact artifact = Compile(source);
  EXPECT_EQ(artifact.parts, other.get().parts);
}

TEST_F(Nvrtc, FindsTheLoweredNameOfATemplate) {
  const Artifact artifact =
      Compile(UserSource("template <int A, int B> __global__ void Add(int* x) { *x += A + B; }\n", "Add<3, 4>"));
  EXPECT_EQ(artifact.lowered_name, "_Z3AddILi3ELi4EEvPi");
  EXPECT_EQ(ReadCubin(artifact.parts.at("cubin")).at(0).name, artifact.lowered_name);
}

TEST_F(Nvrtc, HonoursTheOptions) {
  KernelSource source = UserSource("extern \"C\" __global__ void Root(float* x) { *x = sqrtf(*x) / x[1]; }\n", "Root");
  const Artifact plain = Compile(source);
  source.options.fast_math = true;
  EXPECT_THAT(Compile(source).parts.at("ptx"), HasSubstr("approx"));
  source.options = {};
  source.options.line_info = true;
  EXPECT_THAT(Compile(source).parts.at("ptx"), HasSubstr(".loc"));
  source.options = {};
  source.options.opt_level = 0;
  EXPECT_NE(Compile(source).parts.at("cubin"), plain.parts.at("cubin"));
  for (int level : {0, 10}) {
    source.options = {};
    source.options.register_usage_level = level;
    EXPECT_NO_THROW(Compile(source)) << level;
  }
}

TEST_F(Nvrtc, WarnsOfLocalMemoryWhereAsked) {
  std::vector<std::string> warnings;
  SetErrorHandler([&](Severity, std::string_view message) { warnings.emplace_back(message); });
  KernelSource source = LocalMemorySource();
  const Artifact silent = Compile(source);
  EXPECT_THAT(warnings, testing::IsEmpty());
  source.options.warn_local_memory = true;
  const Artifact loud = Compile(source);
  SetErrorHandler({});
  EXPECT_THAT(warnings, testing::ElementsAre(HasSubstr("64 bytes of local memory")));
  EXPECT_EQ(silent.parts, loud.parts);
  EXPECT_EQ(silent.resources.spill_bytes, 64);
  EXPECT_THAT(silent.log, HasSubstr("ocal memory"));
}

TEST_F(Nvrtc, FailsWithTheLogAndASavedSourceThatCompilesAlone) {
  KernelSource source = UserSource(
      "#include \"deep/value.cuh\"\nextern \"C\" __global__ void Bad(int* x) { *x = kValue + missing; }\n", "Bad");
  source.headers = {{"deep/value.cuh", "#pragma once\nconstexpr int kValue = 3;\n"}};
  const CompileError error = FailureOf(source);
  EXPECT_EQ(error.code(), Code::kCompileFailed);
  EXPECT_THAT(error.log(), HasSubstr("identifier \"missing\" is undefined"));
  EXPECT_THAT(error.what(), HasSubstr(error.source_path()));
  struct stat status;
  ASSERT_EQ(stat(error.source_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  std::ifstream file(error.source_path());
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            "constexpr int kValue = 3;\nextern \"C\" __global__ void Bad(int* x) { *x = kValue + missing; }\n");
  std::filesystem::remove(error.source_path());
}

TEST_F(Nvrtc, NamesTheArchitecturesItKnowsWhenAskedForAnother) {
  KernelSource source = TinySource();
  source.target.version = 20;
  EXPECT_FALSE(nvrtc_->Supports(source.target));
  try {
    Compile(source);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("sm_20"));
    EXPECT_THAT(error.what(), HasSubstr("sm_90"));
  }
}

TEST_F(Nvrtc, StopsWhenCancelled) {
  CompileControl control;
  control.cancel.Cancel();
  try {
    nvrtc_->Compile(TinySource(), control);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kCancelled);
  }
}

TEST_F(Nvrtc, StopsWhenTimeIsUp) {
  CompileControl control;
  control.timeout = std::chrono::seconds(0);
  if (nvrtc_->version() < "nvrtc 13") GTEST_SKIP() << nvrtc_->version() << " cannot be stopped";
  const CompileError error = FailureOf(TinySource(), control);
  EXPECT_THAT(error.what(), HasSubstr("more than 0 s"));
  std::filesystem::remove(error.source_path());
}

// In a process of its own: the environment is read once, and the library opened once.
TEST(NvrtcSearchDeathTest, SaysWhereItLookedAndWhatToDo) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("GEMMSMITH_NVRTC", "/nonexistent/libnvrtc.so", 1);
        try {
          OpenNvrtc();
        } catch (const Error& error) {
          std::fputs(error.what(), stderr);
          std::_Exit(error.code() == Code::kNotFound ? 3 : 4);
        }
        std::_Exit(0);
      },
      ExitedWithCode(3), "NVRTC not found: looked in /nonexistent/libnvrtc.so; install .*GEMMSMITH_NVRTC");
}

TEST(NvrtcSearchDeathTest, TakesAFolderWithItsBuiltins) {
  Environment environment;
  if (const char* chosen = std::getenv("GEMMSMITH_NVRTC")) environment.nvrtc = chosen;
  const ToolSearch search = SearchNvrtc(environment);
  if (search.candidates.empty() || search.candidates[0][0] != '/') GTEST_SKIP() << "no NVRTC in " << search.looked_in;
  const std::string folder = std::filesystem::path(search.candidates[0]).parent_path();
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        setenv("GEMMSMITH_NVRTC", folder.c_str(), 1);
        OpenNvrtc()->Compile(TinySource(), {});
        std::_Exit(0);
      },
      ExitedWithCode(0), "");
}

}  // namespace
}  // namespace gemmsmith
