#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "runtime/emulator/machine/code.h"
#include "runtime/emulator/tensor_memory/matrix_descriptor.h"

namespace gemmsmith::emulator {

/// Factors of wgmma that were read from shared memory, and what they are as f32.
class FactorCache {
 public:
  struct Key {
    std::uint64_t descriptor = 0;
    int extent = 0, k = 0;
    TensorType type{};
    Major major{};
    bool negate = false;
    bool operator==(const Key&) const = default;
  };
  struct Factor {
    Key key;
    std::vector<std::uint32_t> pieces;
    std::vector<std::byte> bytes;  ///< What the pieces held.
    std::vector<float> tile;       ///< B as (k, extent).
  };

  /// The factor as shared memory holds it now. Throws kDevice for what lies outside.
  const Factor& Read(std::span<const std::byte> shared, const Key& key);

 private:
  static constexpr std::size_t kFactors = 16;
  bool Holds(std::span<const std::byte> shared, const Factor& factor) const;

  std::vector<Factor> factors_;
  std::size_t next_ = 0;
  FactorReader reader_;
};

/// What the warpgroups of a CTA do together: all four warps of one execute the same wgmma.
class Warpgroups {
 public:
  FactorCache cache;

  /// Counts a product that `warp` has begun. Throws if a warp of the group has executed another instruction in the
  /// place of `i`, or if the group is not whole.
  void Begin(Warp& warp, const Instruction& i);
  void Commit(const Warp& warp);
  /// Whether all four warps have begun what is in this warp's groups but the last `pending`: a tensor core works for
  /// all of them at once.
  bool AllHaveBegun(const Warp& warp, std::uint32_t pending) const;

 private:
  struct Group {
    std::vector<const Instruction*> executed;  // from number `first` on
    std::uint64_t first = 0;
    std::uint64_t counts[4] = {};
    std::deque<std::uint64_t> committed[4];  // the count at each of the last commits
  };
  static constexpr std::size_t kCommits = 64;  // More groups than that nobody lets go on.
  static std::size_t IndexOf(const Warp& warp);
  std::vector<Group> groups_;
};

/// Tells the observer what a tensor core reads for `warp` until the group that is open now has been waited for.
void TellTensorRead(Warp& warp, const Instruction& i, std::span<const std::uint32_t> pieces);

}  // namespace gemmsmith::emulator
