#include "jit/x86/dot_emitter.h"
#include "jit/x86/micro_kernel_emitter.h"
#include "jit/x86/sweep_emitter.h"
#include "jit/x86/tile_emitter.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;

constexpr int kVectorBytes = 64, kRegisters = 32, kLanes = 16;  // Of f32.
const KReg kFirstSteps = k7;

/// Registers: the accumulators, then the vectors of B, then one broadcast of A where it serves several vectors. A tile
/// one vector wide takes A as an embedded broadcast: one instruction per product.
class Avx512Tile final : public TileEmitter {
 public:
  Avx512Tile(Assembler& assembler, const RegisterTile& tile) : TileEmitter(assembler, tile, kVectorBytes) {
    if (tile.keeps && !joins()) throw Fail(Code::kUnsupported, "", "avx512: keeps no B that it does not join");
    if (math_ == CpuMath::kS16 && joins()) throw Fail(Code::kUnsupported, "", "avx512: joins no rows of s16");
    if (tail_steps() > 1 && (math_ != CpuMath::kF32 || (tail_steps() != 2 && tail_steps() != 4)))
      throw Fail(Code::kUnsupported, "", "avx512: joins no {} steps of {}", tail_steps(), Info(math_).name);
    const int besides =
        (tail_steps() > 1 ? 1 : 0) + (tail_steps() > 1 || tile.vectors > 1 || !EmbedsA() || joins() ? 1 : 0) +
        (math_ == CpuMath::kS16 ? 1 : 0) + (joins() ? 2 + (NeedsSpare() ? 1 : 0) : 0) + (sums_columns() ? 1 : 0);
    if ((tile.rows + 1 + (sums_columns() ? 1 : 0)) * tile.vectors + besides > kRegisters)
      throw Fail(Code::kUnsupported, "", "avx512: a tile of {} rows by {} vectors needs more than {} registers",
                 tile.rows, tile.vectors, kRegisters);
  }

