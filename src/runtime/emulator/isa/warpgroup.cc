// wgmma: products of four warps, with factors in shared memory.
#include <algorithm>
#include <cstring>

#include "runtime/emulator/isa/collective.h"
#include "runtime/emulator/isa/matrix_product.h"
#include "runtime/emulator/isa/shared_place.h"
#include "runtime/emulator/machine/warpgroup.h"
#include "runtime/emulator/numeric/conversions.h"
#include "runtime/emulator/tensor_memory/matrix_descriptor.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;
using Sum = MatrixProduct::Sum;

constexpr int kRows = 64, kWarpRows = 16, kMaxColumns = 256, kMaxDepth = 32, kMaxRegisters = 128;

/// One form of wgmma.mma_async; kept in Instruction::extra. Operands: D; A, as a descriptor or registers; the
/// descriptor of B; scale-d.
struct Recipe {
  TileShape shape{};
  FragmentLayout d, a;
  TensorType a_type{}, b_type{};
  Sum sum{};
  bool a_in_registers = false, bits = false, reduced = false, saturate = false;
  bool negate_a = false, negate_b = false;
  Major a_major = Major::kK, b_major = Major::kK;
  std::uint64_t tag = 0;  ///< What accumulators that are in flight must agree in.

  std::size_t a_at() const { return static_cast<std::size_t>(d.registers()); }
  std::size_t b_at() const { return a_at() + (a_in_registers ? static_cast<std::size_t>(a.registers()) : 1); }
};

struct Buffers {
  alignas(64) float a[kRows * kMaxDepth], rows[kWarpRows * kMaxDepth], sums[kWarpRows * kMaxColumns];
  alignas(64) std::uint32_t words[kWarpRows * kMaxColumns];
  FactorReader reader;
};
Buffers& ThreadBuffers() {
  static thread_local const auto buffers = std::make_unique<Buffers>();
  return *buffers;
}

/// The 16 rows of A that belong to the warp, as f32.
const float* ReadA(Warp& warp, const Instruction& i, const Recipe& recipe, Buffers& buffers) {
  const int k = recipe.shape.k, quarter = warp.index() % 4;
  if (recipe.a_in_registers) {
    const std::uint32_t* registers[kMaxRegisters];
    for (int r = 0; r < recipe.a.registers(); ++r)
      registers[r] =
          reinterpret_cast<const std::uint32_t*>(warp.In(i.operands[recipe.a_at() + static_cast<std::size_t>(r)]));
    recipe.a.Gather(registers, buffers.words);
    Matmul().widen(recipe.a_type, buffers.words, static_cast<std::size_t>(kWarpRows * k), buffers.rows);
    for (int e = 0; recipe.negate_a && e < kWarpRows * k; ++e) buffers.rows[e] = -buffers.rows[e];
    return buffers.rows;
  }
  auto descriptor = MatrixDescriptor::OfWgmma(Uniform(warp, i, i.operands[recipe.a_at()], "the descriptor of A"));
  int extent = kRows;
  if (recipe.a_major == Major::kK) {  // Rows lie in groups of 8: those of the warp can be read alone.
    descriptor.start += static_cast<std::uint32_t>(quarter) * 2 * descriptor.stride;
    extent = kWarpRows;
  }
  buffers.reader.Read(warp.cta().window(), descriptor, FactorReader::Side::kA, recipe.a_major, extent, k, recipe.a_type,
                      recipe.negate_a, buffers.a);
  TellTensorRead(warp, i, buffers.reader.pieces());
  return extent == kRows ? buffers.a + quarter * kWarpRows * k : buffers.a;
}

/// B (k, n), as f32. The warps of a group read the same one after another: what the first has widened the others find
/// in the CTA's cache, if the bytes have not changed.
const float* ReadB(Warp& warp, const Instruction& i, const Recipe& recipe) {
  const std::uint64_t bits = Uniform(warp, i, i.operands[recipe.b_at()], "the descriptor of B");
  const FactorCache::Key key{bits, recipe.shape.n, recipe.shape.k, recipe.b_type, recipe.b_major, recipe.negate_b};
  const FactorCache::Factor& factor = warp.cta().warpgroups().cache.Read(warp.cta().window(), key);
  TellTensorRead(warp, i, factor.pieces);
  return factor.tile.data();
}

void ReadSums(Warp& warp, const Instruction& i, const Recipe& recipe, Buffers& buffers) {
  const std::uint32_t* registers[kMaxRegisters];
  for (int r = 0; r < recipe.d.registers(); ++r)
    registers[r] = reinterpret_cast<const std::uint32_t*>(warp.In(i.operands[r]));
  if (recipe.sum != Sum::kF16) return recipe.d.Gather(registers, reinterpret_cast<std::uint32_t*>(buffers.sums));
  recipe.d.Gather(registers, buffers.words);
  Matmul().widen(TensorType::kF16, buffers.words, recipe.d.tile_elements(), buffers.sums);
}

