#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "gemmsmith/dtype.h"
#include "gemmsmith/export.h"

namespace gemmsmith {

enum class DeviceKind : std::uint8_t { kCpu, kCuda, kEmulator };

/// Which device: "cpu", "cuda:0", "emulator:sm_90a".
struct DeviceId {
  DeviceKind kind = DeviceKind::kCpu;
  std::uint8_t index = 0;  ///< Of an emulator: of its architecture among AllTargets().

  friend bool operator==(const DeviceId&, const DeviceId&) = default;
};
GEMMSMITH_API std::string ToString(DeviceId id);
/// "cpu", "cuda" (= "cuda:0"), "cuda:N" or "emulator:" and an architecture. Throws kInvalidArgument.
GEMMSMITH_API DeviceId ParseDeviceId(std::string_view text);

/// A non-owning view of rank 1 to 3: (n), (rows, columns) or (batch, rows, columns). Strides are in elements.
/// A default-constructed tensor is "not given".
struct Tensor {
  static constexpr int kMaxRank = 3;

  void* data = nullptr;
  std::array<std::int64_t, kMaxRank> shape{};    ///< Outermost first; entries beyond rank are 0.
  std::array<std::int64_t, kMaxRank> strides{};  ///< Elements.
  DType dtype = DType::kF32;
  std::uint8_t rank = 0;
  DeviceId device{};
  bool read_only = false;  ///< An output that is read-only is refused.
  bool packed = false;     ///< Made by Engine::Pack: the shape holds, the strides mean nothing.

  /// A dense row-major view.
  Tensor() = default;
  Tensor(void* data, DType dtype, std::initializer_list<std::int64_t> shape, DeviceId device = {});
  Tensor(const void* data, DType dtype, std::initializer_list<std::int64_t> shape, DeviceId device = {});
  /// A dense row-major view of elements of a C++ type.
  template <class T>
  requires requires { DTypeOf<std::remove_const_t<T>>::value; }
  Tensor(T* data, std::initializer_list<std::int64_t> shape, DeviceId device = {})
      : Tensor(data, DTypeOf<std::remove_const_t<T>>::value, shape, device) {}

  bool given() const { return rank != 0; }
  std::int64_t size() const;  ///< Elements.
  /// The same elements with the last two dimensions exchanged. Requires rank >= 2.
  Tensor Transposed() const;
};

inline Tensor::Tensor(void* data, DType dtype, std::initializer_list<std::int64_t> extents, DeviceId device)
    : data(data),
      dtype(dtype),
      rank(static_cast<std::uint8_t>(std::min<std::size_t>(extents.size(), kMaxRank))),
      device(device) {
  std::copy_n(extents.begin(), rank, shape.begin());
  std::int64_t stride = 1;
  for (int i = rank - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= shape[i];
  }
}
inline Tensor::Tensor(const void* data, DType dtype, std::initializer_list<std::int64_t> extents, DeviceId device)
    : Tensor(const_cast<void*>(data), dtype, extents, device) {
  read_only = true;
}
inline std::int64_t Tensor::size() const {
  std::int64_t count = rank == 0 ? 0 : 1;
  for (int i = 0; i < rank; ++i) count *= shape[i];
  return count;
}
inline Tensor Tensor::Transposed() const {
  Tensor t = *this;
  if (rank >= 2) {
    std::swap(t.shape[rank - 2], t.shape[rank - 1]);
    std::swap(t.strides[rank - 2], t.strides[rank - 1]);
  }
  return t;
}

/// Owns a dense row-major matrix (rows, columns) in host memory; for examples and tests.
template <class T>
class HostTensor {
 public:
  HostTensor(std::int64_t rows, std::int64_t columns)
      : rows_(rows), columns_(columns), elements_(static_cast<std::size_t>(rows * columns)) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  T* data() { return elements_.data(); }
  const T* data() const { return elements_.data(); }
  T& operator()(std::int64_t row, std::int64_t column) { return elements_[row * columns_ + column]; }
  const T& operator()(std::int64_t row, std::int64_t column) const { return elements_[row * columns_ + column]; }
  auto begin() { return elements_.begin(); }
  auto end() { return elements_.end(); }

  operator Tensor() { return Tensor(elements_.data(), {rows_, columns_}); }
  operator Tensor() const { return Tensor(elements_.data(), {rows_, columns_}); }

 private:
  std::int64_t rows_, columns_;
  std::vector<T> elements_;
};

}  // namespace gemmsmith
