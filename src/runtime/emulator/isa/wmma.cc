// wmma.load, wmma.store, wmma.mma.
#include <algorithm>
#include <array>

#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/isa/matrix_product.h"
#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/machine/cta.h"

namespace gemmsmith::emulator {
namespace {

using Arithmetic = MatrixProduct::Arithmetic;
using Sum = MatrixProduct::Sum;
using ptx::ScalarType;

int BitsOfWord(std::string_view word) {
  if (word == "b1") return 1;
  if (const auto type = ParseTensorType(word)) return BitsOf(*type);
  return MatrixProduct::BitsOf(MatrixProduct::ParseSum(word));
}
bool IsTypeWord(const std::string& word) { return word == "b1" || ptx::ParseScalarType(word) || ParseTensorType(word); }
FragmentLayout LayoutOf(MatrixRole role, const TileShape& shape, std::string_view type) {
  const int rows = role == MatrixRole::kB ? shape.k : shape.m, columns = role == MatrixRole::kA ? shape.k : shape.n;
  return FragmentLayout::Wmma(role, rows, columns, BitsOfWord(type), type == "f16");
}

/// A matrix in memory, and the registers that hold it.
struct Transfer {
  FragmentLayout layout;
  int bits = 0;
  bool by_rows = true;
  Window window{};

