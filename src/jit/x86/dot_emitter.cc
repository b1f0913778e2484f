#include "jit/x86/dot_emitter.h"

#include <array>
#include <cstddef>
#include <iterator>

#include "jit/x86/finish_emitter.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;
using Id = Inst::Id;

// Offsets of the columns after the first are kept apart, so that those beyond the last are those of the first again.
const Gp kArgs = rdi, kA = rbp, kA5 = r11, kB = rsi, kBNext = rax, kK = rcx, kARow = r8, kARow3 = r9;
const Gp kOffsets[] = {rdx, r10, rbx};
// Of the columns after the fourth, with few rows of A.
const Gp kB4 = r12, kBNext4 = r11, kOffsets4[] = {r14, r15, r9};
const Gp kSaved[] = {rbx, rbp}, kSaved4[] = {r12, r14, r15};
constexpr int kUnroll = 4, kMask = 15, kLine = 64;
constexpr std::uint32_t kTopBits = 0x80808080;
constexpr int kGroup = kDotColumns;

Mem Argument(std::size_t offset) { return qword_ptr(kArgs, static_cast<std::int32_t>(offset)); }

class DotEmitter {
 public:
  DotEmitter(Assembler& assembler, const RegisterTile& tile, int vector_bytes)
      : as_(assembler),
        tile_(tile),
        vector_bytes_(vector_bytes),
        math_(tile.recipe.math),
        size_(Info(math_).unit_bytes),
        lanes_(vector_bytes / size_ * Info(math_).group),
        wide_(vector_bytes == 64),
        flips_(tile.recipe.starts != 0),
        columns_(tile.vectors),
        first_sum_(columns_ + 1),
        from_memory_(math_ != CpuMath::kS8U8 && (tile.recipe.far != 0 || (tile.rows == 1 && !flips_))),
        vectors_{assembler, Info(math_).sum, vector_bytes, wide_} {
    if (Info(math_).group > 1 && (!wide_ || math_ == CpuMath::kS16))
      throw Fail(Code::kUnsupported, "", "dot products: not of {}", Info(math_).name);
    const int flipping = flips_ ? columns_ + 1 : 0, registers = wide_ ? 32 : 16;
    const int needed = first_sum_ + tile.rows * columns_ + (wide_ ? 0 : 1) + flipping;
    const bool more = columns_ == kMoreDotColumns && wide_ && tile.rows <= kMoreDotRows;
    if ((columns_ != kGroup && !more) || needed > registers)
      throw Fail(Code::kUnsupported, "", "dot products: no tile of {} rows by {} columns in {} registers", tile.rows,
                 columns_, registers);
  }

  void Emit() {
    const std::size_t saved4 = columns_ > kGroup ? std::size(kSaved4) : 0;
    for (const Gp& reg : kSaved) as_.push(reg);
    for (std::size_t i = 0; i < saved4; ++i) as_.push(kSaved4[i]);
    LoadArguments();
    for (int i = 0; i < (tile_.rows + (flips_ ? 1 : 0)) * columns_; ++i) vectors_.Clear(V(first_sum_ + i));
    if (flips_) {
      as_.mov(eax, kTopBits);
      as_.vpbroadcastd(TopBits(), eax);
    }
    EmitLoop();
    if (tile_.recipe.fetch == 0) PrefetchNext();
    EmitResults();
    as_.vzeroupper();
    for (std::size_t i = saved4; i > 0; --i) as_.pop(kSaved4[i - 1]);
    for (std::size_t i = std::size(kSaved); i > 0; --i) as_.pop(kSaved[i - 1]);
    as_.ret();
  }

 private:
  using Columns = std::array<asmjit::Operand, kMoreDotColumns>;  ///< Of B: memory or registers.

