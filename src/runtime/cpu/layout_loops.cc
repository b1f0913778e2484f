#include "runtime/cpu/layout_loops.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <vector>

#include "runtime/cpu/cpu_info.h"
#include "util/log.h"
#include "util/thread_pool.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kFactor = 128;  // elements that share a factor

/// Calls work(i) for each i below `count`; `each`: elements of one.
template <class Work>
void ForEach(std::int64_t count, std::int64_t each, const Work& work) {
  constexpr std::int64_t kWorthAThread = 1 << 14;  // elements
  const std::int64_t wanted = std::clamp<std::int64_t>(count * each / kWorthAThread, 1, CpuThreads());
  ThreadPool::Lease lease = ThreadPool::Instance().Acquire(static_cast<int>(wanted));
  std::atomic<std::int64_t> next{0};
  auto task = [&](int) {
    for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) work(i);
  };
  lease.Run(lease.threads(), task, /*independent=*/true);
}

std::uint32_t Bits(float value) { return std::bit_cast<std::uint32_t>(value); }
float FromBits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

/// The next four are those of templates/float8.cuh.
std::uint8_t Ue8m0(float scale) {
  const std::uint32_t bits = Bits(scale);
  if (bits > 0x7f000000) return 255;
  return static_cast<std::uint8_t>(bits <= 0x00400000 ? 0 : (bits + 0x007fffff) >> 23);
}
float UpToPowerOfTwo(float scale) {
  const std::uint32_t bits = Bits(scale);
  return bits < 0x7f800000 ? FromBits((bits + 0x007fffff) & 0x7f800000) : scale;
}
struct Float8 {
  int mantissa, bias;
  std::uint32_t largest;
  float most;
};
constexpr Float8 kE4m3{3, 7, 0x7e, 448}, kE5m2{2, 15, 0x7b, 57344};
std::uint8_t ToFloat8(const Float8& format, float value) {
  const std::uint32_t magnitude = Bits(value) & 0x7fffffff, sign = Bits(value) >> 24 & 0x80;
  if (magnitude > 0x7f800000) return 0x7f;
  const int dropped = 23 - format.mantissa;
  std::uint32_t rounded;
  if (magnitude < static_cast<std::uint32_t>(128 - format.bias) << 23) {
    // Adding a number whose last bit is the least float8 rounds to it.
    const float rounder = FromBits(static_cast<std::uint32_t>(128 - format.bias + dropped) << 23);
    rounded = Bits(FromBits(magnitude) + rounder) - Bits(rounder);
  } else {
    const std::uint32_t even = (1u << (dropped - 1)) - 1 + (magnitude >> dropped & 1);
    rounded = ((magnitude + even) >> dropped) - (static_cast<std::uint32_t>(127 - format.bias) << format.mantissa);
  }
  return static_cast<std::uint8_t>(sign | std::min(rounded, format.largest));
}

float ToFloat(DType dtype, const std::byte* at) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, at, 4);
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, at, 2);
  if (dtype == DType::kBf16) return FromBits(static_cast<std::uint32_t>(bits) << 16);
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16, rest = (bits & 0x7fffu) << 13;
  const bool finite = (bits & 0x7c00) != 0x7c00;
  return FromBits(sign | (finite ? Bits(FromBits(rest) * 0x1p112f) : rest | 0x7f800000));
}

class Caster {
 public:
  Caster(const CastParams& params, CastFactors factors, DType from, DType to)
      : p_(params), factors_(factors), from_(from), format_(to == DType::kE4m3 ? kE4m3 : kE5m2) {}

  std::int64_t rows() const { return factors_ == CastFactors::kPerToken ? 1 : kFactor; }

  /// (batch, down, across) of a tile of rows() x 128 elements.
  void Tile(std::int64_t batch, std::int64_t down, std::int64_t across) const {
    const std::int64_t first = down * rows(), column = across * kFactor;
    const std::int64_t height = std::min<std::int64_t>(rows(), p_.rows - first);
    const std::int64_t width = std::min<std::int64_t>(kFactor, p_.columns - column);
    float values[kFactor * kFactor];
    std::uint32_t most[kFactor] = {};
    for (std::int64_t r = 0; r < height; ++r) {
      const std::byte* const from = static_cast<const std::byte*>(p_.from) +
                                    (batch * p_.from_batch + (first + r) * p_.from_row + column) * SizeOf(from_);
      float* const to = values + r * kFactor;
      for (std::int64_t c = 0; c < width; ++c) {
        to[c] = ToFloat(from_, from + c * SizeOf(from_));
        most[c] = std::max(most[c], Bits(to[c]) & 0x7fffffff);
      }
    }
    const bool per_channel = factors_ == CastFactors::kPerChannel;
    if (!per_channel) std::fill_n(most, kFactor, *std::max_element(most, most + width));
    float inverse[kFactor];
    for (std::int64_t c = 0; c < width; ++c) {
      const float scale = ScaleOf(most[c]);
      if (per_channel || c == 0) StoreScale(batch, down, per_channel ? column + c : across, scale);
      inverse[c] = 1 / scale;
    }
    for (std::int64_t r = 0; r < height; ++r) {
      auto* const to = static_cast<std::uint8_t*>(p_.to) + batch * p_.to_batch + (first + r) * p_.to_row + column;
      for (std::int64_t c = 0; c < width; ++c) to[c] = ToFloat8(format_, values[r * kFactor + c] * inverse[c]);
    }
  }

