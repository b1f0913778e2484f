#pragma once

#include <string>
#include <utility>
#include <vector>

#include "runtime/emulator/machine/cta.h"

namespace gemmsmith::emulator {

/// Who waits on what, for errors. Warps that wait on the same thing at the same instruction share a line.
class WaitReport {
 public:
  void Add(Cluster& cluster);
  void Add(const Warp& warp);
  /// At most about so many characters; how many lines are left out is said.
  std::string Text(std::size_t most) const;

 private:
  struct Waiters {
    Dim3 cta;
    std::vector<std::string> warps;
  };
  struct Line {
    std::string what;
    std::vector<Waiters> waiters;
  };
  void Add(std::string what, const Warp& warp, std::string who);

  std::vector<Line> lines_;
};

}  // namespace gemmsmith::emulator
