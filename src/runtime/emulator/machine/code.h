#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

// PTX as the machine executes it: instructions decoded, operands resolved.
namespace gemmsmith::emulator {

class Warp;
struct Instruction;
struct Row;

inline constexpr int kLanes = 32;
inline constexpr std::uint32_t kAllLanes = 0xffffffff;

/// Executes an instruction for the lanes of Warp::mask().
using Execute = void (*)(Warp&, const Instruction&);

/// Whose memory an operand's slot lies in.
enum class Base : std::uint8_t { kFrame, kConstant, kSpecial };

/// A register of all lanes, or what can stand in its place: constants and special registers are kept as such.
struct Operand {
  std::uint32_t slot = 0;  ///< Bytes from the base.
  Base base = Base::kFrame;
  std::uint8_t lane_bytes = 4;  ///< 4 (also for 16 bits), 8 or 16; 0: a predicate, one bit per lane.
  bool sink = false;            ///< Written to nowhere.
  bool written = false;         ///< A destination.
  bool negated = false;         ///< Of a predicate.
  bool in_frame = false;        ///< Of an address: the frame's part of local memory is to be added.
  std::int64_t offset = 0;      ///< Of an address: added to the register.
};

enum class Guard : std::uint8_t { kNone, kTrue, kFalse };

/// Bits of Instruction::flags.
enum InstructionFlag : std::uint8_t {
  kCommunicates = 1,  ///< Through global memory: its order among the CTAs of a grid is the scheduler's business.
  kPolls = 2,         ///< What it reads may be what others are waited for with.
  kReadsClock = 4,
  kUsesProducts = 8,  ///< Registers of wgmma, by other means than wgmma and mov.
};

struct Instruction {
  Execute execute = nullptr;
  const Operand* operands = nullptr;
  const void* extra = nullptr;  ///< What calls and jump tables need.
  std::uint32_t guard = 0;      ///< Slot of the predicate.
  Guard guarded = Guard::kNone;
  std::uint8_t flags = 0;
  std::uint16_t count = 0;                ///< Of operands.
  std::uint32_t target = 0;               ///< Of a branch.
  std::uint32_t index = 0;                ///< Of this instruction in its function.
  std::array<std::uint8_t, 8> options{};  ///< Modifiers, as each family numbers them.
};

/// Of an instruction, for messages and statistics.
struct Origin {
  std::string text;
  int ptx_line = 0;
  std::string source;  ///< "file.cu:12"; empty where the PTX has no line information.
  const Row* row = nullptr;
};

/// A parameter of a device function, in the frame of the callee or as the argument in that of the caller: a register,
/// or bytes of each lane in turn.
struct ParameterSlot {
  std::uint32_t slot = 0;
  std::uint32_t bytes = 0;  ///< Per lane.
  bool in_register = false;
};

struct Function {
  std::string name;
  bool defined = false;
  std::vector<Instruction> instructions;  ///< The last is always an exit or return.
  std::vector<Origin> origins;            ///< Of each instruction.
  std::deque<std::vector<Operand>> operands;
  std::vector<std::byte> constants;
  std::vector<std::shared_ptr<void>> extras;  ///< What Instruction::extra points to.
  std::uint32_t frame_bytes = 0, local_bytes = 0;
  std::vector<ParameterSlot> parameters, returns;
};

/// A variable in shared memory, for messages.
struct SharedVariable {
  std::string name;
  std::uint32_t begin = 0, bytes = 0;  ///< 0 bytes: up to the end.
};

/// A call in the caller's terms.
struct CallSite {
  const Function* function = nullptr;  ///< Null: through the address in operand 0.
  std::vector<ParameterSlot> arguments, results;
};

/// Targets of a jump table.
struct JumpTable {
  std::vector<std::uint32_t> targets;
};

// Generic addresses: global memory is the host's, the other spaces are windows where the host has no memory.
inline constexpr int kWindowShift = 56;
inline constexpr std::uint64_t kSharedWindow = std::uint64_t{1} << kWindowShift;
inline constexpr std::uint64_t kLocalWindow = std::uint64_t{2} << kWindowShift;
inline constexpr std::uint64_t kFunctionWindow = std::uint64_t{3} << kWindowShift;
/// The shared memory that a kernel sees begins here, as it does on devices that keep the first KiB for themselves, and
/// so that null is never valid.
inline constexpr std::uint32_t kSharedBegin = 1024;
/// shared::cluster addresses: the CTA's rank plus one in the bits from here up; 0 is the CTA itself.
inline constexpr int kClusterRankShift = 24;

}  // namespace gemmsmith::emulator
