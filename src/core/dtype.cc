#include "gemmsmith/dtype.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr DTypeInfo kRows[] = {
#define GEMMSMITH_DTYPE(name, text, bits, elements, bytes, cuda, code, dlpack_bits, epsilon) \
  {DType::name, text, bits, elements, bytes, cuda, code, dlpack_bits, epsilon},
#include "gemmsmith/dtype.def"
#undef GEMMSMITH_DTYPE
};

/// An IEEE-like format narrower than f32. Without infinity (e4m3) the largest exponent holds numbers, and all ones is
/// NaN.
struct SmallFloat {
  int exponent_bits, mantissa_bits;
  bool has_infinity, saturates;

  constexpr int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  constexpr std::uint32_t exponent_mask() const { return (1u << exponent_bits) - 1; }
  constexpr std::uint32_t mantissa_mask() const { return (1u << mantissa_bits) - 1; }
  constexpr std::uint32_t infinity() const { return exponent_mask() << mantissa_bits; }
  constexpr std::uint32_t nan() const {
    return has_infinity ? infinity() | (1u << (mantissa_bits - 1)) : infinity() | mantissa_mask();
  }
  constexpr std::uint32_t largest() const { return has_infinity ? infinity() - 1 : nan() - 1; }
};
constexpr SmallFloat kHalf{5, 10, true, false}, kBrain{8, 7, true, false}, kE4m3{4, 3, false, true},
    kE5m2{5, 2, true, true};

double DecodeSmall(const SmallFloat& format, std::uint32_t bits) {
  const std::uint32_t exponent = (bits >> format.mantissa_bits) & format.exponent_mask();
  const std::uint32_t mantissa = bits & format.mantissa_mask();
  const bool negative = (bits >> (format.exponent_bits + format.mantissa_bits)) & 1;
  double value;
  if (format.has_infinity && exponent == format.exponent_mask()) {
    value = mantissa == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (!format.has_infinity && (bits & (format.infinity() | format.mantissa_mask())) == format.nan()) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, 1 - format.bias() - format.mantissa_bits);
  } else {
    value = std::ldexp(mantissa + (1 << format.mantissa_bits),
                       static_cast<int>(exponent) - format.bias() - format.mantissa_bits);
  }
  return negative ? -value : value;
}

/// Correctly rounded straight from double: going through float would round twice.
std::uint32_t EncodeSmall(const SmallFloat& format, double value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(std::signbit(value))
                             << (format.exponent_bits + format.mantissa_bits);
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return sign | format.nan();
  if (std::isinf(value)) return sign | (format.has_infinity ? format.infinity() : format.nan());
  if (magnitude == 0) return sign;
  int exponent;
  std::frexp(magnitude, &exponent);  // magnitude = f * 2^exponent, f in [0.5, 1)
  const int lowest = 1 - format.bias();
  const int scale = std::max(exponent - 1, lowest) - format.mantissa_bits;
  const double units = std::nearbyint(std::ldexp(magnitude, -scale));  // ties to even in the default rounding mode
  const auto rounded = static_cast<std::uint32_t>(units);
  // Adding rather than or-ing lets a carry out of the mantissa raise the exponent; from zero it makes a subnormal
  // normal.
  const std::uint32_t base = static_cast<std::uint32_t>(scale + format.mantissa_bits - lowest) << format.mantissa_bits;
  const std::int64_t bits = scale + format.mantissa_bits > 4 * format.bias() ? std::int64_t{format.largest()} + 1
                                                                             : std::int64_t{base} + rounded;
  if (bits > format.largest())
    return sign | (format.saturates ? format.largest() : format.has_infinity ? format.infinity() : format.nan());
  return sign | static_cast<std::uint32_t>(bits);
}

template <class T>
T Load(const void* data, std::int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * sizeof(T), sizeof(T));
  return value;
}
template <class T>
void Store(void* data, std::int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * sizeof(T), &value, sizeof(T));
}
template <class T>
T Saturate(double value) {
  if (std::isnan(value)) return 0;
  return static_cast<T>(std::clamp(std::nearbyint(value), static_cast<double>(std::numeric_limits<T>::min()),
                                   static_cast<double>(std::numeric_limits<T>::max())));
}

}  // namespace

const DTypeInfo& Info(DType dtype) { return kRows[static_cast<std::size_t>(dtype)]; }
std::span<const DTypeInfo> AllDTypes() { return kRows; }

DType ParseDType(std::string_view name) {
  std::string names;
  for (const DTypeInfo& row : kRows) {
    if (row.name == name) return row.dtype;
    names += names.empty() ? "" : ", ";
    names += row.name;
  }
  throw Fail(Code::kInvalidArgument, "", "unknown dtype \"{}\": there are {}", name, names);
}

double Decode(DType dtype, const void* data, std::int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return Load<float>(data, index);
    case DType::kF64:
      return Load<double>(data, index);
    case DType::kF16:
      return DecodeSmall(kHalf, Load<std::uint16_t>(data, index));
    case DType::kBf16:
      return DecodeSmall(kBrain, Load<std::uint16_t>(data, index));
    case DType::kE4m3:
      return DecodeSmall(kE4m3, Load<std::uint8_t>(data, index));
    case DType::kE5m2:
      return DecodeSmall(kE5m2, Load<std::uint8_t>(data, index));
    case DType::kS8:
      return Load<std::int8_t>(data, index);
    case DType::kU8:
      return Load<std::uint8_t>(data, index);
    case DType::kS32:
      return Load<std::int32_t>(data, index);
  }
  throw Error(Code::kInternal, "decode: unknown dtype");
}

void Encode(DType dtype, void* data, std::int64_t index, double value) {
  switch (dtype) {
    case DType::kF32:
      return Store(data, index, static_cast<float>(value));
    case DType::kF64:
      return Store(data, index, value);
    case DType::kF16:
      return Store(data, index, static_cast<std::uint16_t>(EncodeSmall(kHalf, value)));
    case DType::kBf16:
      return Store(data, index, static_cast<std::uint16_t>(EncodeSmall(kBrain, value)));
    case DType::kE4m3:
      return Store(data, index, static_cast<std::uint8_t>(EncodeSmall(kE4m3, value)));
    case DType::kE5m2:
      return Store(data, index, static_cast<std::uint8_t>(EncodeSmall(kE5m2, value)));
    case DType::kS8:
      return Store(data, index, Saturate<std::int8_t>(value));
    case DType::kU8:
      return Store(data, index, Saturate<std::uint8_t>(value));
    case DType::kS32:
      return Store(data, index, Saturate<std::int32_t>(value));
  }
  throw Error(Code::kInternal, "encode: unknown dtype");
}

}  // namespace gemmsmith
