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
// For what takes vectors by pointer: they stay in registers.
#define GEMMSMITH_AVX512_INLINE GEMMSMITH_AVX512 inline __attribute__((always_inline))

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

/// Two vectors of units.
struct TwoVectors {
  __m512i vectors[2];
};
/// Which words of two tables of 32 make a vector: those from `begin` on, each with the one that lies `other` behind it;
/// `words` of the first table, then of the second.
struct WordOrder {
  constexpr WordOrder(int begin, int words, int other) {
    for (int i = 0; i < kLanes; ++i) {
      const int word = i / words * 32 + begin + i % words;
      indices[2 * i] = static_cast<std::uint16_t>(word);
      indices[2 * i + 1] = static_cast<std::uint16_t>(word + other);
    }
  }
  alignas(64) std::uint16_t indices[32] = {};
};
GEMMSMITH_AVX512_INLINE TwoVectors OrderWords(__m512i first, __m512i second, const WordOrder (&orders)[2]) {
  return {_mm512_permutex2var_epi16(first, _mm512_load_si512(orders[0].indices), second),
          _mm512_permutex2var_epi16(first, _mm512_load_si512(orders[1].indices), second)};
}

/// Floats, as they are.
struct Singles {
  static constexpr int kGroup = 1, kStored = 4;
  static constexpr bool kFlips = false, kHasSums = false;
  GEMMSMITH_AVX512 static __m512i LoadWhole(const std::byte* p, std::int64_t) { return _mm512_loadu_si512(p); }
  GEMMSMITH_AVX512_INLINE static TwoVectors LoadTwo(const std::byte* p, std::int64_t k_bytes) {
    return {LoadWhole(p, k_bytes), LoadWhole(p + kLine, k_bytes)};
  }
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
  GEMMSMITH_AVX512_INLINE static TwoVectors LoadTwo(const std::byte* p, std::int64_t k_bytes) {
    static constexpr WordOrder kOrders[] = {{0, kLanes, 32}, {kLanes, kLanes, 32}};
    return OrderWords(_mm512_loadu_si512(p), _mm512_loadu_si512(p + k_bytes), kOrders);
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
  /// Two slices of two vectors' columns, in halves.
  GEMMSMITH_AVX512_INLINE static __m512i LoadHalves(const std::byte* first, const std::byte* second) {
    const __m512i slices =
        _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first))),
                           _mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)), 1);
    return kFlips ? _mm512_xor_si512(slices, _mm512_set1_epi8(-128)) : slices;
  }
  /// Pairs of bytes of the first two slices in the lower halves, of the others in the upper ones; then fours.
  GEMMSMITH_AVX512_INLINE static TwoVectors LoadTwo(const std::byte* p, std::int64_t k_bytes) {
    static constexpr WordOrder kOrders[] = {{0, kLanes / 2, 16}, {kLanes / 2, kLanes / 2, 16}};
    const __m512i even = LoadHalves(p, p + 2 * k_bytes), odd = LoadHalves(p + k_bytes, p + 3 * k_bytes);
    return OrderWords(_mm512_unpacklo_epi8(even, odd), _mm512_unpackhi_epi8(even, odd), kOrders);
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

/// A unit row of a panel, from slices that are contiguous in the source. kWhole: nothing is missing.
template <class Form, bool kWhole>
GEMMSMITH_AVX512 void CopyUnits(const std::byte* source, std::int64_t k_bytes, std::int64_t width, std::int64_t panel,
                                int slices, std::byte* packed, std::int32_t* sums) {
  std::int64_t i = 0;
  for (; kWhole && i + 2 * kLanes <= panel; i += 2 * kLanes) {
    const TwoVectors two = Form::LoadTwo(source + i * Form::kStored, k_bytes);
    for (int v = 0; v < 2; ++v) {
      StoreFirst(packed + (i + v * kLanes) * kUnit, two.vectors[v], kLanes);
      if constexpr (Form::kHasSums)
        if (sums != nullptr) AddSums<Form>(sums + i + v * kLanes, two.vectors[v], kLanes);
    }
  }
  for (; i < panel; i += kLanes) {
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

constexpr int kStrip = 8;  // Lines at once: as many as a set of L1 holds, since lines often lie a power of 2 apart.

/// 8 lines of 16 units into 16 rows of 8: pairs[p] has rows 8 * (p / 4) + p % 4 and, in its upper half, 4 later.
GEMMSMITH_AVX512_INLINE void Transpose(const __m512i* lines, __m512i* pairs) {
  __m512i fours[kStrip];  // Of lines, in each quarter: one row.
  for (int i = 0; i < kStrip; i += 4) {
    const __m512i* const r = lines + i;
    const __m512i t[] = {_mm512_unpacklo_epi32(r[0], r[1]), _mm512_unpackhi_epi32(r[0], r[1]),
                         _mm512_unpacklo_epi32(r[2], r[3]), _mm512_unpackhi_epi32(r[2], r[3])};
    fours[i] = _mm512_unpacklo_epi64(t[0], t[2]);
    fours[i + 1] = _mm512_unpackhi_epi64(t[0], t[2]);
    fours[i + 2] = _mm512_unpacklo_epi64(t[1], t[3]);
    fours[i + 3] = _mm512_unpackhi_epi64(t[1], t[3]);
  }
  const __m512i early = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                late = _mm512_add_epi64(early, _mm512_set1_epi64(4));
  for (int i = 0; i < 4; ++i) {
    pairs[i] = _mm512_permutex2var_epi64(fours[i], early, fours[4 + i]);
    pairs[4 + i] = _mm512_permutex2var_epi64(fours[i], late, fours[4 + i]);
  }
}
/// Of what Transpose makes.
GEMMSMITH_AVX512_INLINE __m256i Row(const __m512i* pairs, int row) {
  const __m512i pair = pairs[row / 8 * 4 + row % 4];
  return row % 8 < 4 ? _mm512_castsi512_si256(pair) : _mm512_extracti64x4_epi64(pair, 1);
}

/// Units of the panel that lie across the source, in lines.
template <class Form>
class Strip {
 public:
  /// Columns from `i` on. What a panel that is no multiple of kStrip does not have is read again from its last line.
  Strip(const std::byte* source, std::int64_t line_bytes, std::int64_t width, std::int64_t panel, std::int64_t i)
      : there_(std::min<std::int64_t>(width - i, kStrip)), room_(std::min<std::int64_t>(panel - i, kStrip)) {
    for (int r = 0; r < kStrip; ++r) lines_[r] = source + (i + std::clamp<std::int64_t>(there_ - 1, 0, r)) * line_bytes;
  }
  bool whole() const { return there_ == room_; }

  /// kLanes units of each line, into rows that have room for kStrip columns. `next`: bytes to the strip that comes
  /// next, which is brought meanwhile: into L2, for in L1 lines a power of 2 apart would drive each other out.
  GEMMSMITH_AVX512_INLINE void Copy(std::int64_t byte, std::int64_t next, std::byte* to, std::int64_t row_bytes) {
    for (const std::byte* line : lines_) _mm_prefetch(reinterpret_cast<const char*>(line + byte + next), _MM_HINT_T1);
    __m512i lines[kStrip], pairs[kStrip];
    for (int r = 0; r < kStrip; ++r) {
      lines[r] = _mm512_loadu_si512(lines_[r] + byte);
      if constexpr (Form::kFlips) lines[r] = _mm512_xor_si512(lines[r], _mm512_set1_epi8(-128));
    }
    Transpose(lines, pairs);
    Sum(pairs);
    // In order: each row overwrites what the one before has spilled into it.
    for (int r = 0; r < kLanes; ++r, to += row_bytes)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), Row(pairs, r));
  }
  /// What the first `elements` make of them; zeros where there are no columns. Nothing beyond `room` bytes is written.
  GEMMSMITH_AVX512 void CopyPart(std::int64_t byte, std::int64_t elements, std::byte* to, std::int64_t row_bytes,
                                 std::int64_t room) {
    const __mmask64 first = ~__mmask64{0} >> std::max<std::int64_t>(0, kLine - elements * Form::kStored);
    __m512i lines[kStrip], pairs[kStrip];
    for (int r = 0; r < kStrip; ++r) {
      const __mmask64 there = r < there_ ? first : 0;
      const __m512i flip = _mm512_maskz_set1_epi8(there, Form::kFlips ? -128 : 0);
      lines[r] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(there, lines_[r] + byte), flip);
    }
    Transpose(lines, pairs);
    Sum(pairs);
    const auto columns = static_cast<__mmask8>((1u << room_) - 1);
    for (int r = 0; r < kLanes && r * row_bytes < room; ++r)
      _mm256_mask_storeu_epi32(to + r * row_bytes, columns, Row(pairs, r));
  }
  GEMMSMITH_AVX512 void AddSums(std::int32_t* sums) const {
    const auto columns = static_cast<__mmask8>((1u << room_) - 1);
    const __m256i sum = _mm256_add_epi32(_mm512_castsi512_si256(sum_), _mm512_extracti64x4_epi64(sum_, 1));
    _mm256_mask_storeu_epi32(sums, columns, _mm256_add_epi32(_mm256_maskz_loadu_epi32(columns, sums), sum));
  }

 private:
  GEMMSMITH_AVX512_INLINE void Sum(const __m512i* pairs) {
    if constexpr (Form::kHasSums)
      for (int i = 0; i < kStrip; ++i) sum_ = Form::AddUp(sum_, pairs[i]);
  }

  const std::int64_t there_, room_;  ///< Columns that the source has; and the panel.
  const std::byte* lines_[kStrip];
  __m512i sum_ = {};
};

