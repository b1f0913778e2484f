// The SIMT kernels on the emulated devices, as they ship, against float64.
#include <gtest/gtest.h>

#include <random>

#include "gemmsmith/gemmsmith.h"

namespace gemmsmith {
namespace {

struct Types {
  DType ab, d;
};
constexpr Types kTypes[] = {{DType::kF32, DType::kF32},
                            {DType::kF64, DType::kF64},
                            {DType::kF16, DType::kF16},
                            {DType::kBf16, DType::kBf16},
                            {DType::kBf16, DType::kF32}};

/// A matrix in host memory, and a copy of it on the device.
struct Operand {
  Operand(Device& device, DType dtype, std::int64_t rows, std::int64_t columns, bool transposed)
      : bytes(static_cast<std::size_t>(rows * columns) * SizeOf(dtype)), buffer(device.Allocate(bytes.size())) {
    const std::int64_t outer = transposed ? columns : rows, inner = transposed ? rows : columns;
    host = Tensor(bytes.data(), dtype, {outer, inner});
    there = Tensor(buffer.data(), dtype, {outer, inner}, device.id());
    if (transposed) host = host.Transposed(), there = there.Transposed();
  }
  Tensor Flat() { return Tensor(bytes.data(), host.dtype, {host.size()}); }

  std::vector<std::byte> bytes;
  Buffer buffer;
  Tensor host, there;
};

struct Case {
  std::int64_t m, n, k;
  Types types;
  std::string layout;
  double alpha = 1, beta = 0;
};

void CheckCase(Engine& engine, Device& device, const Case& c, std::uint64_t seed) {
  SCOPED_TRACE(testing::Message() << c.m << "x" << c.n << "x" << c.k << " " << ToString(c.types.ab) << "->"
                                  << ToString(c.types.d) << " " << c.layout << " beta " << c.beta << " on "
                                  << ToString(device.id()) << " seed " << seed);
  Operand a(device, c.types.ab, c.m, c.k, c.layout[0] == 't'), b(device, c.types.ab, c.k, c.n, c.layout[1] == 't'),
      d(device, c.types.d, c.m, c.n, false), old(device, c.types.d, c.m, c.n, false);
  FillRandom(a.Flat(), seed);
  FillRandom(b.Flat(), seed + 1);
  FillRandom(old.Flat(), seed + 2);
  Poison(d.Flat());
  for (Operand* operand : {&a, &b, &d, &old})
    device.Copy(operand->buffer.data(), operand->bytes.data(), operand->bytes.size());
  GemmArgs args;
  args.a = a.there, args.b = b.there, args.d = d.there;
  if (c.beta != 0) args.c = old.there;
  args.alpha = c.alpha, args.beta = c.beta;
  const GemmProblem problem = Describe(args, c.types.ab == DType::kF64 ? DType::kF64 : DType::kF32);
  engine.Gemm(problem, args);
  device.Copy(d.bytes.data(), d.buffer.data(), d.bytes.size());
  args.a = a.host, args.b = b.host, args.d = d.host;
  if (c.beta != 0) args.c = old.host;
  const VerifyReport report = Verify(problem, args, old.host, seed);
  EXPECT_TRUE(report.ok) << "error " << report.max_error << " of at most " << report.tolerance;
  EXPECT_GT(report.checked, 0);
}

TEST(EmulatorGemm, SimtKernelsAgreeWithFloat64) {
  EngineOptions options;
  options.enable_disk = false;
  Engine engine(options);
  std::mt19937_64 random(20);
  constexpr std::int64_t kExtents[] = {1, 7, 16, 33, 64, 65, 100, 128};
  const char* const kLayouts[] = {"nn", "nt", "tn", "tt"};
  const char* const kDevices[] = {"emulator:sm_80", "emulator:sm_75", "emulator:sm_90a"};
  int done = 0;
  for (const Types& types : kTypes)
    for (int k = 0; k < 6; ++k, ++done) {
      const auto extent = [&] { return kExtents[random() % std::size(kExtents)]; };
      Case c{extent(), extent(), extent(), types, kLayouts[done % 4]};
      if (k % 3 == 2) c.alpha = 1.5, c.beta = 0.5;
      try {
        CheckCase(engine, engine.devices().Get(ParseDeviceId(kDevices[done % 3])), c, random());
      } catch (const Error& error) {
        if (error.code() != Code::kNotFound) throw;
        GTEST_SKIP() << error.what();
      }
    }
}

}  // namespace
}  // namespace gemmsmith
