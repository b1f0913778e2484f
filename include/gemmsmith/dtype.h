#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gemmsmith/export.h"

namespace gemmsmith {

enum class DType : std::uint8_t {
#define GEMMSMITH_DTYPE(name, ...) name,
#include "gemmsmith/dtype.def"
#undef GEMMSMITH_DTYPE
};

/// A row of dtype.def.
struct DTypeInfo {
  DType dtype;
  std::string_view name;  ///< "f32", "bf16", ...
  int bits;
  int block_elements, block_bytes;
  std::string_view cuda_type;
  int dlpack_code, dlpack_bits;
  double epsilon;  ///< 0 for integers.

  bool is_integer() const { return epsilon == 0; }
};

GEMMSMITH_API const DTypeInfo& Info(DType dtype);
GEMMSMITH_API std::span<const DTypeInfo> AllDTypes();
inline std::string_view ToString(DType dtype) { return Info(dtype).name; }

/// The dtype called `name`. Throws kInvalidArgument, listing all names.
GEMMSMITH_API DType ParseDType(std::string_view name);

/// Bytes of one element of an unpacked type.
constexpr std::size_t SizeOf(DType dtype) {
  constexpr std::uint8_t kBytes[] = {
#define GEMMSMITH_DTYPE(name, text, bits, elements, bytes, ...) bytes / elements,
#include "gemmsmith/dtype.def"
#undef GEMMSMITH_DTYPE
  };
  return kBytes[static_cast<std::size_t>(dtype)];
}

/// Element `index` of `data` as a double; exact for every dtype.
GEMMSMITH_API double Decode(DType dtype, const void* data, std::int64_t index);
/// Stores `value` at element `index`: nearest, ties to even. Integers and the fp8 types saturate; f16, bf16 and f32
/// overflow to infinity. NaN becomes the type's NaN (0 in integers); e4m3 has no infinity, which becomes NaN.
GEMMSMITH_API void Encode(DType dtype, void* data, std::int64_t index, double value);

/// 16-bit storage types for templates: Gemm<Half>, HostTensor<Bfloat16>.
struct Half {
  std::uint16_t bits = 0;
};
struct Bfloat16 {
  std::uint16_t bits = 0;
};

/// DTypeOf<float>::value == DType::kF32.
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<Half> {
  static constexpr DType value = DType::kF16;
};
template <>
struct DTypeOf<Bfloat16> {
  static constexpr DType value = DType::kBf16;
};
template <>
struct DTypeOf<std::int8_t> {
  static constexpr DType value = DType::kS8;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::kS32;
};

}  // namespace gemmsmith
