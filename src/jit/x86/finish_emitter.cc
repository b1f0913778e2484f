#include "jit/x86/finish_emitter.h"

#include <cstddef>

#include "jit/x86/vectors.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;

const Gp kArgs = rdi;

Mem Argument(std::size_t offset) { return qword_ptr(kArgs, static_cast<std::int32_t>(offset)); }

/// D = alpha * sum, + beta * C unless beta is 0 (of either sign). All of a row of C is read before D is written.
class PlainFinish {
 public:
  PlainFinish(Assembler& assembler, const MicroKernelRecipe& recipe, const TileSums& sums)
      : as_(assembler), sums_(sums), vectors_{assembler, Info(recipe.math).sum, sums.vector_bytes, sums.avx512} {}

  void Emit() {
    const Gp c = rsi, c_row = rdx, d = rax, d_row = r8, alpha = r9, beta = r10;
    const asmjit::Label store = as_.newLabel();
    if (sums_.masked) {
      as_.mov(rcx, Argument(offsetof(MicroKernelArgs, columns)));
      if (sums_.vectors > 1) as_.sub(rcx, (sums_.vectors - 1) * vectors_.lanes());
      vectors_.MakeMask(kMask);
    }
    as_.mov(alpha, Argument(offsetof(MicroKernelArgs, alpha)));
    as_.mov(beta, Argument(offsetof(MicroKernelArgs, beta)));
    as_.mov(d, Argument(offsetof(MicroKernelArgs, d)));
    as_.mov(d_row, Argument(offsetof(MicroKernelArgs, d_row)));
    const auto size = static_cast<std::uint32_t>(vectors_.element_bytes());
    const Vec scalar = vectors_.Register(Free(0)), loaded = vectors_.Register(Free(1));
    vectors_.Broadcast(scalar, Mem(alpha, 0, size));
    for (int i = 0; i < sums_.rows * sums_.vectors; ++i) vectors_.Multiply(Sum(i), Sum(i), scalar);

    const Gp bits = size == 8 ? Gp(rcx) : Gp(ecx);
    as_.mov(bits, Mem(beta, 0, size));
    as_.add(bits, bits);  // Drops the sign.
    as_.jz(store);
    as_.mov(c, Argument(offsetof(MicroKernelArgs, c)));
    as_.mov(c_row, Argument(offsetof(MicroKernelArgs, c_row)));
    vectors_.Broadcast(scalar, Mem(beta, 0, size));
    for (int row = 0; row < sums_.rows; ++row, as_.add(c, c_row)) {
      for (int vector = 0; vector < sums_.vectors; ++vector) {
        vectors_.Load(loaded, ptr(c, vector * sums_.vector_bytes), IsMasked(vector) ? kMask : -1);
        vectors_.MultiplyAdd(Sum(row * sums_.vectors + vector), loaded, scalar);
      }
    }
    as_.bind(store);
    for (int row = 0; row < sums_.rows; ++row, as_.add(d, d_row))
      for (int vector = 0; vector < sums_.vectors; ++vector)
        vectors_.Store(ptr(d, vector * sums_.vector_bytes), Sum(row * sums_.vectors + vector),
                       IsMasked(vector) ? kMask : -1);
  }

 private:
  // The register of masks: k1, or for AVX2 a vector that is never a sum.
  static constexpr int kMask = 15;
  bool IsMasked(int vector) const { return sums_.masked && vector + 1 == sums_.vectors; }
  Vec Sum(int index) const { return vectors_.Register(sums_.first + index); }
  /// Registers that are no sums.
  int Free(int index) const { return index < sums_.first ? index : sums_.rows * sums_.vectors + index; }

  Assembler& as_;
  const TileSums sums_;
  const Vectors vectors_;
};

}  // namespace

void EmitFinish(Assembler& assembler, const MicroKernelRecipe& recipe, const TileSums& sums) {
  PlainFinish(assembler, recipe, sums).Emit();
}

}  // namespace gemmsmith
