#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "gemmsmith/gemmsmith.h"

namespace gemmsmith {

/// Tests on the first GPU. Skipped, with the reason, where there is none, or no compiler for its kernels.
class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    static const std::string reason = WhyNot();
    if (!reason.empty()) GTEST_SKIP() << reason;
  }

  /// One for the whole program, without a disk tier: what is tested is what is compiled now.
  static Engine& engine() {
    static EngineOptions options = [] {
      EngineOptions made;
      made.enable_disk = false;
      return made;
    }();
    static Engine engine(options);
    return engine;
  }
  static Device& device() { return engine().devices().Get(kGpu); }

  static constexpr DeviceId kGpu{DeviceKind::kCuda, 0};

 private:
  static std::string WhyNot() {
    if (const std::string status = engine().devices().CudaStatus(); !status.empty()) return status;
    try {
      engine().CompileAhead(MakeProblem(1, 1, 1), device().targets().front(), device().spec());
    } catch (const Error& error) {
      if (error.code() == Code::kNotFound) return error.what();
      throw;
    }
    return "";
  }
};

/// A matrix, or a batch of them, in host memory and on the GPU, with the same strides. Columns, or rows where it is
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
    gpu = View(buffer_.data(), dtype, form, device.id());
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
  void PoisonAll() {
    Poison(Flat());
    Upload();
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }

  Tensor host, gpu;

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
