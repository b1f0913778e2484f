#include "runtime/cpu/pack.h"

#if defined(__x86_64__)
#if !defined(__clang__)
// GCC's own header makes undefined vectors of uninitialised ones.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <algorithm>

namespace gemmsmith {
namespace {

#define GEMMSMITH_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

constexpr std::int64_t kLine = 64;  // Bytes of a cache line.
constexpr int kLanes = 16, kUnit = 4;

GEMMSMITH_AVX512 void StoreFirst(std::byte* p, __m512i v, std::int64_t n) {
  if (n >= kLanes)
    _mm512_storeu_si512(p, v);
  else
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1), v);
}
GEMMSMITH_AVX512 __m512i LoadFirst(const std::byte* p, std::int64_t n) {
  if (n >= kLanes) return _mm512_loadu_si512(p);
  return _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1), p);
}

/// Floats, as they are.
struct Singles {
  static constexpr int kGroup = 1, kStored = 4;
  static constexpr bool kFlips = false, kHasSums = false;
  GEMMSMITH_AVX512 static __m512i LoadWhole(const std::byte* p, std::int64_t) { return _mm512_loadu_si512(p); }
  GEMMSMITH_AVX512 static __m512i LoadPart(const std::byte* p, std::int64_t, __mmask16 columns, int) {
    return _mm512_maskz_loadu_epi32(columns, p);
  }
};

/// Pairs of bf16.
struct Pairs {
  static constexpr int kGroup = 2, kStored = 2;
  static constexpr bool kFlips = false, kHasSums = false;
  GEMMSMITH_AVX512 static __m512i Join(__m256i first, __m256i second) {
    return _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
  }
  GEMMSMITH_AVX512 static __m512i LoadWhole(const std::byte* p, std::int64_t k_bytes) {
    return Join(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + k_bytes)));
  }
  GEMMSMITH_AVX512 static __m512i LoadPart(const std::byte* p, std::int64_t k_bytes, __mmask16 columns, int slices) {
    return Join(_mm256_maskz_loadu_epi16(columns, p),
                _mm256_maskz_loadu_epi16(slices > 1 ? columns : __mmask16{0}, p + k_bytes));
  }
};

/// Fours of bytes. kSigned: how sums of columns take them.
template <bool kFlipsTopBit, bool kSigned>
struct Fours {
  static constexpr int kGroup = 4, kStored = 1;
  static constexpr bool kFlips = kFlipsTopBit, kHasSums = !kFlips;

  /// Of a slice in each quarter, units of one column after the other.
  GEMMSMITH_AVX512 static __m512i Interleave(__m512i slices) {
    const __m512i quarters = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m128i bytes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quarters, slices), _mm512_broadcast_i32x4(bytes));
  }
  GEMMSMITH_AVX512 static __m512i LoadWhole(const std::byte* p, std::int64_t k_bytes) {
    const auto slice = [p, k_bytes](int g) { return reinterpret_cast<const __m128i*>(p + g * k_bytes); };
    __m512i slices = _mm512_broadcast_i32x4(_mm_loadu_si128(slice(0)));
    slices = _mm512_mask_broadcast_i32x4(slices, 0x00f0, _mm_loadu_si128(slice(1)));
    slices = _mm512_mask_broadcast_i32x4(slices, 0x0f00, _mm_loadu_si128(slice(2)));
    slices = _mm512_mask_broadcast_i32x4(slices, 0xf000, _mm_loadu_si128(slice(3)));
    if constexpr (kFlips) slices = _mm512_xor_si512(slices, _mm512_set1_epi8(-128));
    return Interleave(slices);
  }
  GEMMSMITH_AVX512 static __m512i LoadPart(const std::byte* p, std::int64_t k_bytes, __mmask16 columns, int count) {
    const __m128i flip = _mm_maskz_set1_epi8(columns, kFlips ? -128 : 0);
    __m128i slices[4] = {};
    for (int g = 0; g < count; ++g) slices[g] = _mm_xor_si128(_mm_maskz_loadu_epi8(columns, p + g * k_bytes), flip);
    return Interleave(_mm512_inserti64x4(
        _mm512_castsi256_si512(_mm256_inserti128_si256(_mm256_castsi128_si256(slices[0]), slices[1], 1)),
        _mm256_inserti128_si256(_mm256_castsi128_si256(slices[2]), slices[3], 1), 1));
  }
  GEMMSMITH_AVX512 static __m512i AddUp(__m512i sums, __m512i units) {
    const __m512i ones = _mm512_set1_epi8(1);
    return kSigned ? _mm512_dpbusd_epi32(sums, ones, units) : _mm512_dpbusd_epi32(sums, units, ones);
  }
};

template <class Form>
GEMMSMITH_AVX512 void AddSums(std::int32_t* sums, __m512i units, std::int64_t room) {
  auto* const at = reinterpret_cast<std::byte*>(sums);
  StoreFirst(at, Form::AddUp(LoadFirst(at, room), units), room);
}

template <class Form>
constexpr std::int64_t kUnitBytes = Form::kGroup* Form::kStored;  // In the source.

