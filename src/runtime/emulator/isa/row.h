#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/emulator/machine/code.h"
#include "runtime/emulator/ptx/ast.h"

// The instruction table: one row per form of an instruction. Each family of instructions has a file with its rows.
namespace gemmsmith::emulator {

class Decoder;

/// For statistics and the generated documentation.
enum class Category : std::uint8_t {
  kInteger,
  kFloat,
  kHalf,
  kCompare,
  kMove,
  kConvert,
  kMemory,
  kAtomic,
  kControl,
  kBarrier,
  kWarp,
  kFence,
  kMatrix,
  kCopy,
};
std::string_view ToString(Category category);

/// An instruction that has matched a row's form.
struct Form {
  const ptx::Instruction* instruction = nullptr;
  std::vector<ptx::ScalarType> types;  ///< Its type modifiers in their order.

  bool Has(std::string_view modifier) const;
  ptx::ScalarType type(std::size_t i = 0) const { return i < types.size() ? types[i] : ptx::ScalarType::kNone; }
};

struct Row {
  /// "add[.sat].{s32,u32}": braces choose one, brackets are optional and may hold braces.
  std::string_view form;
  /// Operands, by blanks; "" for those that `prepare` decodes. Each is
  ///   d, s  destination or source register of type 0; d1, s1: of type 1; ds32, sb64: of that type; dpred, spred
  ///   w     as d, twice as wide as type 0;   sw: source of that kind
  ///   D, S  as d and s, in a register that may be wider (cvt, ld, st); D1, S1
  ///   V, U  as D and S, or a vector of them
  ///   a     an address
  ///   i     an immediate integer;   c: the carry of add.cc and its kin, which is not written
  ///   ?     behind any of them: may be missing;   | between two: %r1|%p1
  std::string_view operands;
  Category category{};
  int ptx = 10;  ///< First version that has it: 70 for 7.0.
  int sm = 0;    ///< First architecture that has it.
  Execute (*select)(const Form&) = nullptr;
  /// Decodes operands, or adds to what was decoded.
  void (*prepare)(Decoder&, Instruction&) = nullptr;
  std::uint8_t flags = 0;
};

/// All rows: those of every family.
std::span<const std::span<const Row>> AllRows();

/// The row for an instruction. Throws kUnsupported with its line and text if there is none, or if it needs a newer PTX
/// version or architecture.
const Row& FindRow(const ptx::Instruction& instruction, int ptx_version, int sm, Form& form);

// The families.
std::span<const Row> IntegerRows();
std::span<const Row> BitRows();
std::span<const Row> FloatRows();
std::span<const Row> HalfRows();
std::span<const Row> CompareRows();
std::span<const Row> MoveRows();
std::span<const Row> ConvertRows();
std::span<const Row> MemoryRows();
std::span<const Row> AtomicRows();
std::span<const Row> ControlRows();
std::span<const Row> BarrierRows();
std::span<const Row> WarpRows();
std::span<const Row> MatrixLoadRows();
std::span<const Row> MmaRows();
std::span<const Row> WmmaRows();
std::span<const Row> AsyncCopyRows();
std::span<const Row> MbarrierRows();
std::span<const Row> ClusterRows();
std::span<const Row> BulkCopyRows();
std::span<const Row> TensorCopyRows();
std::span<const Row> WarpgroupRows();
std::span<const Row> TensorMapRows();
std::span<const Row> TensorMemoryRows();
std::span<const Row> TensorProductRows();

/// Where the launch keeps the values of the kernel's parameters.
std::uint64_t ParameterAddress(const Warp& warp);

}  // namespace gemmsmith::emulator
