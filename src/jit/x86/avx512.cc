#include "jit/x86/dot_emitter.h"
#include "jit/x86/micro_kernel_emitter.h"
#include "jit/x86/tile_emitter.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;

constexpr int kVectorBytes = 64, kRegisters = 32;

/// Registers: the accumulators, then the vectors of B, then one broadcast of A where it serves several vectors. A tile
/// one vector wide takes A as an embedded broadcast: one instruction per product.
class Avx512Tile final : public TileEmitter {
 public:
  Avx512Tile(Assembler& assembler, const RegisterTile& tile) : TileEmitter(assembler, tile, kVectorBytes) {
    if ((tile.rows + 1) * tile.vectors + (tile.vectors > 1 || !EmbedsA() ? 1 : 0) + (math_ == CpuMath::kS16 ? 1 : 0) >
        kRegisters)
      throw Fail(Code::kUnsupported, "", "avx512: a tile of {} rows by {} vectors needs more than {} registers",
                 tile.rows, tile.vectors, kRegisters);
  }

 private:
  void MakeMask() override { Sums().MakeMask(0); }
  Vectors Sums() const override { return {as_, Info(math_).sum, kVectorBytes, true}; }
  void LoadB(int vector, const Mem& b) override { Masked(vector, true).emit(Move(), B(vector), b); }
  void MultiplyRow(int row, const Mem& a) override {
    if (tile_.vectors == 1 && EmbedsA()) {
      as_.emit(Product(), Acc(row, 0), B(0), math_ == CpuMath::kF64 ? a._1to8() : a._1to16());
      return;
    }
    as_.emit(Pick(Inst::kIdVbroadcastss, Inst::kIdVbroadcastsd), Broadcast(), a);
    for (int vector = 0; vector < tile_.vectors; ++vector) Multiply(Acc(row, vector), B(vector));
  }
  /// sum += b * the broadcast element of A.
  void Multiply(const Zmm& sum, const Zmm& b) {
    switch (math_) {
      case CpuMath::kS16:
        as_.vpmaddwd(Temporary(), b, Broadcast());
        as_.vpaddd(sum, sum, Temporary());
        return;
      case CpuMath::kU8S8:  // The first factor is the unsigned one.
        as_.vpdpbusd(sum, Broadcast(), b);
        return;
      default:
        as_.emit(Product(), sum, b, Broadcast());
    }
  }

  /// The next instruction leaves the columns beyond the tail alone; memory there is not touched.
  Assembler& Masked(int vector, bool zero) {
    if (!IsMasked(vector)) return as_;
    as_.k(k1);
    return zero ? as_.z() : as_;
  }
  Zmm Acc(int row, int vector) const { return zmm(row * tile_.vectors + vector); }
  Zmm B(int vector) const { return zmm(tile_.rows * tile_.vectors + vector); }
  Zmm Broadcast() const { return zmm((tile_.rows + 1) * tile_.vectors); }
  Zmm Temporary() const { return zmm((tile_.rows + 1) * tile_.vectors + 1); }
  /// A is the second factor, which may come from memory.
  bool EmbedsA() const { return math_ != CpuMath::kS16 && math_ != CpuMath::kU8S8; }
  Id Product() const {
    if (math_ == CpuMath::kBf16) return Inst::kIdVdpbf16ps;
    if (math_ == CpuMath::kS8U8) return Inst::kIdVpdpbusd;
    return Pick(Inst::kIdVfmadd231ps, Inst::kIdVfmadd231pd);
  }
  Id Move() const { return Pick(Inst::kIdVmovups, Inst::kIdVmovupd); }
};

class Emitter final : public MicroKernelEmitter {
 public:
  std::string Emit(const MicroKernelRecipe& recipe, std::string* listing) const override {
    if (recipe.dots != 0)
      return EmitSet(recipe, kVectorBytes, listing,
                     [](Assembler& assembler, const RegisterTile& tile) { EmitDots(assembler, tile, kVectorBytes); });
    return EmitSet(recipe, kVectorBytes, listing,
                   [](Assembler& assembler, const RegisterTile& tile) { Avx512Tile(assembler, tile).Emit(); });
  }
};

}  // namespace

const MicroKernelEmitter& Avx512Emitter() {
  static const Emitter emitter;
  return emitter;
}

}  // namespace gemmsmith