/// A unit row of a panel, from slices that are contiguous in the source. kWhole: nothing is missing.
template <class Form, bool kWhole>
GEMMSMITH_AVX512 void CopyUnits(const std::byte* source, std::int64_t k_bytes, std::int64_t width, std::int64_t panel,
                                int slices, std::byte* packed, std::int32_t* sums) {
  for (std::int64_t i = 0; i < panel; i += kLanes) {
    const std::byte* const from = source + i * Form::kStored;
    const std::int64_t room = kWhole ? kLanes : panel - i;
    __m512i units;
    if (kWhole || (width - i >= kLanes && slices == Form::kGroup)) {
      units = Form::LoadWhole(from, k_bytes);
    } else {
      const std::int64_t valid = std::clamp<std::int64_t>(width - i, 0, kLanes);
      units = Form::LoadPart(from, k_bytes, static_cast<__mmask16>((1u << valid) - 1), slices);
    }
    StoreFirst(packed + i * kUnit, units, room);
    if constexpr (Form::kHasSums)
      if (sums != nullptr) AddSums<Form>(sums + i, units, room);
  }
}

template <class Form>
GEMMSMITH_AVX512 void CopySlices(const std::byte* source, std::int64_t k_bytes, std::int64_t width, std::int64_t panel,
                                 std::int64_t k, std::byte* packed, std::int32_t* sums) {
  const std::int64_t slice_bytes = panel * Form::kStored;
  for (std::int64_t p = 0; p < k; p += Form::kGroup, source += Form::kGroup * k_bytes, packed += panel * kUnit) {
    const int slices = static_cast<int>(std::min<std::int64_t>(Form::kGroup, k - p));
    // The next panel is beside this one, and each slice on a page of its own, where no hardware looks ahead.
    for (int g = 0; g < slices; ++g)
      for (std::int64_t byte = 0; byte < slice_bytes; byte += kLine)
        _mm_prefetch(reinterpret_cast<const char*>(source + g * k_bytes + slice_bytes + byte), _MM_HINT_T0);
    if (width == panel && panel % kLanes == 0 && slices == Form::kGroup)
      CopyUnits<Form, true>(source, k_bytes, width, panel, slices, packed, sums);
    else
      CopyUnits<Form, false>(source, k_bytes, width, panel, slices, packed, sums);
  }
}

/// 16 x 16 units.
GEMMSMITH_AVX512 void Transpose(__m512i* r) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 16; i += 8) {
    for (int j = i; j < i + 4; ++j) {
      t[j] = _mm512_shuffle_i32x4(r[j], r[j + 4], 0x88);
      t[j + 4] = _mm512_shuffle_i32x4(r[j], r[j + 4], 0xdd);
    }
  }
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

/// kLanes units, or what `elements` make of them, of each of kLines lines; beyond the first `count` lines: zeros.
template <class Form, int kLines>
GEMMSMITH_AVX512 void LoadLines(const std::byte* line, std::int64_t line_bytes, std::int64_t count,
                                std::int64_t elements, __m512i* lines) {
  const __mmask64 there = ~__mmask64{0} >> std::max<std::int64_t>(0, kLine - elements * Form::kStored);
  const __m512i flip = _mm512_maskz_set1_epi8(there, Form::kFlips ? -128 : 0);
  if (count >= kLines && elements * Form::kStored >= kLine) {
    for (int r = 0; r < kLines; ++r) lines[r] = _mm512_xor_si512(_mm512_loadu_si512(line + r * line_bytes), flip);
    return;
  }
  for (int r = 0; r < kLines; ++r, line += line_bytes) {
    lines[r] = _mm512_setzero_si512();
    if (r < count) lines[r] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(there, line), flip);
  }
}

/// Slices that lie across the source: strips of kLanes lines, each read from end to end, so that few streams are open
/// at once. Strips go from the last to the first, because a whole vector stored at the end of a slice spills into the
/// next ones, where an earlier strip is still to come; only the very last slices have no room behind them.
template <class Form>
GEMMSMITH_AVX512 void TransposeSlices(const std::byte* source, std::int64_t line_bytes, std::int64_t width,
                                      std::int64_t panel, std::int64_t k, std::byte* packed, std::int32_t* sums) {
  const std::int64_t units = (k + Form::kGroup - 1) / Form::kGroup;
  for (std::int64_t i = (panel - 1) / kLanes * kLanes; i >= 0; i -= kLanes) {
    __m512i sum = _mm512_setzero_si512();
    for (std::int64_t u = 0; u < units; u += kLanes) {
      __m512i lines[kLanes];
      LoadLines<Form, kLanes>(source + i * line_bytes + u * kUnitBytes<Form>, line_bytes, width - i,
                              k - u * Form::kGroup, lines);
      Transpose(lines);
      if constexpr (Form::kHasSums)
        if (sums != nullptr)
          for (const __m512i& added : lines) sum = Form::AddUp(sum, added);
      std::byte* const to = packed + (u * panel + i) * kUnit;
      if ((units - u - (kLanes - 1)) * panel - i >= kLanes) {  // The last of these rows has room for a vector.
        for (int r = 0; r < kLanes; ++r) _mm512_storeu_si512(to + r * panel * kUnit, lines[r]);
        continue;
      }
      for (int r = 0; r < kLanes && u + r < units; ++r)
        StoreFirst(to + r * panel * kUnit, lines[r], (units - u - r) * panel - i >= kLanes ? kLanes : panel - i);
    }
    if (sums != nullptr) {
      auto* const at = reinterpret_cast<std::byte*>(sums + i);
      StoreFirst(at, _mm512_add_epi32(LoadFirst(at, panel - i), sum), panel - i);
    }
  }
}

