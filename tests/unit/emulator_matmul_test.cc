#include "runtime/emulator/numeric/matmul.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "runtime/emulator/numeric/conversions.h"

namespace gemmsmith::emulator {
namespace {

constexpr TileShape kShapes[] = {{64, 128, 16}, {64, 8, 16}, {64, 24, 16}, {64, 256, 8}, {16, 8, 16},
                                 {16, 8, 4},    {8, 8, 4},   {16, 16, 16}, {32, 8, 16},  {8, 32, 16}};

std::vector<float> Random(int count, unsigned seed, TensorType type = TensorType::kBf16) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) {
    value = normal(random);
    if (type == TensorType::kBf16) value = Bf16ToF32(F32ToBf16(value));
    if (type == TensorType::kE4m3) value = E4m3ToF32(F32ToE4m3(value * 4));
    if (type == TensorType::kS8) value = std::round(std::fmin(std::fmax(value * 60, -128.0f), 127.0f));
  }
  return values;
}

class EachProcessor : public ::testing::TestWithParam<const MatmulKernels*> {
 protected:
  const MatmulKernels& kernels_ = *GetParam();
};
INSTANTIATE_TEST_SUITE_P(All, EachProcessor, ::testing::ValuesIn(AllMatmulKernels().begin(), AllMatmulKernels().end()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(EachProcessor, SumsInAscendingOrderInF32) {
  for (const TileShape& shape : kShapes) {
    const auto a = Random(shape.m * shape.k, 1), b = Random(shape.k * shape.n, 2);
    auto d = Random(shape.m * shape.n, 3);
    auto expected = d;
    for (int row = 0; row < shape.m; ++row)
      for (int column = 0; column < shape.n; ++column)
        for (int i = 0; i < shape.k; ++i) {
          float& sum = expected[row * shape.n + column];
          sum = std::fma(a[row * shape.k + i], b[i * shape.n + column], sum);
        }
    kernels_.multiply_add(shape, a.data(), b.data(), d.data());
    ASSERT_EQ(d, expected) << shape.m << "x" << shape.n << "x" << shape.k;
  }
}

TEST_P(EachProcessor, F64IsFused) {
  for (const TileShape& shape : {TileShape{8, 8, 4}, TileShape{16, 8, 16}}) {
    std::mt19937_64 random(5);
    std::normal_distribution<double> normal;
    std::vector<double> a(shape.m * shape.k), b(shape.k * shape.n), d(shape.m * shape.n);
    for (auto* values : {&a, &b, &d})
      for (double& value : *values) value = normal(random);
    auto expected = d;
    for (int row = 0; row < shape.m; ++row)
      for (int column = 0; column < shape.n; ++column)
        for (int i = 0; i < shape.k; ++i) {
          double& sum = expected[row * shape.n + column];
          sum = std::fma(a[row * shape.k + i], b[i * shape.n + column], sum);
        }
    kernels_.multiply_add_f64(shape, a.data(), b.data(), d.data());
    ASSERT_EQ(d, expected);
  }
}

/// One element of D, with the arithmetic of integers.
float ReducedReference(const float* a, const float* b, int stride, int k, float c, float lowest) {
  const auto exponent = [&](float x) { return std::max(std::ilogb(x), std::ilogb(lowest)); };
  int largest = c == 0 ? -112 : std::max(std::ilogb(c), -112);
  for (int i = 0; i < k; ++i)
    if (a[i] != 0 && b[i * stride] != 0) largest = std::max(largest, exponent(a[i]) + exponent(b[i * stride]));
  std::int64_t sum = static_cast<std::int64_t>(std::ldexp(static_cast<double>(c), 13 - largest));
  for (int i = 0; i < k; ++i)
    sum += static_cast<std::int64_t>(std::ldexp(static_cast<double>(a[i]) * b[i * stride], 13 - largest));
  const auto value = static_cast<float>(std::ldexp(static_cast<double>(sum), largest - 13));
  return F32FromBits(F32Bits(value) & ~0x3ffu);
}

TEST_P(EachProcessor, Fp8AlignsAndCutsOff) {
  for (const TileShape& shape : {TileShape{64, 128, 32}, TileShape{64, 8, 32}, TileShape{16, 24, 32}}) {
    const auto a = Random(shape.m * shape.k, 1, TensorType::kE4m3), b = Random(shape.k * shape.n, 2, TensorType::kE4m3);
    auto d = Random(shape.m * shape.n, 3);
    for (std::size_t i = 0; i < d.size(); i += 3) d[i] *= 4096;
    const auto before = d;
    kernels_.multiply_add_reduced(shape, a.data(), 0x1p-6f, b.data(), 0x1p-6f, d.data());
    for (int row = 0; row < shape.m; ++row)
      for (int column = 0; column < shape.n; ++column) {
        const int at = row * shape.n + column;
        ASSERT_EQ(d[at], ReducedReference(&a[row * shape.k], &b[column], shape.n, shape.k, before[at], 0x1p-6f))
            << row << ", " << column;
      }
  }
}

TEST_P(EachProcessor, Fp8KeepsInfinitiesAndNan) {
  const TileShape shape{8, 8, 32};
  std::vector<float> a(8 * 32, 1), b(32 * 8, 1), d(64, 0);
  const float inf = std::numeric_limits<float>::infinity();
  a[0] = inf;
  a[32] = std::numeric_limits<float>::quiet_NaN();
  d[2 * 8] = -inf;
  kernels_.multiply_add_reduced(shape, a.data(), 0x1p-14f, b.data(), 0x1p-14f, d.data());
  EXPECT_EQ(d[0], inf);
  EXPECT_TRUE(std::isnan(d[8]));
  EXPECT_EQ(d[16], -inf);
  EXPECT_EQ(d[17], 32);
}

/// What makes promotion necessary: alone, the accumulator stops growing where a product is less than its last bit.
TEST_P(EachProcessor, LongFp8SumsFailWithoutPromotion) {
  const TileShape shape{64, 8, 32};
  const std::vector<float> a(64 * 32, 1.125f), b(32 * 8, 1.125f);
  std::vector<float> alone(64 * 8), part(64 * 8);
  double promoted = 0;
  const int steps = 512;
  for (int step = 0; step < steps; ++step) {
    kernels_.multiply_add_reduced(shape, a.data(), 0x1p-6f, b.data(), 0x1p-6f, alone.data());
    kernels_.multiply_add_reduced(shape, a.data(), 0x1p-6f, b.data(), 0x1p-6f, part.data());
    if (step % 4 == 3) {
      promoted += part[0];
      part.assign(part.size(), 0);
    }
  }
  const double exact = steps * 32 * 1.125 * 1.125;
  EXPECT_LT(std::fabs(promoted - exact), exact * 1e-3);
  EXPECT_GT(std::fabs(alone[0] - exact), exact * 1e-2);
}

TEST_P(EachProcessor, IntegersWrapOrSaturate) {
  const TileShape shape{16, 8, 32};
  const auto a = Random(16 * 32, 1, TensorType::kS8), b = Random(32 * 8, 2, TensorType::kS8);
  std::vector<std::int32_t> d(16 * 8, INT32_MAX - 100), wrapped = d;
  d[0] = wrapped[0] = 7;
  kernels_.multiply_add_s32(shape, a.data(), b.data(), d.data(), true);
  kernels_.multiply_add_s32(shape, a.data(), b.data(), wrapped.data(), false);
  int saturated = 0;
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      std::int64_t sum = row + column == 0 ? 7 : INT32_MAX - 100;
      for (int i = 0; i < 32; ++i)
        sum += static_cast<std::int64_t>(a[row * 32 + i]) * static_cast<int>(b[i * 8 + column]);
      saturated += sum > INT32_MAX;
      EXPECT_EQ(d[row * 8 + column], std::min<std::int64_t>(sum, INT32_MAX));
      EXPECT_EQ(wrapped[row * 8 + column], static_cast<std::int32_t>(static_cast<std::uint32_t>(sum)));
    }
  EXPECT_GT(saturated, 10);
}

TEST_P(EachProcessor, WidensEveryElementAsTheConversionsDo) {
  std::vector<std::uint16_t> halves(0x10000);
  std::vector<std::uint8_t> bytes(256);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  std::vector<float> values(0x10000);
  const auto check = [&](TensorType type, const void* from, std::size_t count, auto expected) {
    kernels_.widen(type, from, count, values.data());
    for (std::size_t i = 0; i < count; ++i) {
      const float want = expected(i);
      ASSERT_TRUE(std::isnan(want) ? std::isnan(values[i]) : F32Bits(values[i]) == F32Bits(want))
          << static_cast<int>(type) << " " << i << ": " << values[i] << " for " << want;
    }
  };
  check(TensorType::kF16, halves.data(), halves.size(), [&](std::size_t i) { return F16ToF32(halves[i]); });
  check(TensorType::kBf16, halves.data(), halves.size(), [&](std::size_t i) { return Bf16ToF32(halves[i]); });
  check(TensorType::kE4m3, bytes.data(), 256, [&](std::size_t i) { return E4m3ToF32(bytes[i]); });
  check(TensorType::kE5m2, bytes.data(), 256, [&](std::size_t i) { return E5m2ToF32(bytes[i]); });
  check(TensorType::kS8, bytes.data(), 256,
        [&](std::size_t i) { return static_cast<float>(static_cast<std::int8_t>(i)); });
  check(TensorType::kU8, bytes.data(), 256, [&](std::size_t i) { return static_cast<float>(i); });
  const auto nibble = [&](std::size_t i) { return (bytes[i / 2] >> (i % 2 * 4)) & 15; };
  check(TensorType::kU4, bytes.data(), 512, [&](std::size_t i) { return static_cast<float>(nibble(i)); });
  check(TensorType::kS4, bytes.data(), 512,
        [&](std::size_t i) { return static_cast<float>(nibble(i) < 8 ? nibble(i) : nibble(i) - 16); });
  const auto singles = Random(64, 9, TensorType::kTf32);
  check(TensorType::kTf32, singles.data(), 64, [&](std::size_t i) { return TruncateToTf32(singles[i]); });
}

TEST_P(EachProcessor, Transposes) {
  for (const auto& [rows, columns] : {std::pair{128, 16}, {8, 32}, {4, 8}, {256, 8}}) {
    const auto from = Random(rows * columns, 4);
    std::vector<float> to(from.size());
    kernels_.transpose(rows, columns, from.data(), to.data());
    for (int row = 0; row < rows; ++row)
      for (int column = 0; column < columns; ++column) ASSERT_EQ(to[column * rows + row], from[row * columns + column]);
  }
}

TEST(EmulatorMatmul, BitsAreCounted) {
  const TileShape shape{8, 8, 128};
  std::mt19937 random(1);
  std::vector<std::uint32_t> a(8 * 4), b(8 * 4);
  for (auto* words : {&a, &b})
    for (auto& word : *words) word = random();
  std::vector<std::int32_t> both(64, 5), differing(64, 5);
  MultiplyAddBits(shape, BitOperation::kAnd, a.data(), b.data(), both.data());
  MultiplyAddBits(shape, BitOperation::kXor, a.data(), b.data(), differing.data());
  int and_count = 5, xor_count = 5;
  for (int bit = 0; bit < 128; ++bit) {
    const bool x = a[4 * 3 + bit / 32] >> (bit % 32) & 1, y = b[4 * 6 + bit / 32] >> (bit % 32) & 1;
    and_count += x && y;
    xor_count += x != y;
  }
  EXPECT_EQ(both[3 * 8 + 6], and_count);
  EXPECT_EQ(differing[3 * 8 + 6], xor_count);
}

/// Shown, not judged: timings never decide a test.
TEST_P(EachProcessor, PrintsItsTimes) {
  const auto time = [&](const char* what, const auto& run) {
    double best = 1e9;
    for (int i = 0; i < 5; ++i) {
      const auto start = std::chrono::steady_clock::now();
      for (int repeat = 0; repeat < 20; ++repeat) run();
      best = std::min(best,
                      std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / 20);
    }
    RecordProperty(what, std::to_string(best));
    std::printf("  %s: %s %.3f us\n", kernels_.name, what, best);
  };
  const auto a = Random(64 * 32, 1, TensorType::kE4m3), b = Random(32 * 256, 2, TensorType::kE4m3);
  std::vector<float> d(64 * 256), scratch(64 * 256);
  std::vector<std::int32_t> integers(64 * 256);
  time("m64n128k16", [&] { kernels_.multiply_add({64, 128, 16}, a.data(), b.data(), d.data()); });
  time("m16n8k16", [&] { kernels_.multiply_add({16, 8, 16}, a.data(), b.data(), d.data()); });
  time("m64n128k32_fp8", [&] {
    kernels_.multiply_add_reduced({64, 128, 32}, a.data(), 0x1p-6f, b.data(), 0x1p-6f, d.data());
  });
  time("m64n128k32_s8", [&] { kernels_.multiply_add_s32({64, 128, 32}, a.data(), b.data(), integers.data(), false); });
  time("widen_bf16_2048", [&] { kernels_.widen(TensorType::kBf16, b.data(), 2048, scratch.data()); });
  time("transpose_128x16", [&] { kernels_.transpose(128, 16, b.data(), scratch.data()); });
}

}  // namespace
}  // namespace gemmsmith::emulator