 private:
  float ScaleOf(std::uint32_t most) const {
    const float scale = FromBits(std::max(most, Bits(p_.least))) / format_.most;
    return p_.form == CastParams::kPlain ? scale : UpToPowerOfTwo(scale);
  }
  void StoreScale(std::int64_t batch, std::int64_t row, std::int64_t column, float scale) const {
    const std::int64_t at = batch * p_.scale_batch + row * p_.scale_row;
    if (p_.form != CastParams::kPacked) {
      static_cast<float*>(p_.scales)[at + column * p_.scale_column] = scale;
      return;
    }
    auto* const bytes =
        reinterpret_cast<std::uint8_t*>(static_cast<std::uint32_t*>(p_.scales) + at + column / 4 * p_.scale_column);
    bytes[column % 4] = Ue8m0(scale);
    if (column + 1 == p_.tiles_across)
      for (std::int64_t i = column % 4 + 1; i < 4; ++i) bytes[i] = 0;
  }

  const CastParams& p_;
  const CastFactors factors_;
  const DType from_;
  const Float8& format_;
};

}  // namespace

void CopyScales(const ScaleLayoutParams& p, bool packed) {
  ForEach(p.batch * p.rows, p.steps, [&](std::int64_t i) {
    const std::int64_t batch = i / p.rows, row = i % p.rows;
    const float* const from = p.from + batch * p.from_batch + row / p.gran * p.from_row;
    const std::int64_t to = batch * p.to_batch + row * p.to_row;
    if (!packed) {
      for (std::int64_t s = 0; s < p.steps; ++s) static_cast<float*>(p.to)[to + s * p.to_step] = from[s * p.from_step];
      return;
    }
    for (std::int64_t s = 0; s < p.steps; s += 4) {
      std::uint32_t word = 0;
      for (std::int64_t b = 0; b < std::min<std::int64_t>(4, p.steps - s); ++b)
        word |= static_cast<std::uint32_t>(Ue8m0(from[(s + b) * p.from_step])) << 8 * b;
      static_cast<std::uint32_t*>(p.to)[to + s / 4 * p.to_step] = word;
    }
  });
}

void CastFp8(const CastParams& p, CastFactors factors, DType from, DType to) {
  const Caster caster(p, factors, from, to);
  const std::int64_t down = (p.rows + caster.rows() - 1) / caster.rows();
  ForEach(p.batch * down * p.tiles_across, caster.rows() * kFactor, [&](std::int64_t i) {
    const std::int64_t rest = i / p.tiles_across;
    caster.Tile(rest / down, rest % down, i % p.tiles_across);
  });
}

void CopyGroupRows(const GroupRowsParams& p, bool back) {
  std::int64_t own = 0;
  const std::int64_t there = back ? p.to_rows : p.from_rows;
  for (int group = 0; group < p.groups; ++group) {
    const std::int64_t count = p.counts[group];
    if (count < 0 || own + count > there)
      throw Fail(Code::kInvalidArgument, "", "groups: group {} has {} rows, of {} that are left of {}", group, count,
                 there - own, there);
    own += count;
  }
  // The group and the source of each row.
  std::vector<std::pair<int, std::int64_t>> sources(static_cast<std::size_t>(p.to_rows), {-1, -1});
  std::int64_t begin = 0, aligned = 0;
  for (int group = 0; group < p.groups; ++group) {
    const std::int64_t count = p.counts[group], to = back ? begin : aligned, from = back ? aligned : begin;
    for (std::int64_t row = 0; row < count && from + row < p.from_rows; ++row) sources[to + row] = {group, from + row};
    if (p.ends != nullptr) p.ends[group] = static_cast<int>(aligned + count);
    begin += count, aligned += (count + p.alignment - 1) / p.alignment * p.alignment;
  }
  ForEach(p.to_rows, p.row_bytes, [&](std::int64_t row) {
    const auto [group, source] = sources[row];
    auto* const to = static_cast<std::byte*>(p.to) + row * p.to_stride;
    if (source >= 0)
      std::memcpy(to, static_cast<const std::byte*>(p.from) + source * p.from_stride, p.row_bytes);
    else if (!back)
      std::memset(to, 0, p.row_bytes);
    if (!back && p.indices != nullptr) p.indices[row] = group;
  });
}

}  // namespace gemmsmith