/// Slices that lie across the source: strips of lines, each read from end to end, so that few streams are open at once.
/// Strips go from the last to the first, because what is stored at the end of a slice spills into the next ones, where
/// an earlier strip is still to come.
template <class Form>
GEMMSMITH_AVX512 void TransposeSlices(const std::byte* source, std::int64_t line_bytes, std::int64_t width,
                                      std::int64_t panel, std::int64_t k, std::byte* packed, std::int32_t* sums) {
  constexpr std::int64_t kElements = kLanes * Form::kGroup;
  const std::int64_t row_bytes = panel * kUnit, room = (k + Form::kGroup - 1) / Form::kGroup * row_bytes;
  const std::int64_t last = (panel - 1) / kStrip * kStrip;
  for (std::int64_t i = last; i >= 0; i -= kStrip) {
    const std::int64_t next = (i > 0 ? -kStrip : panel + last) * line_bytes;  // At last the next panel's first.
    Strip<Form> strip(source, line_bytes, width, panel, i);
    std::int64_t p = 0, at = i * kUnit;
    if (strip.whole())  // While the last row has room for kStrip columns.
      for (; p + kElements <= k && at + (kLanes - 1) * row_bytes + kStrip * kUnit <= room; p += kElements) {
        strip.Copy(p * Form::kStored, next, packed + at, row_bytes);
        at += kLanes * row_bytes;
      }
    for (; p < k; p += kElements, at += kLanes * row_bytes)
      strip.CopyPart(p * Form::kStored, k - p, packed + at, row_bytes, room - at);
    if (sums != nullptr) strip.AddSums(sums + i);
  }
}

template <class Form>
GEMMSMITH_AVX512 void Pack(const void* source, std::int64_t width_stride, std::int64_t k_stride, std::int64_t width,
                           std::int64_t panel, std::int64_t k, void* packed, std::int32_t* sums) {
  const auto* const from = static_cast<const std::byte*>(source);
  auto* const to = static_cast<std::byte*>(packed);
  if (width_stride == 1 || (width == 1 && k_stride != 1))
    CopySlices<Form>(from, k_stride * Form::kStored, width, panel, k, to, sums);
  else  // k is contiguous, or 1.
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
