#include "runtime/emulator/tensor_memory/matrix_descriptor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "gemmsmith/error.h"
#include "runtime/emulator/numeric/conversions.h"

namespace gemmsmith::emulator {
namespace {

using ::testing::HasSubstr;

std::uint64_t Bits(std::uint32_t start, std::uint32_t leading, std::uint32_t stride, std::uint64_t mode,
                   std::uint64_t base_offset = 0) {
  return (start >> 4) | std::uint64_t{leading >> 4} << 16 | std::uint64_t{stride >> 4} << 32 | base_offset << 49 |
         mode << 62;
}

TEST(EmulatorSwizzle, PiecesTradePlacesWithinTheirWidth) {
  EXPECT_EQ(Swizzled(Swizzle::kNone, 0x3f7), 0x3f7u);
  EXPECT_EQ(Swizzled(Swizzle::k128, 0x3f7), 0x387u);  // line 7: piece 7 to 0
  EXPECT_EQ(Swizzled(Swizzle::k128, 0x480), 0x490u);  // line 9 counts as 1
  EXPECT_EQ(Swizzled(Swizzle::k64, 0x1f0), 0x1c0u);   // line 3: piece 7 to 4
  EXPECT_EQ(Swizzled(Swizzle::k32, 0x0f0), 0x0e0u);
  EXPECT_EQ(Swizzled(Swizzle::k32, 0x100), 0x100u);
  EXPECT_EQ(Swizzled(Swizzle::k128, 0x480, 1), 0x480u);
  for (Swizzle swizzle : {Swizzle::k32, Swizzle::k64, Swizzle::k128}) {
    std::set<std::uint32_t> seen;
    for (std::uint32_t at = 0; at < 2048; ++at) {
      const std::uint32_t to = Swizzled(swizzle, at);
      EXPECT_EQ(to / SwizzleBytes(swizzle), at / SwizzleBytes(swizzle));
      EXPECT_EQ(Swizzled(swizzle, at + SwizzlePeriod(swizzle)), to + SwizzlePeriod(swizzle));
      seen.insert(to);
    }
    EXPECT_EQ(seen.size(), 2048u);
  }
}

/// A layout in plain words: where element (vector, depth) of 16 bits lies, written independently of the reader.
struct Layout {
  const char* name;
  std::uint64_t mode;
  Major major;
  std::uint32_t start, leading, stride, base_offset;
  std::uint32_t (*at)(int vector, int depth);
};
std::uint32_t Xor(std::uint32_t line, std::uint32_t piece, std::uint32_t in_piece, std::uint32_t mask) {
  return line * 128 + ((piece ^ (line & mask)) * 16) + in_piece;
}
const Layout kLayouts[] = {
    {"k_none", 0, Major::kK, 0x400, 128, 256, 0,
     [](int v, int d) -> std::uint32_t { return 0x400 + v / 8 * 256 + d / 8 * 128 + v % 8 * 16 + d % 8 * 2; }},
    {"k_none_far", 0, Major::kK, 0x410, 2048, 128, 0,
     [](int v, int d) -> std::uint32_t { return 0x410 + v / 8 * 128 + d / 8 * 2048 + v % 8 * 16 + d % 8 * 2; }},
    {"k_32", 3, Major::kK, 0x400, 16, 256, 0,
     [](int v, int d) { return Xor(8 + v / 4, v % 4 * 2 + d / 8, d % 8 * 2, 1); }},
    {"k_64", 2, Major::kK, 0x400, 16, 512, 0,
     [](int v, int d) { return Xor(8 + v / 2, v % 2 * 4 + d / 8, d % 8 * 2, 3); }},
    {"k_128", 1, Major::kK, 0x400, 16, 1024, 0, [](int v, int d) { return Xor(8 + v, d / 8, d % 8 * 2, 7); }},
    {"k_128_third_step", 1, Major::kK, 0x440, 16, 1024, 0,
     [](int v, int d) { return Xor(8 + v, 4 + d / 8, d % 8 * 2, 7); }},
    {"k_128_base_offset", 1, Major::kK, 0x480, 16, 1024, 1,
     [](int v, int d) { return 0x80 + Xor(8 + v, d / 8, d % 8 * 2, 7); }},
    {"mn_none", 0, Major::kMn, 0x400, 128, 256, 0,
     [](int v, int d) -> std::uint32_t { return 0x400 + v / 8 * 256 + d / 8 * 128 + d % 8 * 16 + v % 8 * 2; }},
    {"mn_32", 3, Major::kMn, 0x400, 512, 256, 0,
     [](int v, int d) { return Xor(8 + v / 16 * 4 + d / 4, d % 4 * 2 + v % 16 / 8, v % 8 * 2, 1); }},
    {"mn_64", 2, Major::kMn, 0x400, 1024, 512, 0,
     [](int v, int d) { return Xor(8 + v / 32 * 8 + d / 2, d % 2 * 4 + v % 32 / 8, v % 8 * 2, 3); }},
    {"mn_128", 1, Major::kMn, 0x400, 2048, 1024, 0,
     [](int v, int d) { return Xor(8 + v / 64 * 16 + d, v % 64 / 8, v % 8 * 2, 7); }},
};

TEST(EmulatorMatrixDescriptor, EveryLayoutIsReadFromWhereItLies) {
  for (const Layout& layout : kLayouts)
    for (int extent : {64, 128, 8}) {
      std::vector<std::byte> shared(128 * 1024);
      std::set<std::uint32_t> expected_pieces;
      for (int v = 0; v < extent; ++v)
        for (int d = 0; d < 16; ++d) {
          const std::uint16_t value =
              F32ToBf16(static_cast<float>(v % 16 * 16 + d) * (v < 16 ? 1.0f : 0.0078125f * (v / 16)));
          std::memcpy(shared.data() + layout.at(v, d), &value, 2);
          expected_pieces.insert(layout.at(v, d) & ~15u);
        }
      const auto descriptor =
          MatrixDescriptor::OfWgmma(Bits(layout.start, layout.leading, layout.stride, layout.mode, layout.base_offset));
      FactorReader reader;
      std::vector<float> a(extent * 16), b(extent * 16);
      reader.Read(shared, descriptor, FactorReader::Side::kA, layout.major, extent, 16, TensorType::kBf16, false,
                  a.data());
      reader.Read(shared, descriptor, FactorReader::Side::kB, layout.major, extent, 16, TensorType::kBf16, true,
                  b.data());
      for (int v = 0; v < extent; ++v)
        for (int d = 0; d < 16; ++d) {
          std::uint16_t value;
          std::memcpy(&value, shared.data() + layout.at(v, d), 2);
          ASSERT_EQ(a[v * 16 + d], Bf16ToF32(value)) << layout.name << " " << extent << ": " << v << ", " << d;
          ASSERT_EQ(b[d * extent + v], -Bf16ToF32(value)) << layout.name << " " << extent << ": " << v << ", " << d;
        }
      EXPECT_EQ(std::set<std::uint32_t>(reader.pieces().begin(), reader.pieces().end()), expected_pieces)
          << layout.name;
    }
}

TEST(EmulatorMatrixDescriptor, KMajorBytesAndTf32HaveTwoPiecesARow) {
  std::vector<std::byte> shared(64 * 1024);
  for (std::size_t i = 0; i < shared.size(); ++i) shared[i] = static_cast<std::byte>(i * 7 / 16 % 100);
  const auto descriptor = MatrixDescriptor::OfWgmma(Bits(0, 16, 1024, 1));
  FactorReader reader;
  std::vector<float> a(64 * 32);
  reader.Read(shared, descriptor, FactorReader::Side::kA, Major::kK, 64, 32, TensorType::kS8, false, a.data());
  for (int row = 0; row < 64; ++row)
    for (int d = 0; d < 32; ++d)
      ASSERT_EQ(a[row * 32 + d], static_cast<float>(shared[Xor(row, d / 16, d % 16, 7)])) << row << ", " << d;
  reader.Read(shared, descriptor, FactorReader::Side::kA, Major::kK, 64, 8, TensorType::kTf32, false, a.data());
  EXPECT_EQ(reader.pieces().size(), 128u);
}

TEST(EmulatorMatrixDescriptor, Tcgen05SaysTheSameInOtherBits) {
  const std::uint64_t common = Bits(0x400, 16, 1024, 0) | std::uint64_t{1} << 46;
  const auto descriptor = MatrixDescriptor::OfTcgen05(common | std::uint64_t{2} << 61);
  EXPECT_EQ(descriptor.swizzle, Swizzle::k128);
  EXPECT_EQ(descriptor.start, 0x400u);
  EXPECT_EQ(descriptor.stride, 1024u);
  EXPECT_EQ(MatrixDescriptor::OfTcgen05(common | std::uint64_t{4} << 61).swizzle, Swizzle::k64);
  EXPECT_EQ(MatrixDescriptor::OfTcgen05(common | std::uint64_t{6} << 61).swizzle, Swizzle::k32);
  EXPECT_EQ(MatrixDescriptor::OfTcgen05(common).swizzle, Swizzle::kNone);
}

template <class Function>
std::string ErrorOf(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(EmulatorInstructionDescriptor, SaysShapeAndTypes) {
  using Kind = InstructionDescriptor::Kind;
  // m128n128, bf16 by bf16 to f32, as CUTLASS makes it.
  const auto bf16 = InstructionDescriptor::Decode(Kind::kF16, 0x08200490);
  EXPECT_EQ(bf16.m, 128);
  EXPECT_EQ(bf16.n, 128);
  EXPECT_EQ(bf16.a, TensorType::kBf16);
  EXPECT_EQ(bf16.b, TensorType::kBf16);
  EXPECT_EQ(bf16.accumulator, InstructionDescriptor::Accumulator::kF32);
  EXPECT_EQ(bf16.a_major, Major::kK);
  EXPECT_FALSE(bf16.negate_a || bf16.negate_b || bf16.saturate);
  const auto fp8 = InstructionDescriptor::Decode(Kind::kF8f6f4, (0x08200490 & ~(1u << 7)) | 1u << 13 | 1u << 16);
  EXPECT_EQ(fp8.a, TensorType::kE4m3);
  EXPECT_EQ(fp8.b, TensorType::kE5m2);
  EXPECT_TRUE(fp8.negate_a);
  EXPECT_EQ(fp8.b_major, Major::kMn);
  const std::pair<const char*, std::uint32_t> wrong[] = {
      {"sparse", 0x08200494},      {"accumulator format 3", 0x082004b0}, {"accumulator format 2", 0x082004a0},
      {"reserved", 0x08a00490},    {"element format 2", 0x08200510},     {"shape m32n128", 0x02200490},
      {"shape m128n0", 0x08000490}};
  for (const auto& [message, bits] : wrong)
    EXPECT_THAT(ErrorOf([bits = bits] { InstructionDescriptor::Decode(Kind::kF16, bits); }), HasSubstr(message));
  EXPECT_THAT(ErrorOf([] { InstructionDescriptor::Decode(Kind::kF8f6f4, 0x08200410 | 5 << 7); }),
              HasSubstr("use e4m3"));
}

TEST(EmulatorMatrixDescriptor, MalformedOnesAreRefused) {
  const std::uint64_t good = Bits(0x400, 16, 1024, 1);
  for (int bit : {14, 30, 46, 48, 52, 61})
    EXPECT_THAT(ErrorOf([&] { MatrixDescriptor::OfWgmma(good | std::uint64_t{1} << bit); }), HasSubstr("bits set"))
        << bit;
  EXPECT_THAT(ErrorOf([&] { MatrixDescriptor::OfWgmma(Bits(0, 16, 16, 0, 1)); }), HasSubstr("base offset 1"));
  EXPECT_THAT(ErrorOf([&] { MatrixDescriptor::OfTcgen05(good); }), HasSubstr("reserved"));
  const std::uint64_t version = Bits(0x400, 16, 1024, 0) | std::uint64_t{1} << 46;
  EXPECT_THAT(ErrorOf([&] { MatrixDescriptor::OfTcgen05(version | std::uint64_t{1} << 61); }), HasSubstr("mode 1"));
  EXPECT_THAT(ErrorOf([&] { MatrixDescriptor::OfTcgen05(version | std::uint64_t{1} << 52); }), HasSubstr("absolute"));
  std::vector<std::byte> shared(8 * 1024);
  std::vector<float> tile(64 * 16);
  FactorReader reader;
  const auto read = [&] {
    reader.Read(shared, MatrixDescriptor::OfWgmma(good), FactorReader::Side::kA, Major::kK, 64, 16, TensorType::kF16,
                false, tile.data());
  };
  EXPECT_THAT(ErrorOf(read), HasSubstr("16 bytes at 0x2000 of 8192 bytes"));
}

}  // namespace
}  // namespace gemmsmith::emulator