void WriteSums(Warp& warp, const Instruction& i, const Recipe& recipe, Buffers& buffers) {
  std::uint32_t* registers[kMaxRegisters];
  for (int r = 0; r < recipe.d.registers(); ++r)
    registers[r] = reinterpret_cast<std::uint32_t*>(warp.Out(i.operands[r]));
  if (recipe.sum != Sum::kF16) return recipe.d.Scatter(reinterpret_cast<const std::uint32_t*>(buffers.sums), registers);
  for (std::size_t e = 0; e < recipe.d.tile_elements(); e += 2)
    buffers.words[e / 2] = F32ToF16(buffers.sums[e]) | static_cast<std::uint32_t>(F32ToF16(buffers.sums[e + 1])) << 16;
  recipe.d.Scatter(buffers.words, registers);
}

/// m64nNk256 with .b1: rows of A and columns of B as words of bits.
void MultiplyBits(Warp& warp, const Instruction& i, const Recipe& recipe, std::int32_t* sums) {
  constexpr int kWords = 8;
  const auto window = warp.cta().window();
  std::vector<std::uint32_t> pieces;
  const auto read = [&](MatrixDescriptor descriptor, int extent) {
    descriptor.ListPieces(Major::kK, extent, kWords * 32, 1, pieces);
    std::vector<std::uint32_t> words(static_cast<std::size_t>(extent * kWords));
    for (std::size_t p = 0; p < pieces.size(); ++p) {
      if (pieces[p] + std::size_t{16} > window.size())
        throw Fail(Code::kDevice, "", "matrix descriptor: reads 16 bytes at {:#x} of {} bytes of shared memory",
                   pieces[p], window.size());
      std::memcpy(&words[4 * p], window.data() + pieces[p], 16);
    }
    TellTensorRead(warp, i, pieces);
    return words;
  };
  std::vector<std::uint32_t> a(kWarpRows * kWords);
  if (recipe.a_in_registers) {
    const std::uint32_t* registers[kMaxRegisters];
    for (int r = 0; r < recipe.a.registers(); ++r)
      registers[r] =
          reinterpret_cast<const std::uint32_t*>(warp.In(i.operands[recipe.a_at() + static_cast<std::size_t>(r)]));
    recipe.a.Gather(registers, a.data());
  } else {
    auto descriptor = MatrixDescriptor::OfWgmma(Uniform(warp, i, i.operands[recipe.a_at()], "the descriptor of A"));
    descriptor.start += static_cast<std::uint32_t>(warp.index() % 4) * 2 * descriptor.stride;
    a = read(descriptor, kWarpRows);
  }
  const auto b = read(MatrixDescriptor::OfWgmma(Uniform(warp, i, i.operands[recipe.b_at()], "the descriptor of B")),
                      recipe.shape.n);
  MultiplyAddBits({kWarpRows, recipe.shape.n, kWords * 32}, BitOperation::kAnd, a.data(), b.data(), sums);
}

void Multiply(Warp& warp, const Instruction& i, const Recipe& recipe) {
  Buffers& buffers = ThreadBuffers();
  const TileShape shape{kWarpRows, recipe.shape.n, recipe.shape.k};
  const std::uint32_t keeps = warp.GetPredicate(i.operands[recipe.b_at() + 1]);
  if (keeps != 0 && keeps != kAllLanes) throw warp.Fault(i, 0, "scale-d differs among the lanes of a warp");
  if (keeps != 0)
    ReadSums(warp, i, recipe, buffers);
  else
    std::fill_n(buffers.sums, recipe.d.tile_elements(), 0.0f);
  auto* const integers = reinterpret_cast<std::int32_t*>(buffers.sums);
  if (recipe.bits) {
    MultiplyBits(warp, i, recipe, integers);
  } else {
    const float* const a = ReadA(warp, i, recipe, buffers);
    const float* const b = ReadB(warp, i, recipe);
    if (recipe.sum == Sum::kS32)
      Matmul().multiply_add_s32(shape, a, b, integers, recipe.saturate);
    else if (recipe.reduced)
      Matmul().multiply_add_reduced(shape, a, LowestExponent(recipe.a_type), b, LowestExponent(recipe.b_type),
                                    buffers.sums);
    else
      Matmul().multiply_add(shape, a, b, buffers.sums);
  }
  WriteSums(warp, i, recipe, buffers);
}

