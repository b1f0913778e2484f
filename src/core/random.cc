#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "core/groups.h"
#include "core/parallel.h"
#include "gemmsmith/verify.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// A counter-based generator (the output function of SplitMix64): element i needs no other element.
std::uint64_t Mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Uniform in [-1, 1).
double Uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-52 - 1; }

void CheckHost(const char* what, const Tensor& tensor) {
  if (tensor.device.kind != DeviceKind::kCpu || tensor.read_only || tensor.packed)
    throw Fail(Code::kInvalidArgument, "fill a writable tensor in host memory and copy it", "{}: the tensor is {}",
               what,
               tensor.packed      ? "packed"
               : tensor.read_only ? "read-only"
                                  : "on " + ToString(tensor.device));
  if (tensor.data == nullptr && tensor.size() > 0)
    throw Fail(Code::kInvalidArgument, "", "{}: the tensor is a null pointer", what);
}

/// Sets element i, in row-major order of the shape, to value(i).
template <class T, class Value>
void Fill(const Tensor& tensor, Value value) {
  constexpr std::int64_t kGrain = 1 << 20;
  const std::int64_t size = tensor.size(), columns = size == 0 ? 1 : tensor.shape[tensor.rank - 1];
  const std::int64_t rows = tensor.rank >= 2 ? tensor.shape[tensor.rank - 2] : 1;
  const std::int64_t column_stride = tensor.strides[std::max(tensor.rank - 1, 0)];
  const std::int64_t row_stride = tensor.rank >= 2 ? tensor.strides[tensor.rank - 2] : 0;
  const std::int64_t batch_stride = tensor.rank == 3 ? tensor.strides[0] : 0;
  ParallelFor((size + kGrain - 1) / kGrain, [&](std::int64_t chunk) {
    const std::int64_t end = std::min(size, (chunk + 1) * kGrain);
    for (std::int64_t i = chunk * kGrain; i < end;) {
      const std::int64_t row = i / columns, column = i % columns, run = std::min(columns - column, end - i);
      T* out =
          static_cast<T*>(tensor.data) + row / rows * batch_stride + row % rows * row_stride + column * column_stride;
      for (std::int64_t j = 0; j < run; ++j) out[j * column_stride] = value(i + j);
      i += run;
    }
  });
}

/// 2^16 evenly spread values, encoded: rounding each element anew would cost more than a check of the result.
template <class T>
void FillFromTable(const Tensor& tensor, std::uint64_t seed) {
  constexpr int kValues = 1 << 16;
  std::vector<T> table(kValues);
  for (int i = 0; i < kValues; ++i) {
    const auto integer = [&](int least, int count) { return least + std::floor(count * (i / double{kValues})); };
    const double value = tensor.dtype == DType::kS8    ? integer(-128, 256)
                         : tensor.dtype == DType::kU8  ? integer(0, 256)
                         : tensor.dtype == DType::kS32 ? integer(-127, 255)
                                                       : 2.0 * i / (kValues - 1) - 1;
    Encode(tensor.dtype, table.data(), i, value);
  }
  Fill<T>(tensor, [&](std::int64_t i) { return table[Mix(seed + i) % kValues]; });
}

template <class T>
void FillPoison(const Tensor& tensor) {
  T poison;
  std::memset(&poison, 0x5a, sizeof(poison));
  if (!Info(tensor.dtype).is_integer()) Encode(tensor.dtype, &poison, 0, std::numeric_limits<double>::quiet_NaN());
  Fill<T>(tensor, [poison](std::int64_t) { return poison; });
}

/// Where each group ends in `total` rows, or of k: sizes are up to 30 % off an equal share, or off `expected`.
std::vector<std::int64_t> RandomEnds(std::int64_t groups, std::int64_t total, std::int64_t expected,
                                     std::uint64_t start) {
  std::vector<double> sums;
  double sum = 0;
  for (std::int64_t i = 0; i < groups; ++i) sums.push_back(sum += 1 + 0.3 * Uniform(Mix(start + i)));
  const double unit = expected > 0 ? static_cast<double>(expected) : static_cast<double>(total) / sum;
  std::vector<std::int64_t> ends;
  for (const double share : sums) ends.push_back(std::min<std::int64_t>(total, std::llround(unit * share)));
  return ends;
}

