// atom and red.
#include <algorithm>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/memory_form.h"
#include "runtime/emulator/isa/small_float.h"
#include "runtime/emulator/machine/access.h"
#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;

enum class Operation : std::uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExchange, kCompare, kIncrement, kDecrement };

/// The old value and the operands of one lane, as bits; the new value.
using Update = std::uint64_t (*)(std::uint64_t old, std::uint64_t b, std::uint64_t c);

template <class T>
T As(std::uint64_t bits) {
  if constexpr (sizeof(T) == 8)
    return std::bit_cast<T>(bits);
  else if constexpr (sizeof(T) == 4)
    return std::bit_cast<T>(static_cast<std::uint32_t>(bits));
  else
    return std::bit_cast<T>(static_cast<std::uint16_t>(bits));
}
template <class T>
std::uint64_t BitsOf(T value) {
  if constexpr (sizeof(T) == 8)
    return std::bit_cast<std::uint64_t>(value);
  else if constexpr (sizeof(T) == 4)
    return std::bit_cast<std::uint32_t>(value);
  else
    return std::bit_cast<std::uint16_t>(value);
}

/// Addition in the type's own arithmetic: integers wrap.
template <class T>
std::uint64_t Add(std::uint64_t a, std::uint64_t b, std::uint64_t) {
  if constexpr (std::is_integral_v<T>)
    return a + b;
  else
    return BitsOf(As<T>(a) + As<T>(b));
}
template <class T>
std::uint64_t Min(std::uint64_t a, std::uint64_t b, std::uint64_t) {
  return As<T>(b) < As<T>(a) ? b : a;
}
template <class T>
std::uint64_t Max(std::uint64_t a, std::uint64_t b, std::uint64_t) {
  return As<T>(a) < As<T>(b) ? b : a;
}
std::uint64_t And(std::uint64_t a, std::uint64_t b, std::uint64_t) { return a & b; }
std::uint64_t Or(std::uint64_t a, std::uint64_t b, std::uint64_t) { return a | b; }
std::uint64_t Xor(std::uint64_t a, std::uint64_t b, std::uint64_t) { return a ^ b; }
std::uint64_t Exchange(std::uint64_t, std::uint64_t b, std::uint64_t) { return b; }
template <class T>
std::uint64_t CompareAndSwap(std::uint64_t old, std::uint64_t expected, std::uint64_t desired) {
  return As<T>(old) == As<T>(expected) ? desired : old;
}
std::uint64_t Increment(std::uint64_t old, std::uint64_t limit, std::uint64_t) { return old >= limit ? 0 : old + 1; }
std::uint64_t Decrement(std::uint64_t old, std::uint64_t limit, std::uint64_t) {
  return old == 0 || old > limit ? limit : old - 1;
}

/// 16-bit floats; red of f32 flushes no denormals in global memory.
template <class H>
std::uint64_t AddHalf(std::uint64_t a, std::uint64_t b, std::uint64_t) {
  H sum;
  FromFloat(ToFloat(H{static_cast<std::uint16_t>(a)}) + ToFloat(H{static_cast<std::uint16_t>(b)}), sum);
  return sum.bits;
}
template <class H, bool kMax>
std::uint64_t PickHalf(std::uint64_t a, std::uint64_t b, std::uint64_t) {
  const float x = ToFloat(H{static_cast<std::uint16_t>(a)}), y = ToFloat(H{static_cast<std::uint16_t>(b)});
  if (x != x) return b;
  if (y != y) return a;
  return (kMax ? x < y : y < x) ? b : a;
}
template <Update f>
std::uint64_t Twice(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  return (f(a & 0xffff, b & 0xffff, c) & 0xffff) | (f(a >> 16 & 0xffff, b >> 16 & 0xffff, c) & 0xffff) << 16;
}

/// How an instruction updates memory; kept in Instruction::extra.
struct Recipe {
  Update update = nullptr;
  std::uint32_t bytes = 4;  ///< Of an element.
  std::uint32_t count = 1;  ///< Of elements.
  bool returns = false, compares = false;
};