  void LoadArguments() {
    as_.mov(kA, Argument(offsetof(MicroKernelArgs, a)));
    as_.mov(kB, Argument(offsetof(MicroKernelArgs, b)));
    as_.mov(kARow, Argument(offsetof(MicroKernelArgs, a_row)));
    if (tile_.rows > kMoreDotRows) {
      as_.lea(kARow3, ptr(kARow, kARow, 1));
      as_.lea(kA5, ptr(kA, kARow, 2));
      as_.add(kA5, kARow);
    }
    LoadOffsets(kOffsets);
    if (columns_ > kGroup) {
      LoadOffsets(kOffsets4);
      as_.lea(kB4, ptr(kB, kOffsets[0], 2));
    }
    if (tile_.masked) RepeatFirstColumns();
    as_.mov(kK, Argument(offsetof(MicroKernelArgs, k)));
  }
  /// Of the columns after the first of a group.
  void LoadOffsets(const Gp (&offsets)[kGroup - 1]) {
    as_.mov(offsets[0], Argument(offsetof(MicroKernelArgs, b_step)));
    as_.lea(offsets[1], ptr(offsets[0], offsets[0]));
    as_.lea(offsets[2], ptr(offsets[0], offsets[0], 1));
  }
  /// Columns beyond the last are the first of their group again, or the first of all.
  void RepeatFirstColumns() {
    as_.xor_(ecx, ecx);
    for (int column = 1; column < columns_; ++column) {
      as_.cmp(Argument(offsetof(MicroKernelArgs, columns)), column);
      if (column == kGroup)
        as_.cmovle(kB4, kB);
      else
        as_.cmovle(OffsetOf(column), rcx);
    }
  }
  void LoadNext() {
    as_.mov(kBNext, Argument(offsetof(MicroKernelArgs, ahead)));
    if (columns_ == kGroup) return;
    as_.mov(kBNext4, kBNext);
    as_.add(kBNext4, kB4);
    as_.sub(kBNext4, kB);
  }

  void EmitLoop() {
    const asmjit::Label main = as_.newLabel(), rest = as_.newLabel(), single = as_.newLabel(), tail = as_.newLabel(),
                        end = as_.newLabel();
    LoadNext();
    as_.sub(kK, kUnroll * lanes_);
    as_.jl(rest);
    as_.align(asmjit::AlignMode::kCode, 32);
    as_.bind(main);
    for (int i = 0; i < kUnroll; ++i) EmitStep(i * vector_bytes_);
    Advance(kUnroll * vector_bytes_);
    as_.sub(kK, kUnroll * lanes_);
    as_.jge(main);
    as_.bind(rest);
    as_.add(kK, (kUnroll - 1) * lanes_);
    as_.jl(tail);
    as_.bind(single);
    EmitStep(0);
    Advance(vector_bytes_);
    as_.sub(kK, lanes_);
    as_.jge(single);
    as_.bind(tail);
    as_.add(kK, lanes_);
    as_.jz(end);
    MakeMask();  // Ends kBNext.
    EmitTail();
    as_.bind(end);
  }

  /// Where the next columns begin: the hardware follows them from there.
  void PrefetchNext() {
    constexpr int kLines = 4;
    LoadNext();
    for (int line = 0; line < kLines; ++line)
      for (int column = 0; column < columns_; ++column) as_.prefetcht0(AddressOfNext(column, line * kLine));
  }

  void EmitStep(int byte) {
    if (tile_.recipe.fetch > 0 && byte % kLine == 0)
      for (int column = 0; column < columns_; ++column) as_.prefetcht1(AddressOfNext(column, byte));
    Columns b;
    for (int column = 0; column < columns_; ++column) {
      const Mem from = AddressOfB(column, byte);
      if (from_memory_) {
        b[static_cast<std::size_t>(column)] = from;
        continue;
      }
      as_.emit(Move(), V(column), from);
      b[static_cast<std::size_t>(column)] = V(column);
    }
    if (flips_) SumColumns(b);
    for (int row = 0; row < tile_.rows; ++row) {
      as_.emit(Move(), VectorOfA(), AddressOfA(row, byte));
      MultiplyRow(row, b);
    }
  }

