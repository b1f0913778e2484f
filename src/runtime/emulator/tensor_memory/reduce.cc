#include "runtime/emulator/tensor_memory/reduce.h"

#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "gemmsmith/error.h"
#include "runtime/emulator/numeric/conversions.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

// 16-bit floats: the sum of two in f32, rounded to 16 bits, is the rounded sum, for f32 has more than twice the digits.
struct Half {
  std::uint16_t bits;
  float Value() const { return F16ToF32(bits); }
  static Half Of(float value) { return {F32ToF16(value)}; }
};
struct Brain {
  std::uint16_t bits;
  float Value() const { return Bf16ToF32(bits); }
  static Brain Of(float value) { return {F32ToBf16(value)}; }
};
template <class T>
concept Narrow = std::same_as<T, Half> || std::same_as<T, Brain>;

template <class T>
bool Less(T a, T b) {
  if constexpr (Narrow<T>)
    return a.Value() < b.Value();
  else
    return a < b;
}
template <class T>
bool IsNan(T a) {
  if constexpr (Narrow<T>)
    return a.Value() != a.Value();
  else
    return a != a;
}

template <class T>
T Combine(Reduction reduction, T old, T value) {
  if (reduction == Reduction::kAdd) {
    if constexpr (Narrow<T>)
      return T::Of(old.Value() + value.Value());
    else if constexpr (std::integral<T>)  // unsigned, for those may wrap
      return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(value));
    else
      return old + value;
  }
  if (reduction == Reduction::kMin) return IsNan(old) || Less(value, old) ? value : old;
  if (reduction == Reduction::kMax) return IsNan(old) || Less(old, value) ? value : old;
  if constexpr (std::integral<T>) {
    switch (reduction) {
      case Reduction::kInc:
        return old >= value ? 0 : old + 1;
      case Reduction::kDec:
        return old == 0 || old > value ? value : old - 1;
      case Reduction::kAnd:
        return old & value;
      case Reduction::kOr:
        return old | value;
      case Reduction::kXor:
        return old ^ value;
      default:
        break;
    }
  }
  return old;
}

template <class T>
void ReduceAs(Reduction reduction, const std::byte* from, std::byte* to, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; i += sizeof(T)) {
    T old, value;
    std::memcpy(&old, to + i, sizeof old);
    std::memcpy(&value, from + i, sizeof value);
    old = Combine(reduction, old, value);
    std::memcpy(to + i, &old, sizeof old);
  }
}

constexpr const char* kNames[] = {"add", "min", "max", "inc", "dec", "and", "or", "xor"};

}  // namespace

std::string_view ToString(Reduction reduction) { return kNames[static_cast<int>(reduction)]; }

// PTX ISA, cp.reduce.async.bulk: the table of types.
void CheckReduction(Reduction reduction, MemoryType type) {
  using M = MemoryType;
  using R = Reduction;
  const bool word = type == M::kU32 || type == M::kS32, pair = type == M::kU64 || type == M::kS64;
  const bool narrow = type == M::kF16 || type == M::kBf16;
  bool possible = false;
  switch (reduction) {
    case R::kAdd:
      possible = word || pair || narrow || type == M::kF32 || type == M::kF64 || type == M::kF32Ftz;
      break;
    case R::kMin:
    case R::kMax:
      possible = word || pair || narrow;
      break;
    case R::kInc:
    case R::kDec:
      possible = type == M::kU32;
      break;
    case R::kAnd:
    case R::kOr:
    case R::kXor:
      possible = word || pair;
      break;
  }
  if (!possible)
    throw Fail(Code::kUnsupported, "", "bulk reduction: no .{} of {}", ToString(reduction), ToString(type));
}

void Reduce(Reduction reduction, MemoryType type, const std::byte* from, std::byte* to, std::size_t bytes) {
  switch (type) {
    case MemoryType::kU32:
      return ReduceAs<std::uint32_t>(reduction, from, to, bytes);
    case MemoryType::kS32:
      return ReduceAs<std::int32_t>(reduction, from, to, bytes);
    case MemoryType::kU64:
      return ReduceAs<std::uint64_t>(reduction, from, to, bytes);
    case MemoryType::kS64:
      return ReduceAs<std::int64_t>(reduction, from, to, bytes);
    case MemoryType::kF16:
      return ReduceAs<Half>(reduction, from, to, bytes);
    case MemoryType::kBf16:
      return ReduceAs<Brain>(reduction, from, to, bytes);
    case MemoryType::kF32:
    case MemoryType::kF32Ftz:
      return ReduceAs<float>(reduction, from, to, bytes);
    case MemoryType::kF64:
      return ReduceAs<double>(reduction, from, to, bytes);
    case MemoryType::kU8:
    case MemoryType::kU16:
    case MemoryType::kTf32:
    case MemoryType::kTf32Ftz:
      break;
  }
  CheckReduction(reduction, type);
}

}  // namespace gemmsmith::emulator
