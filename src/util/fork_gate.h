#pragma once

#include <shared_mutex>

namespace gemmsmith {

/// While one lives, fork() in this process waits, for a second at most: a child has only the thread that forked, and
/// what others had locked then would stay locked in it. Any number at once, nested too.
class ForkGate {
 public:
  ForkGate();

 private:
  std::shared_lock<std::shared_timed_mutex> inside_;
};

}  // namespace gemmsmith
