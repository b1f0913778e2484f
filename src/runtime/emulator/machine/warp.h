#pragma once

#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "gemmsmith/error.h"
#include "runtime/emulator/machine/code.h"
#include "runtime/emulator/machine/launch.h"
#include "runtime/emulator/machine/register_watch.h"

namespace gemmsmith::emulator {

class Cta;

/// The registers of one call of a function, shared by the lanes that were called together.
struct Frame {
  const Function* function = nullptr;
  Frame* caller = nullptr;
  std::uint32_t call_pc = 0;  ///< Of the call in the caller.
  std::uint32_t local_begin = 0;
  int depth = 0;
  std::uint32_t lanes = 0;  ///< Those in this frame, or in calls from it.
  std::byte* registers = nullptr;
  std::vector<std::byte> storage;
};

/// Lanes of a warp that are at the same instruction of the same frame.
struct Group {
  enum class State : std::uint8_t {
    kReady,
    kWaitsForLanes,  ///< At an instruction that needs lanes which are elsewhere.
    kBlocked,        ///< At an instruction that will do when something has happened; it is tried again and again.
  };
  Frame* frame = nullptr;
  std::uint32_t pc = 0;
  std::uint32_t lanes = 0;
  State state = State::kReady;
  std::uint32_t jumps_back = 0;  ///< Since others had their turn.
  std::uint64_t token = 0;       ///< What a blocked instruction has to remember; 0 when it begins.
  const char* waits_on = "";
  std::optional<Meeting> meeting;  ///< That a blocked instruction waits for, if it is one.
  std::uint32_t meets = 0;         ///< Lanes that a warp barrier is waited at for; 0: none.
};

/// An instruction that looks for what others do, and where.
struct Poll {
  const Instruction* instruction = nullptr;
  const Function* function = nullptr;
  std::uint64_t address = 0;  ///< Generic, of its first lane; 0: of no memory.
};

/// Values of one type in a register of all lanes.
template <class T>
class Lanes {
 public:
  using Word = std::conditional_t<sizeof(T) <= 4, std::uint32_t, std::uint64_t>;
  typedef Word Aliasing __attribute__((may_alias));
  explicit Lanes(const std::byte* at) : words_(reinterpret_cast<const Aliasing*>(at)) {}
  T operator[](int lane) const {
    if constexpr (sizeof(T) == sizeof(Word))
      return std::bit_cast<T>(static_cast<Word>(words_[lane]));
    else if constexpr (sizeof(T) == 2)
      return std::bit_cast<T>(static_cast<std::uint16_t>(words_[lane]));
    else
      return std::bit_cast<T>(static_cast<std::uint8_t>(words_[lane]));
  }

 private:
  const Aliasing* words_;
};

/// 32 lanes with their registers. One thread runs it at a time.
class Warp {
 public:
  enum class Outcome : std::uint8_t {
    kDone,          ///< All lanes have exited.
    kQuantum,       ///< It could go on.
    kBlocked,       ///< Every group waits.
    kCommunicates,  ///< At an instruction whose order among CTAs the scheduler chooses.
  };

  Warp(Cta& cta, int index);

  /// Runs up to `budget` instructions, which it counts down. One that communicates is executed only where
  /// `may_communicate`.
  Outcome Run(std::uint64_t& budget, bool may_communicate);

  // What execution functions use.
  Cta& cta() const { return *cta_; }
  int index() const { return index_; }
  Observer* observer() const;                           ///< Of its cluster; null: none.
  std::uint32_t mask() const { return mask_; }          ///< Lanes that execute the instruction.
  std::uint32_t lanes() const { return group_lanes_; }  ///< Those, and the ones its guard leaves out.
  std::uint32_t live() const { return live_; }          ///< Lanes that have not exited.
  Group& group() { return groups_[current_]; }
  Frame& frame() { return *groups_[current_].frame; }

