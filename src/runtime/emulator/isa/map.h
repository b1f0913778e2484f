#pragma once

#include <bit>
#include <cmath>
#include <tuple>
#include <type_traits>
#include <utility>

#include "runtime/emulator/isa/row.h"
#include "runtime/emulator/machine/warp.h"

// Execution functions made of scalar functions.
namespace gemmsmith::emulator {

/// A 16-bit float as its bits.
struct HalfBits {
  std::uint16_t bits = 0;
};
struct BrainBits {
  std::uint16_t bits = 0;
};

/// bool arguments and results are predicates.
template <class T>
auto Fetch(const Warp& warp, const Operand& o) {
  if constexpr (std::is_same_v<T, bool>) {
    struct Bits {
      std::uint32_t bits;
      bool operator[](int lane) const { return (bits >> lane & 1) != 0; }
    };
    return Bits{warp.GetPredicate(o)};
  } else {
    return warp.Get<T>(o);
  }
}

/// Operand 0 = f(operand 1, operand 2, ...), lane by lane.
template <auto f>
struct Map;
template <class R, class... A, R (*f)(A...)>
struct Map<f> {
  static void Run(Warp& warp, const Instruction& i) { Apply(warp, i, std::index_sequence_for<A...>()); }

 private:
  template <std::size_t... k>
  static void Apply(Warp& warp, const Instruction& i, std::index_sequence<k...>) {
    const auto in = std::make_tuple(Fetch<A>(warp, i.operands[k + 1])...);
    if constexpr (std::is_same_v<R, bool>) {
      std::uint32_t bits = 0;
      for (int l = 0; l < kLanes; ++l) bits |= static_cast<std::uint32_t>(f(std::get<k>(in)[l]...)) << l;
      warp.PutPredicate(i.operands[0], bits);
    } else {
      R out[kLanes];
      for (int l = 0; l < kLanes; ++l) out[l] = f(std::get<k>(in)[l]...);
      warp.Put(i.operands[0], out);
    }
  }
};

/// f(T{}) for the C++ type of an integer or bit type.
template <class F>
Execute ForInteger(ptx::ScalarType type, F f) {
  switch (ptx::Bits(type)) {
    case 16:
      return ptx::IsSigned(type) ? f(std::int16_t{}) : f(std::uint16_t{});
    case 32:
      return ptx::IsSigned(type) ? f(std::int32_t{}) : f(std::uint32_t{});
    case 64:
      return ptx::IsSigned(type) ? f(std::int64_t{}) : f(std::uint64_t{});
    default:
      return nullptr;
  }
}

/// The same for the unsigned type of as many bits.
template <class F>
Execute ForBits(ptx::ScalarType type, F f) {
  switch (ptx::Bits(type)) {
    case 16:
      return f(std::uint16_t{});
    case 32:
      return f(std::uint32_t{});
    case 64:
      return f(std::uint64_t{});
    default:
      return nullptr;
  }
}

template <class T>
struct WiderOf;
template <>
struct WiderOf<std::int16_t> {
  using Type = std::int32_t;
};
template <>
struct WiderOf<std::uint16_t> {
  using Type = std::uint32_t;
};
template <>
struct WiderOf<std::int32_t> {
  using Type = std::int64_t;
};
template <>
struct WiderOf<std::uint32_t> {
  using Type = std::uint64_t;
};
template <>
struct WiderOf<std::int64_t> {
  __extension__ using Type = __int128;
};
template <>
struct WiderOf<std::uint64_t> {
  __extension__ using Type = unsigned __int128;
};
template <class T>
using Wider = typename WiderOf<T>::Type;

}  // namespace gemmsmith::emulator
