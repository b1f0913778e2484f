#include "jit/x86/dot_emitter.h"
#include "jit/x86/micro_kernel_emitter.h"
#include "jit/x86/tile_emitter.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;

constexpr int kVectorBytes = 32;
// The last two registers are never accumulators: a broadcast of A, and the mask of the tail. Integers take one more.
constexpr int kProduct = 13, kBroadcast = 14, kMask = 15;

/// Registers: the accumulators, then the vectors of B, then the two above. A 6 x 2 tile fills all sixteen.
class Avx2Tile final : public TileEmitter {
 public:
  Avx2Tile(Assembler& assembler, const RegisterTile& tile) : TileEmitter(assembler, tile, kVectorBytes) {
    if (joins() || tail_steps() > 1) throw Fail(Code::kUnsupported, "", "avx2: joins no rows of B");
    if (math_ != CpuMath::kF32 && math_ != CpuMath::kF64 && math_ != CpuMath::kS16)
      throw Fail(Code::kUnsupported, "", "avx2: has no instruction for {}", Info(math_).name);
    if ((tile.rows + 1) * tile.vectors > (math_ == CpuMath::kS16 ? kProduct : kBroadcast))
      throw Fail(Code::kUnsupported, "", "avx2: a tile of {} rows by {} vectors needs more than {} registers",
                 tile.rows, tile.vectors, kMask + 1);
  }

 private:
  void MakeMask() override { Sums().MakeMask(kMask); }
  Vectors Sums() const override { return {as_, Info(math_).sum, kVectorBytes, false}; }
  void LoadB(int vector, const Mem& b) override { Sums().Load(B(vector), b, IsMasked(vector) ? kMask : -1); }
  void MultiplyRow(int row, const Mem& a, int vectors) override {
    as_.emit(Pick(Inst::kIdVbroadcastss, Inst::kIdVbroadcastsd), ymm(kBroadcast), a);
    for (int vector = 0; vector < vectors; ++vector) {
      if (math_ == CpuMath::kS16) {
        as_.vpmaddwd(ymm(kProduct), B(vector), ymm(kBroadcast));
        as_.vpaddd(Acc(row, vector), Acc(row, vector), ymm(kProduct));
      } else {
        as_.emit(Pick(Inst::kIdVfmadd231ps, Inst::kIdVfmadd231pd), Acc(row, vector), B(vector), ymm(kBroadcast));
      }
    }
  }

  Ymm Acc(int row, int vector) const { return ymm(row * tile_.vectors + vector); }
  Ymm B(int vector) const { return ymm(tile_.rows * tile_.vectors + vector); }
};

class Emitter final : public MicroKernelEmitter {
 public:
  std::string Emit(const MicroKernelRecipe& recipe, std::string* listing) const override {
    if (recipe.sweep != 0) throw Fail(Code::kUnsupported, "", "avx2: no sweeps");
    if (recipe.dots != 0)
      return EmitSet(recipe, kVectorBytes, listing,
                     [](Assembler& assembler, const RegisterTile& tile) { EmitDots(assembler, tile, kVectorBytes); });
    return EmitSet(recipe, kVectorBytes, listing,
                   [](Assembler& assembler, const RegisterTile& tile) { Avx2Tile(assembler, tile).Emit(); });
  }
};

}  // namespace

const MicroKernelEmitter& Avx2Emitter() {
  static const Emitter emitter;
  return emitter;
}

}  // namespace gemmsmith
