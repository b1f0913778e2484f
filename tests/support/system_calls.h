#pragma once

#include <atomic>
#include <string>
#include <string_view>

namespace gemmsmith::testing {

/// What is done to a system call.
struct SystemFault {
  int error = 0;            ///< The errno it fails with; 0: it transfers half of what it was asked to.
  bool lasting = false;     ///< So do all that follow: a disk stays full.
  std::string_view only{};  ///< Befalls calls of this name; empty: of any.
};

/// Counts the system calls that this process makes below a folder, and lets one fail. By path, and by the descriptors
/// that were opened there. EINTR befalls only the calls that POSIX lets be interrupted, and a short transfer only reads
/// and writes: where such a fault is to come, the others are not counted. A descriptor is closed also by a close that
/// fails, as Linux does it.
///
/// Production code has no hook: a test that includes this header defines the functions of libc that the cache calls,
/// directly or through the standard library, and they call the next definition, which may be a sanitizer's. One lives
/// at a time.
class SystemCalls {
 public:
  /// `nth`, from 1, is the one that fails; 0: none, and all are counted.
  explicit SystemCalls(std::string folder, SystemFault fault = {}, int nth = 0);
  SystemCalls(const SystemCalls&) = delete;
  SystemCalls& operator=(const SystemCalls&) = delete;
  ~SystemCalls();

  int count() const { return count_; }
  /// The first call that got the fault; null: as many were not made.
  const char* struck() const { return struck_; }

  // For the functions that stand in for libc's.
  enum class Kind { kPlain, kInterruptible, kTransfer };
  bool Strikes(const char* call, Kind kind);
  bool IsBelow(const char* path) const;
  const SystemFault& fault() const { return fault_; }

 private:
  const std::string folder_;
  const SystemFault fault_;
  const int nth_;
  std::atomic<int> count_ = 0;
  std::atomic<const char*> struck_ = nullptr;
};

}  // namespace gemmsmith::testing
