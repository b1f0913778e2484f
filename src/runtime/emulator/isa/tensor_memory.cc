// Tensor memory of tcgen05: its allocation, and what warps load from it and store to it.
#include "runtime/emulator/machine/tensor_memory.h"

#include <cstring>

#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/isa/tensor_form.h"
#include "runtime/emulator/tensor_memory/register_shape.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

int ColumnsOf(Warp& warp, const Instruction& i, const Operand& o) {
  const std::uint64_t columns = Uniform(warp, i, o, "the number of columns");
  if (!std::has_single_bit(columns) || columns < TensorMemory::kUnit || columns > TensorMemory::kColumns)
    throw warp.Fault(i, -1, fmt::format("{} columns: it takes 32, 64, 128, 256 or 512", columns));
  return static_cast<int>(columns);
}

/// The columns that two CTAs allocate, or free, together; nothing: the instruction has to wait.
std::optional<int> Meet(Warp& warp, const Instruction& i, TensorMemory::Meeting wish, const std::array<Cta*, 2>& ctas) {
  TensorMemory& memory = warp.cta().tensor_memory();
  TensorMemory& peer = (ctas[0] == &warp.cta() ? ctas[1] : ctas[0])->tensor_memory();
  TensorMemory::Meeting &own = memory.meeting, &other = peer.meeting;
  std::uint64_t& token = warp.group().token;
  if (token == 0 && !own.waits && !own.done) {
    own = wish;
    own.waits = true;
    token = 1;
    ++warp.cta().cluster().changes;
  }
  if (token == 0 || (!own.done && !other.waits)) {
    warp.Block("a warp of the other CTA of its pair");
    return std::nullopt;
  }
  if (!own.done) {
    if (own.frees != other.frees || own.columns != other.columns || own.column != other.column)
      throw warp.Fault(i, -1, "the other CTA of its pair executes it with other operands, or its opposite");
    const auto column = wish.frees ? own.column : memory.FindFree(static_cast<int>(own.columns));
    if (!column) {
      warp.Block("free columns of tensor memory");
      return std::nullopt;
    }
    own.column = other.column = *column;
    own.waits = other.waits = false;
    own.done = other.done = true;
    ++warp.cta().cluster().changes;
  }
  const int column = own.column;
  own = {};
  token = 0;
  return column;
}

/// Operands: where the address goes, the number of columns.
void Allocate(Warp& warp, const Instruction& i) {
  if (warp.group().token == 0 && !GatherWarp(warp, i)) return;
  const auto ctas = TensorGroup(warp, i);
  TensorMemory& memory = warp.cta().tensor_memory();
  const int columns = ColumnsOf(warp, i, i.operands[1]);
  if (!memory.permitted) throw warp.Fault(i, -1, "its CTA has executed tcgen05.relinquish_alloc_permit");
  if (columns > memory.last_columns)
    throw warp.Fault(i, -1,
                     fmt::format("{} columns after an allocation of {}: the numbers may not increase", columns,
                                 memory.last_columns));
  std::optional<int> column;
  if (ctas[1] != nullptr) {
    column = Meet(warp, i, {.columns = static_cast<std::uint32_t>(columns)}, ctas);
    if (!column) return;
  } else {
    column = memory.FindFree(columns);
    if (!column) return warp.Block("free columns of tensor memory");
  }
  memory.Allocate(*column, columns);
  ++warp.cta().cluster().changes;
  if (Observer* const observer = warp.observer()) observer->OnTensorAllocated(warp.cta(), *column, columns);
  std::uint64_t addresses[kLanes];
  warp.GetAddresses(i.operands[0], addresses);
  std::byte* out[kLanes];
  constexpr std::uint32_t kOneLane = 1;
  ResolveAt(warp, i, addresses, static_cast<Window>(i.options[1]), AccessKind::kWrite, 4, 4, kOneLane, out);
  const auto address = static_cast<std::uint32_t>(*column);
  std::memcpy(out[0], &address, sizeof address);
}

/// Operands: the address, the number of columns.
void Free(Warp& warp, const Instruction& i) {
  if (warp.group().token == 0 && !GatherWarp(warp, i)) return;
  const auto ctas = TensorGroup(warp, i);
  const int columns = ColumnsOf(warp, i, i.operands[1]);
  const TensorAddress at = UniformTensorAddress(warp, i, i.operands[0]);
  TensorMemory& memory = warp.cta().tensor_memory();
  if (Observer* const observer = warp.group().token == 0 ? warp.observer() : nullptr;
      observer != nullptr && memory.IsAllocated(at.column, std::min(columns, TensorMemory::kColumns - at.column))) {
    const TensorWords words{&warp.cta(), 0, TensorMemory::kHeight, at.column, columns, false, true};
    CheckTensorWords(warp, i, words);
    observer->OnTensorWords(warp, i, TensorUser::kWarp, 0, {&words, 1});
  }
  if (ctas[1] != nullptr &&
      !Meet(warp, i, {.frees = true, .columns = static_cast<std::uint32_t>(columns), .column = at.column}, ctas))
    return;
  if (at.lane != 0 || !memory.Free(at.column, columns))
    throw warp.Fault(
        i, -1,
        fmt::format("{} columns at lane {}, column {} are not what was allocated there", columns, at.lane, at.column));
  ++warp.cta().cluster().changes;
}

