#include "runtime/cpu/pack.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace gemmsmith {
namespace {

#define GEMMSMITH_AVX2 __attribute__((target("avx2,f16c")))

constexpr std::int64_t kLine = 64;  // Bytes of a cache line.

// The vector that starts at element (lanes - n) has n ones.
alignas(64) constexpr std::int32_t kMasks32[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
alignas(64) constexpr std::int64_t kMasks64[8] = {-1, -1, -1, -1};

GEMMSMITH_AVX2 __m256i Load32(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
GEMMSMITH_AVX2 void Store32(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
GEMMSMITH_AVX2 __m128i Load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

template <class T>
T Read(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}
/// The first `n` <= 16 bytes, then zeros: two reads that overlap, and no branch for each byte.
GEMMSMITH_AVX2 __m128i LoadFirst16(const std::byte* p, std::int64_t n) {
  if (n >= 16) return Load16(p);
  std::uint64_t low = 0, high = 0;
  if (n >= 8) {
    low = Read<std::uint64_t>(p);
    if (n > 8) high = Read<std::uint64_t>(p + n - 8) >> (8 * (16 - n));
  } else if (n >= 4) {
    low = Read<std::uint32_t>(p) | std::uint64_t{Read<std::uint32_t>(p + n - 4)} << (8 * (n - 4));
  } else if (n >= 2) {
    low = Read<std::uint16_t>(p) | std::uint64_t{Read<std::uint16_t>(p + n - 2)} << (8 * (n - 2));
  } else if (n == 1) {
    low = Read<std::uint8_t>(p);
  }
  return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
}

/// A vector of units of four bytes, or of eight.
template <int kUnitBytes>
struct Units;

template <>
struct Units<4> {
  static constexpr int kLanes = 8;
  GEMMSMITH_AVX2 static __m256i Mask(std::int64_t n) { return Load32(kMasks32 + kLanes - n); }
  GEMMSMITH_AVX2 static void StoreFirst(std::byte* p, __m256i v, std::int64_t n) {
    _mm256_maskstore_epi32(reinterpret_cast<int*>(p), Mask(n), v);
  }
  GEMMSMITH_AVX2 static void Transpose(__m256i* r) {
    __m256i t[8], s[8];
    for (int i = 0; i < 4; ++i) {
      t[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
      t[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i) {
      s[4 * i] = _mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
      s[4 * i + 1] = _mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
      s[4 * i + 2] = _mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
      s[4 * i + 3] = _mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
      r[i] = _mm256_permute2x128_si256(s[i], s[i + 4], 0x20);
      r[i + 4] = _mm256_permute2x128_si256(s[i], s[i + 4], 0x31);
    }
  }
};

template <>
struct Units<8> {
  static constexpr int kLanes = 4;
  GEMMSMITH_AVX2 static __m256i Mask(std::int64_t n) { return Load32(kMasks64 + kLanes - n); }
  GEMMSMITH_AVX2 static void StoreFirst(std::byte* p, __m256i v, std::int64_t n) {
    _mm256_maskstore_epi64(reinterpret_cast<long long*>(p), Mask(n), v);
  }
  GEMMSMITH_AVX2 static void Transpose(__m256i* r) {
    const __m256i t0 = _mm256_unpacklo_epi64(r[0], r[1]), t1 = _mm256_unpackhi_epi64(r[0], r[1]);
    const __m256i t2 = _mm256_unpacklo_epi64(r[2], r[3]), t3 = _mm256_unpackhi_epi64(r[2], r[3]);
    r[0] = _mm256_permute2x128_si256(t0, t2, 0x20);
    r[1] = _mm256_permute2x128_si256(t1, t3, 0x20);
    r[2] = _mm256_permute2x128_si256(t0, t2, 0x31);
    r[3] = _mm256_permute2x128_si256(t1, t3, 0x31);
  }
};

// The forms: how a vector of units is made of elements, `kStored` bytes each, that follow each other along k.
// LoadFirst: there are only `n` of them.

struct NativeF32 {
  static constexpr int kUnitBytes = 4, kGroup = 1, kStored = 4;
  GEMMSMITH_AVX2 static __m256i Load(const std::byte* p) { return Load32(p); }
  GEMMSMITH_AVX2 static __m256i LoadFirst(const std::byte* p, std::int64_t n) {
    return _mm256_maskload_epi32(reinterpret_cast<const int*>(p), Units<4>::Mask(n));
  }
};
struct NativeF64 {
  static constexpr int kUnitBytes = 8, kGroup = 1, kStored = 8;
  GEMMSMITH_AVX2 static __m256i Load(const std::byte* p) { return Load32(p); }
  GEMMSMITH_AVX2 static __m256i LoadFirst(const std::byte* p, std::int64_t n) {
    return _mm256_maskload_epi64(reinterpret_cast<const long long*>(p), Units<8>::Mask(n));
  }
};
/// Sixteen bytes become a vector.
template <class Convert>
struct Widened : Convert {
  static constexpr int kUnitBytes = 4, kStored = 2 / Convert::kGroup;
  GEMMSMITH_AVX2 static __m256i Load(const std::byte* p) { return Convert::Widen(Load16(p)); }
  GEMMSMITH_AVX2 static __m256i LoadFirst(const std::byte* p, std::int64_t n) {
    return Convert::Widen(LoadFirst16(p, n * kStored));
  }
};
struct HalfToF32 {
  static constexpr int kGroup = 1;
  GEMMSMITH_AVX2 static __m256i Widen(__m128i v) { return _mm256_castps_si256(_mm256_cvtph_ps(v)); }
};
struct Bf16ToF32 {
  static constexpr int kGroup = 1;
  GEMMSMITH_AVX2 static __m256i Widen(__m128i v) { return _mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16); }
};
struct S8ToS16 {
  static constexpr int kGroup = 2;
  GEMMSMITH_AVX2 static __m256i Widen(__m128i v) { return _mm256_cvtepi8_epi16(v); }
};
struct U8ToS16 {
  static constexpr int kGroup = 2;
  GEMMSMITH_AVX2 static __m256i Widen(__m128i v) { return _mm256_cvtepu8_epi16(v); }
};

/// Units of `n` <= kLanes columns, from one slice, or two that are `next` bytes apart; 0: there is no second.
template <class Form>
GEMMSMITH_AVX2 __m256i LoadSlices(const std::byte* p, std::int64_t next, std::int64_t n) {
  if constexpr (Form::kGroup == 1) {
    return n == Units<Form::kUnitBytes>::kLanes ? Form::Load(p) : Form::LoadFirst(p, n);
  } else {
    const bool whole = n == 8;
    const __m128i first = whole ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)) : LoadFirst16(p, n);
    __m128i second = _mm_setzero_si128();
    if (next != 0)
      second = whole ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + next)) : LoadFirst16(p + next, n);
    return Form::Widen(_mm_unpacklo_epi8(first, second));
  }
}

/// Slices that are contiguous in the source.
template <class Form>
GEMMSMITH_AVX2 void CopySlices(const std::byte* source, std::int64_t k_bytes, std::int64_t width, std::int64_t panel,
                               std::int64_t k, std::byte* packed) {
  constexpr int kLanes = Units<Form::kUnitBytes>::kLanes, kUnit = Form::kUnitBytes;
  const std::int64_t slice_bytes = panel * Form::kStored;
  for (std::int64_t p = 0; p < k; p += Form::kGroup, source += Form::kGroup * k_bytes, packed += panel * kUnit) {
    const std::int64_t next = p + 1 < k ? k_bytes : 0;
    // The next panel is beside this one, and each slice on a page of its own, where no hardware looks ahead.
    for (int g = 0; g < Form::kGroup; ++g)
      for (std::int64_t byte = 0; byte < slice_bytes; byte += kLine)
        _mm_prefetch(reinterpret_cast<const char*>(source + g * k_bytes + slice_bytes + byte), _MM_HINT_T0);
    if (width >= kLanes) {
      for (std::int64_t i = 0; i < width - kLanes; i += kLanes)
        Store32(packed + i * kUnit, LoadSlices<Form>(source + i * Form::kStored, next, kLanes));
      const std::int64_t last = width - kLanes;  // Overlaps the one before.
      Store32(packed + last * kUnit, LoadSlices<Form>(source + last * Form::kStored, next, kLanes));
      for (std::int64_t i = width; i < panel; i += kLanes)
        Units<kUnit>::StoreFirst(packed + i * kUnit, _mm256_setzero_si256(), std::min<std::int64_t>(panel - i, kLanes));
      continue;
    }
    for (std::int64_t i = 0; i < panel; i += kLanes) {
      const std::int64_t valid = std::clamp<std::int64_t>(width - i, 0, kLanes);
      const __m256i v = LoadSlices<Form>(source + i * Form::kStored, next, valid);
      Units<kUnit>::StoreFirst(packed + i * kUnit, v, std::min<std::int64_t>(panel - i, kLanes));
    }
  }
}

/// Slices that lie across the source: strips of kLanes lines, each read from end to end, so that few streams are open
/// at once. Strips go from the last to the first, because a whole vector stored at the end of a slice spills into the
/// next ones, where an earlier strip is still to come; only the very last slices have no room behind them.
template <class Form>
GEMMSMITH_AVX2 void TransposeSlices(const std::byte* source, std::int64_t line_bytes, std::int64_t width,
                                    std::int64_t panel, std::int64_t k, std::byte* packed) {
  constexpr int kLanes = Units<Form::kUnitBytes>::kLanes, kUnit = Form::kUnitBytes;
  constexpr std::int64_t kElements = kLanes * Form::kGroup;
  const std::int64_t units = (k + Form::kGroup - 1) / Form::kGroup, last = (panel - 1) / kLanes * kLanes;
  for (std::int64_t i = last; i >= 0; i -= kLanes) {
    // The strip that comes next, at last the next panel's first, is brought meanwhile.
    const std::int64_t next = (i > 0 ? -kLanes : panel + last) * line_bytes;
    for (std::int64_t u = 0; u < units; u += kLanes) {
      const std::int64_t elements = std::min(kElements, k - u * Form::kGroup);
      const std::byte* line = source + i * line_bytes + u * Form::kGroup * Form::kStored;
      if (u * kUnit % kLine == 0)
        for (int r = 0; r < kLanes; ++r)
          _mm_prefetch(reinterpret_cast<const char*>(line + next + r * line_bytes), _MM_HINT_T1);
      std::byte* to = packed + (u * panel + i) * kUnit;
      __m256i lines[kLanes];
      if (i + kLanes <= width && elements == kElements && (units - u - (kLanes - 1)) * panel - i >= kLanes) {
        for (int r = 0; r < kLanes; ++r) lines[r] = Form::Load(line + r * line_bytes);
        Units<kUnit>::Transpose(lines);
        for (int r = 0; r < kLanes; ++r) Store32(to + r * panel * kUnit, lines[r]);
        continue;
      }
      for (int r = 0; r < kLanes; ++r, line += line_bytes) {
        if (i + r >= width)
          lines[r] = _mm256_setzero_si256();
        else
          lines[r] = elements == kElements ? Form::Load(line) : Form::LoadFirst(line, elements);
      }
      Units<kUnit>::Transpose(lines);
      const int rows = static_cast<int>(std::min<std::int64_t>(kLanes, units - u));
      for (int r = 0; r < rows; ++r, to += panel * kUnit) {
        if ((units - u - r) * panel - i >= kLanes)
          Store32(to, lines[r]);
        else
          Units<kUnit>::StoreFirst(to, lines[r], std::min<std::int64_t>(panel - i, kLanes));
      }
    }
  }
}

template <class Form>
GEMMSMITH_AVX2 void Pack(const void* source, std::int64_t width_stride, std::int64_t k_stride, std::int64_t width,
                         std::int64_t panel, std::int64_t k, void* packed, std::int32_t*) {
  const auto* const from = static_cast<const std::byte*>(source);
  auto* const to = static_cast<std::byte*>(packed);
  if (width_stride == 1 || (width == 1 && k_stride != 1))
    CopySlices<Form>(from, k_stride * Form::kStored, width, panel, k, to);
  else  // k is contiguous, or 1.
    TransposeSlices<Form>(from, width_stride * Form::kStored, width, panel, k, to);
}

}  // namespace

PackPanel FindAvx2PackPanel(DType stored, CpuMath math, PackSide side) {
  if (math == CpuMath::kF64) return Pack<NativeF64>;
  if (math == CpuMath::kF32 && stored == DType::kF32) return Pack<NativeF32>;
  if (math == CpuMath::kF32 && stored == DType::kF16) return Pack<Widened<HalfToF32>>;
  if (math == CpuMath::kF32 && stored == DType::kBf16) return Pack<Widened<Bf16ToF32>>;
  if (math != CpuMath::kS16 || side == PackSide::kAOfDots) return nullptr;
  return stored == DType::kS8 ? Pack<Widened<S8ToS16>> : Pack<Widened<U8ToS16>>;
}

}  // namespace gemmsmith
#endif