  /// Elements that are neighbours in a register are so in memory.
  bool together(const FragmentLayout& l) const {
    if (l.per_register() == 1) return true;
    const Position x = l.At(0, 0), y = l.At(0, 1);
    return by_rows ? y.column == x.column + 1 : y.row == x.row + 1;
  }
};

/// Where a matrix begins, and how many elements apart its lines do. CUDA C++ demands 32 bytes and 16; small fragments
/// need no more than what a lane holds.
struct Place {
  std::uint64_t address, stride;
};
Place PlaceOf(Warp& warp, const Instruction& i, std::size_t at, const Transfer& transfer) {
  std::uint64_t addresses[kLanes];
  warp.GetAddresses(i.operands[at], addresses);
  for (int l = 1; l < kLanes; ++l)
    if (addresses[l] != addresses[0]) throw warp.Fault(i, l, "its lanes give different addresses");
  const std::uint64_t stride = Uniform(warp, i, i.operands[at + 1], "the stride");
  const int held = transfer.layout.registers() * (transfer.bits == 64 ? 8 : 4);
  const auto begin = static_cast<std::uint64_t>(std::min(held, 32)),
             line = static_cast<std::uint64_t>(std::min(held, 16));
  if (addresses[0] % begin != 0 || stride * static_cast<std::uint64_t>(transfer.bits) % (8 * line) != 0)
    throw warp.Fault(i, 0,
                     fmt::format("a matrix at {:#x}, its lines {} elements apart; it must begin at a multiple of {}, "
                                 "and they at one of {} bytes",
                                 addresses[0], stride, begin, line));
  return {addresses[0], stride};
}

/// Where each lane's element `element` lies.
void AddressesOf(const Place& place, const Transfer& transfer, int element, std::uint64_t (&addresses)[kLanes]) {
  for (int l = 0; l < kLanes; ++l) {
    const Position at = transfer.layout.At(l, element);
    const auto line = static_cast<std::uint64_t>(transfer.by_rows ? at.row : at.column);
    const auto within = static_cast<std::uint64_t>(transfer.by_rows ? at.column : at.row);
    addresses[l] = place.address + (line * place.stride + within) * static_cast<std::uint64_t>(transfer.bits) / 8;
  }
}

template <bool kLoad>
void Move(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  const auto& transfer = *static_cast<const Transfer*>(i.extra);
  const FragmentLayout& layout = transfer.layout;
  const int per = layout.per_register();
  const bool together = transfer.together(layout);
  const std::size_t register_bytes = transfer.bits == 64 ? 8 : 4;
  const std::size_t bytes = together ? register_bytes : static_cast<std::size_t>(transfer.bits) / 8;
  const auto first = static_cast<std::size_t>(kLoad ? 0 : 2);
  const auto address = static_cast<std::size_t>(kLoad ? layout.registers() : 0);
  const Place place = PlaceOf(warp, i, address, transfer);
  for (int r = 0; r < layout.registers(); ++r) {
    const Operand& operand = i.operands[first + static_cast<std::size_t>(r)];
    std::uint64_t values[kLanes] = {};
    if (!kLoad) warp.GetBits(operand, values);
    for (int e = 0; e < (together ? 1 : per); ++e) {
      std::uint64_t addresses[kLanes];
      std::byte* at[kLanes];
      AddressesOf(place, transfer, r * per + e, addresses);
      ResolveAt(warp, i, addresses, transfer.window, kLoad ? AccessKind::kRead : AccessKind::kWrite,
                static_cast<std::uint32_t>(bytes), static_cast<std::uint32_t>(bytes), kAllLanes, at);
      for (int l = 0; l < kLanes; ++l) {
        auto* const value = reinterpret_cast<std::byte*>(&values[l]) + static_cast<std::size_t>(e) * bytes;
        if (!kLoad) NoteStore(warp, at[l], value, bytes);
        std::memcpy(kLoad ? value : at[l], kLoad ? at[l] : value, bytes);
      }
    }
    if (kLoad) warp.PutBits(operand, values);
  }
}

MatrixRole RoleOf(const Form& form) {
  return form.Has("a") ? MatrixRole::kA : form.Has("b") ? MatrixRole::kB : MatrixRole::kAccumulator;
}

template <bool kLoad>
void PrepareMove(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  const auto& words = form.instruction->modifiers;  // load, a, sync, aligned, row, m16n16k16, [shared], f16
  const std::size_t count = decoder.operand_count();
  if (count < 2 || count > 3) throw decoder.Refuse("it takes registers, an address, and may be a stride");
  const TileShape shape = ParseShape(words[5]);
  Transfer transfer{LayoutOf(RoleOf(form), shape, words.back()), BitsOfWord(words.back()), form.Has("row"),
                    FindWindow(form)};
  const ScalarType type = transfer.bits == 64     ? ScalarType::kF64
                          : words.back() == "f32" ? ScalarType::kF32
                                                  : ScalarType::kB32;
  const auto registers = static_cast<std::size_t>(transfer.layout.registers());
  if (kLoad) PushRegisters(decoder, decoder.operand(0), registers, type, true);
  decoder.Push(decoder.Address(decoder.operand(kLoad ? 1 : 0)));
  const int lead = transfer.by_rows ? transfer.layout.columns() : transfer.layout.rows();
  decoder.Push(count == 3 ? decoder.Source(decoder.operand(2), ScalarType::kB32)
                          : decoder.Constant(static_cast<std::uint64_t>(lead), 0, 4));
  if (!kLoad) PushRegisters(decoder, decoder.operand(1), registers, type, false);
  out.extra = decoder.Keep(std::move(transfer));
}

/// f16 products name D and C alone; the others all four.
void PrepareMma(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  std::vector<std::string_view> types;
  TileShape shape{};
  for (const std::string& word : form.instruction->modifiers) {
    if (IsTypeWord(word)) types.push_back(word);
    if (word.size() > 2 && word[0] == 'm' && word.find('k') != word.npos) shape = ParseShape(word);
  }
  if (types.size() == 2) types = {types[0], "f16", "f16", types[1]};
  const Sum c = MatrixProduct::ParseSum(types[3]), d = MatrixProduct::ParseSum(types[0]);
  MatrixProduct product{.shape = shape,
                        .a = LayoutOf(MatrixRole::kA, shape, types[1]),
                        .b = LayoutOf(MatrixRole::kB, shape, types[2]),
                        .c = LayoutOf(MatrixRole::kAccumulator, shape, types[3]),
                        .d = LayoutOf(MatrixRole::kAccumulator, shape, types[0])};
  product.a_type = ParseTensorType(types[1]).value_or(TensorType::kF16);
  product.b_type = ParseTensorType(types[2]).value_or(TensorType::kF16);
  product.c_type = c;
  product.d_type = d;
  product.saturate = form.Has("satfinite");
  product.bit_operation = form.Has("and") ? BitOperation::kAnd : BitOperation::kXor;
  product.arithmetic = types[1] == "b1"    ? Arithmetic::kBits
                       : types[1] == "f64" ? Arithmetic::kDouble
                       : d == Sum::kS32    ? Arithmetic::kInteger
                                           : Arithmetic::kFloat;
  const MatrixProduct* const kept = decoder.Keep(std::move(product));
  kept->Push(decoder);
  out.extra = kept;
}

Execute SelectMma(const Form&) { return RunProduct; }
Execute SelectLoad(const Form&) { return Move<true>; }
Execute SelectStore(const Form&) { return Move<false>; }
constexpr Category kCategory = Category::kMatrix;

#define GEMMSMITH_SQUARE "{m16n16k16,m8n32k16,m32n8k16}"
#define GEMMSMITH_SPACE "[.{global,shared,shared::cta}]"
#define GEMMSMITH_LOAD SelectLoad, PrepareMove<true>
#define GEMMSMITH_STORE SelectStore, PrepareMove<false>
#define GEMMSMITH_MMA SelectMma, PrepareMma

constexpr Row kRows[] = {
    {"wmma.load.{a,b}.sync.aligned.{row,col}." GEMMSMITH_SQUARE GEMMSMITH_SPACE ".f16", "", kCategory, 60, 70,
     GEMMSMITH_LOAD},
    {"wmma.load.{a,b}.sync.aligned.{row,col}." GEMMSMITH_SQUARE GEMMSMITH_SPACE ".bf16", "", kCategory, 70, 80,
     GEMMSMITH_LOAD},
    {"wmma.load.{a,b}.sync.aligned.{row,col}." GEMMSMITH_SQUARE GEMMSMITH_SPACE ".{s8,u8}", "", kCategory, 63, 72,
     GEMMSMITH_LOAD},
    {"wmma.load.{a,b}.sync.aligned.{row,col}.m16n16k8" GEMMSMITH_SPACE ".tf32", "", kCategory, 70, 80, GEMMSMITH_LOAD},
    {"wmma.load.{a,b}.sync.aligned.{row,col}.m8n8k4" GEMMSMITH_SPACE ".f64", "", kCategory, 70, 80, GEMMSMITH_LOAD},
    {"wmma.load.a.sync.aligned.row.m8n8k32" GEMMSMITH_SPACE ".{s4,u4}", "", kCategory, 63, 75, GEMMSMITH_LOAD},
    {"wmma.load.b.sync.aligned.col.m8n8k32" GEMMSMITH_SPACE ".{s4,u4}", "", kCategory, 63, 75, GEMMSMITH_LOAD},
    {"wmma.load.a.sync.aligned.row.m8n8k128" GEMMSMITH_SPACE ".b1", "", kCategory, 63, 75, GEMMSMITH_LOAD},
    {"wmma.load.b.sync.aligned.col.m8n8k128" GEMMSMITH_SPACE ".b1", "", kCategory, 63, 75, GEMMSMITH_LOAD},
    {"wmma.load.c.sync.aligned.{row,col}." GEMMSMITH_SQUARE GEMMSMITH_SPACE ".{f16,f32,s32}", "", kCategory, 60, 70,
     GEMMSMITH_LOAD},
    {"wmma.load.c.sync.aligned.{row,col}.m16n16k8" GEMMSMITH_SPACE ".f32", "", kCategory, 70, 80, GEMMSMITH_LOAD},
    {"wmma.load.c.sync.aligned.{row,col}.m8n8k4" GEMMSMITH_SPACE ".f64", "", kCategory, 70, 80, GEMMSMITH_LOAD},
    {"wmma.load.c.sync.aligned.{row,col}.{m8n8k32,m8n8k128}" GEMMSMITH_SPACE ".s32", "", kCategory, 63, 75,
     GEMMSMITH_LOAD},
    {"wmma.store.d.sync.aligned.{row,col}." GEMMSMITH_SQUARE GEMMSMITH_SPACE ".{f16,f32,s32}", "", kCategory, 60, 70,
     GEMMSMITH_STORE},
    {"wmma.store.d.sync.aligned.{row,col}.m16n16k8" GEMMSMITH_SPACE ".f32", "", kCategory, 70, 80, GEMMSMITH_STORE},
    {"wmma.store.d.sync.aligned.{row,col}.m8n8k4" GEMMSMITH_SPACE ".f64", "", kCategory, 70, 80, GEMMSMITH_STORE},
    {"wmma.store.d.sync.aligned.{row,col}.{m8n8k32,m8n8k128}" GEMMSMITH_SPACE ".s32", "", kCategory, 63, 75,
     GEMMSMITH_STORE},
    {"wmma.mma.sync.aligned.{row,col}.{row,col}." GEMMSMITH_SQUARE ".{f16,f32}.{f16,f32}", "", kCategory, 60, 70,
     GEMMSMITH_MMA},
    {"wmma.mma.sync.aligned.{row,col}.{row,col}." GEMMSMITH_SQUARE ".f32.bf16.bf16.f32", "", kCategory, 70, 80,
     GEMMSMITH_MMA},
    {"wmma.mma.sync.aligned.{row,col}.{row,col}." GEMMSMITH_SQUARE ".s32.{s8,u8}.{s8,u8}.s32[.satfinite]", "",
     kCategory, 63, 72, GEMMSMITH_MMA},
    {"wmma.mma.sync.aligned.{row,col}.{row,col}.m16n16k8.f32.tf32.tf32.f32", "", kCategory, 70, 80, GEMMSMITH_MMA},
    {"wmma.mma.sync.aligned.{row,col}.{row,col}.m8n8k4[.rn].f64.f64.f64.f64", "", kCategory, 70, 80, GEMMSMITH_MMA},
    {"wmma.mma.sync.aligned.row.col.m8n8k32.s32.{s4,u4}.{s4,u4}.s32[.satfinite]", "", kCategory, 63, 75, GEMMSMITH_MMA},
    {"wmma.mma.{xor,and}.popc.sync.aligned.row.col.m8n8k128.s32.b1.b1.s32", "", kCategory, 63, 75, GEMMSMITH_MMA},
};

}  // namespace

std::span<const Row> WmmaRows() { return kRows; }

}  // namespace gemmsmith::emulator