/// Lanes in their order, each seeing what those before it have done. Operands: results, address, values, desired value.
void Atomic(Warp& warp, const Instruction& i) {
  const Recipe& recipe = *static_cast<const Recipe*>(i.extra);
  const std::uint32_t results = recipe.returns ? recipe.count : 0;
  std::byte* at[kLanes];
  Resolve(warp, i, i.operands[results], static_cast<Window>(i.options[0]), AccessKind::kAtomic,
          recipe.bytes * recipe.count, recipe.bytes * recipe.count, at);
  for (std::uint32_t k = 0; k < recipe.count; ++k) {
    std::uint64_t b[kLanes], c[kLanes] = {}, old[kLanes] = {};
    warp.GetBits(i.operands[results + 1 + k], b);
    if (recipe.compares) warp.GetBits(i.operands[results + 2], c);
    for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
      const int l = std::countr_zero(m);
      std::byte* const place = at[l] + k * recipe.bytes;
      std::memcpy(&old[l], place, recipe.bytes);
      const std::uint64_t value = recipe.update(old[l], b[l], c[l]);
      NoteStore(warp, place, &value, recipe.bytes);
      std::memcpy(place, &value, recipe.bytes);
    }
    if (recipe.returns) warp.PutBits(i.operands[k], old);
  }
}

/// Sixteen bytes: exch and cas alone.
void Atomic128(Warp& warp, const Instruction& i) {
  const Recipe& recipe = *static_cast<const Recipe*>(i.extra);
  std::byte* at[kLanes];
  Resolve(warp, i, i.operands[1], static_cast<Window>(i.options[0]), AccessKind::kAtomic, 16, 16, at);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const auto l = static_cast<std::size_t>(std::countr_zero(m));
    const std::byte* const b = warp.In(i.operands[2]) + 16 * l;
    const std::byte* const desired = recipe.compares ? warp.In(i.operands[3]) + 16 * l : b;
    std::array<std::byte, 16> old;
    std::memcpy(old.data(), at[l], 16);
    if (!recipe.compares || std::memcmp(old.data(), b, 16) == 0) {
      NoteStore(warp, at[l], desired, 16);
      std::memcpy(at[l], desired, 16);
    }
    if (!i.operands[0].sink) std::memcpy(warp.Out(i.operands[0]) + 16 * l, old.data(), 16);
  }
}

Operation OperationOf(const Form& form) {
  constexpr std::pair<std::string_view, Operation> kNames[] = {
      {"add", Operation::kAdd},       {"min", Operation::kMin},     {"max", Operation::kMax},
      {"and", Operation::kAnd},       {"or", Operation::kOr},       {"xor", Operation::kXor},
      {"exch", Operation::kExchange}, {"cas", Operation::kCompare}, {"inc", Operation::kIncrement},
      {"dec", Operation::kDecrement}};
  for (const auto& [name, operation] : kNames)
    if (form.Has(name)) return operation;
  return Operation::kAdd;
}

Update AddOf(ScalarType type) {
  switch (type) {
    case ScalarType::kF32:
      return Add<float>;
    case ScalarType::kF64:
      return Add<double>;
    case ScalarType::kF16:
      return AddHalf<HalfBits>;
    case ScalarType::kBf16:
      return AddHalf<BrainBits>;
    case ScalarType::kF16x2:
      return Twice<AddHalf<HalfBits>>;
    case ScalarType::kBf16x2:
      return Twice<AddHalf<BrainBits>>;
    default:
      return Add<std::uint64_t>;
  }
}

template <bool kMax>
Update PickOf(ScalarType type) {
  switch (type) {
    case ScalarType::kS32:
      return kMax ? Max<std::int32_t> : Min<std::int32_t>;
    case ScalarType::kU32:
      return kMax ? Max<std::uint32_t> : Min<std::uint32_t>;
    case ScalarType::kS64:
      return kMax ? Max<std::int64_t> : Min<std::int64_t>;
    case ScalarType::kU64:
      return kMax ? Max<std::uint64_t> : Min<std::uint64_t>;
    case ScalarType::kF16:
      return PickHalf<HalfBits, kMax>;
    case ScalarType::kBf16:
      return PickHalf<BrainBits, kMax>;
    case ScalarType::kF16x2:
      return Twice<PickHalf<HalfBits, kMax>>;
    case ScalarType::kBf16x2:
      return Twice<PickHalf<BrainBits, kMax>>;
    default:
      return nullptr;
  }
}

