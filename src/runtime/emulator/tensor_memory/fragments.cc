#include "runtime/emulator/tensor_memory/fragments.h"

#include <algorithm>
#include <cstring>

namespace gemmsmith::emulator {
namespace {

constexpr int kLanes = 32;

using Quad __attribute__((vector_size(16))) = std::uint32_t;
Quad Load(const std::uint32_t* from) {
  Quad value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
void Store(std::uint32_t* to, Quad value) { std::memcpy(to, &value, sizeof value); }

/// Neighbours in one register; an f64 fills its own.
int PerRegister(int bits) { return bits == 64 ? 1 : 32 / bits; }

/// A of 8 or 16 rows; B likewise with its 8 columns for rows. A lane of group g = lane / 4 holds row g (and g + 8), and
/// of each 4 * per_register columns those of its place in the group.
std::vector<Position> Factor(bool is_b, int vectors, int k, int per_register) {
  const int halves = vectors / 8, registers = vectors * k / kLanes / per_register;
  std::vector<Position> positions;
  for (int r = 0; r < registers; ++r)
    for (int e = 0; e < per_register; ++e)
      for (int lane = 0; lane < kLanes; ++lane) {
        const int vector = lane / 4 + 8 * (r % halves);
        const int depth = lane % 4 * per_register + e + r / halves * 4 * per_register;
        positions.push_back(is_b ? Position{depth, vector} : Position{vector, depth});
      }
  return positions;
}

/// 8 columns: a lane holds two neighbours of row g, then of g + 8.
std::vector<Position> Accumulator(int rows) {
  std::vector<Position> positions;
  for (int e = 0; e < rows / 4; ++e)
    for (int lane = 0; lane < kLanes; ++lane) positions.push_back({lane / 4 + e / 2 * 8, lane % 4 * 2 + e % 2});
  return positions;
}

void Append(std::vector<Position>& all, const std::vector<Position>& part, int row, int column) {
  for (const Position& position : part) all.push_back({position.row + row, position.column + column});
}

/// Tiles of 16 (or 8) rows of A, 8 columns of B, 16 by 8 of accumulators, one after another.
std::vector<Position> Tiles(MatrixRole role, int rows, int columns, int bits) {
  std::vector<Position> positions;
  const int tile_rows = std::min(rows, 16);
  switch (role) {
    case MatrixRole::kA:
      for (int row = 0; row < rows; row += tile_rows)
        Append(positions, Factor(false, tile_rows, columns, PerRegister(bits)), row, 0);
      break;
    case MatrixRole::kB:
      for (int column = 0; column < columns; column += 8)
        Append(positions, Factor(true, 8, rows, PerRegister(bits)), 0, column);
      break;
    case MatrixRole::kAccumulator:
      for (int row = 0; row < rows; row += tile_rows)
        for (int column = 0; column < columns; column += 8) Append(positions, Accumulator(tile_rows), row, column);
      break;
  }
  return positions;
}

}  // namespace

FragmentLayout::FragmentLayout(MatrixRole role, int rows, int columns, int bits, std::vector<Position> positions)
    : rows_(rows), columns_(columns), per_register_(PerRegister(bits)), positions_(std::move(positions)) {
  registers_ = registers();
  for (int r = 0; r < registers_; ++r)
    for (int lane = 0; lane < kLanes; ++lane) {
      const Position first = At(lane, r * per_register_);
      const int offset = role == MatrixRole::kB ? first.column * rows + first.row : first.row * columns + first.column;
      words_.push_back(static_cast<std::uint16_t>(offset / per_register_));
    }
  if (role != MatrixRole::kAccumulator || bits != 32 || At(1, 0) != Position{At(0, 0).row, At(0, 0).column + 2}) return;
  for (int r = 0; r < registers_; r += 2)
    blocks_.push_back(static_cast<std::uint32_t>(At(0, r).row * columns + At(0, r).column));
}

bool FragmentLayout::GatherBlocks(const std::uint32_t* const* registers, std::uint32_t* tile) const {
  if (blocks_.empty()) return false;
  for (std::size_t block = 0; block < blocks_.size(); ++block) {
    const std::uint32_t *even = registers[2 * block], *odd = registers[2 * block + 1];
    for (int row = 0; row < 8; ++row) {
      const Quad x = Load(even + 4 * row), y = Load(odd + 4 * row);
      std::uint32_t* to = tile + blocks_[block] + row * columns_;
      Store(to, __builtin_shufflevector(x, y, 0, 4, 1, 5));
      Store(to + 4, __builtin_shufflevector(x, y, 2, 6, 3, 7));
    }
  }
  return true;
}

bool FragmentLayout::ScatterBlocks(const std::uint32_t* tile, std::uint32_t* const* registers) const {
  if (blocks_.empty()) return false;
  for (std::size_t block = 0; block < blocks_.size(); ++block) {
    std::uint32_t *even = registers[2 * block], *odd = registers[2 * block + 1];
    for (int row = 0; row < 8; ++row) {
      const std::uint32_t* from = tile + blocks_[block] + row * columns_;
      const Quad x = Load(from), y = Load(from + 4);
      Store(even + 4 * row, __builtin_shufflevector(x, y, 0, 2, 4, 6));
      Store(odd + 4 * row, __builtin_shufflevector(x, y, 1, 3, 5, 7));
    }
  }
  return true;
}

FragmentLayout FragmentLayout::Mma(MatrixRole role, int rows, int columns, int bits) {
  return {role, rows, columns, bits, Tiles(role, rows, columns, bits)};
}

FragmentLayout FragmentLayout::Wmma(MatrixRole role, int rows, int columns, int bits, bool f16) {
  std::vector<Position> once = Tiles(role, rows, columns, bits), positions = once;
  if (f16 && role != MatrixRole::kAccumulator)
    while (positions.size() < std::size_t{16} * kLanes) Append(positions, once, 0, 0);
  return {role, rows, columns, bits, std::move(positions)};
}

FragmentLayout FragmentLayout::QuadPairs(MatrixRole role, bool by_rows, int bits) {
  std::vector<Position> positions;
  const bool accumulator = role == MatrixRole::kAccumulator;
  for (int e = 0; e < (accumulator ? 8 : 4); ++e)
    for (int lane = 0; lane < kLanes; ++lane) {
      const int product = lane % 16 / 4, upper = lane < 16 ? 0 : 4, place = lane % 4;
      if (accumulator && bits == 32) {
        positions.push_back({8 * product + upper + (lane & 1) + (e & 2), (e & 4) + (lane & 2) + (e & 1)});
      } else if (accumulator) {
        positions.push_back({8 * product + upper + place, e});
      } else if (role == MatrixRole::kA) {
        positions.push_back(by_rows ? Position{8 * product + upper + place, e}
                                    : Position{8 * product + upper + e, place});
      } else {
        positions.push_back(by_rows ? Position{place, 8 * product + upper + e}
                                    : Position{e, 8 * product + upper + place});
      }
    }
  const bool b = role == MatrixRole::kB;
  // What lies beside each other in a register lies so in the tile: A by columns and B by rows trade places.
  const bool flipped = !accumulator && by_rows == b;
  if (!flipped) return {role, b ? 4 : 32, b ? 32 : accumulator ? 8 : 4, bits, std::move(positions)};
  return {b ? MatrixRole::kA : MatrixRole::kB, b ? 4 : 32, b ? 32 : 4, bits, std::move(positions)};
}

void LoadMatrices(int count, bool transposed, const std::byte* const* row_of_lane, std::uint32_t* const* registers) {
  for (int matrix = 0; matrix < count; ++matrix) {
    std::uint32_t words[kLanes];  // row i: words 4 * i ..., which is what lane 4 * i ... gets
    for (int row = 0; row < 8; ++row) std::memcpy(words + 4 * row, row_of_lane[8 * matrix + row], 16);
    if (transposed)
      TransposeMatrix(words, registers[matrix]);
    else
      std::memcpy(registers[matrix], words, sizeof words);
  }
}

void StoreMatrices(int count, bool transposed, const std::uint32_t* const* registers, std::byte* const* row_of_lane) {
  for (int matrix = 0; matrix < count; ++matrix) {
    std::uint32_t words[kLanes];
    if (transposed)
      TransposeMatrix(registers[matrix], words);
    else
      std::memcpy(words, registers[matrix], sizeof words);
    for (int row = 0; row < 8; ++row) std::memcpy(row_of_lane[8 * matrix + row], words + 4 * row, 16);
  }
}

void TransposeMatrix(const std::uint32_t* from, std::uint32_t* to) {
  std::uint16_t elements[8][8], transposed[8][8];
  std::memcpy(elements, from, sizeof elements);
  for (int row = 0; row < 8; ++row)
    for (int column = 0; column < 8; ++column) transposed[column][row] = elements[row][column];
  std::memcpy(to, transposed, sizeof transposed);
}

}  // namespace gemmsmith::emulator