 private:
  void MakeMask() override { Sums().MakeMask(0); }
  Vectors Sums() const override { return {as_, Info(math_).sum, kVectorBytes, true}; }
  void LoadB(int vector, const Mem& b) override { Masked(vector, true).emit(Move(), B(vector), b); }
  void PrepareJoins() override {
    const bool fours = Info(math_).group == 4;
    if (tile_.masked && !fours) return;
    const asmjit::Label first = as_.newLabel(), second = as_.newLabel(), after = as_.newLabel();
    as_.vmovdqu32(FirstOrder(), ptr(first));
    as_.vmovdqu32(SecondOrder(), ptr(second));
    for (int row = 1; fours && row < 4; ++row) {
      as_.mov(eax, 0xf << 4 * row);
      as_.kmovw(Quarter(row), eax);
    }
    if (sums_columns()) {
      as_.mov(eax, 0x80808080u);
      as_.vpbroadcastd(TopBits(), eax);
    }
    as_.jmp(after);
    const int columns = fours ? kLanes / 2 : kLanes;
    as_.bind(first);
    if (tile_.masked)
      EmbedQuarters();
    else
      EmbedWords(0, columns);
    as_.bind(second);
    if (tile_.masked)
      EmbedBytes();
    else
      EmbedWords(columns, columns);
    as_.bind(after);
  }
  /// Of quarters: the first fours of bytes of each, then the second ones.
  void EmbedQuarters() {
    for (const std::uint32_t quarter : {0, 1, 2, 3})
      for (const std::uint32_t row : {0, 4, 8, 12}) as_.embedUInt32(row + quarter);
  }
  /// Of sixteen bytes, likewise.
  void EmbedBytes() {
    for (int quarter = 0; quarter < 4; ++quarter)
      for (const int byte : {0, 1, 2, 3})
        for (const int row : {0, 4, 8, 12}) as_.embedUInt8(static_cast<std::uint8_t>(row + byte));
  }
  /// Of two tables of 32 words. Twos of rows: words from `begin` on, of each table in turns. Fours: those of the one
  /// table, each with that half a table behind it, then those of the other.
  void EmbedWords(int begin, int words) {
    const bool fours = Info(math_).group == 4;
    for (int table = 0; table < (fours ? 2 : 1); ++table)
      for (int word = begin; word < begin + words; ++word)
        for (const int other : {0, fours ? 16 : 32})
          as_.embedUInt16(static_cast<std::uint16_t>(32 * table + word + other));
  }
  void JoinB(int vector) override {
    if (tile_.masked)
      Info(math_).group == 2 ? JoinTwosMasked(vector) : JoinFoursMasked(vector);
    else if (vector % 2 == 0)
      Info(math_).group == 2 ? JoinTwos(vector) : JoinFours(vector);
  }
  void KeepB(int vector, const Mem& to) override { as_.vmovdqu32(to, B(vector)); }
  /// Accumulated are they times what the top bit of a byte counts.
  void KeepSums(int vector, const Mem& to) override {
    constexpr int kLog2OfTopBit = 7;
    const Zmm sums = B(0), nothing = Broadcast();
    as_.vpsrad(sums, Acc(tile_.rows, vector), kLog2OfTopBit);
    if (math_ == CpuMath::kS8U8) {
      as_.vpxord(nothing, nothing, nothing);
      as_.vpsubd(sums, nothing, sums);
    }
    as_.vmovdqu32(to, sums);
  }
  void JoinTwosMasked(int vector) {
    const Zmm b = B(vector), other = Broadcast();
    const int byte = vector * kVectorBytes / 2;
    Masked(vector, true).vpmovzxwd(b, RowOfB(0, byte));
    Masked(vector, true).vpmovzxwd(other, RowOfB(1, byte));
    as_.vpslld(other, other, 16);
    as_.vpord(b, b, other);
  }
  /// A row of 16 columns in each quarter; then fours of bytes of one column.
  void JoinFoursMasked(int vector) {
    const Zmm b = B(vector), other = Broadcast();
    for (int row = 0; row < 4; ++row) {
      const Mem from = RowOfB(row, vector * kVectorBytes / 4);
      if (IsMasked(vector)) as_.k(k1).z().vmovdqu8(Xmm(other.id()), from);
      if (row > 0) as_.k(Quarter(row));
      if (IsMasked(vector))
        as_.vshufi32x4(b, other, other, 0);
      else
        as_.vbroadcasti32x4(b, from);
    }
    as_.vpermd(b, FirstOrder(), b);
    as_.vpshufb(b, b, SecondOrder());
  }
  /// For a vector and the next, or the last one alone.
  void JoinTwos(int vector) {
    const bool two = vector + 1 < tile_.vectors;
    const Zmm b = B(vector), other = two ? B(vector + 1) : Broadcast();
    for (const int row : {0, 1}) {
      const int to = row == 0 ? b.id() : other.id();
      as_.emit(Inst::kIdVmovdqu32, two ? Vec(zmm(to)) : Vec(ymm(to)), RowOfB(row, vector * kVectorBytes / 2));
    }
    OrderWords(b, other, two);
  }
  /// The first and third row in the halves of one vector, the others in another's; then pairs of their bytes.
  void JoinFours(int vector) {
    const bool two = vector + 1 < tile_.vectors;
    const Zmm b = B(vector), odd = Broadcast(), pairs = two ? B(vector + 1) : Spare();
    for (int row = 0; row < 4; ++row) {
      if (row >= 2) as_.k(two ? Quarter(1) : Quarter(2));
      as_.emit(two ? Inst::kIdVbroadcasti64x4 : Inst::kIdVbroadcasti32x4, row % 2 == 0 ? b : odd,
               RowOfB(row, vector * kVectorBytes / 4));
    }
    as_.vpunpckhbw(pairs, b, odd);
    as_.vpunpcklbw(b, b, odd);
    OrderWords(b, pairs, two);
  }
  /// Of these two tables, into the first, or into both.
  void OrderWords(const Zmm& first, const Zmm& second, bool both) {
    if (!both) return static_cast<void>(as_.vpermt2w(first, FirstOrder(), second));
    as_.vmovdqa64(Broadcast(), FirstOrder());
    as_.vpermi2w(Broadcast(), first, second);
    as_.vpermt2w(first, SecondOrder(), second);
    as_.vmovdqa64(second, first);
    as_.vmovdqa64(first, Broadcast());
  }
  void SumColumns() override {
    for (int vector = 0; vector < tile_.vectors; ++vector) {
      if (math_ == CpuMath::kU8S8)
        as_.vpdpbusd(Acc(tile_.rows, vector), TopBits(), B(vector));
      else
        as_.vpdpbusd(Acc(tile_.rows, vector), B(vector), TopBits());
    }
  }
  void PrepareTail() override {
    const asmjit::Label order = as_.newLabel(), after = as_.newLabel();
    const int steps = tail_steps(), columns = kLanes / steps;
    for (int step = 1; step < steps; ++step) as_.kshiftlw(TailMask(step), k1, step * columns);
    as_.mov(eax, steps == 2 ? 0x5555 : 0x1111);
    as_.kmovw(kFirstSteps, eax);
    as_.vmovdqu32(Order(), ptr(order));
    as_.jmp(after);
    as_.bind(order);
    for (int lane = 0; lane < kLanes; ++lane)
      as_.embedUInt32(static_cast<std::uint32_t>(lane % steps * columns + lane / steps));
    as_.bind(after);
  }
  void LoadTail(int step, const Mem& b) override {
    as_.k(TailMask(step));
    if (step == 0) as_.z();
    as_.emit(tail_steps() == 2 ? Inst::kIdVbroadcastf32x8 : Inst::kIdVbroadcastf32x4, Tail(), b);
  }
  void JoinTail() override { as_.vpermps(Tail(), Order(), Tail()); }
  void MultiplyTail(int row, const Mem& a) override {
    as_.emit(tail_steps() == 2 ? Inst::kIdVpbroadcastq : Inst::kIdVbroadcastf32x4, Broadcast(), a);
    as_.vfmadd231ps(Acc(row, tile_.vectors - 1), Tail(), Broadcast());
  }
  void MultiplyTailOnce(int row, const Mem& a) override {
    as_.k(kFirstSteps).vfmadd231ps(Acc(row, tile_.vectors - 1), Tail(), a._1to16());
  }
  void SumTail() override {
    for (int row = 0; row < tile_.rows; ++row) {
      const Zmm sum = Acc(row, tile_.vectors - 1), other = B(row % tile_.vectors);
      for (int step = tail_steps() / 2; step > 0; step /= 2) {
        as_.vpermilps(other, sum, step == 2 ? 0x4e : 0xb1);  // Those so many lanes away.
        as_.vaddps(sum, sum, other);
      }
      as_.k(kFirstSteps).z().vcompressps(sum, sum);
    }
  }
  void MultiplyRow(int row, const Mem& a, int vectors) override {
    if (vectors == 1 && EmbedsA()) {
      as_.emit(Product(), Acc(row, 0), B(0), math_ == CpuMath::kF64 ? a._1to8() : a._1to16());
      return;
    }
    // Beside a single product, Zen 4 has no room for what broadcasts of floats do besides loading.
    as_.emit(vectors == 1 ? Inst::kIdVpbroadcastd : Pick(Inst::kIdVbroadcastss, Inst::kIdVbroadcastsd), Broadcast(), a);
    for (int vector = 0; vector < vectors; ++vector) Multiply(Acc(row, vector), B(vector));
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
  Zmm B(int vector) const { return zmm((tile_.rows + (sums_columns() ? 1 : 0)) * tile_.vectors + vector); }
  Zmm Broadcast() const { return B(tile_.vectors); }
  Zmm Temporary() const { return B(tile_.vectors + 1); }
  Zmm FirstOrder() const { return B(tile_.vectors + 1); }
  Zmm SecondOrder() const { return B(tile_.vectors + 2); }
  Zmm Tail() const { return B(tile_.vectors - 1); }
  Zmm Order() const { return B(tile_.vectors + 1); }
  static KReg TailMask(int step) { return k(step + 1); }
  /// An unmasked vector of fours has no other beside it.
  bool NeedsSpare() const { return Info(math_).group == 4 && !tile_.masked && tile_.vectors % 2 == 1; }
  Zmm Spare() const { return B(tile_.vectors + 3); }
  Zmm TopBits() const { return B(tile_.vectors + (NeedsSpare() ? 4 : 3)); }
  static KReg Quarter(int index) { return k(index + 1); }
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
    return EmitSet(recipe, kVectorBytes, listing, [](Assembler& assembler, const RegisterTile& tile) {
      if (tile.recipe.sweep != 0)
        EmitSweptTile(assembler, tile);
      else
        Avx512Tile(assembler, tile).Emit();
    });
  }
};

}  // namespace

const MicroKernelEmitter& Avx512Emitter() {
  static const Emitter emitter;
  return emitter;
}

}  // namespace gemmsmith
