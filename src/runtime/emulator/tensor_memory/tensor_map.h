#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gemmsmith/tensor_map.h"
#include "runtime/emulator/tensor_memory/swizzle.h"

namespace gemmsmith::emulator {

/// Element types of tensor maps and of bulk reductions; the first 13 have the numbers of CUtensorMapDataType.
enum class MemoryType : std::uint8_t {
  kU8,
  kU16,
  kU32,
  kS32,
  kU64,
  kS64,
  kF16,
  kF32,
  kF64,
  kBf16,
  kF32Ftz,
  kTf32,
  kTf32Ftz,
};
int BytesOf(MemoryType type);
std::string_view ToString(MemoryType type);

/// What cuTensorMapEncodeTiled is told. Arrays have `rank` elements in use, `strides` one less; innermost first.
struct TensorMap {
  static constexpr int kMaxRank = 5;
  static constexpr std::size_t kOpaqueBytes = 128;

  MemoryType type = MemoryType::kU8;
  int rank = 0;
  std::uint64_t address = 0;
  std::array<std::uint64_t, kMaxRank> dims{};         ///< Elements.
  std::array<std::uint64_t, kMaxRank - 1> strides{};  ///< Bytes, of dimension 1 and up.
  std::array<std::uint32_t, kMaxRank> box{};          ///< Elements.
  std::array<std::uint32_t, kMaxRank> element_steps{1, 1, 1, 1, 1};
  std::uint32_t interleave = 0;  ///< CUtensorMapInterleave.
  std::uint32_t swizzle = 0;     ///< CUtensorMapSwizzle.
  std::uint32_t oob_fill = 0;    ///< CUtensorMapFloatOOBfill: 1 fills with NaN.

  /// Throws kInvalidArgument for what the driver refuses, kUnsupported for what the emulated device has not:
  /// interleaved layouts, the 32- and 64-byte atoms of sm_100 swizzles.
  void Check() const;

  /// The content of a CUtensorMap of the emulated device: not the driver's encoding. Checks before.
  void Encode(std::span<std::byte, kOpaqueBytes> opaque) const;
  /// Throws kDevice for bytes that Encode did not write.
  static TensorMap Decode(std::span<const std::byte, kOpaqueBytes> opaque);

  /// That of a tensor without padding between its elements.
  static TensorMap Of(const TensorMapShape& shape, const void* address);

  /// The same of maps that need not be valid yet: a kernel may replace their fields one after another.
  void EncodeAnyway(std::span<std::byte, kOpaqueBytes> opaque) const;
  static TensorMap DecodeAnyway(std::span<const std::byte, kOpaqueBytes> opaque);

  bool operator==(const TensorMap&) const = default;
};

}  // namespace gemmsmith::emulator
