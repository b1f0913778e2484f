// The emulated device as callers see it: names, limits of launches, calls, printing, a user's own CUDA source.
#include <gmock/gmock.h>

#include "../support/ptx_testing.h"
#include "gemmsmith/gemmsmith.h"

namespace gemmsmith::emulator {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

TEST(EmulatorNames, AreReadAndWritten) {
  for (const CodeTarget& target : AllTargets()) {
    const std::string name = "emulator:" + ToString(target);
    if (target.isa != Isa::kCuda) {
      EXPECT_THROW(ParseDeviceId(name), Error) << name;
      continue;
    }
    EXPECT_EQ(ParseDeviceId(name).kind, DeviceKind::kEmulator);
    EXPECT_EQ(ToString(ParseDeviceId(name)), name);
  }
  for (const char* bad : {"emulator", "emulator:", "emulator:sm_1", "emulator:sm_90 "})
    EXPECT_THROW(ParseDeviceId(bad), Error) << bad;
}

TEST(EmulatorNames, TheRegistryOpensEachArchitectureOnce) {
  Devices devices;
  Device& device = devices.Get(ParseDeviceId("emulator:sm_90a"));
  EXPECT_EQ(&device, &devices.Get(ParseDeviceId("emulator:sm_90a")));
  EXPECT_NE(&device, &devices.Get(ParseDeviceId("emulator:sm_80")));
  EXPECT_EQ(ToString(device.targets().at(0)), "sm_90a");
  EXPECT_EQ(ToString(device.targets().at(1)), "sm_90");
  EXPECT_EQ(device.spec().multiprocessors, 132);
  EXPECT_THROW(devices.Get({DeviceKind::kEmulator, 200}), Error);
}

std::string LoadError(std::string_view target, const std::string& text) {
  try {
    PtxRunner(target).Load(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(EmulatorLoading, RefusesWhatItDoesNotRunWithTheLine) {
  PtxRunner runner;
  const auto with = [&](const std::string& body) {
    return LoadError("sm_90a", runner.Text("", ".reg .b32 %r<4>; .reg .b64 %d; .reg .pred %p;\n" + body));
  };
  struct {
    const char* body;
    const char* message;
  } kCases[] = {
      {"vadd.u32.u32.u32 %r1, %r2, %r3;",
       "ptx:7:1: the emulator does not run `vadd.u32.u32.u32 %r1, %r2, %r3;`: it is in no row"},
      {"add.rn.s32 %r1, %r2, %r3;", "no form of add has these modifiers"},
      {"add.s32 %r1, %r2;", "an operand is missing"},
      {"add.s32 %r1, %r2, %r3, %r1;", "too many operands"},
      {"add.s32 %d, %r2, %r3;", "%d has 64 bits, add takes 32"},
      {"add.s32 %r1, %x, %r3;", "%x is not declared"},
      {"add.s32 %r9, %r2, %r3;", "a declared register"},
      {"add.s32 5, %r2, %r3;", "a declared register"},
      {"@%r1 ret;", "%r1 is no predicate"},
      {"bra NOWHERE;", "there is no label NOWHERE"},
      {"call foo, ();", "there is no function foo"},
      {"ld.global.v4.u32 {%r1, %r2}, [%d];", "4 registers, not 2"},
      {"ld.global.v8.b64 %r1, [%d];", "8 registers, not 1"},
      {"mov.b64 {%r1, %r2, %r3}, %d;", "of equal size"},
      {"setp.lt.and.s32 %p, %r1, %r2;", "a predicate goes with and, or, xor"},
      {"redux.sync.min.f32 %r1, %r2, -1;", "it needs sm_100, this is code for sm_90"},
      {"setmaxnreg.inc.sync.aligned.u32 100;", "a multiple of 8"},
  };
  for (const auto& test : kCases) EXPECT_THAT(with(test.body), HasSubstr(test.message)) << test.body;
}

TEST(EmulatorLoading, RefusesVariablesThatCannotBe) {
  struct {
    const char* variables;
    const char* message;
  } kCases[] = {
      {".local .align 4 .b8 table[4] = {0, 5, 128, 63};", "ptx:4: table cannot have an initialiser"},
      {".shared .b32 s = 1;", "ptx:4: s cannot have an initialiser"},
      {".extern .shared .b32 s[] = {1};", "ptx:4: s cannot have an initialiser"},
      {".global .b32 g;\n.const .b32 g;", "ptx:5: g is declared twice"},
  };
  for (const auto& test : kCases)
    EXPECT_THAT(LoadError("sm_90a", PtxRunner().Text("", "ret;", std::string(test.variables) + "\n")),
                HasSubstr(test.message))
        << test.variables;
}

TEST(EmulatorLoading, TakesCodeOfTheDeviceAndOfOlderOnes) {
  const auto text = [](const char* target) {
    return fmt::format(".version 8.7\n.target {}\n.address_size 64\n.entry k() {{ ret; }}", target);
  };
  EXPECT_EQ(LoadError("sm_90a", text("sm_90a")), "");
  EXPECT_EQ(LoadError("sm_90a", text("sm_80")), "");
  EXPECT_THAT(LoadError("sm_80", text("sm_90")), HasSubstr("does not run on sm_80"));
  EXPECT_THAT(LoadError("sm_90", text("sm_90a")), HasSubstr("does not run on sm_90"));
  EXPECT_THAT(LoadError("sm_100", text("sm_90a")), HasSubstr("does not run on sm_100"));
}

TEST(EmulatorLaunches, AreHeldToTheLimitsOfTheArchitecture) {
  struct {
    const char* target;
    const char* directives;
    Dim3 grid, block, cluster;
    std::uint32_t shared_bytes;
    const char* message;  ///< Empty: it runs.
  } kCases[] = {
      {"sm_80", "", {1, 1, 1}, {1024, 1, 1}, {1, 1, 1}, 166912, ""},
      {"sm_80",
       "",
       {1, 1, 1},
       {32, 1, 1},
       {1, 1, 1},
       166913,
       "166913 bytes of shared memory and 0 static ones, emulator:sm_80 has 166912"},
      {"sm_75", "", {1, 1, 1}, {32, 1, 1}, {1, 1, 1}, 65537, "emulator:sm_75 has 65536"},
      {"sm_90a", "", {1, 1, 1}, {32, 1, 1}, {1, 1, 1}, 232448, ""},
      {"sm_80", "", {1, 1, 1}, {1024, 2, 1}, {1, 1, 1}, 0, "2048 threads: emulator:sm_80 takes 1024"},
      {"sm_80", "", {1, 1, 1}, {1, 1, 65}, {1, 1, 1}, 0, "block (1, 1, 65) must be from 1 to (1024, 1024, 64)"},
      {"sm_80", "", {0, 1, 1}, {1, 1, 1}, {1, 1, 1}, 0, "grid (0, 1, 1) must be from 1 to"},
      {"sm_80", "", {1, 65536, 1}, {1, 1, 1}, {1, 1, 1}, 0, "grid (1, 65536, 1) must be from 1 to"},
      {"sm_80", "", {2, 1, 1}, {1, 1, 1}, {2, 1, 1}, 0, "emulator:sm_80 takes 1 to 1"},
      {"sm_90a", "", {2, 1, 1}, {1, 1, 1}, {2, 1, 1}, 0, ""},
      {"sm_90a", "", {3, 1, 1}, {1, 1, 1}, {2, 1, 1}, 0, "grid (3, 1, 1) is not a multiple of cluster (2, 1, 1)"},
      {"sm_90a", "", {16, 1, 1}, {1, 1, 1}, {16, 1, 1}, 0, "takes 1 to 8"},
      {"sm_80", ".maxntid 64", {1, 1, 1}, {65, 1, 1}, {1, 1, 1}, 0, "its launch bound (.maxntid) is 64"},
      {"sm_80", ".reqntid 64", {1, 1, 1}, {32, 1, 1}, {1, 1, 1}, 0, "it must have the shape (64, 1, 1)"},
      {"sm_90a", ".reqnctapercluster 2", {4, 1, 1}, {1, 1, 1}, {4, 1, 1}, 0, "made for (2, 1, 1)"},
  };
  for (const auto& test : kCases) {
    PtxRunner runner(test.target);
    const auto kernel = runner.Load(runner.Header() + ".entry k() " + test.directives + " { ret; }");
    std::string message;
    try {
      kernel->Launch(test.grid, test.block, test.cluster, test.shared_bytes, {}, {});
    } catch (const Error& error) {
      message = error.what();
      EXPECT_EQ(error.code(), Code::kInvalidArgument);
    }
    if (*test.message == '\0')
      EXPECT_EQ(message, "");
    else
      EXPECT_THAT(message, HasSubstr(test.message));
  }
}

TEST(EmulatorLaunches, NeedTheRegistersOfAllThreads) {
  PtxRunner runner("sm_80");
  Artifact artifact;
  artifact.parts["ptx"] = runner.Text("", "ret;");
  artifact.kernel_name = artifact.lowered_name = "k";
  artifact.resources.registers = 128;
  const auto kernel = runner.device().Load(artifact);
  kernel->Launch({}, {512, 1, 1}, {}, 0, {}, {});
  try {
    kernel->Launch({}, {544, 1, 1}, {}, 0, {}, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("of 128 registers each, and emulator:sm_80 has 65536"));
  }
}

TEST(EmulatorLaunches, TakeAsManyArgumentsAsTheKernelHas) {
  PtxRunner runner;
  const auto kernel = runner.Load(runner.Text(".param .u64 p, .param .u32 n", "ret;"));
  std::uint64_t value = 0;
  void* args[] = {&value, nullptr};
  EXPECT_THROW(kernel->Launch({}, {}, {}, 0, {args, 1}, {}), Error);
  EXPECT_THROW(kernel->Launch({}, {}, {}, 0, args, {}), Error);
}

constexpr const char* kFactorial =
    ".func (.param .b32 r) factorial (.param .b32 n)\n{ .reg .b32 %r<4>; .reg .pred %p; ld.param.u32 %r1, [n];\n"
    "setp.gt.u32 %p, %r1, 1; @%p bra MORE; st.param.b32 [r], 1; ret;\n"
    "MORE: sub.u32 %r2, %r1, 1; { .param .b32 a; .param .b32 b; st.param.b32 [a], %r2; call (b), factorial, (a);\n"
    "ld.param.b32 %r3, [b]; } mul.lo.u32 %r3, %r3, %r1; st.param.b32 [r], %r3; ret; }\n"
    ".func (.param .b32 r) twice (.param .b32 n)\n{ .reg .b32 %r<4>; ld.param.u32 %r1, [n]; shl.b32 %r1, %r1, 1;\n"
    "st.param.b32 [r], %r1; ret; }\n";

TEST(EmulatorCalls, RecurseToADepthPerLaneAndGoThroughPointers) {
  Words words(32);
  for (std::uint32_t l = 0; l < 32; ++l) words[l] = l % 9;
  const Words out = PtxRunner().Run(
      ".reg .b32 %r<4>; .reg .b64 %rd<4>; .reg .pred %p; mov.u32 %r1, %tid.x; mul.wide.u32 %rd1, %r1, 4;\n"
      "add.u64 %rd1, %rd1, %out; ld.global.u32 %r2, [%rd1]; mov.u64 %rd2, factorial; and.b32 %r3, %r1, 1;\n"
      "setp.eq.u32 %p, %r3, 0; @%p mov.u64 %rd2, twice; { .param .b32 a; .param .b32 b; st.param.b32 [a], %r2;\n"
      "proto: .callprototype (.param .b32 _) _ (.param .b32 _); call (b), %rd2, (a), proto; ld.param.b32 %r2, [b]; }\n"
      "activemask.b32 %r3; setp.ne.u32 %p, %r3, -1; @%p mov.u32 %r2, 0; st.global.u32 [%rd1], %r2; ret;",
      words, {}, kFactorial);
  for (std::uint32_t l = 0; l < 32; ++l) {
    std::uint32_t expected = 2 * words[l];
    if (l % 2 == 1) {
      expected = 1;
      for (std::uint32_t k = 2; k <= words[l]; ++k) expected *= k;
    }
    EXPECT_EQ(out[l], expected) << l;
  }
  EXPECT_THAT(PtxRunner().ErrorOf(".reg .b64 %rd; mov.u64 %rd, 12; call %rd; ret;", 1),
              HasSubstr("which is no function"));
}

TEST(EmulatorCalls, EndlessRecursionIsAnError) {
  const std::string endless = ".func f () { .local .b8 l[512]; call f; ret; }\n";
  EXPECT_THAT(PtxRunner().ErrorOf("call f; ret;", 1, {}, endless), HasSubstr("the stack of a thread would pass"));
}

KernelSource UserSource(const std::string& text, const std::string& target) {
  KernelSource source;
  source.name = source.entry = "user";
  source.target = ParseTarget(target);
  source.text = text;
  source.options.line_info = true;
  return source;
}

/// Null where there is no compiler.
std::shared_ptr<const Kernel> CompileUser(Engine& engine, const std::string& text, const std::string& target) {
  try {
    return engine.Compile(UserSource(text, target), ParseDeviceId("emulator:" + target));
  } catch (const Error& error) {
    if (error.code() == Code::kNotFound) return nullptr;
    throw;
  }
}

Engine& MemoryEngine() {
  static Engine* const engine = [] {
    EngineOptions options;
    options.enable_disk = false;
    return new Engine(options);
  }();
  return *engine;
}

TEST(EmulatorUserKernels, RunsCudaSourceWithCallsTablesAndPrinting) {
  const char* const text = R"(
extern "C" __device__ int printf(const char*, ...);
struct Pair { int a; float b; double c; };
__constant__ float table[4] = {1, 2, 3, 4};
__device__ int counter;
__device__ __noinline__ float Sum(Pair p, int n) {
  if (n <= 0) return p.b;
  p.a += n; p.c *= 2;
  return Sum(p, n - 1) + static_cast<float>(p.c);
}
extern "C" __global__ void user(float* out, Pair p) {
  extern __shared__ float dynamic[];
  const int i = threadIdx.x;
  int local[8];
  for (int j = 0; j < 8; ++j) local[(j * 3 + i) & 7] = j;
  float v = Sum(p, i & 3) + local[i & 7] + table[i & 3];
  switch (i & 7) {
    case 0: v += 1; break;
    case 1: v *= 3; break;
    case 2: v -= 7; break;
    case 3: v = 8 / v; break;
    case 4: v = sqrtf(v); break;
    case 5: v = -v; break;
    default: v = v * v;
  }
  dynamic[i] = v;
  __syncthreads();
  if (atomicAdd(&counter, 1) == 0) printf("first of %d: %5.1f %s %lld%%\n", 64, p.b, "text", 1ll << 40);
  out[i] = dynamic[i ^ 1] + __shfl_xor_sync(~0u, v, 2);
})";
  for (const char* target : {"sm_75", "sm_80", "sm_90a"}) {
    const auto kernel = CompileUser(MemoryEngine(), text, target);
    if (kernel == nullptr) GTEST_SKIP() << "there is no CUDA compiler";
    Device& device = MemoryEngine().devices().Get(ParseDeviceId(std::string("emulator:") + target));
    const Buffer buffer = device.Allocate(64 * 4);
    void* out = buffer.data();
    struct {
      int a;
      float b;
      double c;
    } pair = {1, 2.5f, 0.75};
    void* args[] = {&out, &pair};
    testing::internal::CaptureStdout();
    kernel->Launch({}, {64, 1, 1}, {}, 256, args, {});
    std::fflush(stdout);
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "first of 64:   2.5 text 1099511627776%\n");
    float values[64];
    for (int i = 0; i < 64; ++i) {
      int local[8];
      for (int j = 0; j < 8; ++j) local[(j * 3 + i) & 7] = j;
      float sum = 2.5f;
      for (int n = i & 3; n >= 1; --n) sum += static_cast<float>(0.75 * (1 << ((i & 3) - n + 1)));
      const float v = sum + static_cast<float>(local[i & 7]) + static_cast<float>((i & 3) + 1);
      const float ways[8] = {v + 1, v * 3, v - 7, 8 / v, std::sqrt(v), -v, v * v, v * v};
      values[i] = ways[i & 7];
    }
    for (int i = 0; i < 64; ++i)
      EXPECT_FLOAT_EQ(static_cast<const float*>(out)[i], values[i ^ 1] + values[i ^ 2]) << target << " thread " << i;
  }
}

TEST(EmulatorUserKernels, FaultsNameTheSourceLine) {
  const auto kernel = CompileUser(
      MemoryEngine(), "extern \"C\" __global__ void user(float* out) {\n  out[threadIdx.x] =\n      1;\n}", "sm_80");
  if (kernel == nullptr) GTEST_SKIP() << "there is no CUDA compiler";
  Device& device = MemoryEngine().devices().Get(ParseDeviceId("emulator:sm_80"));
  const Buffer buffer = device.Allocate(40 * 4);
  void* out = buffer.data();
  void* args[] = {&out};
  try {
    kernel->Launch({}, {64, 1, 1}, {}, 0, args, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kDevice);
    EXPECT_THAT(error.what(),
                HasSubstr("gemmsmith.cu:2), CTA (0, 0, 0), warp 1, lane 8: writes 4 bytes of global memory at"));
  }
}

}  // namespace
}  // namespace gemmsmith::emulator
