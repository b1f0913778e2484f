#include "runtime/cpu/pack.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "runtime/cpu/cpu_info.h"

namespace gemmsmith {
namespace {

/// How an element is converted on its way into a unit: part `group` of it has `Part`'s type.
template <class Part>
Part Converted(DType stored, const void* source, std::int64_t index, bool flipped) {
  if constexpr (std::is_floating_point_v<Part>) {
    if (stored == DTypeOf<Part>::value) return static_cast<const Part*>(source)[index];
    if (stored == DType::kBf16)
      return std::bit_cast<float>(std::uint32_t{static_cast<const std::uint16_t*>(source)[index]} << 16);
    return static_cast<Part>(Decode(stored, source, index));
  } else if constexpr (sizeof(Part) == 2) {
    if (SizeOf(stored) == 2) return static_cast<const Part*>(source)[index];  // bf16, as it is
    return static_cast<Part>(Decode(stored, source, index));
  } else {
    return static_cast<Part>(static_cast<const Part*>(source)[index] ^ (flipped ? 0x80 : 0));
  }
}

template <class Part, DType kStored, int kGroup, PackSide kSide>
void PackPortable(const void* source, std::int64_t width_stride, std::int64_t k_stride, std::int64_t width,
                  std::int64_t panel, std::int64_t k, void* packed, std::int32_t* sums) {
  auto* to = static_cast<Part*>(packed);
  for (std::int64_t p = 0; p < k; p += kGroup) {
    for (std::int64_t i = 0; i < panel; ++i) {
      for (std::int64_t g = p; g < p + kGroup; ++g, ++to) {
        const bool valid = i < width && g < k;
        *to = valid ? Converted<Part>(kStored, source, i * width_stride + g * k_stride, kSide == PackSide::kAFlipped)
                    : Part(0);
        if (sums != nullptr && valid) sums[i] += static_cast<std::int32_t>(Decode(kStored, to, 0));
      }
    }
  }
}

/// A's rows, or parts of them, one after the other.
template <class Part>
void CopyLines(const void* source, std::int64_t width_stride, std::int64_t k_stride, std::int64_t width,
               std::int64_t panel, std::int64_t k, void* packed, std::int32_t*) {
  const auto* from = static_cast<const Part*>(source);
  auto* to = static_cast<Part*>(packed);
  for (std::int64_t p = 0; p < k; ++p, from += k_stride, to += panel) {
    if (width_stride == 1)
      std::copy_n(from, width, to);
    else
      for (std::int64_t i = 0; i < width; ++i) to[i] = from[i * width_stride];
    std::fill(to + width, to + panel, Part(0));
  }
}

template <class Part, DType kStored, int kGroup>
PackPanel ForSide(PackSide side) {
  if (side == PackSide::kA) return PackPortable<Part, kStored, kGroup, PackSide::kA>;
  if (side == PackSide::kB) return PackPortable<Part, kStored, kGroup, PackSide::kB>;
  if (side == PackSide::kAFlipped) return PackPortable<Part, kStored, kGroup, PackSide::kAFlipped>;
  return CopyLines<Part>;
}

}  // namespace

PackPanel FindPortablePackPanel(DType stored, CpuMath math, PackSide side) {
  switch (math) {
    case CpuMath::kF64:
      return ForSide<double, DType::kF64, 1>(side);
    case CpuMath::kBf16:
      return ForSide<std::uint16_t, DType::kBf16, 2>(side);
    case CpuMath::kS16:
      return stored == DType::kS8 ? ForSide<std::int16_t, DType::kS8, 2>(side)
                                  : ForSide<std::int16_t, DType::kU8, 2>(side);
    case CpuMath::kU8S8:
    case CpuMath::kS8U8:
      return stored == DType::kS8 ? ForSide<std::uint8_t, DType::kS8, 4>(side)
                                  : ForSide<std::uint8_t, DType::kU8, 4>(side);
    default:
      break;
  }
  if (stored == DType::kF32) return ForSide<float, DType::kF32, 1>(side);
  return stored == DType::kF16 ? ForSide<float, DType::kF16, 1>(side) : ForSide<float, DType::kBf16, 1>(side);
}

PackPanel FindPackPanel(DType stored, CpuMath math, PackSide side) {
  static const bool avx2 = CpuRuns({Isa::kX86, 2, 0}), vnni = CpuRuns({Isa::kX86, 513, 0});
  PackPanel pack = vnni ? FindAvx512PackPanel(stored, math, side) : nullptr;
  if (avx2 && pack == nullptr) pack = FindAvx2PackPanel(stored, math, side);
  return pack != nullptr ? pack : FindPortablePackPanel(stored, math, side);
}

#if !defined(__x86_64__)
PackPanel FindAvx2PackPanel(DType, CpuMath, PackSide) { return nullptr; }
PackPanel FindAvx512PackPanel(DType, CpuMath, PackSide) { return nullptr; }
#endif

}  // namespace gemmsmith
