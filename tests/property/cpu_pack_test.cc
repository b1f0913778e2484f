// The vectorised packing of operands against the portable one, unit by unit, with guard pages behind source and panel.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>

#include "../support/cpu_gemm.h"
#include "runtime/cpu/pack.h"

namespace gemmsmith {
namespace {

using namespace testing_support;

struct Form {
  DType stored;
  CpuMath math;
  PackSide side;
};
constexpr Form kForms[] = {
    {DType::kF32, CpuMath::kF32, PackSide::kB},        {DType::kF64, CpuMath::kF64, PackSide::kA},
    {DType::kF16, CpuMath::kF32, PackSide::kB},        {DType::kBf16, CpuMath::kF32, PackSide::kA},
    {DType::kS8, CpuMath::kS16, PackSide::kB},         {DType::kU8, CpuMath::kS16, PackSide::kA},
    {DType::kBf16, CpuMath::kBf16, PackSide::kB},      {DType::kS8, CpuMath::kS8U8, PackSide::kA},
    {DType::kS8, CpuMath::kU8S8, PackSide::kAFlipped}, {DType::kU8, CpuMath::kS8U8, PackSide::kAFlipped},
    {DType::kS8, CpuMath::kU8S8, PackSide::kB},        {DType::kU8, CpuMath::kS8U8, PackSide::kB},
};

bool HasSums(const Form& form) { return form.side == PackSide::kB && Info(form.math).group == 4; }
std::int64_t PanelBytes(const Form& form, std::int64_t panel, std::int64_t k) {
  return (k + Info(form.math).group - 1) / Info(form.math).group * panel * Info(form.math).unit_bytes;
}

/// A NaN may lose its payload where it is converted.
bool SameUnits(const Form& form, const std::byte* x, const std::byte* y, std::int64_t bytes) {
  if (form.math != CpuMath::kF32) return std::memcmp(x, y, static_cast<std::size_t>(bytes)) == 0;
  for (std::int64_t i = 0; i < bytes; i += 4) {
    float a, b;
    std::memcpy(&a, x + i, 4);
    std::memcpy(&b, y + i, 4);
    if (std::memcmp(&a, &b, 4) != 0 && !(std::isnan(a) && std::isnan(b))) return false;
  }
  return true;
}

struct Shape {
  std::int64_t width, panel, k, gap;
  bool lines_along_k;
};
std::ostream& operator<<(std::ostream& out, const Shape& s) {
  return out << "width=" << s.width << " panel=" << s.panel << " k=" << s.k << " gap=" << s.gap
             << (s.lines_along_k ? " lines along k" : " lines along the width");
}

void Check(const Form& form, PackPanel pack, const Shape& s, std::mt19937_64& random) {
  const auto size = static_cast<std::int64_t>(SizeOf(form.stored));
  const std::int64_t line = (s.lines_along_k ? s.k : s.width) + s.gap, lines = s.lines_along_k ? s.width : s.k;
  const std::int64_t last = s.lines_along_k ? s.k : s.width;
  const GuardedMemory<std::byte> source(lines == 0 ? 0 : ((lines - 1) * line + last) * size);
  for (std::byte& byte : source) byte = static_cast<std::byte>(random());
  const std::int64_t width_stride = s.lines_along_k ? line : 1, k_stride = s.lines_along_k ? 1 : line;
  const std::int64_t bytes = PanelBytes(form, s.panel, s.k);
  constexpr std::int64_t kCanary = 64;
  const GuardedMemory<std::byte> expected(bytes), packed(kCanary + bytes);
  const GuardedMemory<std::int32_t> expected_sums(s.panel), sums(s.panel);
  std::fill(packed.begin(), packed.end(), std::byte{0xa5});
  for (const auto& [function, to, sums_to] :
       {std::tuple{FindPortablePackPanel(form.stored, form.math, form.side), expected.begin(), expected_sums.begin()},
        {pack, packed.begin() + kCanary, sums.begin()}}) {
    std::iota(sums_to, sums_to + s.panel, 1000);  // What they are added to.
    function(source.begin(), width_stride, k_stride, s.width, s.panel, s.k, to, HasSums(form) ? sums_to : nullptr);
  }
  EXPECT_TRUE(SameUnits(form, expected.begin(), packed.begin() + kCanary, bytes)) << s;
  EXPECT_TRUE(std::equal(sums.begin(), sums.end(), expected_sums.begin())) << s;
  EXPECT_EQ(std::count(packed.begin(), packed.begin() + kCanary, std::byte{0xa5}), kCanary) << s;
}

class CpuPack : public ::testing::TestWithParam<Form> {
 protected:
  /// What this CPU runs.
  static std::vector<PackPanel> Vectorised() {
    std::vector<PackPanel> packs;
    const auto& [stored, math, side] = GetParam();
    if (CpuRuns({Isa::kX86, 2, 0})) packs.push_back(FindAvx2PackPanel(stored, math, side));
    if (CpuRuns({Isa::kX86, 513, 0})) packs.push_back(FindAvx512PackPanel(stored, math, side));
    std::erase(packs, nullptr);
    return packs;
  }
};

TEST_P(CpuPack, EveryWidthDepthAndStrideIsThatOfThePortableOne) {
  if (Vectorised().empty()) GTEST_SKIP() << "no vectorised form on this CPU";
  const auto seed = std::random_device{}();
  std::mt19937_64 random(seed);
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  for (const PackPanel pack : Vectorised())
    for (const std::int64_t panel : {1, 2, 4, 6, 8, 12, 14, 16, 28, 32, 48, 64, 96, 128})
      for (const std::int64_t missing : {0, 1, 3, 7, 15})
        for (const std::int64_t k : {0, 1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 32, 33, 63, 64, 65, 67, 131})
          for (const bool lines_along_k : {false, true})
            if (missing < panel)
              Check(GetParam(), pack,
                    {panel - missing, panel, k, random() % 2 == 0 ? 0 : 1 + std::int64_t(random() % 9), lines_along_k},
                    random);
}

TEST(CpuPackForms, TheVectorisedOnesAreThereForEveryMathOfTheirInstructionSets) {
#if defined(__x86_64__)
  for (const Form& form : kForms)
    EXPECT_TRUE(FindAvx2PackPanel(form.stored, form.math, form.side) != nullptr ||
                FindAvx512PackPanel(form.stored, form.math, form.side) != nullptr)
        << ToString(form.stored) << " as " << Info(form.math).name;
#endif
}

TEST(CpuPackForms, AOfDotProductsIsCopiedAsItIs) {
  std::mt19937_64 random(std::random_device{}());
  for (const auto& [stored, math] : {std::pair{DType::kBf16, CpuMath::kBf16},
                                     {DType::kS8, CpuMath::kU8S8},
                                     {DType::kU8, CpuMath::kS8U8},
                                     {DType::kF32, CpuMath::kF32}})
    for (const bool row_major : {false, true}) {
      constexpr std::int64_t kRows = 5, kK = 37, kGap = 3;
      const auto size = static_cast<std::int64_t>(SizeOf(stored));
      const std::int64_t row = row_major ? kK + kGap : 1, column = row_major ? 1 : kRows + kGap;
      const GuardedMemory<std::byte> a(((kRows - 1) * row + (kK - 1) * column + 1) * size), copy(kRows * kK * size);
      for (std::byte& byte : a) byte = static_cast<std::byte>(random() & 0x7e);
      FindPackPanel(stored, math, PackSide::kAOfDots)(a.begin(), column, row, kK, kK, kRows, copy.begin(), nullptr);
      for (std::int64_t i = 0; i < kRows; ++i)
        for (std::int64_t p = 0; p < kK; ++p)
          EXPECT_EQ(Decode(stored, copy.begin(), i * kK + p), Decode(stored, a.begin(), i * row + p * column));
    }
}

std::string NameOf(const ::testing::TestParamInfo<Form>& info) {
  const char* const sides[] = {"a", "flipped", "dots", "b"};
  return std::string(ToString(info.param.stored)) + "_as_" + std::string(Info(info.param.math).name) + "_" +
         sides[static_cast<int>(info.param.side)];
}
INSTANTIATE_TEST_SUITE_P(Forms, CpuPack, ::testing::ValuesIn(kForms), NameOf);

}  // namespace
}  // namespace gemmsmith