void Relinquish(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  TensorGroup(warp, i);
  warp.cta().tensor_memory().permitted = false;
}

/// How tcgen05.ld and tcgen05.st lay out registers; kept in Instruction::extra. Operands: the registers, and the
/// address behind them.
struct Recipe {
  RegisterShape shape;
  bool packed = false;  ///< Each register holds the low halves of two words.
  int half_offset = 0;  ///< Columns between the halves of .16x32bx2.

  int width() const { return shape.columns() * (packed ? 2 : 1); }  ///< Columns that are accessed, of one half.
};

/// What the warp accesses: it reaches the 32 lanes of its place among four.
TensorAddress Access(Warp& warp, const Instruction& i, const Recipe& recipe, bool writes) {
  const TensorAddress at = UniformTensorAddress(warp, i, i.operands[recipe.shape.registers()]);
  const int quarter = warp.index() % 4 * kLanes;
  if (at.lane != quarter && (recipe.shape.lanes == kLanes || at.lane != quarter + recipe.shape.lanes))
    throw warp.Fault(i, -1,
                     fmt::format("warp {} reaches lanes {} to {} of tensor memory, and this {} from lane {} on",
                                 warp.index(), quarter, quarter + kLanes - 1, recipe.shape.lanes, at.lane));
  TensorWords words[2];
  words[0] = {&warp.cta(), at.lane, recipe.shape.lanes, at.column, recipe.width(), !writes, writes};
  words[1] = words[0];
  words[1].column += recipe.half_offset;
  const std::span<const TensorWords> used(words, recipe.shape.halves ? 2 : 1);
  for (const TensorWords& w : used) CheckTensorWords(warp, i, w);
  if (Observer* const observer = warp.observer())
    observer->OnTensorWords(warp, i, writes ? TensorUser::kStores : TensorUser::kLoads, 0, used);
  return at;
}

/// f(register, thread, its word): the first of two where they are packed.
template <class F>
void ForEachWord(Warp& warp, const Recipe& recipe, TensorAddress at, F f) {
  TensorMemory& memory = warp.cta().tensor_memory();
  for (int r = 0; r < recipe.shape.registers(); ++r)
    for (int thread = 0; thread < kLanes; ++thread) {
      const Position word = recipe.shape.At(thread, r);
      const int half = recipe.shape.halves ? thread / recipe.shape.lanes * recipe.half_offset : 0;
      f(r, thread, memory.At(at.lane + word.row, at.column + half + word.column * (recipe.packed ? 2 : 1)));
    }
}

void Load(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  const Recipe& recipe = *static_cast<const Recipe*>(i.extra);
  const TensorAddress at = Access(warp, i, recipe, false);
  std::uint32_t values[kLanes];
  ForEachWord(warp, recipe, at, [&](int r, int thread, const std::uint32_t* word) {
    values[thread] = recipe.packed ? (word[0] & 0xffff) | word[1] << 16 : word[0];
    if (thread == kLanes - 1) warp.Put(i.operands[r], values);
  });
}

void Store(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  const Recipe& recipe = *static_cast<const Recipe*>(i.extra);
  const TensorAddress at = Access(warp, i, recipe, true);
  ForEachWord(warp, recipe, at, [&](int r, int thread, std::uint32_t* word) {
    const std::uint32_t value = warp.Get<std::uint32_t>(i.operands[r])[thread];
    word[0] = recipe.packed ? value & 0xffff : value;
    if (recipe.packed) word[1] = value >> 16;
  });
  ++warp.cta().cluster().changes;
}

template <TensorUser kUser>
void Wait(Warp& warp, const Instruction& i) {
  if (!GatherWarp(warp, i)) return;
  if (Observer* const observer = warp.observer()) observer->OnTensorWordsEnded(warp, kUser);
}

/// Both fences order what a thread has done before with what it does behind them.
void Fence(Warp& warp, const Instruction& i) {
  if (Observer* const observer = warp.observer()) observer->OnFence(warp, i);
}

