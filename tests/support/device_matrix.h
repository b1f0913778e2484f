#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gemmsmith/device.h"
#include "gemmsmith/verify.h"

namespace gemmsmith {

/// A matrix, or a batch of them, in host memory and on a device, with the same strides. Columns, or rows where it is
/// stored transposed, are `padding` elements further apart than they need be.
class Matrix {
 public:
  struct Form {
    std::int64_t batch = 1, rows = 0, columns = 0;
    bool transposed = false;
    std::int64_t padding = 0;
  };
  Matrix(Device& device, DType dtype, const Form& form)
      : device_(device), bytes_(Elements(form) * SizeOf(dtype)), buffer_(device.Allocate(bytes_.size())) {
    host = View(bytes_.data(), dtype, form, {});
    there = View(buffer_.data(), dtype, form, device.id());
  }

  void Upload() { device_.Copy(buffer_.data(), bytes_.data(), bytes_.size()); }
  void Download() {
    device_.Copy(bytes_.data(), buffer_.data(), bytes_.size());
    device_.Synchronize();
  }
  /// Seeded random values, on both sides; the padding too.
  void Randomize(std::uint64_t seed) {
    FillRandom(Flat(), seed);
    Upload();
  }
  void FillWith(double value) {
    for (std::size_t i = 0; i < bytes_.size() / SizeOf(host.dtype); ++i)
      Encode(host.dtype, bytes_.data(), static_cast<std::int64_t>(i), value);
    Upload();
  }
  void PoisonAll() {
    Poison(Flat());
    Upload();
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

  Tensor host, there;

 private:
  static std::int64_t Outer(const Form& f) { return f.transposed ? f.columns : f.rows; }
  static std::int64_t Inner(const Form& f) { return f.transposed ? f.rows : f.columns; }
  static std::size_t Elements(const Form& f) {
    return static_cast<std::size_t>(f.batch * Outer(f) * (Inner(f) + f.padding));
  }
  static Tensor View(void* data, DType dtype, const Form& f, DeviceId device) {
    Tensor t = f.batch == 1 ? Tensor(data, dtype, {Outer(f), Inner(f)}, device)
                            : Tensor(data, dtype, {f.batch, Outer(f), Inner(f)}, device);
    t.strides[t.rank - 2] = Inner(f) + f.padding;
    if (f.batch != 1) t.strides[0] = Outer(f) * (Inner(f) + f.padding);
    return f.transposed ? t.Transposed() : t;
  }
  Tensor Flat() {
    return Tensor(bytes_.data(), host.dtype, {static_cast<std::int64_t>(bytes_.size() / SizeOf(host.dtype))});
  }

  Device& device_;
  std::vector<std::byte> bytes_;
  Buffer buffer_;
};

}  // namespace gemmsmith
