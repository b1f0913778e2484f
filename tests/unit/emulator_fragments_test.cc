#include "runtime/emulator/tensor_memory/fragments.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <numeric>

namespace gemmsmith::emulator {
namespace {

constexpr auto kA = MatrixRole::kA, kB = MatrixRole::kB, kC = MatrixRole::kAccumulator;

struct Shape {
  const char* name;
  int m, n, k, bits, accumulator_bits;
};
/// mma.sync of PTX ISA 9.0, dense.
constexpr Shape kMmaShapes[] = {
    {"m8n8k4_f64", 8, 8, 4, 64, 64},      {"m16n8k4_f64", 16, 8, 4, 64, 64},  {"m16n8k8_f64", 16, 8, 8, 64, 64},
    {"m16n8k16_f64", 16, 8, 16, 64, 64},  {"m16n8k8_f16", 16, 8, 8, 16, 16},  {"m16n8k16_f16", 16, 8, 16, 16, 16},
    {"m16n8k16_bf16", 16, 8, 16, 16, 32}, {"m16n8k4_tf32", 16, 8, 4, 32, 32}, {"m16n8k8_tf32", 16, 8, 8, 32, 32},
    {"m8n8k16_s8", 8, 8, 16, 8, 32},      {"m16n8k16_s8", 16, 8, 16, 8, 32},  {"m16n8k32_s8", 16, 8, 32, 8, 32},
    {"m16n8k32_e4m3", 16, 8, 32, 8, 16},  {"m8n8k32_s4", 8, 8, 32, 4, 32},    {"m16n8k32_s4", 16, 8, 32, 4, 32},
    {"m16n8k64_s4", 16, 8, 64, 4, 32},    {"m8n8k128_b1", 8, 8, 128, 1, 32},  {"m16n8k128_b1", 16, 8, 128, 1, 32},
    {"m16n8k256_b1", 16, 8, 256, 1, 32},  {"wgmma_k16", 16, 256, 16, 16, 32}, {"wgmma_n8", 16, 8, 32, 8, 16},
};

/// How often each element occurs.
std::map<int, int> Occurrences(const FragmentLayout& layout) {
  std::map<int, int> count;
  for (int lane = 0; lane < 32; ++lane)
    for (int e = 0; e < layout.elements(); ++e) {
      const Position at = layout.At(lane, e);
      EXPECT_TRUE(at.row >= 0 && at.row < layout.rows() && at.column >= 0 && at.column < layout.columns());
      ++count[at.row * layout.columns() + at.column];
    }
  return count;
}
void ExpectEachElement(const FragmentLayout& layout, int times, const char* what) {
  const auto count = Occurrences(layout);
  EXPECT_EQ(count.size(), layout.tile_elements()) << what;
  for (const auto& [element, n] : count) ASSERT_EQ(n, times) << what << " " << element;
}
/// Neighbours in a register are neighbours in the tile, and the way through the tile leads back.
template <class Word>
void ExpectGatherAndScatterAreInverse(const FragmentLayout& layout, const char* what) {
  std::vector<Word> values(layout.registers() * 32), back(values.size()), tile(values.size());
  std::iota(values.begin(), values.end(), Word{1});
  std::vector<const Word*> from;
  std::vector<Word*> to;
  for (int r = 0; r < layout.registers(); ++r) from.push_back(&values[r * 32]), to.push_back(&back[r * 32]);
  layout.Gather(from.data(), tile.data());
  const int per = layout.per_register();
  for (int r = 0; r < layout.registers(); ++r)
    for (int lane = 0; lane < 32; ++lane) {
      const Position at = layout.At(lane, r * per);
      const int by_rows = at.row * layout.columns() + at.column, by_columns = at.column * layout.rows() + at.row;
      const Word value = values[r * 32 + lane];
      ASSERT_TRUE(tile[by_rows / per] == value || tile[by_columns / per] == value) << what << r << " " << lane;
    }
  layout.Scatter(tile.data(), to.data());
  EXPECT_EQ(values, back) << what;
}

TEST(EmulatorFragments, OfMmaHoldEachElementOnce) {
  for (const Shape& shape : kMmaShapes) {
    const FragmentLayout layouts[] = {FragmentLayout::Mma(kA, shape.m, shape.k, shape.bits),
                                      FragmentLayout::Mma(kB, shape.k, shape.n, shape.bits),
                                      FragmentLayout::Mma(kC, shape.m, shape.n, shape.accumulator_bits)};
    for (const FragmentLayout& layout : layouts) {
      ExpectEachElement(layout, 1, shape.name);
      shape.bits == 64 ? ExpectGatherAndScatterAreInverse<std::uint64_t>(layout, shape.name)
                       : ExpectGatherAndScatterAreInverse<std::uint32_t>(layout, shape.name);
    }
  }
}

TEST(EmulatorFragments, OfMmaAreWhereThePtxIsaDrawsThem) {
  struct Row {
    FragmentLayout layout;
    int lane, element;
    Position at;
  };
  const Row rows[] = {
      {FragmentLayout::Mma(kA, 16, 16, 16), 5, 0, {1, 2}},     // m16n8k16: a0
      {FragmentLayout::Mma(kA, 16, 16, 16), 5, 2, {9, 2}},     // a2
      {FragmentLayout::Mma(kA, 16, 16, 16), 5, 5, {1, 11}},    // a5
      {FragmentLayout::Mma(kA, 16, 16, 16), 31, 7, {15, 15}},  // a7
      {FragmentLayout::Mma(kB, 16, 8, 16), 6, 1, {5, 1}},      // b1
      {FragmentLayout::Mma(kB, 16, 8, 16), 6, 2, {12, 1}},     // b2
      {FragmentLayout::Mma(kC, 16, 8, 32), 9, 1, {2, 3}},      // c1
      {FragmentLayout::Mma(kC, 16, 8, 32), 9, 2, {10, 2}},     // c2
      {FragmentLayout::Mma(kA, 16, 8, 32), 7, 1, {9, 3}},      // tf32 k8: a1
      {FragmentLayout::Mma(kA, 16, 8, 32), 7, 2, {1, 7}},      // a2
      {FragmentLayout::Mma(kB, 8, 8, 32), 7, 1, {7, 1}},       // b1
      {FragmentLayout::Mma(kA, 16, 32, 8), 4, 4, {9, 0}},      // s8 k32: a4
      {FragmentLayout::Mma(kA, 16, 32, 8), 5, 9, {1, 21}},     // a9
      {FragmentLayout::Mma(kB, 32, 8, 8), 5, 6, {22, 1}},      // b6
      {FragmentLayout::Mma(kA, 16, 64, 4), 1, 17, {0, 41}},    // s4 k64: a17
      {FragmentLayout::Mma(kA, 8, 4, 64), 13, 0, {3, 1}},      // f64 k4
      {FragmentLayout::Mma(kB, 4, 8, 64), 13, 0, {1, 3}},
      {FragmentLayout::Mma(kA, 16, 16, 64), 13, 5, {11, 9}},          // f64 k16: a5
      {FragmentLayout::Mma(kC, 16, 256, 32), 6, 4 * 3 + 3, {9, 29}},  // wgmma
  };
  for (const Row& row : rows)
    EXPECT_EQ(row.layout.At(row.lane, row.element), row.at)
        << &row - rows << ": " << row.layout.At(row.lane, row.element).row << ", "
        << row.layout.At(row.lane, row.element).column;
}

TEST(EmulatorFragments, OfWmmaHaveTheRegistersOfThePtxIsaAndEachElement) {
  struct Row {
    MatrixRole role;
    int rows, columns, bits;
    bool f16;
    int registers;
  };
  for (const Row& row : {Row{kA, 16, 16, 16, true, 8},  Row{kB, 16, 16, 16, true, 8}, Row{kA, 32, 16, 16, true, 8},
                         Row{kB, 16, 8, 16, true, 8},   Row{kA, 8, 16, 16, true, 8},  Row{kB, 16, 32, 16, true, 8},
                         Row{kC, 16, 16, 16, true, 4},  Row{kC, 32, 8, 32, false, 8}, Row{kC, 8, 32, 32, false, 8},
                         Row{kA, 16, 16, 16, false, 4}, Row{kA, 8, 16, 16, false, 2}, Row{kB, 16, 32, 16, false, 8},
                         Row{kA, 16, 8, 32, false, 4},  Row{kB, 8, 16, 32, false, 4}, Row{kA, 16, 16, 8, false, 2},
                         Row{kB, 16, 32, 8, false, 4},  Row{kA, 32, 16, 8, false, 4}, Row{kA, 8, 32, 4, false, 1},
                         Row{kA, 8, 4, 64, false, 1},   Row{kC, 8, 8, 64, false, 2},  Row{kC, 8, 8, 32, false, 2}}) {
    const auto layout = FragmentLayout::Wmma(row.role, row.rows, row.columns, row.bits, row.f16);
    EXPECT_EQ(layout.registers(), row.registers) << row.rows << "x" << row.columns << " " << row.bits;
    ExpectEachElement(layout, layout.elements() * 32 / (row.rows * row.columns), "wmma");
  }
}

TEST(EmulatorFragments, OfQuadPairsHoldFourProducts) {
  for (bool by_rows : {false, true})
    for (MatrixRole role : {kA, kB}) {
      const auto layout = FragmentLayout::QuadPairs(role, by_rows, 16);
      ExpectEachElement(layout, 1, "m8n8k4");
      ExpectGatherAndScatterAreInverse<std::uint32_t>(layout, "m8n8k4");
    }
  for (int bits : {16, 32}) ExpectEachElement(FragmentLayout::QuadPairs(kC, false, bits), 1, "m8n8k4 accumulator");
  EXPECT_EQ(FragmentLayout::QuadPairs(kA, true, 16).At(17, 2), (Position{5, 2}));
  EXPECT_EQ(FragmentLayout::QuadPairs(kA, false, 16).At(17, 2), (Position{6, 1}));
  EXPECT_EQ(FragmentLayout::QuadPairs(kC, false, 32).At(3, 6), (Position{3, 6}));
  EXPECT_EQ(FragmentLayout::QuadPairs(kC, false, 32).At(20, 2), (Position{8 + 6, 0}));
}

TEST(EmulatorFragments, LdmatrixFeedsMma) {
  // A (16, 16) by rows: the four matrices of ldmatrix.x4 are a0 ... a7 of mma.m16n8k16.
  std::uint16_t a[16][16];
  for (int i = 0; i < 256; ++i) a[i / 16][i % 16] = static_cast<std::uint16_t>(i);
  const std::byte* rows[32];
  for (int lane = 0; lane < 32; ++lane) rows[lane] = reinterpret_cast<const std::byte*>(&a[lane % 16][lane / 16 * 8]);
  std::uint32_t registers[4][32];
  std::uint32_t* pointers[4] = {registers[0], registers[1], registers[2], registers[3]};
  LoadMatrices(4, false, rows, pointers);
  const auto layout = FragmentLayout::Mma(kA, 16, 16, 16);
  for (int lane = 0; lane < 32; ++lane)
    for (int e = 0; e < 8; ++e) {
      const Position at = layout.At(lane, e);
      EXPECT_EQ(registers[e / 2][lane] >> (16 * (e % 2)) & 0xffff, a[at.row][at.column]);
    }
  // B (16, 8) by rows comes transposed.
  for (int lane = 0; lane < 32; ++lane) rows[lane] = reinterpret_cast<const std::byte*>(&a[lane % 16][0]);
  LoadMatrices(2, true, rows, pointers);
  const auto b = FragmentLayout::Mma(kB, 16, 8, 16);
  for (int lane = 0; lane < 32; ++lane)
    for (int e = 0; e < 4; ++e) {
      const Position at = b.At(lane, e);
      EXPECT_EQ(registers[e / 2][lane] >> (16 * (e % 2)) & 0xffff, a[at.row][at.column]);
    }
}

TEST(EmulatorFragments, StmatrixUndoesLdmatrix) {
  for (bool transposed : {false, true})
    for (int count : {1, 2, 4}) {
      std::array<std::uint16_t, 256> from, to{};
      std::iota(from.begin(), from.end(), std::uint16_t{1});
      const std::byte* sources[32];
      std::byte* targets[32];
      for (int lane = 0; lane < 32; ++lane) {
        sources[lane] = reinterpret_cast<const std::byte*>(&from[lane * 8]);
        targets[lane] = reinterpret_cast<std::byte*>(&to[lane * 8]);
      }
      std::uint32_t registers[4][32];
      std::uint32_t* pointers[4] = {registers[0], registers[1], registers[2], registers[3]};
      LoadMatrices(count, transposed, sources, pointers);
      StoreMatrices(count, transposed, pointers, targets);
      for (int i = 0; i < 256; ++i) ASSERT_EQ(to[i], i < count * 64 ? from[i] : 0);
      if (transposed) {
        EXPECT_EQ(registers[0][0], from[0] | static_cast<unsigned>(from[8]) << 16);
      }
    }
}

}  // namespace
}  // namespace gemmsmith::emulator
