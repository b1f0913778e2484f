#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/emulator/tensor_memory/reduce.h"
#include "runtime/emulator/tensor_memory/tensor_map.h"

namespace gemmsmith::emulator {

/// One copy of cp.async.bulk.tensor (.tile): the box of a tensor map at some coordinates, and its place in shared
/// memory. im2col has other boxes and is none of these.
class TensorBox {
 public:
  /// A row of the box, the innermost dimension. Bytes [first, last) of it lie inside of the tensor.
  struct Row {
    std::uint64_t global;  ///< Address of its byte `first`; nothing if first == last.
    std::uint32_t shared;  ///< Where the row starts, before the swizzle.
    std::uint32_t first, last;
  };

  /// `shared`: address within the CTA's shared memory. Throws kDevice when it is not a multiple of 128.
  TensorBox(const TensorMap& map, std::span<const std::int32_t> coordinates, std::uint32_t shared);

  /// What complete_tx and bulk groups count: the whole box, be it inside of the tensor or not.
  std::uint32_t bytes() const { return rows_ * row_bytes_; }
  /// What the box takes up in shared memory: rows are as long as the swizzle is wide.
  std::uint32_t shared_bytes() const {
    return (rows_ - 1) * pitch_ + (swizzle_ == Swizzle::kNone ? row_bytes_ : pitch_);
  }
  std::uint32_t rows() const { return rows_; }
  std::uint32_t row_bytes() const { return row_bytes_; }
  Row RowAt(std::uint32_t index) const;
  /// The 16-byte piece `piece` of a row.
  std::uint32_t PieceAddress(const Row& row, std::uint32_t piece) const {
    return Swizzled(swizzle_, row.shared + piece * 16);
  }

  /// `shared`: all of the CTA's shared memory; throws kDevice when the box does not fit into it. Who calls has
  /// checked the rows' global addresses.
  void Load(std::span<std::byte> shared) const;
  void Store(std::span<const std::byte> shared) const;
  void ReduceInto(std::span<const std::byte> shared, Reduction reduction) const;

 private:
  void CheckFits(std::size_t shared_bytes) const;
  void Fill(std::byte* piece) const;
  void Convert(std::byte* piece) const;
  template <class Visit>
  void ForEachPart(std::span<const std::byte> shared, const Visit& visit) const;

  TensorMap map_;
  std::array<std::int64_t, TensorMap::kMaxRank> origin_{};
  std::array<std::uint32_t, TensorMap::kMaxRank> counts_{1, 1, 1, 1, 1};
  Swizzle swizzle_;
  std::uint32_t shared_, element_bytes_, row_bytes_, pitch_, rows_ = 1;
};

}  // namespace gemmsmith::emulator