Update UpdateOf(Operation operation, ScalarType type) {
  switch (operation) {
    case Operation::kAdd:
      return AddOf(type);
    case Operation::kMin:
      return PickOf<false>(type);
    case Operation::kMax:
      return PickOf<true>(type);
    case Operation::kAnd:
      return And;
    case Operation::kOr:
      return Or;
    case Operation::kXor:
      return Xor;
    case Operation::kExchange:
      return Exchange;
    case Operation::kCompare:
      if (ptx::Bits(type) == 16) return CompareAndSwap<std::uint16_t>;
      return ptx::Bits(type) == 32 ? CompareAndSwap<std::uint32_t> : CompareAndSwap<std::uint64_t>;
    case Operation::kIncrement:
      return Increment;
    case Operation::kDecrement:
      return Decrement;
  }
  return nullptr;
}

void PushAll(Decoder& decoder, const ptx::Operand& given, bool destination, std::uint32_t count) {
  const ScalarType type = decoder.form().type();
  const auto push = [&](const ptx::Operand& part) {
    decoder.Push(destination ? decoder.Destination(part, type) : decoder.Source(part, type));
  };
  if (given.kind != ptx::Operand::Kind::kVector && count == 1) return push(given);
  if (given.kind != ptx::Operand::Kind::kVector || given.parts.size() != count)
    throw decoder.Refuse(fmt::format("{} registers make up its operand", count));
  for (const ptx::Operand& part : given.parts) push(part);
}

bool HasTwoOf(const Form& form, std::initializer_list<std::string_view> words) {
  const auto& given = form.instruction->modifiers;
  return std::count_if(given.begin(), given.end(), [&](std::string_view word) {
           return std::find(words.begin(), words.end(), word) != words.end();
         }) > 1;
}

void PrepareAtomic(Decoder& decoder, Instruction& out) {
  const Form& form = decoder.form();
  if (HasTwoOf(form, {"relaxed", "acquire", "release", "acq_rel"}) || HasTwoOf(form, {"cta", "cluster", "gpu", "sys"}))
    throw decoder.Refuse("it has two orders or two scopes");
  Recipe recipe;
  const Operation operation = OperationOf(form);
  recipe.returns = decoder.source().mnemonic == "atom";
  recipe.compares = operation == Operation::kCompare;
  recipe.bytes = static_cast<std::uint32_t>(ptx::Bits(form.type()) / 8);
  recipe.count = form.Has("v8") ? 8 : form.Has("v4") ? 4 : form.Has("v2") ? 2 : 1;
  recipe.update = UpdateOf(operation, form.type());
  if (recipe.update == nullptr) throw decoder.Refuse("its operation does not go with its type");
  // Behind the values there may be a cache policy, which is of no consequence.
  const std::size_t first = recipe.returns ? 1 : 0, needed = first + 2 + (recipe.compares ? 1 : 0);
  if (decoder.operand_count() < needed || decoder.operand_count() > needed + (form.Has("L2::cache_hint") ? 1 : 0))
    throw decoder.Refuse("it has operands too many or too few");
  if (recipe.returns) PushAll(decoder, decoder.operand(0), true, recipe.count);
  decoder.Push(decoder.Address(decoder.operand(first)));
  PushAll(decoder, decoder.operand(first + 1), false, recipe.count);
  if (recipe.compares) PushAll(decoder, decoder.operand(first + 2), false, 1);
  const Window window = FindWindow(form);
  out.options[0] = static_cast<std::uint8_t>(window);
  out.flags |= kPolls;
  if (window == Window::kGlobal || window == Window::kGeneric || window == Window::kSharedCluster)
    out.flags |= kCommunicates;
  out.execute = recipe.bytes == 16 ? Atomic128 : Atomic;
  out.extra = decoder.Keep(recipe);
}