  void MultiplyRow(int row, const Columns& b) {
    if (flips_) as_.vpxord(VectorOfA(), VectorOfA(), TopBits());
    for (int column = 0; column < columns_; ++column) Multiply(Sum(row, column), VectorOfA(), b, column);
  }
  void Multiply(const Vec& sum, const Vec& a, const Columns& columns, int column) {
    const asmjit::Operand& b = columns[static_cast<std::size_t>(column)];
    // The first factor of bytes is the unsigned one.
    if (math_ == CpuMath::kS8U8)
      as_.emit(Product(), sum, b, a);
    else
      as_.emit(Product(), sum, a, b);
  }
  /// Bytes with the top bit flipped count 128 too much where they are unsigned, and 128 too little where they are
  /// signed; that bit alone is 128 or -128. What it makes with B is what the sums have too much.
  void SumColumns(const Columns& b) {
    for (int column = 0; column < columns_; ++column) Multiply(Sum(tile_.rows, column), TopBits(), b, column);
  }

  /// Of the elements that are left, kK.
  void MakeMask() {
    if (!wide_) return vectors_.MakeMask(kMask);
    as_.mov(eax, 1);
    as_.shl(rax, cl);
    as_.dec(rax);
    as_.kmovq(k1, rax);
  }
  void LoadFirst(const Vec& to, const Mem& from) {
    switch (Info(math_).group) {
      case 1:
        return vectors_.Load(to, from, kMask);
      case 2:
        return static_cast<void>(as_.k(k1).z().vmovdqu16(to, from));
      default:
        return static_cast<void>(as_.k(k1).z().vmovdqu8(to, from));
    }
  }

  /// What does not fill a vector: neither A nor B is read beyond k.
  void EmitTail() {
    Columns b;
    for (int column = 0; column < columns_; ++column) {
      LoadFirst(V(column), AddressOfB(column, 0));
      b[static_cast<std::size_t>(column)] = V(column);
    }
    if (flips_) SumColumns(b);
    for (int row = 0; row < tile_.rows; ++row) {
      LoadFirst(VectorOfA(), AddressOfA(row, 0));
      MultiplyRow(row, b);
    }
  }

  void Advance(int bytes) {
    for (const Gp& pointer : {kA, kB, kBNext}) as_.add(pointer, bytes);
    if (columns_ > kGroup)
      for (const Gp& pointer : {kB4, kBNext4}) as_.add(pointer, bytes);
    if (tile_.rows > 5) as_.add(kA5, bytes);
  }

  /// The results of row r into its first register, which EmitFinish takes from there.
  void EmitResults() {
    const int bytes = columns_ * size_;
    for (int row = 0; row < tile_.rows; ++row) {
      for (int column = 0; flips_ && column < columns_; ++column)
        as_.vpsubd(Sum(row, column), Sum(row, column), Sum(tile_.rows, column));
      AddUp(row, 0);
      if (columns_ > kGroup) JoinGroups(row);
      as_.emit(Move(), OfBytes(first_sum_ + row, bytes), OfBytes(0, bytes));
    }
    EmitFinish(as_, tile_.recipe, {first_sum_, tile_.rows, 1, tile_.masked, bytes, wide_});
  }
  /// The sums of the second group after those of the first, in register 0.
  void JoinGroups(int row) {
    const int kept = kGroup;  // Adding up takes those below it.
    as_.emit(Move(), ymm(kept), ymm(0));
    AddUp(row, kGroup);
    if (math_ == CpuMath::kF64)
      as_.vinsertf64x4(zmm(0), zmm(kept), ymm(0), 1);
    else
      as_.vinsertf128(ymm(0), ymm(kept), xmm(0), 1);
  }

