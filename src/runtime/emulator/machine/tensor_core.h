#pragma once

#include <array>
#include <vector>

#include "runtime/emulator/machine/async_work.h"
#include "runtime/emulator/machine/cta.h"

namespace gemmsmith::emulator {

/// Work of the tensor core of a CTA, or of two CTAs: all of it is done in the order of its issue.
class TensorCoreWork : public AsyncOperation {
 public:
  /// `ctas`: one, or two of which the second may be null; their memories are used.
  TensorCoreWork(Warp& warp, const Instruction& i, std::uint32_t lane, const std::array<Cta*, 2>& ctas);
  bool Ready() const override { return queue_.ended == number_; }
  void Finish() override;

 protected:
  virtual void Do() = 0;
  const std::array<Cta*, 2>& ctas() const { return ctas_; }

 private:
  std::array<Cta*, 2> ctas_;
  TensorMemory& queue_;
  std::uint64_t number_;
};

/// D = A * B + D, or A * B: tcgen05.mma of one lane.
struct TensorProduct {
  InstructionDescriptor form;
  int k = 0, group = 1;
  TensorAddress d, a_words;  ///< `a_words`: A in tensor memory.
  MatrixDescriptor a, b;
  bool a_in_memory = false, keeps = false;
  float scale = 1;                          ///< Of D before it is added to.
  std::array<std::uint32_t, 8> disabled{};  ///< Lanes of D, by bits, that stay as they are.

  /// A part of D whose rows lie in lanes that follow each other.
  struct Block {
    int cta, row, rows, lane, column, columns;
    int b_cta;  ///< Whose part of B makes its columns.
  };
  std::vector<Block> Blocks() const;
  int rows() const { return form.m / group; }     ///< Of one CTA.
  int columns() const { return form.n / group; }  ///< Of B in one CTA.
  bool IsDisabled(int cta, int lane) const {
    return (disabled[static_cast<std::size_t>(cta * 4 + lane / 32)] >> lane % 32 & 1) != 0;
  }
  /// D, and A where it lies there too.
  std::vector<TensorWords> Words(const std::array<Cta*, 2>& ctas) const;
  void Run(const std::array<Cta*, 2>& ctas) const;
};

}  // namespace gemmsmith::emulator
