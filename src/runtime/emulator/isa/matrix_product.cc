#include "runtime/emulator/isa/matrix_product.h"

#include <cstring>

#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/numeric/conversions.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;
using Sum = MatrixProduct::Sum;

constexpr std::size_t kMaxElements = 1024;  // Of a factor: m16n8k64.
constexpr std::size_t kMaxSums = 256;       // m16n16.
constexpr std::size_t kMaxRegisters = 32;

/// The registers of one matrix, from operand `first` on.
template <class Word>
void GatherOperand(const Warp& warp, const Instruction& i, std::size_t first, const FragmentLayout& layout,
                   Word* tile) {
  const Word* registers[kMaxRegisters];
  for (int r = 0; r < layout.registers(); ++r)
    registers[r] = reinterpret_cast<const Word*>(warp.In(i.operands[first + static_cast<std::size_t>(r)]));
  layout.Gather(registers, tile);
}

/// Into operands 0 and up. A sink takes its words too, into memory that nobody reads.
template <class Word>
void ScatterResult(Warp& warp, const Instruction& i, const FragmentLayout& layout, const Word* tile) {
  Word nowhere[kLanes];
  Word* registers[kMaxRegisters];
  for (int r = 0; r < layout.registers(); ++r) {
    const Operand& to = i.operands[r];
    registers[r] = to.sink ? nowhere : reinterpret_cast<Word*>(warp.Out(to));
  }
  layout.Scatter(tile, registers);
}

struct Offsets {
  std::size_t a, b, c;
};
Offsets OffsetsOf(const MatrixProduct& product) {
  const auto d = static_cast<std::size_t>(product.d.registers()), a = static_cast<std::size_t>(product.a.registers());
  return {d, d + a, d + a + static_cast<std::size_t>(product.b.registers())};
}

/// A factor's elements as f32, in the order of its tile.
void Widened(const Warp& warp, const Instruction& i, std::size_t first, const FragmentLayout& layout, TensorType type,
             float* out) {
  alignas(64) std::uint32_t words[kMaxElements];
  GatherOperand(warp, i, first, layout, words);
  Matmul().widen(type, words, layout.tile_elements(), out);
}

void ReadSums(const Warp& warp, const Instruction& i, std::size_t first, const FragmentLayout& layout, Sum type,
              float* out) {
  alignas(64) std::uint32_t words[kMaxSums];
  GatherOperand(warp, i, first, layout, words);
  if (type == Sum::kF16)
    Matmul().widen(TensorType::kF16, words, layout.tile_elements(), out);
  else
    std::memcpy(out, words, layout.tile_elements() * sizeof(float));
}

void WriteSums(Warp& warp, const Instruction& i, const FragmentLayout& layout, Sum type, const float* sums) {
  alignas(64) std::uint32_t words[kMaxSums];
  const std::size_t count = layout.tile_elements();
  if (type == Sum::kF16) {
    for (std::size_t e = 0; e < count; e += 2)
      words[e / 2] = F32ToF16(sums[e]) | static_cast<std::uint32_t>(F32ToF16(sums[e + 1])) << 16;
  } else {
    std::memcpy(words, sums, count * sizeof(float));
  }
  ScatterResult(warp, i, layout, words);
}

void RunFloat(const MatrixProduct& p, Warp& warp, const Instruction& i) {
  alignas(64) float a[kMaxElements], columns[kMaxElements], b[kMaxElements], sums[kMaxSums];
  const Offsets at = OffsetsOf(p);
  Widened(warp, i, at.a, p.a, p.a_type, a);
  Widened(warp, i, at.b, p.b, p.b_type, columns);
  Matmul().transpose(p.shape.n, p.shape.k, columns, b);
  if (p.arithmetic == MatrixProduct::Arithmetic::kInteger) {
    alignas(64) std::int32_t integers[kMaxSums];
    alignas(64) std::uint32_t words[kMaxSums];
    GatherOperand(warp, i, at.c, p.c, words);
    std::memcpy(integers, words, p.c.tile_elements() * sizeof(integers[0]));
    Matmul().multiply_add_s32(p.shape, a, b, integers, p.saturate);
    std::memcpy(words, integers, p.d.tile_elements() * sizeof(words[0]));
    return ScatterResult(warp, i, p.d, words);
  }
  ReadSums(warp, i, at.c, p.c, p.c_type, sums);
  if (p.arithmetic == MatrixProduct::Arithmetic::kReduced)
    Matmul().multiply_add_reduced(p.shape, a, LowestExponent(p.a_type), b, LowestExponent(p.b_type), sums);
  else
    Matmul().multiply_add(p.shape, a, b, sums);
  WriteSums(warp, i, p.d, p.d_type, sums);
}

void RunDouble(const MatrixProduct& p, Warp& warp, const Instruction& i) {
  std::uint64_t words[256];  // 16 by 16 at most.
  alignas(64) double a[256], b[256], sums[256];
  const Offsets at = OffsetsOf(p);
  GatherOperand(warp, i, at.a, p.a, words);
  std::memcpy(a, words, p.a.tile_elements() * sizeof(double));
  GatherOperand(warp, i, at.b, p.b, words);
  for (int column = 0; column < p.shape.n; ++column)
    for (int row = 0; row < p.shape.k; ++row)
      b[row * p.shape.n + column] = std::bit_cast<double>(words[column * p.shape.k + row]);
  GatherOperand(warp, i, at.c, p.c, words);
  std::memcpy(sums, words, p.c.tile_elements() * sizeof(double));
  Matmul().multiply_add_f64(p.shape, a, b, sums);
  std::memcpy(words, sums, p.d.tile_elements() * sizeof(double));
  ScatterResult(warp, i, p.d, words);
}

