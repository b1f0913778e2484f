#include "runtime/cpu/pack.h"

#include <algorithm>
#include <type_traits>

#include "runtime/cpu/cpu_info.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gemmsmith {

namespace {

/// How an element is converted on its way into a unit: part `group` of it has `Part`'s type.
template <class Part>
Part Converted(DType stored, const void* source, std::int64_t index, bool flipped) {
  if constexpr (std::is_same_v<Part, float> || std::is_same_v<Part, double>) {
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
                  std::int64_t panel, std::int64_t k, void* packed) {
  constexpr bool kHasSums = kGroup == 4 && kSide == PackSide::kB;
  auto* const sums = static_cast<std::int32_t*>(packed);
  auto* to = reinterpret_cast<Part*>(sums + (kHasSums ? panel : 0));
  if (kHasSums) std::fill_n(sums, panel, 0);
  for (std::int64_t p = 0; p < k; p += kGroup) {
    for (std::int64_t i = 0; i < panel; ++i) {
      for (std::int64_t g = p; g < p + kGroup; ++g, ++to) {
        const bool valid = i < width && g < k;
        *to = valid ? Converted<Part>(kStored, source, i * width_stride + g * k_stride, kSide == PackSide::kAFlipped)
                    : Part(0);
        if (kHasSums && valid) sums[i] += static_cast<std::int32_t>(Decode(kStored, to, 0));
      }
    }
  }
}

template <class Part, DType kStored, int kGroup>
PackPanel ForSide(PackSide side) {
  if (side == PackSide::kA) return PackPortable<Part, kStored, kGroup, PackSide::kA>;
  if (side == PackSide::kB) return PackPortable<Part, kStored, kGroup, PackSide::kB>;
  return PackPortable<Part, kStored, kGroup, PackSide::kAFlipped>;
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

#if defined(__x86_64__)
namespace {

#define GEMMSMITH_AVX2 __attribute__((target("avx2")))

// The vector that starts at element (lanes - n) has n ones.
alignas(64) constexpr std::int32_t kMasks32[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
alignas(64) constexpr std::int64_t kMasks64[8] = {-1, -1, -1, -1};

template <class T>
struct Avx2;

template <>
struct Avx2<float> {
  using Vector = __m256;
  static constexpr int kLanes = 8;
  GEMMSMITH_AVX2 static Vector Load(const float* p) { return _mm256_loadu_ps(p); }
  GEMMSMITH_AVX2 static void Store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
  GEMMSMITH_AVX2 static Vector Zero() { return _mm256_setzero_ps(); }
  GEMMSMITH_AVX2 static __m256i Mask(std::int64_t n) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMasks32 + kLanes - n));
  }
  GEMMSMITH_AVX2 static Vector LoadFirst(const float* p, std::int64_t n) { return _mm256_maskload_ps(p, Mask(n)); }
  GEMMSMITH_AVX2 static void StoreFirst(float* p, Vector v, std::int64_t n) { _mm256_maskstore_ps(p, Mask(n), v); }
  GEMMSMITH_AVX2 static void Transpose(Vector* r) {
    Vector t[8], s[8];
    for (int i = 0; i < 4; ++i) {
      t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
      t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
      s[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
      s[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
      s[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
      s[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) {
      r[i] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x31);
    }
  }
};

template <>
struct Avx2<double> {
  using Vector = __m256d;
  static constexpr int kLanes = 4;
  GEMMSMITH_AVX2 static Vector Load(const double* p) { return _mm256_loadu_pd(p); }
  GEMMSMITH_AVX2 static void Store(double* p, Vector v) { _mm256_storeu_pd(p, v); }
  GEMMSMITH_AVX2 static Vector Zero() { return _mm256_setzero_pd(); }
  GEMMSMITH_AVX2 static __m256i Mask(std::int64_t n) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMasks64 + kLanes - n));
  }
  GEMMSMITH_AVX2 static Vector LoadFirst(const double* p, std::int64_t n) { return _mm256_maskload_pd(p, Mask(n)); }
  GEMMSMITH_AVX2 static void StoreFirst(double* p, Vector v, std::int64_t n) { _mm256_maskstore_pd(p, Mask(n), v); }
  GEMMSMITH_AVX2 static void Transpose(Vector* r) {
    const Vector t0 = _mm256_unpacklo_pd(r[0], r[1]), t1 = _mm256_unpackhi_pd(r[0], r[1]);
    const Vector t2 = _mm256_unpacklo_pd(r[2], r[3]), t3 = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(t0, t2, 0x20);
    r[1] = _mm256_permute2f128_pd(t1, t3, 0x20);
    r[2] = _mm256_permute2f128_pd(t0, t2, 0x31);
    r[3] = _mm256_permute2f128_pd(t1, t3, 0x31);
  }
};

/// Slices that are contiguous in the source.
template <class T>
GEMMSMITH_AVX2 void CopySlices(const T* source, std::int64_t k_stride, std::int64_t width, std::int64_t panel,
                               std::int64_t k, T* packed) {
  using V = Avx2<T>;
  const bool full = width == panel && width >= V::kLanes;
  for (std::int64_t p = 0; p < k; ++p, source += k_stride, packed += panel) {
    if (full) {
      for (std::int64_t i = 0; i < width - V::kLanes; i += V::kLanes) V::Store(packed + i, V::Load(source + i));
      V::Store(packed + width - V::kLanes, V::Load(source + width - V::kLanes));  // Overlaps the one before.
      continue;
    }
    for (std::int64_t i = 0; i < panel; i += V::kLanes) {
      const std::int64_t valid = std::clamp<std::int64_t>(width - i, 0, V::kLanes);
      V::StoreFirst(packed + i, V::LoadFirst(source + i, valid), std::min<std::int64_t>(panel - i, V::kLanes));
    }
  }
}

/// Slices that lie across the source: strips of kLanes lines, each read from end to end, so that few streams are open
/// at once. Strips go from the last to the first, because a whole vector stored at the end of a slice spills into the
/// next one, where an earlier strip is still to come; only the last slices have none.
template <class T>
GEMMSMITH_AVX2 void TransposeSlices(const T* source, std::int64_t width_stride, std::int64_t width, std::int64_t panel,
                                    std::int64_t k, T* packed) {
  using V = Avx2<T>;
  constexpr int kLanes = V::kLanes;
  const std::int64_t whole = k / kLanes * kLanes;
  for (std::int64_t i = (panel - 1) / kLanes * kLanes; i >= 0; i -= kLanes) {
    const std::int64_t last_whole = k * panel - kLanes - i;  // Where a whole vector ends with the packed panel.
    for (std::int64_t p = 0; p < whole; p += kLanes) {
      typename V::Vector lines[kLanes];
      for (int r = 0; r < kLanes; ++r)
        lines[r] = i + r < width ? V::Load(source + (i + r) * width_stride + p) : V::Zero();
      V::Transpose(lines);
      T* const to = packed + p * panel + i;
      for (int r = 0; r < kLanes; ++r) {
        if ((p + r) * panel > last_whole)
          V::StoreFirst(to + r * panel, lines[r], std::min<std::int64_t>(panel - i, kLanes));
        else
          V::Store(to + r * panel, lines[r]);
      }
    }
  }
  for (T* to = packed + whole * panel; k > whole; --k, ++source, to += panel) {
    for (std::int64_t i = 0; i < width; ++i) to[i] = source[i * width_stride + whole];
    std::fill(to + width, to + panel, T(0));
  }
}

template <class T>
GEMMSMITH_AVX2 void PackPanelAvx2(const void* source, std::int64_t width_stride, std::int64_t k_stride,
                                  std::int64_t width, std::int64_t panel, std::int64_t k, void* packed) {
  if (width_stride == 1)
    CopySlices(static_cast<const T*>(source), k_stride, width, panel, k, static_cast<T*>(packed));
  else if (k_stride == 1)
    TransposeSlices(static_cast<const T*>(source), width_stride, width, panel, k, static_cast<T*>(packed));
  else  // A single element wide.
    PackPortable<T, DTypeOf<T>::value, 1, PackSide::kA>(source, width_stride, k_stride, width, panel, k, packed);
}

}  // namespace
#endif

PackPanel FindPackPanel(DType stored, CpuMath math, PackSide side) {
#if defined(__x86_64__)
  static const bool avx2 = CpuTargets().front().isa == Isa::kX86;
  if (avx2 && math == CpuMath::kF64) return PackPanelAvx2<double>;
  if (avx2 && math == CpuMath::kF32 && stored == DType::kF32) return PackPanelAvx2<float>;
#endif
  return FindPortablePackPanel(stored, math, side);
}

}  // namespace gemmsmith