  /// The sums of a row's vectors, of a group of columns from `first` on, into the first lanes of register 0. Registers
  /// below 16 alone have horizontal additions.
  void AddUp(int row, int first) {
    Vec sums[kGroup];
    for (int column = 0; column < kGroup; ++column) {
      const auto sum = Sum(row, first + column).id();
      sums[column] = Ymm(sum);
      if (!wide_) continue;
      as_.vextractf64x4(ymm(column), Zmm(sum), 1);
      as_.emit(Add(), ymm(column), ymm(column), sums[column]);
      sums[column] = ymm(column);
    }
    as_.emit(AddPairs(), ymm(0), sums[0], sums[1]);
    as_.emit(AddPairs(), ymm(2), sums[2], sums[3]);
    if (math_ == CpuMath::kF64) {
      as_.vperm2f128(ymm(1), ymm(0), ymm(2), 0x21);
      as_.vblendpd(ymm(0), ymm(0), ymm(2), 0xc);
      as_.vaddpd(ymm(0), ymm(0), ymm(1));
    } else {
      as_.emit(AddPairs(), ymm(0), ymm(0), ymm(2));
      as_.vextractf128(xmm(1), ymm(0), 1);
      as_.emit(Add(), xmm(0), xmm(0), xmm(1));
    }
  }

  Mem AddressOfA(int row, int byte) const {
    switch (row) {
      case 0:
        return ptr(kA, byte);
      case 1:
        return ptr(kA, kARow, 0, byte);
      case 2:
        return ptr(kA, kARow, 1, byte);
      case 3:
        return ptr(kA, kARow3, 0, byte);
      case 4:
        return ptr(kA, kARow, 2, byte);
      default:
        return ptr(kA5, byte);
    }
  }
  static Mem AddressOfB(int column, int byte) { return OfGroups(kB, kB4, column, byte); }
  static Mem AddressOfNext(int column, int byte) { return OfGroups(kBNext, kBNext4, column, byte); }
  static Mem OfGroups(const Gp& first, const Gp& second, int column, int byte) {
    const Gp& base = column < kGroup ? first : second;
    return column % kGroup == 0 ? ptr(base, byte) : ptr(base, OffsetOf(column), 0, byte);
  }
  static const Gp& OffsetOf(int column) {
    return column < kGroup ? kOffsets[column - 1] : kOffsets4[column - kGroup - 1];
  }

  static Vec OfBytes(int index, int bytes) {
    return bytes == 64 ? Vec(zmm(index)) : bytes == 32 ? Vec(ymm(index)) : Vec(xmm(index));
  }
  Vec V(int index) const { return OfBytes(index, vector_bytes_); }
  Vec VectorOfA() const { return V(columns_); }  ///< After those of B.
  Vec Sum(int row, int column) const { return V(first_sum_ + row * columns_ + column); }
  Vec TopBits() const { return V(first_sum_ + (tile_.rows + 1) * columns_); }
  Id Pick(Id f32, Id f64, Id s32) const {
    if (math_ == CpuMath::kF64) return f64;
    return vectors_.type == DType::kS32 ? s32 : f32;
  }
  Id Move() const { return Pick(Inst::kIdVmovups, Inst::kIdVmovupd, Inst::kIdVmovups); }
  Id Product() const {
    if (math_ == CpuMath::kBf16) return Inst::kIdVdpbf16ps;
    return Pick(Inst::kIdVfmadd231ps, Inst::kIdVfmadd231pd, Inst::kIdVpdpbusd);
  }
  Id Add() const { return Pick(Inst::kIdVaddps, Inst::kIdVaddpd, Inst::kIdVpaddd); }
  Id AddPairs() const { return Pick(Inst::kIdVhaddps, Inst::kIdVhaddpd, Inst::kIdVphaddd); }

  Assembler& as_;
  const RegisterTile tile_;
  const int vector_bytes_;
  const CpuMath math_;
  const int size_;   ///< Of one sum, and of what of A and B is multiplied for it at once.
  const int lanes_;  ///< Elements of A or B in a vector.
  const bool wide_, flips_;
  const int columns_, first_sum_;
  const bool from_memory_;  ///< Each product reads B there. That of bytes whose first factor is B cannot.
  const Vectors vectors_;
};

}  // namespace

void EmitDots(Assembler& assembler, const RegisterTile& tile, int vector_bytes) {
  DotEmitter(assembler, tile, vector_bytes).Emit();
}

}  // namespace gemmsmith
