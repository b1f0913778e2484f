#pragma once

#include <asmjit/x86.h>

#include <string>

#include "jit/x86/finish_emitter.h"
#include "jit/x86/vectors.h"
#include "kernels/cpu_gemm.h"

namespace gemmsmith {

/// What one entry computes: `rows` rows by `vectors` vectors of columns, the last of them masked or not. Dot products:
/// `vectors` columns, and masked: at most so many.
struct RegisterTile {
  const MicroKernelRecipe& recipe;
  int rows, vectors;
  bool masked;
  bool joins, keeps;     ///< Makes units of several rows of B; and keeps them.
  SharedFinish* shared;  ///< By the full tile and the row tail, or those of the columns' tail.
};

/// Writes one micro-kernel: entry, loops over k and addresses are common to all x86 instruction sets; each set brings
/// its own register plan and instructions through the hooks.
class TileEmitter {
 public:
  TileEmitter(asmjit::x86::Assembler& assembler, const RegisterTile& tile, int vector_bytes)
      : as_(assembler), tile_(tile), math_(tile.recipe.math), vector_bytes_(vector_bytes) {}
  virtual ~TileEmitter() = default;
  void Emit();

 protected:
  using Mem = asmjit::x86::Mem;
  using Id = asmjit::x86::Inst::Id;

  /// Makes the mask of the last vector from rcx, the number of its valid columns. rax and rcx are free.
  virtual void MakeMask() = 0;
  virtual Vectors Sums() const = 0;  ///< Sums lie in the first registers, row by row.
  virtual void LoadB(int vector, const Mem& b) = 0;
  /// Where rows of B are joined to units in registers: what that needs, before the loop, with eax free; and one vector,
  /// from RowOfB(0..group - 1).
  virtual void PrepareJoins() {}
  virtual void JoinB(int) {}
  /// Where they are kept: one such vector; and one of the sums of columns.
  virtual void KeepB(int, const Mem&) {}
  virtual void KeepSums(int, const Mem&) {}
  /// Sums of the columns of B, into the row of accumulators after the last one.
  virtual void SumColumns() {}
  /// Accumulators of `row` += the element at `a` * the first `vectors` of B.
  virtual void MultiplyRow(int row, const Mem& a, int vectors) = 0;
  /// Where steps of k lie side by side in the last vector: what that needs, before the loop; step `step` of its
  /// columns, of which the first clears the others; all steps of a column side by side; the last accumulator of `row`
  /// += it * as many elements at `a`, or for a single step * one; and after the loop the sum of the steps.
  virtual void PrepareTail() {}
  virtual void LoadTail(int, const Mem&) {}
  virtual void JoinTail() {}
  virtual void MultiplyTail(int, const Mem&) {}
  virtual void MultiplyTailOnce(int, const Mem&) {}
  virtual void SumTail() {}

  bool joins() const { return tile_.joins; }
  int tail_steps() const { return tile_.masked ? tile_.recipe.tail_steps : 1; }
  bool sums_columns() const { return joins() && tile_.recipe.starts != 0; }
  Mem RowOfB(int row, int byte) const;
  bool IsMasked(int vector) const { return tile_.masked && vector + 1 == tile_.vectors; }
  Id Pick(Id f32, Id f64) const { return math_ == CpuMath::kF64 ? f64 : f32; }
  int unit_bytes() const { return Info(math_).unit_bytes; }
  int lanes() const { return vector_bytes_ / unit_bytes(); }

  asmjit::x86::Assembler& as_;
  const RegisterTile tile_;
  const CpuMath math_;
  const int vector_bytes_;

 private:
  /// How rows of A are found: at fixed distances (packed or column-major A), or `a_row` bytes apart.
  enum class Rows { kAdjacent, kStrided };
  void LoadArguments();
  void SplitK();
  void StartSums();
  void EmitEnd();
  void PrefetchD(const asmjit::x86::Gp& address);
  struct PartsOfD;
  PartsOfD SplitD() const;
  void PrefetchPartOfD();
  int LinesOfD() const;  ///< Of one row of the tile.
  void EmitLoop(Rows rows);
  void EmitChunks();
  void EmitStep(Rows rows);
  void EmitProducts(Rows rows);
  void EmitTailProducts(int steps);
  void PrefetchB();
  void SubtractColumns();
  void KeepColumns();
  /// Of `units` units, the first `step` steps on.
  Mem AddressOfA(Rows rows, int row, int step = 0, int units = 1) const;
  int bases() const;
  int saved_bases() const;
};

/// One whole set: calls `emit(assembler, tile)` for each entry that the recipe needs, and lays out the artifact part.
/// `listing`, unless null, gets it in words.
std::string EmitSet(const MicroKernelRecipe& recipe, int vector_bytes, std::string* listing,
                    void (*emit)(asmjit::x86::Assembler& assembler, const RegisterTile& tile));

}  // namespace gemmsmith