  const std::byte* In(const Operand& o) const { return bases_[static_cast<std::size_t>(o.base)] + o.slot; }
  std::byte* Out(const Operand& o) { return const_cast<std::byte*>(bases_[static_cast<std::size_t>(o.base)]) + o.slot; }
  template <class T>
  Lanes<T> Get(const Operand& o) const {
    return Lanes<T>(In(o));
  }
  /// The register zero-extended or cut to 64 bits, whatever its size.
  void GetBits(const Operand& o, std::uint64_t (&out)[kLanes]) const;
  /// The low bits of each value, as many as the register has.
  void PutBits(const Operand& o, const std::uint64_t (&values)[kLanes]);
  std::uint32_t GetPredicate(const Operand& o) const {
    std::uint32_t bits;
    std::memcpy(&bits, In(o), sizeof(bits));
    return o.negated ? ~bits : bits;
  }
  void PutPredicate(const Operand& o, std::uint32_t bits) {
    if (o.sink) return;
    std::uint32_t old;
    std::memcpy(&old, In(o), sizeof(old));
    old = (old & ~mask_) | (bits & mask_);
    std::memcpy(Out(o), &old, sizeof(old));
  }
  template <class T>
  void Put(const Operand& o, const T (&values)[kLanes]) {
    if (o.sink) return;
    using Word = typename Lanes<T>::Word;
    auto* const out = reinterpret_cast<typename Lanes<T>::Aliasing*>(Out(o));
    if (mask_ == kAllLanes) {
      for (int l = 0; l < kLanes; ++l) out[l] = ToWord<Word>(values[l]);
    } else {
      for (std::uint32_t m = mask_; m != 0; m &= m - 1) {
        const int l = std::countr_zero(m);
        out[l] = ToWord<Word>(values[l]);
      }
    }
  }

  /// Addresses of the lanes that execute: register + offset, in the operand's own space.
  void GetAddresses(const Operand& o, std::uint64_t (&out)[kLanes]);
  std::byte* local(int lane) { return local_.data() + static_cast<std::size_t>(lane) * local_bytes_; }
  std::uint32_t local_bytes() const { return local_bytes_; }

  // Control.
  std::uint32_t pc() const { return pc_; }
  /// Lanes of `taken` go to `target`, the others on.
  void Branch(std::uint32_t target, std::uint32_t taken);
  /// Each lane of mask() goes to its own target.
  void BranchEach(const std::uint32_t (&targets)[kLanes]);
  void Exit(std::uint32_t lanes);
  void Call(const Function& function, const CallSite& site);
  /// Calls for fewer lanes than mask(): the others stay at the instruction, to be executed for them next.
  void CallSome(const Function& function, const CallSite& site, std::uint32_t lanes);
  void Return(std::uint32_t lanes);
  /// True if all of `needed` (less what has exited) are here; else the instruction begins anew once more lanes have
  /// come.
  bool Gather(std::uint32_t needed);
  /// The same, but the lanes need not be at the same instruction: any barrier of the warp for these lanes will do.
  bool Meet(std::uint32_t needed);
  /// The instruction is to be tried again later: what it waits on has not happened.
  void Block(const char* waits_on, std::optional<Meeting> meeting = std::nullopt);
  /// Lets other groups of the warp go first.
  void Yield() { yield_ = true; }
  /// Brings the clocks among the special registers up to date.
  void Tick();

  /// "add.s32 %r1, %r2; (ptx line 12, file.cu:3), CTA (0, 0, 0), warp 1, lane 3"; lane -1: of all.
  std::string Where(const Instruction& instruction, int lane) const;
  /// The same of an instruction that was executed some time ago, of that function.
  std::string Where(const Function& function, const Instruction& instruction, int lane) const;
  /// kDevice, for the lane at fault.
  Error Fault(const Instruction& instruction, int lane, std::string_view what) const;
  std::span<const Group> groups() const { return groups_; }
  /// Whether every group waits for something outside the warp.
  bool blocked() const;

