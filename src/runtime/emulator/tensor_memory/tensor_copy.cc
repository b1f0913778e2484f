#include "runtime/emulator/tensor_memory/tensor_copy.h"

#include <algorithm>
#include <cstring>

#include "gemmsmith/error.h"
#include "runtime/emulator/numeric/conversions.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

std::byte* Pointer(std::uint64_t address) { return reinterpret_cast<std::byte*>(address); }

}  // namespace

TensorBox::TensorBox(const TensorMap& map, std::span<const std::int32_t> coordinates, std::uint32_t shared)
    : map_(map), swizzle_(static_cast<Swizzle>(map.swizzle)), shared_(shared) {
  if (coordinates.size() != static_cast<std::size_t>(map.rank))
    throw Fail(Code::kDevice, "use the instruction of the tensor's rank",
               "cp.async.bulk.tensor: {} coordinates for a tensor map of rank {}", coordinates.size(), map.rank);
  if (shared % 128 != 0)
    throw Fail(Code::kDevice, "align it to 128 bytes; to the swizzle's period for matrix descriptors",
               "cp.async.bulk.tensor: shared memory address {:#x}", shared);
  element_bytes_ = BytesOf(map.type);
  row_bytes_ = map.box[0] * element_bytes_;
  // A row takes the swizzle's whole width (CUDA programming guide, "Tensor memory access swizzle").
  pitch_ = swizzle_ == Swizzle::kNone ? row_bytes_ : SwizzleBytes(swizzle_);
  for (int i = 0; i < map.rank; ++i) {
    origin_[i] = coordinates[i];
    if (i == 0) continue;
    counts_[i] = (map.box[i] + map.element_steps[i] - 1) / map.element_steps[i];
    rows_ *= counts_[i];
  }
}

TensorBox::Row TensorBox::RowAt(std::uint32_t index) const {
  Row row{map_.address, shared_ + index * pitch_, 0, 0};
  for (int i = 1; i < map_.rank; ++i) {
    const std::int64_t at = origin_[i] + std::int64_t{index % counts_[i]} * map_.element_steps[i];
    index /= counts_[i];
    if (at < 0 || at >= static_cast<std::int64_t>(map_.dims[i])) return row;
    row.global += static_cast<std::uint64_t>(at) * map_.strides[i - 1];
  }
  const std::int64_t length = map_.box[0], size = static_cast<std::int64_t>(map_.dims[0]);
  const std::int64_t first = std::clamp<std::int64_t>(-origin_[0], 0, length);
  const std::int64_t last = std::clamp<std::int64_t>(size - origin_[0], first, length);
  row.first = static_cast<std::uint32_t>(first) * element_bytes_;
  row.last = static_cast<std::uint32_t>(last) * element_bytes_;
  if (row.first < row.last) row.global += static_cast<std::uint64_t>(origin_[0] + first) * element_bytes_;
  return row;
}

void TensorBox::CheckFits(std::size_t available) const {
  if (shared_ + std::size_t{shared_bytes()} > available)
    throw Fail(Code::kDevice, "check address, box and the size of shared memory",
               "cp.async.bulk.tensor: a box of {} bytes at {:#x} of {} bytes of shared memory", shared_bytes(), shared_,
               available);
}

/// What lies outside of the tensor: zero, or the canonical NaN.
void TensorBox::Fill(std::byte* piece) const {
  std::memset(piece, 0, 16);
  if (map_.oob_fill == 0) return;
  const std::uint64_t nan = map_.type == MemoryType::kF16 || map_.type == MemoryType::kBf16 ? 0x7fff
                            : map_.type == MemoryType::kF64                                 ? 0x7fffffffffffffff
                                                                                            : 0x7fffffff;
  for (std::uint32_t i = 0; i < 16; i += element_bytes_) std::memcpy(piece + i, &nan, element_bytes_);
}

/// The types that change elements on the way into shared memory. tf32 rounds to nearest even and leaves NaN alone, as
/// observed on sm_120 (triton-lang/triton#11751).
void TensorBox::Convert(std::byte* piece) const {
  const bool rounds = map_.type == MemoryType::kTf32 || map_.type == MemoryType::kTf32Ftz;
  const bool flushes = map_.type == MemoryType::kF32Ftz || map_.type == MemoryType::kTf32Ftz;
  for (int i = 0; i < 16; i += 4) {
    float value;
    std::memcpy(&value, piece + i, 4);
    if (flushes) value = FlushToZero(value);
    if (rounds && value == value) value = F32ToTf32(value, Rounding::kNearest);
    std::memcpy(piece + i, &value, 4);
  }
}

void TensorBox::Load(std::span<std::byte> shared) const {
  CheckFits(shared.size());
  const bool converts =
      map_.type == MemoryType::kF32Ftz || map_.type == MemoryType::kTf32 || map_.type == MemoryType::kTf32Ftz;
  for (std::uint32_t index = 0; index < rows_; ++index) {
    const Row row = RowAt(index);
    const std::byte* from = Pointer(row.global);
    if (swizzle_ == Swizzle::kNone && !converts && row.last - row.first == row_bytes_) {
      std::memcpy(shared.data() + row.shared, from, row_bytes_);
      continue;
    }
    for (std::uint32_t at = 0; at < row_bytes_; at += 16) {
      std::byte* to = shared.data() + PieceAddress(row, at / 16);
      const std::uint32_t first = std::clamp(row.first, at, at + 16), last = std::clamp(row.last, first, at + 16);
      if (last - first < 16) Fill(to);
      if (first < last) std::memcpy(to + (first - at), from + (first - row.first), last - first);
      if (converts) Convert(to);
    }
  }
}

/// Each part of a piece that lies inside of the tensor: visit(from shared memory, to global memory, bytes).
template <class Visit>
void TensorBox::ForEachPart(std::span<const std::byte> shared, const Visit& visit) const {
  CheckFits(shared.size());
  for (std::uint32_t index = 0; index < rows_; ++index) {
    const Row row = RowAt(index);
    for (std::uint32_t at = row.first & ~15u; at < row.last; at += 16) {
      const std::uint32_t first = std::max(row.first, at), last = std::min(row.last, at + 16);
      visit(shared.data() + PieceAddress(row, at / 16) + (first - at), Pointer(row.global) + (first - row.first),
            last - first);
    }
  }
}

void TensorBox::Store(std::span<const std::byte> shared) const {
  ForEachPart(shared, [](const std::byte* from, std::byte* to, std::uint32_t bytes) { std::memcpy(to, from, bytes); });
}

void TensorBox::ReduceInto(std::span<const std::byte> shared, Reduction reduction) const {
  CheckReduction(reduction, map_.type);
  ForEachPart(shared, [&](const std::byte* from, std::byte* to, std::uint32_t bytes) {
    Reduce(reduction, map_.type, from, to, bytes);
  });
}

}  // namespace gemmsmith::emulator
