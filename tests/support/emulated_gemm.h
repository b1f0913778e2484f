#pragma once

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "../support/ptx_testing.h"
#include "jit/compiler.h"
#include "runtime/emulator/device/emulator_kernel.h"
#include "runtime/emulator/numeric/conversions.h"
#include "runtime/emulator/tensor_memory/tensor_map.h"

namespace gemmsmith::emulator {

struct alignas(64) OpaqueMap {
  std::byte bytes[TensorMap::kOpaqueBytes];
};

/// Bytes that kernels may touch.
class DeviceBytes {
 public:
  DeviceBytes(std::shared_ptr<DeviceState> state, std::size_t bytes) : state_(std::move(state)), bytes_(bytes + 256) {
    at_ = bytes_.data() + (256 - reinterpret_cast<std::uintptr_t>(bytes_.data()) % 256) % 256;
    state_->allocations.Add(at_, bytes);
  }
  ~DeviceBytes() { state_->allocations.Remove(at_); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(at_);
  }

 private:
  std::shared_ptr<DeviceState> state_;
  std::vector<std::byte> bytes_;
  std::byte* at_ = nullptr;
};

/// A device whose run options are at hand.
inline std::shared_ptr<DeviceState> MakeState(std::string_view target, std::uint64_t seed = 1, bool check = true) {
  auto state = std::make_shared<DeviceState>();
  state->name = fmt::format("emulator:{}", target);
  state->target = ParseTarget(target);
  state->limits = LimitsOf(state->target);
  state->options.seed = seed;
  state->options.check = check;
  return state;
}

/// The PTX of CUDA source, or an empty text where there is no compiler.
inline std::string CompileToPtx(const std::string& text, const std::string& kernel, std::string_view target,
                                std::string* lowered) {
  std::shared_ptr<const Compiler> compiler;
  try {
    compiler = OpenNvrtc();
  } catch (const Error&) {
    return "";
  }
  KernelSource source;
  source.name = source.entry = kernel;
  source.target = ParseTarget(target);
  source.text = text;
  source.options.line_info = true;
  const Artifact artifact = compiler->Compile(source, {});
  *lowered = artifact.lowered_name;
  return artifact.parts.at("ptx");
}

inline std::shared_ptr<const Kernel> LoadPtx(std::shared_ptr<DeviceState> state, const std::string& ptx,
                                             const std::string& lowered) {
  Artifact artifact;
  artifact.parts["ptx"] = ptx;
  artifact.kernel_name = artifact.lowered_name = lowered;
  artifact.target = state->target;
  return std::make_shared<EmulatorKernel>(std::move(state), artifact);
}

/// A row-major tensor (rows, columns), in boxes of (box_rows, box_columns).
inline OpaqueMap MapOf(const void* address, MemoryType type, int rows, int columns, int box_rows, int box_columns,
                       std::uint32_t swizzle) {
  TensorMap map;
  map.type = type;
  map.rank = 2;
  map.address = reinterpret_cast<std::uint64_t>(address);
  map.dims = {static_cast<std::uint64_t>(columns), static_cast<std::uint64_t>(rows)};
  map.strides = {static_cast<std::uint64_t>(columns) * static_cast<std::uint64_t>(BytesOf(type))};
  map.box = {static_cast<std::uint32_t>(box_columns), static_cast<std::uint32_t>(box_rows)};
  map.swizzle = swizzle;
  OpaqueMap opaque;
  map.Encode(opaque.bytes);
  return opaque;
}

/// A (m, k) and B (n, k) of bf16, and D (m, n) of bf16, which must be A * B transposed.
struct Bf16Gemm {
  int m, n, k;
  DeviceBytes a, b, d;
  Bf16Gemm(const std::shared_ptr<DeviceState>& state, int m_, int n_, int k_)
      : m(m_), n(n_), k(k_), a(state, Bytes(m, k)), b(state, Bytes(n, k)), d(state, Bytes(m, n)) {
    std::mt19937 random(5);
    for (std::size_t i = 0; i < Bytes(m, k) / 2; ++i) a.as<std::uint16_t>()[i] = Draw(random);
    for (std::size_t i = 0; i < Bytes(n, k) / 2; ++i) b.as<std::uint16_t>()[i] = Draw(random);
    for (std::size_t i = 0; i < Bytes(m, n) / 2; ++i) d.as<std::uint16_t>()[i] = 0x7fc1;
  }
  /// Empty, or what is wrong. The bound: rounding of the result, and of k sums in f32.
  std::string Check() const {
    for (int row = 0; row < m; ++row)
      for (int column = 0; column < n; ++column) {
        double sum = 0, magnitude = 0;
        for (int i = 0; i < k; ++i) {
          const double x = Bf16ToF32(a.as<std::uint16_t>()[row * k + i]),
                       y = Bf16ToF32(b.as<std::uint16_t>()[column * k + i]);
          sum += x * y;
          magnitude += std::abs(x * y);
        }
        const double got = Bf16ToF32(d.as<std::uint16_t>()[row * n + column]);
        if (!(std::abs(got - sum) <= std::abs(sum) * 0x1p-8 + magnitude * k * 0x1p-24))
          return fmt::format("({}, {}) is {}, not {}", row, column, got, sum);
      }
    return "";
  }

 private:
  static std::size_t Bytes(int rows, int columns) {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns) * 2;
  }
  static std::uint16_t Draw(std::mt19937& random) {
    return F32ToBf16(static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 1000.0f);
  }
};

}  // namespace gemmsmith::emulator