void MultiplyAsync(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  const Recipe& recipe = *static_cast<const Recipe*>(i.extra);
  warp.cta().warpgroups().Begin(warp, i);
  if (warp.cta().launch().options.check) {
    if (!warp.fenced) throw warp.Fault(i, -1, "no wgmma.fence was executed before the first wgmma.mma_async");
    for (std::size_t r = 0; r < recipe.a_at(); ++r)
      warp.watch.MarkAccumulator(warp, i, i.operands[r], warp.wgmma_groups, recipe.tag);
    for (std::size_t r = recipe.a_at(); recipe.a_in_registers && r < recipe.b_at(); ++r)
      warp.watch.MarkFactor(warp, i.operands[r], i, warp.wgmma_groups);
  }
  Guarded(warp, i, 0, [&] { Multiply(warp, i, recipe); });
}

void Fence(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  warp.fenced = true;
  warp.watch.Fence();
}
void CommitGroup(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  ++warp.wgmma_groups;
  warp.cta().warpgroups().Commit(warp);
}
void WaitGroup(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  const auto pending = static_cast<std::uint32_t>(warp.Get<std::uint64_t>(i.operands[0])[0]);
  if (warp.wgmma_groups <= pending) return;
  if (!warp.cta().warpgroups().AllHaveBegun(warp, pending)) return warp.Block("the other warps of its warpgroup");
  warp.watch.Release(warp.wgmma_groups - pending);
  if (Observer* const observer = warp.observer()) observer->OnTensorWait(warp, warp.wgmma_groups - pending);
}

/// imm-scale: 1 or -1; imm-trans: 0 or 1.
bool Flag(Decoder& decoder, std::size_t index, std::uint64_t no, std::uint64_t yes) {
  const std::uint64_t value = decoder.Immediate(decoder.operand(index));
  if (value != no && value != yes)
    throw decoder.Refuse(fmt::format("{} or {} belongs in the place of {}", static_cast<std::int64_t>(no),
                                     static_cast<std::int64_t>(yes), static_cast<std::int64_t>(value)));
  return value == yes;
}

Recipe RecipeOf(Decoder& decoder, bool a_in_registers) {
  const Form& form = decoder.form();
  std::vector<std::string_view> types;
  TileShape shape{};
  for (const std::string& word : form.instruction->modifiers) {
    if (word == "b1" || ptx::ParseScalarType(word) || ParseTensorType(word)) types.push_back(word);
    if (word.starts_with("m64n")) shape = ParseShape(word);
  }
  const bool integer = types[0] == "s32";
  if (shape.n < 8 || shape.n > kMaxColumns || shape.n % 8 != 0 || (integer && shape.n > 32 && shape.n % 16 != 0))
    throw decoder.Refuse(fmt::format("there is no shape with n={}", shape.n));
  const bool bits = types[1] == "b1";
  const TensorType a = ParseTensorType(types[1]).value_or(TensorType::kF16);
  const Sum sum = MatrixProduct::ParseSum(types[0]);
  const int factor_bits = bits ? 1 : BitsOf(a);
  Recipe recipe{
      .shape = shape,
      .d = FragmentLayout::Mma(MatrixRole::kAccumulator, kWarpRows, shape.n, MatrixProduct::BitsOf(sum)),
      .a = FragmentLayout::Mma(MatrixRole::kA, kWarpRows, shape.k, factor_bits),
  };
  recipe.a_type = a;
  recipe.b_type = ParseTensorType(types[2]).value_or(TensorType::kF16);
  recipe.sum = sum;
  recipe.a_in_registers = a_in_registers;
  recipe.bits = bits;
  recipe.reduced = a == TensorType::kE4m3 || a == TensorType::kE5m2;
  recipe.saturate = form.Has("satfinite");
  recipe.tag = static_cast<std::uint64_t>(shape.n) << 8 | static_cast<std::uint64_t>(sum);
  return recipe;
}

void Prepare(Decoder& decoder, Instruction& out) {
  const std::size_t count = decoder.operand_count();
  if (count < 4) throw decoder.Refuse("it takes D, A, B and scale-d");
  const bool registers = decoder.operand(1).kind == ptx::Operand::Kind::kVector;
  Recipe recipe = RecipeOf(decoder, registers);
  const bool halves = recipe.a_type == TensorType::kF16 || recipe.a_type == TensorType::kBf16;
  const bool scales = recipe.sum != Sum::kS32;
  const std::size_t transposes = scales && halves ? (registers ? 1 : 2) : 0;
  if (count != 4 + (scales ? 2 : 0) + transposes) throw decoder.Refuse("it has operands too many or too few");
  if (scales) {
    recipe.negate_a = Flag(decoder, 4, 1, ~std::uint64_t{0});
    recipe.negate_b = Flag(decoder, 5, 1, ~std::uint64_t{0});
  }
  if (transposes == 2 && Flag(decoder, 6, 0, 1)) recipe.a_major = Major::kMn;
  if (transposes != 0 && Flag(decoder, 5 + transposes, 0, 1)) recipe.b_major = Major::kMn;
  const ScalarType sums = recipe.sum == Sum::kF32 ? ScalarType::kF32 : ScalarType::kB32;
  PushRegisters(decoder, decoder.operand(0), static_cast<std::size_t>(recipe.d.registers()), sums, true);
  if (registers)
    PushRegisters(decoder, decoder.operand(1), static_cast<std::size_t>(recipe.a.registers()), ScalarType::kB32, false);
  else
    decoder.Push(decoder.Source(decoder.operand(1), ScalarType::kB64));
  decoder.Push(decoder.Source(decoder.operand(2), ScalarType::kB64));
  decoder.Push(decoder.Source(decoder.operand(3), ScalarType::kPred));
  out.extra = decoder.Keep(std::move(recipe));
}