  RunStatistics statistics;
  /// How many groups of asynchronous copies each lane has committed: those of cp.async, and bulk copies.
  std::array<std::array<std::uint32_t, kLanes>, 2> commits{};
  /// barrier.cluster: the lanes that have arrived and not waited yet, and what they wait for.
  std::uint32_t cluster_arrived = 0;
  std::array<std::uint64_t, kLanes> cluster_phases{};
  std::uint32_t wgmma_groups = 0;  ///< That it has committed.
  bool fenced = false;             ///< By wgmma.fence.
  RegisterWatch watch;             ///< Over registers that wgmma uses.
  bool polled = false;             ///< Since the scheduler last looked.
  Poll last_poll;
  MemorySpace checked_space{};  ///< For memory.cc: the region that was found last.
  Region region;

 private:
  template <class Word, class T>
  static Word ToWord(T value) {
    if constexpr (sizeof(T) == sizeof(Word))
      return std::bit_cast<Word>(value);
    else if constexpr (sizeof(T) == 2)
      return std::bit_cast<std::uint16_t>(value);
    else
      return std::bit_cast<std::uint8_t>(value);
  }
  void FillSpecials();
  Frame* NewFrame(const Function& function, Frame* caller, std::uint32_t call_pc);
  void DropFrame(Frame* frame);
  void GrowLocal(std::uint32_t bytes);
  template <bool kCounts>
  bool RunGroup(std::uint64_t& budget, bool may_communicate);
  bool Choose();
  void Load();
  void MergeAtPc();
  void AddGroup(Frame* frame, std::uint32_t pc, std::uint32_t lanes, std::uint32_t jumps_back);
  void Leave(std::uint32_t lanes);
  void Suspend(Group::State state, const char* waits_on);
  [[noreturn]] void ReportDivergence();

  Cta* cta_;
  int index_;
  std::uint32_t live_ = 0, mask_ = 0, group_lanes_ = 0, pc_ = 0;
  const std::byte* bases_[3] = {};
  std::vector<Group> groups_;
  std::size_t current_ = 0;
  std::uint32_t switch_pc_ = 0;  ///< Where other groups may be met.
  bool moved_ = false;           ///< The instruction changed groups, frames or states.
  bool yield_ = false;
  std::vector<std::unique_ptr<Frame>> frames_;
  std::vector<std::unique_ptr<Frame>> spare_frames_;
  std::vector<std::byte> specials_;
  std::vector<std::byte> local_;
  std::uint32_t local_bytes_ = 0;
};

/// Special registers, by their slots: 32-bit lanes each, but for the last ones.
enum class Special : std::uint8_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneid,
  kWarpid,
  kNwarpid,
  kSmid,
  kNsmid,
  kLanemaskEq,
  kLanemaskLt,
  kLanemaskLe,
  kLanemaskGt,
  kLanemaskGe,
  kClusteridX,
  kClusteridY,
  kClusteridZ,
  kNclusteridX,
  kNclusteridY,
  kNclusteridZ,
  kClusterCtaidX,
  kClusterCtaidY,
  kClusterCtaidZ,
  kClusterNctaidX,
  kClusterNctaidY,
  kClusterNctaidZ,
  kClusterCtarank,
  kClusterNctarank,
  kDynamicSmemSize,
  kTotalSmemSize,
  kAggrSmemSize,
  kReservedBegin,
  kReservedEnd,
  kReservedCap,
  kEnvreg0,
  kEnvreg1,
  kEnvreg2,
  kClock,
  kClockHi,
  kGlobaltimerLo,
  kGlobaltimerHi,
  kZero,
  kGridid,
  kClock64,
  kGlobaltimer,
};
inline constexpr std::size_t kSpecialCount = static_cast<std::size_t>(Special::kGlobaltimer) + 1;
/// Bytes of one special register's slot.
inline constexpr std::uint32_t kSpecialBytes = kLanes * 8;

}  // namespace gemmsmith::emulator