void RunBits(const MatrixProduct& p, Warp& warp, const Instruction& i) {
  std::uint32_t a[128], b[64], words[kMaxSums];
  std::int32_t sums[kMaxSums];
  const Offsets at = OffsetsOf(p);
  GatherOperand(warp, i, at.a, p.a, a);
  GatherOperand(warp, i, at.b, p.b, b);
  GatherOperand(warp, i, at.c, p.c, words);
  std::memcpy(sums, words, p.c.tile_elements() * sizeof(words[0]));
  MultiplyAddBits(p.shape, p.bit_operation, a, b, sums);
  std::memcpy(words, sums, p.d.tile_elements() * sizeof(words[0]));
  ScatterResult(warp, i, p.d, words);
}

/// mma.m8n8k4 of f16: four products, each of two groups of four lanes.
void RunQuads(const MatrixProduct& p, Warp& warp, const Instruction& i) {
  constexpr int kSize = 8, kDepth = 4, kProducts = 4, kAll = kSize * kProducts;
  alignas(64) float a[kAll * kDepth], b[kDepth * kAll], sums[kAll * kSize];
  const Offsets at = OffsetsOf(p);
  Widened(warp, i, at.a, p.a, TensorType::kF16, a);
  Widened(warp, i, at.b, p.b, TensorType::kF16, b);
  ReadSums(warp, i, at.c, p.c, p.c_type, sums);
  for (int product = 0; product < kProducts; ++product) {
    alignas(64) float x[kSize * kDepth], y[kDepth * kSize];
    for (int k = 0; k < kDepth; ++k)
      for (int j = 0; j < kSize; ++j) {
        const int line = product * kSize + j;
        x[j * kDepth + k] = p.a_by_rows ? a[line * kDepth + k] : a[k * kAll + line];
        y[k * kSize + j] = p.b_by_rows ? b[k * kAll + line] : b[line * kDepth + k];
      }
    Matmul().multiply_add({kSize, kSize, kDepth}, x, y, sums + product * kSize * kSize);
  }
  WriteSums(warp, i, p.d, p.d_type, sums);
}

ScalarType RegisterType(Sum type) {
  switch (type) {
    case Sum::kF16:
    case Sum::kS32:
      return ScalarType::kB32;
    case Sum::kF32:
      return ScalarType::kF32;
    case Sum::kF64:
      return ScalarType::kF64;
  }
  return ScalarType::kNone;
}

}  // namespace

std::optional<TensorType> ParseTensorType(std::string_view word) {
  constexpr std::pair<std::string_view, TensorType> kNames[] = {
      {"f16", TensorType::kF16},   {"bf16", TensorType::kBf16}, {"tf32", TensorType::kTf32},
      {"e4m3", TensorType::kE4m3}, {"e5m2", TensorType::kE5m2}, {"s8", TensorType::kS8},
      {"u8", TensorType::kU8},     {"s4", TensorType::kS4},     {"u4", TensorType::kU4}};
  for (const auto& [name, type] : kNames)
    if (name == word) return type;
  return std::nullopt;
}

TileShape ParseShape(std::string_view word) {
  TileShape shape{};
  int* part = nullptr;
  for (const char c : word) {
    if (c == 'm')
      part = &shape.m;
    else if (c == 'n')
      part = &shape.n;
    else if (c == 'k')
      part = &shape.k;
    else if (part != nullptr)
      *part = *part * 10 + (c - '0');
  }
  return shape;
}

Sum MatrixProduct::ParseSum(std::string_view word) {
  return word == "f16" ? Sum::kF16 : word == "f32" ? Sum::kF32 : word == "s32" ? Sum::kS32 : Sum::kF64;
}

void MatrixProduct::Run(Warp& warp, const Instruction& i) const {
  switch (arithmetic) {
    case Arithmetic::kFloat:
    case Arithmetic::kReduced:
    case Arithmetic::kInteger:
      return RunFloat(*this, warp, i);
    case Arithmetic::kDouble:
      return RunDouble(*this, warp, i);
    case Arithmetic::kBits:
      return RunBits(*this, warp, i);
    case Arithmetic::kQuads:
      return RunQuads(*this, warp, i);
  }
}

void MatrixProduct::Push(Decoder& decoder) const {
  if (decoder.operand_count() != 4) throw decoder.Refuse("it takes the registers of D, A, B and C");
  const ScalarType factor = arithmetic == Arithmetic::kDouble ? ScalarType::kF64 : ScalarType::kB32;
  const auto push = [&](std::size_t k, const FragmentLayout& layout, ScalarType type) {
    PushRegisters(decoder, decoder.operand(k), static_cast<std::size_t>(layout.registers()), type, k == 0);
  };
  push(0, d, RegisterType(d_type));
  push(1, a, factor);
  push(2, b, factor);
  push(3, c, RegisterType(c_type));
}

void RunProduct(Warp& warp, const Instruction& i) {
  if (GatherWarp(warp, i)) static_cast<const MatrixProduct*>(i.extra)->Run(warp, i);
}

}  // namespace gemmsmith::emulator