void PrepareSparse(Decoder& decoder, Instruction&) {
  throw decoder.Refuse("sparse products are none of the emulator's");
}

constexpr Category kCategory = Category::kMatrix;
#define GEMMSMITH_EXECUTE(f) [](const Form&) -> Execute { return f; }
#define GEMMSMITH_ROW(form) \
  { form, "", kCategory, 80, 90, GEMMSMITH_EXECUTE(MultiplyAsync), Prepare }
// All multiples of 8 up to 256.
#define GEMMSMITH_SHAPES(k)                                                                                            \
  ".{m64n8" k ",m64n16" k ",m64n24" k ",m64n32" k ",m64n40" k ",m64n48" k ",m64n56" k ",m64n64" k ",m64n72" k          \
  ",m64n80" k ",m64n88" k ",m64n96" k ",m64n104" k ",m64n112" k ",m64n120" k ",m64n128" k ",m64n136" k ",m64n144" k    \
  ",m64n152" k ",m64n160" k ",m64n168" k ",m64n176" k ",m64n184" k ",m64n192" k ",m64n200" k ",m64n208" k ",m64n216" k \
  ",m64n224" k ",m64n232" k ",m64n240" k ",m64n248" k ",m64n256" k "}"

constexpr Row kTable[] = {
    {"wgmma.fence.sync.aligned", "", kCategory, 80, 90, GEMMSMITH_EXECUTE(Fence)},
    {"wgmma.commit_group.sync.aligned", "", kCategory, 80, 90, GEMMSMITH_EXECUTE(CommitGroup)},
    {"wgmma.wait_group.sync.aligned", "i", kCategory, 80, 90, GEMMSMITH_EXECUTE(WaitGroup)},
    GEMMSMITH_ROW("wgmma.mma_async.sync.aligned" GEMMSMITH_SHAPES("k16") ".{f16,f32}.f16.f16"),
    GEMMSMITH_ROW("wgmma.mma_async.sync.aligned" GEMMSMITH_SHAPES("k16") ".f32.bf16.bf16"),
    GEMMSMITH_ROW("wgmma.mma_async.sync.aligned" GEMMSMITH_SHAPES("k8") ".f32.tf32.tf32"),
    GEMMSMITH_ROW("wgmma.mma_async.sync.aligned" GEMMSMITH_SHAPES("k32") ".{f16,f32}.{e4m3,e5m2}.{e4m3,e5m2}"),
    GEMMSMITH_ROW(
        "wgmma.mma_async.sync.aligned" GEMMSMITH_SHAPES("k32") "[.satfinite].s32.{s8,u8}.{s8,u8}[.satfinite]"),
    GEMMSMITH_ROW("wgmma.mma_async.sync.aligned" GEMMSMITH_SHAPES("k256") ".s32.b1.b1.and.popc"),
    {"wgmma.mma_async.sp.sync.aligned" GEMMSMITH_SHAPES("k32") ".{f16,f32}.{f16,bf16}.{f16,bf16}", "", kCategory, 80,
     90, GEMMSMITH_EXECUTE(Fence), PrepareSparse},
    {"wgmma.mma_async.sp.sync.aligned" GEMMSMITH_SHAPES("k16") ".f32.tf32.tf32", "", kCategory, 80, 90,
     GEMMSMITH_EXECUTE(Fence), PrepareSparse},
    {"wgmma.mma_async.sp.sync.aligned" GEMMSMITH_SHAPES("k64") ".{f16,f32,s32}.{e4m3,e5m2,s8,u8}.{e4m3,e5m2,s8,u8}"
                                                               "[.satfinite]",
     "", kCategory, 80, 90, GEMMSMITH_EXECUTE(Fence), PrepareSparse},
};

}  // namespace

std::span<const Row> WarpgroupRows() { return kTable; }

}  // namespace gemmsmith::emulator
