#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gemmsmith::emulator {

/// Which matrix of D = A (m, k) * B (k, n) + C (m, n) a fragment is a part of.
enum class MatrixRole { kA, kB, kAccumulator };

struct Position {
  int row, column;
  bool operator==(const Position&) const = default;
};

/// Which element of a matrix each lane of a warp holds where. Made once per instruction, when a module is loaded.
///
/// A register of a lane holds `per_register` neighbours, low bits first. In the tile that Gather makes they are
/// neighbours too: A and accumulators lie by rows, B (k, n) by columns, the way `mma` with .row.col takes them.
class FragmentLayout {
 public:
  /// Registers of mma.sync, and of one warp of wgmma (A in registers: 16 rows; accumulators: 16 rows, n columns).
  /// PTX ISA, "Matrix Fragments for mma.*" and "wgmma.mma_async ... Register Fragments". `bits` of an element: 1
  /// ... 64. Rows and columns are those of the whole matrix.
  static FragmentLayout Mma(MatrixRole role, int rows, int columns, int bits);
  /// Registers of wmma.*: PTX leaves the layout open. Ours is that of mma.sync, tile after tile. Fragments of f16 have
  /// 16 elements whatever the shape, so that they hold each element once, twice or four times.
  static FragmentLayout Wmma(MatrixRole role, int rows, int columns, int bits, bool f16);
  /// Registers of the four products of mma.m8n8k4 with f16, below one another (for B: beside one another).
  /// `by_rows`: .row of A or B, whose tile lies by rows then, and by columns otherwise; accumulators have none.
  static FragmentLayout QuadPairs(MatrixRole role, bool by_rows, int bits);

  int rows() const { return rows_; }
  int columns() const { return columns_; }
  int elements() const { return static_cast<int>(positions_.size() / 32); }  ///< Of one lane.
  int per_register() const { return per_register_; }
  int registers() const { return elements() / per_register_; }
  std::size_t tile_elements() const { return static_cast<std::size_t>(rows_) * columns_; }

  Position At(int lane, int element) const { return positions_[element * 32 + lane]; }

  /// The tile from the registers of 32 lanes: registers[r][lane]. Word: std::uint32_t,
  /// std::uint64_t for elements of 64 bits.
  template <class Word>
  void Gather(const Word* const* registers, Word* tile) const {
    if (GatherBlocks(registers, tile)) return;
    const std::uint16_t* word = words_.data();
    for (int r = 0; r < registers_; ++r, word += 32)
      for (int lane = 0; lane < 32; ++lane) tile[word[lane]] = registers[r][lane];
  }
  template <class Word>
  void Scatter(const Word* tile, Word* const* registers) const {
    if (ScatterBlocks(tile, registers)) return;
    const std::uint16_t* word = words_.data();
    for (int r = 0; r < registers_; ++r, word += 32)
      for (int lane = 0; lane < 32; ++lane) registers[r][lane] = tile[word[lane]];
  }

 private:
  FragmentLayout(MatrixRole role, int rows, int columns, int bits, std::vector<Position> positions);

  /// 32-bit accumulators: two registers are a block of 8 rows and columns, neighbours in turn. The large ones of wgmma
  /// are worth doing by vectors.
  bool GatherBlocks(const std::uint32_t* const* registers, std::uint32_t* tile) const;
  bool ScatterBlocks(const std::uint32_t* tile, std::uint32_t* const* registers) const;
  bool GatherBlocks(const std::uint64_t* const*, std::uint64_t*) const { return false; }
  bool ScatterBlocks(const std::uint64_t*, std::uint64_t* const*) const { return false; }

  int rows_, columns_, per_register_, registers_;
  std::vector<Position> positions_;    // (element, lane)
  std::vector<std::uint16_t> words_;   // (register, lane): word of the tile
  std::vector<std::uint32_t> blocks_;  // see GatherBlocks; empty: not so
};

/// ldmatrix.m8n8.b16: `count` matrices (1, 2, 4) of 8 rows of 16 bytes. Row i of matrix j lies where lane 8 * j + i
/// says.
void LoadMatrices(int count, bool transposed, const std::byte* const* row_of_lane, std::uint32_t* const* registers);
/// stmatrix.m8n8.b16.
void StoreMatrices(int count, bool transposed, const std::uint32_t* const* registers, std::byte* const* row_of_lane);
/// movmatrix.m8n8.trans.b16.
void TransposeMatrix(const std::uint32_t* from, std::uint32_t* to);

}  // namespace gemmsmith::emulator