constexpr Category kCategory = Category::kAtomic;
// Qualifiers come before the operation by the PTX ISA; the toolkit's headers also write the order and scope behind it,
// or the scope behind the space, which ptxas takes.
#define GEMMSMITH_ORDER "[.{relaxed,acquire,release,acq_rel}]"
#define GEMMSMITH_SCOPE "[.{cta,cluster,gpu,sys}]"
#define GEMMSMITH_QUALIFIERS \
  GEMMSMITH_ORDER GEMMSMITH_SCOPE "[.{global,shared,shared::cta,shared::cluster}]" GEMMSMITH_SCOPE
#define GEMMSMITH_HINT GEMMSMITH_ORDER GEMMSMITH_SCOPE "[.L2::cache_hint]"

constexpr Row kRows[] = {
    {"atom" GEMMSMITH_QUALIFIERS ".{and,or,xor}" GEMMSMITH_HINT ".{b32,b64}", "", kCategory, 11, 0, nullptr,
     PrepareAtomic},
    {"atom" GEMMSMITH_QUALIFIERS ".cas" GEMMSMITH_HINT ".{b16,b32,u32,s32,b64,u64,b128}", "", kCategory, 11, 0, nullptr,
     PrepareAtomic},
    {"atom" GEMMSMITH_QUALIFIERS ".exch" GEMMSMITH_HINT ".{b32,u32,s32,f32,b64,u64,b128}", "", kCategory, 11, 0,
     nullptr, PrepareAtomic},
    {"atom" GEMMSMITH_QUALIFIERS ".{inc,dec}" GEMMSMITH_HINT ".u32", "", kCategory, 11, 0, nullptr, PrepareAtomic},
    {"atom" GEMMSMITH_QUALIFIERS ".add" GEMMSMITH_HINT ".{u32,s32,u64,s64,f32,f64}", "", kCategory, 11, 0, nullptr,
     PrepareAtomic},
    {"atom" GEMMSMITH_QUALIFIERS ".{min,max}" GEMMSMITH_HINT ".{u32,s32,u64,s64}", "", kCategory, 11, 0, nullptr,
     PrepareAtomic},
    {"atom" GEMMSMITH_QUALIFIERS ".{add,min,max}.noftz" GEMMSMITH_HINT "[.{v2,v4,v8}].{f16,bf16,f16x2,bf16x2}", "",
     kCategory, 62, 60, nullptr, PrepareAtomic},
    {"atom" GEMMSMITH_QUALIFIERS ".add" GEMMSMITH_HINT ".{v2,v4}.f32", "", kCategory, 81, 90, nullptr, PrepareAtomic},
    {"red" GEMMSMITH_QUALIFIERS ".{and,or,xor}" GEMMSMITH_HINT ".{b32,b64}", "", kCategory, 12, 0, nullptr,
     PrepareAtomic},
    {"red" GEMMSMITH_QUALIFIERS ".{inc,dec}" GEMMSMITH_HINT ".u32", "", kCategory, 12, 0, nullptr, PrepareAtomic},
    {"red" GEMMSMITH_QUALIFIERS ".add" GEMMSMITH_HINT ".{u32,s32,u64,s64,f32,f64}", "", kCategory, 12, 0, nullptr,
     PrepareAtomic},
    {"red" GEMMSMITH_QUALIFIERS ".{min,max}" GEMMSMITH_HINT ".{u32,s32,u64,s64}", "", kCategory, 12, 0, nullptr,
     PrepareAtomic},
    {"red" GEMMSMITH_QUALIFIERS ".{add,min,max}.noftz" GEMMSMITH_HINT "[.{v2,v4,v8}].{f16,bf16,f16x2,bf16x2}", "",
     kCategory, 62, 60, nullptr, PrepareAtomic},
    {"red" GEMMSMITH_QUALIFIERS ".add" GEMMSMITH_HINT ".{v2,v4}.f32", "", kCategory, 81, 90, nullptr, PrepareAtomic},
};

}  // namespace

std::span<const Row> AtomicRows() { return kRows; }

}  // namespace gemmsmith::emulator