void PrepareAllocate(Decoder& decoder, Instruction& out) {
  PrepareTensor(decoder, out);
  out.options[1] = static_cast<std::uint8_t>(FindWindow(decoder.form()));
}

/// tcgen05.ld {r...}, [address]{, offset}; tcgen05.st [address]{, offset}, {r...}
template <bool kLoad>
void PrepareAccess(Decoder& decoder, Instruction& out) {
  PrepareTensor(decoder, out);
  Recipe recipe;
  const auto& words = decoder.form().instruction->modifiers;  // ld.sync.aligned.SHAPE.xN...
  recipe.shape = RegisterShape::Parse(words[3], std::stoi(words[4].substr(1)));
  recipe.packed = decoder.form().Has(kLoad ? "pack::16b" : "unpack::16b");
  const std::size_t count = recipe.shape.halves ? 3 : 2;
  if (decoder.operand_count() != count) throw decoder.Refuse("it has operands too many or too few");
  const std::size_t registers = kLoad ? 0 : count - 1, address = kLoad ? 1 : 0;
  if (recipe.shape.halves) recipe.half_offset = static_cast<int>(decoder.Immediate(decoder.operand(address + 1)));
  if (recipe.half_offset < 0 || recipe.half_offset > TensorMemory::kColumns)
    throw decoder.Refuse(fmt::format("there are no {} columns", recipe.half_offset));
  PushRegisters(decoder, decoder.operand(registers), static_cast<std::size_t>(recipe.shape.registers()),
                ScalarType::kB32, kLoad);
  decoder.Push(decoder.Address(decoder.operand(address)));
  out.extra = decoder.Keep(recipe);
}

constexpr Category kCategory = Category::kMatrix;
#define GEMMSMITH_EXECUTE(...) [](const Form&) -> Execute { return __VA_ARGS__; }
#define GEMMSMITH_GROUP ".{cta_group::1,cta_group::2}"
#define GEMMSMITH_LOAD(shape)                                                                             \
  {                                                                                                       \
    "tcgen05.ld.sync.aligned." shape "[.pack::16b].b32", "", kCategory, 86, 100, GEMMSMITH_EXECUTE(Load), \
        PrepareAccess<true>                                                                               \
  }
#define GEMMSMITH_STORE(shape)                                                                               \
  {                                                                                                          \
    "tcgen05.st.sync.aligned." shape "[.unpack::16b].b32", "", kCategory, 86, 100, GEMMSMITH_EXECUTE(Store), \
        PrepareAccess<false>                                                                                 \
  }
#define GEMMSMITH_NARROW "{32x32b,16x64b,16x32bx2}.{x1,x2,x4,x8,x16,x32,x64,x128}"
#define GEMMSMITH_MIDDLE "16x128b.{x1,x2,x4,x8,x16,x32,x64}"
#define GEMMSMITH_WIDE "16x256b.{x1,x2,x4,x8,x16,x32}"

constexpr Row kRows[] = {
    {"tcgen05.alloc" GEMMSMITH_GROUP ".sync.aligned[.shared::cta].b32", "a sb32", kCategory, 86, 100,
     GEMMSMITH_EXECUTE(Allocate), PrepareAllocate},
    {"tcgen05.dealloc" GEMMSMITH_GROUP ".sync.aligned.b32", "sb32 sb32", kCategory, 86, 100, GEMMSMITH_EXECUTE(Free),
     PrepareTensor},
    {"tcgen05.relinquish_alloc_permit" GEMMSMITH_GROUP ".sync.aligned", "", kCategory, 86, 100,
     GEMMSMITH_EXECUTE(Relinquish), PrepareTensor},
    GEMMSMITH_LOAD(GEMMSMITH_NARROW),
    GEMMSMITH_LOAD(GEMMSMITH_MIDDLE),
    GEMMSMITH_LOAD(GEMMSMITH_WIDE),
    GEMMSMITH_STORE(GEMMSMITH_NARROW),
    GEMMSMITH_STORE(GEMMSMITH_MIDDLE),
    GEMMSMITH_STORE(GEMMSMITH_WIDE),
    {"tcgen05.wait::ld.sync.aligned", "", kCategory, 86, 100, GEMMSMITH_EXECUTE(Wait<TensorUser::kLoads>),
     PrepareTensor},
    {"tcgen05.wait::st.sync.aligned", "", kCategory, 86, 100, GEMMSMITH_EXECUTE(Wait<TensorUser::kStores>),
     PrepareTensor},
    {"tcgen05.{fence::before_thread_sync,fence::after_thread_sync}", "", Category::kFence, 86, 100,
     GEMMSMITH_EXECUTE(Fence), PrepareTensor},
};

}  // namespace

std::span<const Row> TensorMemoryRows() { return kRows; }

}  // namespace gemmsmith::emulator
