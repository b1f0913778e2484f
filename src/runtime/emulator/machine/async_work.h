#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "gemmsmith/error.h"
#include "runtime/emulator/machine/code.h"

namespace gemmsmith::emulator {

class Cta;

/// The groups that a lane commits, and waits for.
enum class AsyncGroup : std::uint8_t {
  kCopy,  ///< cp.async
  kBulk,  ///< cp.async.bulk and its kin
  kNone,  ///< Its end is told otherwise.
};

/// What an instruction has begun and goes on beside the warps.
class AsyncOperation {
 public:
  /// Issued by `lanes`; 0: all that execute.
  AsyncOperation(Warp& warp, const Instruction& instruction, AsyncGroup group, std::uint32_t lanes = 0);
  virtual ~AsyncOperation() = default;

  /// Whether it can go on: what it has to wait for has ended.
  virtual bool Ready() const { return true; }
  /// Reads its sources, where somebody may wait for just that. Once, before Finish.
  virtual void Read() {}
  /// Does the rest.
  virtual void Finish() = 0;

  Warp& warp() const { return *warp_; }
  const Instruction& instruction() const { return *instruction_; }
  const Function& function() const { return *function_; }  ///< Of the instruction.
  std::uint32_t lanes() const { return lanes_; }           ///< That have issued it.
  Error Fault(std::string_view what) const;
  /// Throws if the CTA has ended, whose shared memory is to be used.
  void CheckAlive(const Cta& cta) const;

  bool read = false;
  bool read_apart = false;    ///< Read and Finish are two events.
  bool communicates = false;  ///< Finish does, through global memory.
  bool reads_shared = false;  ///< Of a CTA that must not end meanwhile; likewise
  bool writes_shared = false;
  int agent = -1;  ///< For the observer to keep.

 private:
  friend class AsyncWork;
  Warp* warp_;
  const Instruction* instruction_;
  const Function* function_;
  std::uint32_t lanes_;
  AsyncGroup group_;
  std::uint64_t serial_ = 0;
  std::array<std::uint32_t, kLanes> numbers_{};  // of its group, by lane
};

/// The operations of a cluster that are under way. Each ends late, in an order drawn from the seed.
class AsyncWork {
 public:
  explicit AsyncWork(std::uint64_t seed) : random_(seed) {}

  void Add(std::unique_ptr<AsyncOperation> operation);
  std::uint64_t issued() const { return issued_; }
  /// Those of `lanes` that are in no group yet become one of each lane.
  void Commit(Warp& warp, AsyncGroup group, std::uint32_t lanes);
  /// Whether all but the last `pending` groups of each lane have ended; with `read`, have read their sources.
  bool Ended(const Warp& warp, AsyncGroup group, std::uint32_t lanes, std::uint32_t pending, bool read = false) const;
  /// Whether any is under way, committed or not, of those that were issued before.
  bool Pending(const Warp& warp, AsyncGroup group, std::uint32_t lanes, std::uint64_t before) const;

  /// Lets some go on; at least one if there is nothing else to do. Whether any did.
  bool Deliver(bool idle);
  /// Those that are now to communicate.
  bool Communicate();
  bool WantsToCommunicate() const;
  bool empty() const { return operations_.empty(); }

 private:
  bool Step(AsyncOperation& operation, bool may_communicate);
  bool Advance(std::size_t index);

  std::vector<std::unique_ptr<AsyncOperation>> operations_;  // in order of issue
  std::uint64_t random_, issued_ = 0;
  std::uint32_t haste_ = 64;  // of 256: how likely each goes on
};

}  // namespace gemmsmith::emulator
