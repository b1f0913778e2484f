#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "gemmsmith/kernel.h"
#include "runtime/emulator/machine/code.h"
#include "runtime/emulator/machine/memory_map.h"

namespace gemmsmith::emulator {

enum class AccessKind : std::uint8_t { kRead, kWrite, kAtomic };
enum class MemorySpace : std::uint8_t { kGlobal, kShared, kLocal };

/// One memory access of a warp, as checkers and statistics see it.
struct Access {
  const Instruction* instruction = nullptr;
  AccessKind kind = AccessKind::kRead;
  std::uint32_t lanes = 0;
  std::uint32_t bytes = 0;                      ///< Per lane.
  std::array<std::uint64_t, kLanes> addresses;  ///< Generic.
};

/// Told of what warps do. Calls for warps of different clusters come from different threads.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnAccess(Warp&, const Access&) {}
  /// All lanes that take part in a barrier of the CTA have arrived.
  virtual void OnBarrier(Warp&, int /*barrier*/) {}
  /// A tensor core reads pieces of 16 bytes of the CTA's shared memory, until the warp waits for the group.
  virtual void OnTensorRead(Warp&, const Instruction&, std::span<const std::uint32_t> /*pieces*/,
                            std::uint32_t /*group*/) {}
  /// All groups before `group` have ended.
  virtual void OnTensorWait(Warp&, std::uint32_t /*group*/) {}
};

/// How a launch is run, apart from what it computes.
struct RunOptions {
  std::uint64_t seed = 1;
  int threads = 0;                                    ///< Worker threads; 0: all cores. Never changes the result.
  bool check = true;                                  ///< Global accesses against the map.
  std::uint64_t instruction_budget = 20'000'000'000;  ///< Of warp instructions, per launch.
  std::uint32_t quantum = 1 << 16;                    ///< Instructions of one cluster per round.
  Observer* observer = nullptr;
};

struct RunStatistics {
  std::uint64_t instructions = 0;  ///< Of warps.
  std::uint64_t rounds = 0;
};

template <class T, std::size_t kAlignment>
struct AlignedAllocator {
  using value_type = T;
  template <class U>
  struct rebind {
    using other = AlignedAllocator<U, kAlignment>;
  };
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{kAlignment}));
  }
  void deallocate(T* at, std::size_t) { ::operator delete (at, std::align_val_t{kAlignment}); }
  bool operator==(const AlignedAllocator&) const = default;
};

/// One launch of a kernel; immutable while it runs.
struct Launch {
  const Function* kernel = nullptr;
  const std::vector<std::unique_ptr<Function>>* functions = nullptr;  ///< For calls by address.
  std::string name;
  Dim3 grid, block, cluster;
  std::uint32_t static_shared_bytes = 0, dynamic_shared_bytes = 0;
  /// Tensor maps among them are aligned to 64 bytes.
  std::vector<std::byte, AlignedAllocator<std::byte, 128>> parameters;
  MemoryMap memory;
  int multiprocessors = 1;
  int ctas_per_multiprocessor = 1;
  std::uint64_t grid_id = 0;
  RunOptions options;

  std::uint32_t threads_per_cta() const { return block.x * block.y * block.z; }
  std::uint32_t shared_bytes() const { return static_shared_bytes + dynamic_shared_bytes; }
};

/// Runs the launch to its end. Throws kDevice for what the kernel does wrong: the instruction's text, PTX line, source
/// line, CTA, warp and lane; for deadlocks, who waits on what.
RunStatistics Run(const Launch& launch);

}  // namespace gemmsmith::emulator
