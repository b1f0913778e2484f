#include "jit/x86/dot_emitter.h"
#include "jit/x86/micro_kernel_emitter.h"
#include "jit/x86/tile_emitter.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;

constexpr int kVectorBytes = 32;
// The last two registers are never accumulators: a broadcast of A (or a vector of C), and the mask of the tail.
constexpr int kBroadcast = 14, kMask = 15;

/// Registers: the accumulators, then the vectors of B, then the two above. A 6 x 2 tile fills all sixteen.
class Avx2Tile final : public TileEmitter {
 public:
  Avx2Tile(Assembler& assembler, const RegisterTile& tile) : TileEmitter(assembler, tile, kVectorBytes) {
    if ((tile.rows + 1) * tile.vectors > kBroadcast)
      throw Fail(Code::kUnsupported, "", "avx2: a tile of {} rows by {} vectors needs more than {} registers",
                 tile.rows, tile.vectors, kMask + 1);
  }

 private:
  /// A window of ones, then zeros, that slides over one vector: as many ones as there are columns.
  void MakeMask() override {
    const asmjit::Label window = as_.newLabel(), after = as_.newLabel();
    as_.lea(rax, ptr(window, kVectorBytes));
    as_.imul(rcx, rcx, element_bytes());
    as_.sub(rax, rcx);
    as_.vmovdqu(ymm(kMask), ptr(rax));
    as_.jmp(after);
    as_.bind(window);
    for (int byte = 0; byte < kVectorBytes; byte += 8) as_.embedUInt64(~0ull);
    for (int byte = 0; byte < kVectorBytes; byte += 8) as_.embedUInt64(0);
    as_.bind(after);
  }
  void ClearRow(int row) override {
    for (int vector = 0; vector < tile_.vectors; ++vector)
      as_.vpxor(Acc(row, vector), Acc(row, vector), Acc(row, vector));
  }
  void LoadB(int vector, const Mem& b) override { Load(B(vector), vector, b); }
  void MultiplyRow(int row, const Mem& a) override {
    as_.emit(Broadcast(), ymm(kBroadcast), a);
    for (int vector = 0; vector < tile_.vectors; ++vector)
      as_.emit(Fma(), Acc(row, vector), B(vector), ymm(kBroadcast));
  }
  void LoadScalar(const Mem& scalar) override { as_.emit(Broadcast(), B(0), scalar); }
  void ScaleRow(int row) override {
    for (int vector = 0; vector < tile_.vectors; ++vector)
      as_.emit(Pick(Inst::kIdVmulps, Inst::kIdVmulpd), Acc(row, vector), Acc(row, vector), B(0));
  }
  void AddC(int row, int vector, const Mem& c) override {
    Load(ymm(kBroadcast), vector, c);
    as_.emit(Fma(), Acc(row, vector), B(0), ymm(kBroadcast));
  }
  void Store(int row, int vector, const Mem& d) override {
    if (IsMasked(vector))
      as_.emit(MaskedMove(), d, ymm(kMask), Acc(row, vector));
    else
      as_.emit(Pick(Inst::kIdVmovups, Inst::kIdVmovupd), d, Acc(row, vector));
  }

  void Load(const Ymm& to, int vector, const Mem& from) {
    if (IsMasked(vector))
      as_.emit(MaskedMove(), to, ymm(kMask), from);
    else
      as_.emit(Pick(Inst::kIdVmovups, Inst::kIdVmovupd), to, from);
  }
  Ymm Acc(int row, int vector) const { return ymm(row * tile_.vectors + vector); }
  Ymm B(int vector) const { return ymm(tile_.rows * tile_.vectors + vector); }
  Id Fma() const { return Pick(Inst::kIdVfmadd231ps, Inst::kIdVfmadd231pd); }
  Id Broadcast() const { return Pick(Inst::kIdVbroadcastss, Inst::kIdVbroadcastsd); }
  Id MaskedMove() const { return Pick(Inst::kIdVmaskmovps, Inst::kIdVmaskmovpd); }
};

class Emitter final : public MicroKernelEmitter {
 public:
  std::string Emit(const MicroKernelRecipe& recipe, std::string* listing) const override {
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
