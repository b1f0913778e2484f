#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace gemmsmith::emulator {

/// What is known of the agents of other clusters. Never changed once it is made, so that threads share it: most warps
/// of a grid know the same, and most kernels nothing at all.
class Foreign {
 public:
  using Times = std::vector<std::uint32_t>;  ///< Of a cluster's agents, see Knowledge.

  /// Null: nothing.
  const Times* Of(std::uint32_t cluster) const;
  /// Into what is known in `into`, null for nothing, comes what `from` knows.
  static void Join(std::shared_ptr<const Foreign>& into, const std::shared_ptr<const Foreign>& from);
  /// `known` with the times of one more cluster.
  static std::shared_ptr<const Foreign> With(const std::shared_ptr<const Foreign>& known, std::uint32_t cluster,
                                             const Times& times);

 private:
  struct Cluster {
    std::uint32_t index;
    std::shared_ptr<const Times> times;
  };
  std::vector<Cluster> clusters_;  // by index
};
using ForeignKnowledge = std::shared_ptr<const Foreign>;

}  // namespace gemmsmith::emulator