/// As much of a quarter of a vector as there is room for.
GEMMSMITH_AVX512 void StoreQuarter(__m128i quarter, std::byte* to, std::int64_t room) {
  if (room >= 16)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), quarter);
  else
    _mm_mask_storeu_epi32(to, static_cast<__mmask8>((1u << room / kUnit) - 1), quarter);
}

/// Rows 4 * kQuarter to 4 * kQuarter + 3, which are the quarters of as many vectors, and of four others each. What a
/// row spills into the next one is overwritten by that.
template <int kQuarter, int kFours>
GEMMSMITH_AVX512 void StoreRows(const __m512i* lines, std::byte* to, std::int64_t row_bytes, std::int64_t room) {
  for (std::int64_t r = 0; r < 4; ++r) {
    const std::int64_t at = (4 * kQuarter + r) * row_bytes;
    if (at >= room) return;
    StoreQuarter(_mm512_extracti32x4_epi32(lines[r], kQuarter), to + at, room - at);
    if (kFours > 1) StoreQuarter(_mm512_extracti32x4_epi32(lines[4 + r], kQuarter), to + at + 16, room - at - 16);
  }
}

/// Likewise for panels of at most 4 * kFours lines, as of A: fours of lines, whose units need not leave their quarters.
template <class Form, int kFours>
GEMMSMITH_AVX512 void TransposeFewSlices(const std::byte* source, std::int64_t line_bytes, std::int64_t width,
                                         std::int64_t panel, std::int64_t k, std::byte* packed) {
  const std::int64_t units = (k + Form::kGroup - 1) / Form::kGroup, row_bytes = panel * kUnit;
  for (std::int64_t u = 0; u < units; u += kLanes) {
    __m512i lines[4 * kFours];
    LoadLines<Form, 4 * kFours>(source + u * kUnitBytes<Form>, line_bytes, width, k - u * Form::kGroup, lines);
    for (__m512i* r = lines; r != lines + 4 * kFours; r += 4) {
      const __m512i t[] = {_mm512_unpacklo_epi32(r[0], r[1]), _mm512_unpackhi_epi32(r[0], r[1]),
                           _mm512_unpacklo_epi32(r[2], r[3]), _mm512_unpackhi_epi32(r[2], r[3])};
      r[0] = _mm512_unpacklo_epi64(t[0], t[2]);
      r[1] = _mm512_unpackhi_epi64(t[0], t[2]);
      r[2] = _mm512_unpacklo_epi64(t[1], t[3]);
      r[3] = _mm512_unpackhi_epi64(t[1], t[3]);
    }
    std::byte* const to = packed + u * row_bytes;
    const std::int64_t room = (units - u) * row_bytes;
    StoreRows<0, kFours>(lines, to, row_bytes, room);
    StoreRows<1, kFours>(lines, to, row_bytes, room);
    StoreRows<2, kFours>(lines, to, row_bytes, room);
    StoreRows<3, kFours>(lines, to, row_bytes, room);
  }
}

template <class Form>
GEMMSMITH_AVX512 void Pack(const void* source, std::int64_t width_stride, std::int64_t k_stride, std::int64_t width,
                           std::int64_t panel, std::int64_t k, void* packed, std::int32_t* sums) {
  const auto* const from = static_cast<const std::byte*>(source);
  auto* const to = static_cast<std::byte*>(packed);
  if (width_stride == 1 || (width == 1 && k_stride != 1))
    CopySlices<Form>(from, k_stride * Form::kStored, width, panel, k, to, sums);
  else if (panel <= 4 && sums == nullptr)  // k is contiguous, or 1.
    TransposeFewSlices<Form, 1>(from, width_stride * Form::kStored, width, panel, k, to);
  else if (panel <= 8 && sums == nullptr)
    TransposeFewSlices<Form, 2>(from, width_stride * Form::kStored, width, panel, k, to);
  else
    TransposeSlices<Form>(from, width_stride * Form::kStored, width, panel, k, to, sums);
}

}  // namespace

PackPanel FindAvx512PackPanel(DType stored, CpuMath math, PackSide side) {
  if (side == PackSide::kAOfDots) return nullptr;
  if (math == CpuMath::kF32 && stored == DType::kF32) return Pack<Singles>;
  if (math == CpuMath::kBf16) return Pack<Pairs>;
  if (math != CpuMath::kU8S8 && math != CpuMath::kS8U8) return nullptr;
  if (side == PackSide::kAFlipped) return Pack<Fours<true, false>>;
  return stored == DType::kS8 ? Pack<Fours<false, true>> : Pack<Fours<false, false>>;
}

}  // namespace gemmsmith
#endif
