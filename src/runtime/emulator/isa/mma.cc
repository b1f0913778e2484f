// mma.sync, dense.
#include <algorithm>
#include <array>

#include "runtime/emulator/isa/matrix_product.h"

namespace gemmsmith::emulator {
namespace {

using Arithmetic = MatrixProduct::Arithmetic;
using Sum = MatrixProduct::Sum;

/// The architectures whose mma sums FP8 in the short accumulator: Ada. Hopper's widens to f16 first, and Blackwell's
/// sums are f32.
constexpr int kShortFp8[] = {89};

/// The words behind the layouts: types of D, A, B, C.
std::array<std::string_view, 4> TypeWords(const Form& form) {
  std::array<std::string_view, 4> types;
  std::size_t count = 0;
  for (const std::string& word : form.instruction->modifiers) {
    const bool type = ptx::ParseScalarType(word) || ParseTensorType(word) || word == "b1";
    if (type && count < types.size()) types[count++] = word;
  }
  return types;
}

MatrixProduct Quads(const Form& form, const std::array<std::string_view, 4>& types) {
  const auto& words = form.instruction->modifiers;
  const bool a_by_rows = words[3] == "row", b_by_rows = words[4] == "row";
  const Sum c = MatrixProduct::ParseSum(types[3]), d = MatrixProduct::ParseSum(types[0]);
  MatrixProduct product{.shape = {8, 8, 4},
                        .arithmetic = Arithmetic::kQuads,
                        .a = FragmentLayout::QuadPairs(MatrixRole::kA, a_by_rows, 16),
                        .b = FragmentLayout::QuadPairs(MatrixRole::kB, b_by_rows, 16),
                        .c = FragmentLayout::QuadPairs(MatrixRole::kAccumulator, true, MatrixProduct::BitsOf(c)),
                        .d = FragmentLayout::QuadPairs(MatrixRole::kAccumulator, true, MatrixProduct::BitsOf(d))};
  product.c_type = c;
  product.d_type = d;
  product.a_by_rows = a_by_rows;
  product.b_by_rows = b_by_rows;
  return product;
}

MatrixProduct ProductOf(const Form& form, int sm) {
  const auto types = TypeWords(form);
  const TileShape shape = ParseShape(form.instruction->modifiers[2]);
  if (shape.k == 4 && types[1] == "f16") return Quads(form, types);
  const bool bits = types[1] == "b1", doubles = types[1] == "f64";
  const TensorType a_type = ParseTensorType(types[1]).value_or(TensorType::kF16);
  const TensorType b_type = ParseTensorType(types[2]).value_or(TensorType::kF16);
  const int factor_bits = bits ? 1 : doubles ? 64 : BitsOf(a_type);
  const Sum c = MatrixProduct::ParseSum(types[3]), d = MatrixProduct::ParseSum(types[0]);
  MatrixProduct product{
      .shape = shape,
      .a = FragmentLayout::Mma(MatrixRole::kA, shape.m, shape.k, factor_bits),
      .b = FragmentLayout::Mma(MatrixRole::kB, shape.k, shape.n, factor_bits),
      .c = FragmentLayout::Mma(MatrixRole::kAccumulator, shape.m, shape.n, MatrixProduct::BitsOf(c)),
      .d = FragmentLayout::Mma(MatrixRole::kAccumulator, shape.m, shape.n, MatrixProduct::BitsOf(d)),
  };
  product.a_type = a_type;
  product.b_type = b_type;
  product.c_type = c;
  product.d_type = d;
  product.saturate = form.Has("satfinite");
  product.bit_operation = form.Has("and") ? BitOperation::kAnd : BitOperation::kXor;
  const bool fp8 = a_type == TensorType::kE4m3 || a_type == TensorType::kE5m2;
  const bool shortened = std::find(std::begin(kShortFp8), std::end(kShortFp8), sm) != std::end(kShortFp8);
  product.arithmetic = bits               ? Arithmetic::kBits
                       : doubles          ? Arithmetic::kDouble
                       : d == Sum::kS32   ? Arithmetic::kInteger
                       : fp8 && shortened ? Arithmetic::kReduced
                                          : Arithmetic::kFloat;
  return product;
}

void Prepare(Decoder& decoder, Instruction& out) {
  const MatrixProduct* const product = decoder.Keep(ProductOf(decoder.form(), decoder.sm()));
  product->Push(decoder);
  out.extra = product;
}

Execute Select(const Form&) { return RunProduct; }
constexpr Category kCategory = Category::kMatrix;

constexpr Row kRows[] = {
    {"mma.sync.aligned.m8n8k4.{row,col}.{row,col}.{f16,f32}.f16.f16.{f16,f32}", "", kCategory, 64, 70, Select, Prepare},
    {"mma.sync.aligned.m16n8k8.row.col.{f16,f32}.f16.f16.{f16,f32}", "", kCategory, 65, 75, Select, Prepare},
    {"mma.sync.aligned.m16n8k16.row.col.{f16,f32}.f16.f16.{f16,f32}", "", kCategory, 70, 80, Select, Prepare},
    {"mma.sync.aligned.{m16n8k8,m16n8k16}.row.col.f32.bf16.bf16.f32", "", kCategory, 70, 80, Select, Prepare},
    {"mma.sync.aligned.{m16n8k4,m16n8k8}.row.col.f32.tf32.tf32.f32", "", kCategory, 70, 80, Select, Prepare},
    {"mma.sync.aligned.{m16n8k16,m16n8k32}.row.col[.kind::f8f6f4].{f16,f32}.{e4m3,e5m2}.{e4m3,e5m2}.{f16,f32}", "",
     kCategory, 84, 89, Select, Prepare},
    {"mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64", "", kCategory, 70, 80, Select, Prepare},
    {"mma.sync.aligned.{m16n8k4,m16n8k8,m16n8k16}.row.col.f64.f64.f64.f64", "", kCategory, 78, 90, Select, Prepare},
    {"mma.sync.aligned.m8n8k16.row.col[.satfinite].s32.{s8,u8}.{s8,u8}.s32", "", kCategory, 65, 75, Select, Prepare},
    {"mma.sync.aligned.{m16n8k16,m16n8k32}.row.col[.satfinite].s32.{s8,u8}.{s8,u8}.s32", "", kCategory, 70, 80, Select,
     Prepare},
    {"mma.sync.aligned.m8n8k32.row.col[.satfinite].s32.{s4,u4}.{s4,u4}.s32", "", kCategory, 65, 75, Select, Prepare},
    {"mma.sync.aligned.{m16n8k32,m16n8k64}.row.col[.satfinite].s32.{s4,u4}.{s4,u4}.s32", "", kCategory, 70, 80, Select,
     Prepare},
    {"mma.sync.aligned.m8n8k128.row.col.s32.b1.b1.s32.{xor,and}.popc", "", kCategory, 70, 75, Select, Prepare},
    {"mma.sync.aligned.{m16n8k128,m16n8k256}.row.col.s32.b1.b1.s32.{xor,and}.popc", "", kCategory, 70, 80, Select,
     Prepare},
};

}  // namespace

std::span<const Row> MmaRows() { return kRows; }

}  // namespace gemmsmith::emulator
