#include "util/fork_gate.h"

#include <pthread.h>

#include <chrono>

namespace gemmsmith {
namespace {

constexpr std::chrono::seconds kPatience{1};  // A compile may take longer; a fork should not.

/// Readers go before a writer that waits (the default of POSIX threads here), so that they may nest.
std::shared_timed_mutex*& Gate() {
  static auto* gate = new std::shared_timed_mutex;  // never destroyed: threads may compute while the process ends
  return gate;
}

thread_local bool is_closed = false;  // By this thread, which forks.

void Close() { is_closed = Gate()->try_lock_for(kPatience); }
void Open() {
  if (is_closed) Gate()->unlock();
  is_closed = false;
}
/// A child's only thread is another one to the lock than that which has it.
void OpenInChild() {
  Gate() = new std::shared_timed_mutex;
  is_closed = false;
}

}  // namespace

ForkGate::ForkGate() : inside_(*Gate(), std::defer_lock) {
  [[maybe_unused]] static const int watched = pthread_atfork(Close, Open, OpenInChild);
  inside_.lock();
}

}  // namespace gemmsmith
