#include "gemmsmith/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

std::uint32_t Bits(DType dtype, double value) {
  std::uint32_t bits = 0;
  Encode(dtype, &bits, 0, value);
  return bits;
}

TEST(DType, NamesRoundTrip) {
  for (const DTypeInfo& info : AllDTypes()) {
    EXPECT_EQ(ParseDType(info.name), info.dtype);
    EXPECT_EQ(SizeOf(info.dtype) * 8, static_cast<std::size_t>(info.bits)) << info.name;
  }
}

TEST(DType, AnUnknownNameListsWhatThereIs) {
  try {
    ParseDType("f23");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("bf16"), std::string::npos);
  }
}

TEST(DType, EveryBitPatternOfSmallTypesRoundTrips) {
  for (const DType dtype : {DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2, DType::kS8, DType::kU8}) {
    for (std::uint32_t bits = 0; bits < (1u << Info(dtype).bits); ++bits) {
      const double value = Decode(dtype, &bits, 0);
      if (std::isnan(value)) continue;
      if (dtype == DType::kE5m2 && std::isinf(value)) continue;  // infinity saturates on the way back
      ASSERT_EQ(Bits(dtype, value), bits) << Info(dtype).name << " " << bits;
    }
  }
}

TEST(DType, EncodesTheNearestValueTiesToEven) {
  std::mt19937_64 random(7);
  for (const DType dtype : {DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2}) {
    const std::uint32_t largest = dtype == DType::kE4m3   ? 0x7e
                                  : dtype == DType::kE5m2 ? 0x7b
                                  : dtype == DType::kF16  ? 0x7bff
                                                          : 0x7f7f;
    for (int i = 0; i < 20000; ++i) {
      const std::uint32_t low = random() % largest, high = low + 1;
      const double x = Decode(dtype, &low, 0), y = Decode(dtype, &high, 0);
      const double middle = (x + y) / 2;  // exact: both have few bits
      ASSERT_EQ(Bits(dtype, std::nextafter(middle, 0)), low) << Info(dtype).name;
      ASSERT_EQ(Bits(dtype, std::nextafter(middle, kInf)), high) << Info(dtype).name;
      ASSERT_EQ(Bits(dtype, middle), low % 2 == 0 ? low : high) << Info(dtype).name;
    }
  }
}

TEST(DType, OverflowAndSpecialValuesAreTheTypes) {
  struct {
    DType dtype;
    double value;
    std::uint32_t bits;
  } const table[] = {
      {DType::kF16, 65504, 0x7bff},   {DType::kF16, 65519.99, 0x7bff},
      {DType::kF16, 65520, 0x7c00},   {DType::kF16, -1e9, 0xfc00},
      {DType::kF16, 0x1p-24, 1},      {DType::kF16, 0x1p-25, 0},
      {DType::kF16, -0.0, 0x8000},    {DType::kBf16, kInf, 0x7f80},
      {DType::kBf16, 3.4e38, 0x7f80}, {DType::kBf16, 1.0, 0x3f80},
      {DType::kE4m3, 448, 0x7e},      {DType::kE4m3, 1e6, 0x7e},
      {DType::kE4m3, kInf, 0x7f},     {DType::kE4m3, -1, 0xb8},
      {DType::kE5m2, 57344, 0x7b},    {DType::kE5m2, 1e6, 0x7b},
      {DType::kE5m2, kInf, 0x7c},     {DType::kS8, 200, 127},
      {DType::kS8, -200, 0x80},       {DType::kU8, -3, 0},
      {DType::kU8, 2.5, 2},           {DType::kS8, std::nan(""), 0},
      {DType::kE4m3, 1e300, 0x7e},    {DType::kF16, 1e300, 0x7c00},
  };
  for (const auto& row : table)
    EXPECT_EQ(Bits(row.dtype, row.value), row.bits) << Info(row.dtype).name << " " << row.value;
  for (const DType dtype : {DType::kF16, DType::kBf16, DType::kE4m3, DType::kE5m2, DType::kF32, DType::kF64}) {
    double storage = 0;
    Encode(dtype, &storage, 0, std::nan(""));
    EXPECT_TRUE(std::isnan(Decode(dtype, &storage, 0))) << Info(dtype).name;
  }
}

TEST(DType, IndexesElementsNotBytes) {
  float values[3] = {};
  Encode(DType::kF32, values, 2, 1.5);
  EXPECT_EQ(values[2], 1.5f);
  EXPECT_EQ(Decode(DType::kF32, values, 2), 1.5);
}

}  // namespace
}  // namespace gemmsmith