/// Groups that begin at multiples of `alignment` rows; what they leave of the last of them is of no group.
void FillIndex(std::span<const std::int64_t> ends, std::int64_t alignment, std::span<std::int32_t> index,
               std::uint64_t start) {
  std::fill(index.begin(), index.end(), -1);
  const std::int64_t last_begin = std::max<std::int64_t>(0, (ends.back() - 1) / alignment * alignment);
  std::int64_t begin = 0;
  for (std::size_t group = 0; group < ends.size(); ++group) {
    const bool last = group + 1 == ends.size();
    const std::int64_t next =
        last ? ends[group] : std::min(last_begin, (ends[group] + alignment / 2) / alignment * alignment);
    const auto spare = static_cast<std::int64_t>(Mix(~start + group) % static_cast<std::uint64_t>(alignment));
    const std::int64_t end = last ? next : std::max(next - spare, std::min(begin + 1, next));
    for (std::int64_t row = begin; row < end; ++row)
      index[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(group);
    begin = std::max(begin, next);
  }
}

}  // namespace

void FillGroups(const GemmProblem& p, const Tensor& tensor, std::uint64_t seed) {
  CheckHost("fill", tensor);
  if (tensor.dtype != DType::kS32 || tensor.size() != GroupElements(p))
    throw Fail(Code::kInvalidArgument, "", "fill: groups of {} are {} s32, not {} {}", ToString(p), GroupElements(p),
               tensor.size(), ToString(tensor.dtype));
  const std::span to(static_cast<std::int32_t*>(tensor.data), static_cast<std::size_t>(tensor.size()));
  const std::uint64_t start = Mix(seed);
  if (p.grouping == Grouping::kMasked) {
    const double mean = static_cast<double>(p.expected_m > 0 ? p.expected_m : p.m);
    for (std::size_t i = 0; i < to.size(); ++i)
      to[i] = static_cast<std::int32_t>(
          std::min<std::int64_t>(p.m, std::llround(mean * (1 + 0.3 * Uniform(Mix(start + i))))));
    return;
  }
  const bool along_k = p.grouping == Grouping::kAlongK;
  const std::vector<std::int64_t> ends = RandomEnds(p.groups, along_k ? p.k : p.m, p.expected_m, start);
  if (p.grouping == Grouping::kContiguous) return FillIndex(ends, GroupAlignment(p.grouping), to, start);
  std::copy(ends.begin(), ends.end(), to.begin());
}

void FillRandom(const Tensor& tensor, std::uint64_t seed) {
  CheckHost("fill", tensor);
  // Neighbouring seeds must not give shifted copies of one sequence.
  const std::uint64_t start = Mix(seed);
  const auto uniform = [start](std::int64_t i) { return Uniform(Mix(start + i)); };
  if (tensor.dtype == DType::kF32) return Fill<float>(tensor, uniform);
  if (tensor.dtype == DType::kF64) return Fill<double>(tensor, uniform);
  switch (SizeOf(tensor.dtype)) {
    case 1:
      return FillFromTable<std::uint8_t>(tensor, start);
    case 2:
      return FillFromTable<std::uint16_t>(tensor, start);
    default:
      return FillFromTable<std::uint32_t>(tensor, start);
  }
}

void Poison(const Tensor& tensor) {
  CheckHost("poison", tensor);
  switch (SizeOf(tensor.dtype)) {
    case 1:
      return FillPoison<std::uint8_t>(tensor);
    case 2:
      return FillPoison<std::uint16_t>(tensor);
    case 4:
      return FillPoison<std::uint32_t>(tensor);
    default:
      return FillPoison<std::uint64_t>(tensor);
  }
}

}  // namespace gemmsmith
