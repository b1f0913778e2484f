#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "gemmsmith/dtype.h"
#include "gemmsmith/export.h"

namespace gemmsmith {

enum class Isa : std::uint8_t { kPortable, kX86, kCuda };

/// What code is generated for; part of every cache key. sm_90a and sm_90 are different targets.
struct CodeTarget {
  Isa isa = Isa::kPortable;
  /// CUDA: 90 for sm_90. x86: 2 = AVX2, FMA and F16C; 512 = AVX-512 (F, BW, DQ, VL) besides; 513 = VNNI besides;
  /// 514 = BF16 besides.
  std::uint16_t version = 0;
  char suffix = 0;  ///< CUDA: 'a' or 'f' for the feature sets that only one chip or family has.

  friend bool operator==(const CodeTarget&, const CodeTarget&) = default;
};

/// "sm_90a", "x86-64-avx512-bf16", "x86-64-avx512-vnni", "x86-64-avx512", "x86-64-avx2", "portable".
GEMMSMITH_API std::string ToString(const CodeTarget& target);
/// The inverse. Throws kInvalidArgument, listing what there is.
GEMMSMITH_API CodeTarget ParseTarget(std::string_view name);
GEMMSMITH_API std::span<const CodeTarget> AllTargets();

/// What the selector reckons with; a row of devices.json, or queried from a device. Never part of a cache key.
struct DeviceSpec {
  std::string name;                   ///< "h200", "cpu", or the driver's name of the device.
  CodeTarget target;                  ///< The best code this device runs.
  int multiprocessors = 1;            ///< SMs, or cores.
  double clock_ghz = 1;               ///< Sustained boost clock.
  double f32_flops_per_clock = 2;     ///< Per SM or core, plain FMA units; an FMA counts 2.
  double f64_flops_per_clock = 2;     ///< Per SM or core.
  double tensor_flops_per_clock = 0;  ///< Per SM, dense 16-bit tensor-core rate; 0 where there is none.
  double memory_gbps = 10;            ///< GB/s (1e9) of DRAM or HBM.
  double memory_gib = 0;              ///< GiB.
  std::int64_t l1_bytes = 32 << 10;   ///< Per SM or core.
  std::int64_t l2_bytes = 1 << 20;    ///< GPU: whole device. CPU: per core.
  std::int64_t l3_bytes = 0;          ///< CPU only; shared.
  std::int64_t shared_bytes = 0;      ///< Largest dynamic shared memory of one block, bytes.
  std::int64_t shared_bytes_per_sm = 0;
  double shared_bytes_per_clock = 128;  ///< Per SM, from shared memory into registers.
  int warps_per_sm = 48;                ///< At most resident together.
  int registers_per_sm = 0;
  double launch_us = 0;      ///< Cost of one launch on the device's side.
  bool bulk_copies = false;  ///< GPU: has an engine (TMA) that copies whole tiles into shared memory.

  /// Peak GFLOP/s of the plain FMA units for f32 or f64.
  double PeakGflops(DType dtype) const {
    return multiprocessors * clock_ghz * (dtype == DType::kF64 ? f64_flops_per_clock : f32_flops_per_clock);
  }
};

/// The row called `name` of devices.json ("h200", "a100", ...). Throws kNotFound, listing all.
GEMMSMITH_API const DeviceSpec& FindDeviceSpec(std::string_view name);
GEMMSMITH_API std::span<const DeviceSpec> AllDeviceSpecs();
/// The row that stands for `target` where no device is named: sm_90a -> h200. Throws kNotFound.
GEMMSMITH_API const DeviceSpec& DefaultDeviceSpec(const CodeTarget& target);

}  // namespace gemmsmith
