#pragma once

#include <array>
#include <map>
#include <optional>

#include "epilogue/trace.h"
#include "jit/x86/finish_emitter.h"
#include "jit/x86/program_writer.h"
#include "jit/x86/typed_memory.h"

namespace gemmsmith {

/// Bytes of the stack, handed out before any code is written. rsp is a multiple of 64 while they are used.
class StackFrame {
 public:
  /// As aligned as vectors of which so many bytes consist.
  asmjit::x86::Mem Take(int bytes) {
    const int alignment = bytes % 64 == 0 ? 64 : bytes % 32 == 0 ? 32 : bytes % 16 == 0 ? 16 : 8;
    bytes_ = (bytes_ + alignment - 1) / alignment * alignment + bytes;
    return asmjit::x86::ptr(asmjit::x86::rsp, bytes_ - bytes);
  }
  int bytes() const { return (bytes_ + 63) / 64 * 64; }

 private:
  int bytes_ = 0;
};

/// Vectors of D in the tile: one of the sums' each, or one of two.
struct TileOfD {
  int groups;
  bool masked;  ///< The last one.
};

/// What an epilogue reads and writes beside the sums, and where D goes. What belongs to columns is brought to the stack
/// once per tile, as vectors of D; to what belongs to rows there are pointers, which move on. Works with rax, rcx, rdx
/// and r11; r8 is the row of D.
class EpilogueOperands final : public ProgramHost {
 public:
  EpilogueOperands(const Vectors& vectors, const MicroKernelRecipe& recipe, const TileSums& sums, const TileOfD& d,
                   const TypedMemory& memory, ConstantPool& pool, StackFrame& frame);

  /// Of the product's columns, under their mask.
  void PrepareProduct(const std::vector<int>& free);
  /// The rest, under D's mask.
  void PrepareD(const std::vector<int>& free);
  void StartRow();
  /// Where the next program finds its sums, and which vector of D it makes.
  void SetVector(int group, int sum, int paired) { group_ = group, sum_ = sum, paired_ = paired, waits_.reset(); }
  /// Of several programs at once: of the first. Those of the next vectors follow it.
  void SetVector(int group, const Mem& sum) { group_ = group, waits_ = sum; }
  void EndRow(const std::vector<int>& free);
  void EndTile(const std::vector<int>& free);
  /// Every second column of two vectors, from the first or the second on.
  void PickColumns(int low, int high, int to, std::uint32_t first);

  Place Find(int source) const override;
  int Register(int source) const override;
  Mem Address(int source) override;
  void Load(int source, const Vec& to) override;
  void Sink(int sink, const Vec& value, const Vec& scratch) override;

 private:
  /// What is kept for one input or output.
  struct Item {
    Mem vectors;  ///< On the stack: one for each group, or a single one.
    Mem pointer;  ///< On the stack: to what belongs to the row, or to the tile's first column.
    Mem blocks;   ///< On the stack: numbers of blocks, of each group if `aligned`, else of each column of D.
    EpilogueBlock block{0, 0};
    bool aligned = false;  ///< No vector lies in several blocks.
  };

  /// A source or sink, and the vector of D that it belongs to.
  template <class Kind>
  struct Located {
    Kind kind;
    int group;
  };
  template <class Kind>
  Located<Kind> Locate(int number) const {
    return {static_cast<Kind>(number % kSourcesOfVector), group_ + number / kSourcesOfVector};
  }
  int lanes() const { return vectors_.lanes(); }
  bool Reads(Op op) const { return inputs_.count(op) != 0; }
  bool IsMasked(int group) const { return d_.masked && group + 1 == d_.groups; }
  Mem Vector(const Mem& first, int group) const { return first.cloneAdjusted(group * vectors_.vector_bytes); }

  void Reserve(StackFrame& frame);
  Mem EverySecond(std::uint32_t first);
  void LoadEpilogue(const asmjit::x86::Gp& to) const;
  void LoadColumnOfD(const asmjit::x86::Gp& to) const;
  void PrepareColumns(Op even, Op odd, DType type, std::size_t pointer, const std::vector<int>& free);
  void PrepareDScaleColumn(int free);
  void PrepareColumnNumbers(int free);
  void PrepareSingle(Op op, std::size_t pointer, int free);
  void PrepareRowPointer(const Mem& slot, std::size_t pointer, std::size_t stride, int element);
  void PrepareBlocks(const Item& item);
  void PrepareMaxima(int free);
  void FindRowOfBlocks(const Item& item, std::size_t pointer, std::size_t stride);
  void ReadRowOfBlocks(const Item& item);
  void MoveOn(const Mem& slot, std::size_t stride, int element);
  void KeepMaximum(const Mem& kept, const Vec& value, const Vec& scratch, int group, bool first);
  void ReduceMaximum(const Mem& kept, const std::vector<int>& free);
  void RaiseMaximum(const Mem& maximum);
  void EndRowOfBlocks(const Item& item, const std::vector<int>& free);

  const Vectors vectors_;
  asmjit::x86::Assembler& as_;
  const MicroKernelRecipe& recipe_;
  const TileSums sums_;
  const TileOfD d_;
  const TypedMemory& memory_;
  ConstantPool& pool_;
  std::map<Op, Item> inputs_;
  std::map<OutputKind, Item> outputs_;
  Mem row_, columns_, number_;                      // 8 bytes each: of the row, of valid columns of D, of anything
  std::array<std::optional<Mem>, 2> every_second_;  // Numbers of lanes from 0 or 1 on.
  int group_ = 0, sum_ = 0, paired_ = 0;
  std::optional<Mem> waits_;  ///< The sum, where it is not in a register.
};

}  // namespace gemmsmith
