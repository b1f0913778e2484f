#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "gemmsmith/dtype.h"

namespace gemmsmith {

/// One value of a sums' type: f32, f64 or s32.
class SumValue {
 public:
  SumValue(DType type, double value) {
    if (type == DType::kF64)
      Set(value);
    else if (type == DType::kS32)
      Set(static_cast<std::int32_t>(value));
    else
      Set(static_cast<float>(value));
  }
  SumValue(DType type, double value, const void* pointer) : SumValue(type, value) {
    if (pointer != nullptr) std::memcpy(bytes_, pointer, SizeOf(type));
  }
  const void* data() const { return bytes_; }
  bool is_zero() const {
    std::uint64_t bits = 0;
    std::memcpy(&bits, bytes_, sizeof(bits));
    return (bits & ~sign_) == 0;
  }

 private:
  template <class T>
  void Set(T value) {
    std::memcpy(bytes_, &value, sizeof(value));
    const T minus_zero = static_cast<T>(-0.0);
    std::memcpy(&sign_, &minus_zero, sizeof(minus_zero));
  }
  alignas(8) std::byte bytes_[8] = {};
  std::uint64_t sign_ = 0;
};

}  // namespace gemmsmith
