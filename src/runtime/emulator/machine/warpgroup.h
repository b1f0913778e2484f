#pragma once

#include <cstdint>
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

  /// Throws if a warp of the group has executed another instruction in the place of `i`, or if the group is not whole.
  void Check(Warp& warp, const Instruction& i);
  /// The warp commits its group number `group`.
  void Commit(const Warp& warp, std::uint32_t group);
  /// Whether all warps have executed what the warp's group `group` and those before hold: none of it ends before.
  bool Together(const Warp& warp, std::uint32_t group) const;

 private:
  static constexpr std::uint32_t kPending = 16;  // groups that are looked for; wgmma.wait_group counts to 7
  struct Group {
    std::vector<const Instruction*> executed;  // from number `first` on
    std::uint64_t first = 0;
    std::uint64_t counts[4] = {};
    std::uint64_t committed[4][kPending] = {};  // the count when each group was
  };
  std::vector<Group> groups_;
};

/// Tells the observer what a tensor core reads for `warp` until the group that is open now has been waited for.
void TellTensorRead(Warp& warp, const Instruction& i, std::span<const std::uint32_t> pieces);

}  // namespace gemmsmith::emulator
