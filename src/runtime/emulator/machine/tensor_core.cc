#include "runtime/emulator/machine/tensor_core.h"

#include <algorithm>
#include <memory>

#include "runtime/emulator/numeric/conversions.h"

namespace gemmsmith::emulator {
namespace {

using Accumulator = InstructionDescriptor::Accumulator;

constexpr int kBlockRows = 64, kMaxRows = 128, kMaxColumns = 256, kMaxDepth = 32;
constexpr int kFactorWords = 8;  // Of a row of A in tensor memory: 32 bytes.

struct Buffers {
  alignas(64) float a[2][kMaxRows * kMaxDepth], b[2][kMaxColumns * kMaxDepth];
  alignas(64) float sums[kBlockRows * kMaxColumns], rows[kBlockRows * kMaxDepth];
  FactorReader reader;
};
Buffers& ThreadBuffers() {
  static thread_local const auto buffers = std::make_unique<Buffers>();
  return *buffers;
}

/// The rows of A that a block has, from tensor memory: its lanes are those of D.
const float* ReadRows(const TensorProduct& p, const TensorProduct::Block& block, TensorMemory& memory,
                      Buffers& buffers) {
  const auto depth = static_cast<std::size_t>(p.k);
  for (int row = 0; row < block.rows; ++row)
    Matmul().widen(p.form.a, memory.At(block.lane + row, p.a_words.column), depth,
                   buffers.rows + static_cast<std::size_t>(row) * depth);
  for (std::size_t e = 0; p.form.negate_a && e < static_cast<std::size_t>(block.rows) * depth; ++e)
    buffers.rows[e] = -buffers.rows[e];
  return buffers.rows;
}

/// Elements of 16 bits have the low half of a word each.
void ReadSums(const TensorProduct& p, const TensorProduct::Block& block, TensorMemory& memory, float* sums) {
  for (int row = 0; row < block.rows; ++row) {
    const std::uint32_t* const words = memory.At(block.lane + row, block.column);
    float* const to = sums + static_cast<std::size_t>(row) * static_cast<std::size_t>(block.columns);
    for (int c = 0; c < block.columns; ++c) {
      const bool half = p.form.accumulator == Accumulator::kF16;
      to[c] = half ? F16ToF32(static_cast<std::uint16_t>(words[c])) : F32FromBits(words[c]);
    }
    for (int c = 0; p.scale != 1 && c < block.columns; ++c) to[c] *= p.scale;
  }
}

void WriteSums(const TensorProduct& p, const TensorProduct::Block& block, TensorMemory& memory, const float* sums) {
  for (int row = 0; row < block.rows; ++row) {
    if (p.IsDisabled(block.cta, block.lane + row)) continue;
    std::uint32_t* const words = memory.At(block.lane + row, block.column);
    const float* const from = sums + static_cast<std::size_t>(row) * static_cast<std::size_t>(block.columns);
    for (int c = 0; c < block.columns; ++c)
      words[c] = p.form.accumulator == Accumulator::kF16 ? F32ToF16(from[c]) : F32Bits(from[c]);
  }
}

}  // namespace

TensorCoreWork::TensorCoreWork(Warp& warp, const Instruction& i, std::uint32_t lane, const std::array<Cta*, 2>& ctas)
    : AsyncOperation(warp, i, AsyncGroup::kNone, 1u << lane),
      ctas_(ctas),
      queue_(ctas[0]->tensor_memory()),
      number_(queue_.issued++) {}

void TensorCoreWork::Finish() {
  for (const Cta* cta : ctas_)
    if (cta != nullptr) CheckAlive(*cta);
  Do();
  ++queue_.ended;
}

// PTX ISA, "Data Path Layout Organization": D, A and F where a CTA has 128 or 64 rows, B where two have 64 each.
std::vector<TensorProduct::Block> TensorProduct::Blocks() const {
  std::vector<Block> blocks;
  const int n = columns();
  for (int cta = 0; cta < group; ++cta)
    for (int half = 0; half < group; ++half) {
      if (rows() == 128)
        for (int row = 0; row < 128; row += kBlockRows)
          blocks.push_back({cta, row, kBlockRows, row, d.column + half * n, n, half});
      else if (group == 2)
        blocks.push_back({cta, 0, kBlockRows, half * kBlockRows, d.column, n, half});
      else
        for (int row = 0; row < 64; row += 16) blocks.push_back({cta, row, 16, d.lane + row * 2, d.column, n, half});
    }
  return blocks;
}

std::vector<TensorWords> TensorProduct::Words(const std::array<Cta*, 2>& ctas) const {
  std::vector<TensorWords> words;
  for (const Block& block : Blocks()) {
    Cta* const cta = ctas[static_cast<std::size_t>(block.cta)];
    if (a_in_memory && (block.b_cta == 0 || rows() == 64))
      words.push_back({cta, block.lane, block.rows, a_words.column, kFactorWords, true, false});
    for (int row = 0; row < block.rows;) {
      int end = row;
      while (end < block.rows && !IsDisabled(block.cta, block.lane + end)) ++end;
      if (end > row) words.push_back({cta, block.lane + row, end - row, block.column, block.columns, keeps, true});
      row = std::max(end, row + 1);
    }
  }
  return words;
}

void TensorProduct::Run(const std::array<Cta*, 2>& ctas) const {
  Buffers& buffers = ThreadBuffers();
  for (std::size_t c = 0; c < static_cast<std::size_t>(group); ++c) {
    const auto window = ctas[c]->window();
    if (!a_in_memory)
      buffers.reader.Read(window, a, FactorReader::Side::kA, form.a_major, rows(), k, form.a, form.negate_a,
                          buffers.a[c]);
    buffers.reader.Read(window, b, FactorReader::Side::kB, form.b_major, columns(), k, form.b, form.negate_b,
                        buffers.b[c]);
  }
  for (const Block& block : Blocks()) {
    TensorMemory& memory = ctas[static_cast<std::size_t>(block.cta)]->tensor_memory();
    const float* const x = a_in_memory ? ReadRows(*this, block, memory, buffers) : buffers.a[block.cta] + block.row * k;
    const TileShape shape{block.rows, block.columns, k};
    if (keeps)
      ReadSums(*this, block, memory, buffers.sums);
    else
      std::fill_n(buffers.sums, block.rows * block.columns, 0.0f);
    if (form.accumulator == Accumulator::kS32)
      Matmul().multiply_add_s32(shape, x, buffers.b[block.b_cta], reinterpret_cast<std::int32_t*>(buffers.sums),
                                form.saturate);
    else
      Matmul().multiply_add(shape, x, buffers.b[block.b_cta], buffers.sums);
    WriteSums(*this, block, memory, buffers.sums);
  }
}

}  // namespace gemmsmith::emulator
