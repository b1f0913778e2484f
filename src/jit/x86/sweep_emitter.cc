#include "jit/x86/sweep_emitter.h"

#include <bit>
#include <cstddef>
#include <iterator>

#include "jit/x86/finish_emitter.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;
using Id = Inst::Id;

constexpr int kVector = 64, kPiece = 16;  // Bytes.
constexpr int kMostRowsOfB = 8, kRowsPerBase = 5;
constexpr int kAhead = 1024;  // Bytes along each row of B: the hardware follows so many streams, but not far enough.
// For all of a sweep.
const Gp kArgs = rdi, kA = rsi, kB = rdx, kBRow = rcx, kBRow3 = r8, kK = r9, kARow = r14, kSumsRow = r15;
// For a step of columns: B from its first row and from the fifth after it, and the sums.
const Gp kStepsLeft = r12, kB0 = r11, kB5 = rax, kSums = rbx;
// For a row of A.
const Gp kRowsLeft = r10, kRowOfA = rbp, kRowOfSums = r13;
const Gp kSaved[] = {rbx, rbp, r12, r13, r14, r15};
// Vectors of B, which leave some free for a single row of A; of rows that are joined to them; of sums.
constexpr int kFirstOfB = 0, kFirstOfA = 8, kFirstOfJoin = 16, kFirstSum = 24, kBroadcast = 28;

// On the stack: a word, and what of A is worked on, of 8 bytes at most each.
constexpr int kFrame = 64 + kMostSweptRows * kMostRowsOfB * 8;
Mem WholeSteps() { return qword_ptr(rsp); }
Mem Gathered() { return ptr(rsp, 64); }

Mem Argument(std::size_t offset) { return qword_ptr(kArgs, static_cast<std::int32_t>(offset)); }

class SweepEmitter {
 public:
  SweepEmitter(Assembler& assembler, const MicroKernelRecipe& recipe)
      : as_(assembler),
        math_(recipe.math),
        group_(Info(math_).group),
        unit_(Info(math_).unit_bytes),
        vectors_(group_ == 1 ? 2 : group_),
        units_(recipe.sweep / group_),
        single_row_(recipe.mr == 1),
        sums_{assembler, Info(math_).sum, kVector, true} {
    if (math_ == CpuMath::kS16 || units_ < 1 || recipe.sweep % group_ != 0 || recipe.sweep > kMostRowsOfB)
      throw Fail(Code::kUnsupported, "", "avx512: no sweep of {} rows of B as {}", recipe.sweep, Info(math_).name);
  }

  void Emit() {
    const asmjit::Label pass = as_.newLabel(), rest = as_.newLabel(), end = as_.newLabel();
    for (const Gp& reg : kSaved) as_.push(reg);
    LoadArguments();
    as_.bind(pass);
    as_.cmp(kK, units_);
    as_.jl(rest);
    EmitPass(units_);
    as_.jmp(pass);
    as_.bind(rest);
    as_.test(kK, kK);
    as_.jle(end);
    EmitPass(1);
    as_.jmp(rest);
    as_.bind(end);
    as_.vzeroupper();
    as_.add(rsp, kFrame);
    for (int i = static_cast<int>(std::size(kSaved)) - 1; i >= 0; --i) as_.pop(kSaved[i]);
    as_.ret();
  }

 private:
  /// Keeps the number of whole steps of columns. k1, k2: the valid elements of vectors of B in a step after these.
  void LoadArguments() {
    const int lanes = kVector / unit_, columns_of_step = vectors_ * lanes;
    as_.mov(rcx, Argument(offsetof(MicroKernelArgs, columns)));
    as_.mov(kB0, rcx);
    as_.shr(kB0, std::countr_zero(static_cast<unsigned>(columns_of_step)));
    as_.sub(rsp, kFrame);
    as_.mov(WholeSteps(), kB0);
    as_.and_(ecx, columns_of_step - 1);
    as_.mov(eax, 1);
    as_.shl(rax, cl);
    as_.dec(rax);
    as_.kmovq(k1, rax);
    as_.shr(rax, lanes);
    as_.kmovq(k2, rax);
    as_.mov(kA, Argument(offsetof(MicroKernelArgs, a)));
    as_.mov(kARow, Argument(offsetof(MicroKernelArgs, a_row)));
    as_.mov(kB, Argument(offsetof(MicroKernelArgs, b)));
    as_.mov(kBRow, Argument(offsetof(MicroKernelArgs, b_step)));
    as_.lea(kBRow3, ptr(kBRow, kBRow, 1));
    as_.mov(kSumsRow, Argument(offsetof(MicroKernelArgs, d_row)));
    as_.mov(kK, Argument(offsetof(MicroKernelArgs, k)));
  }

  /// All columns, for `units` of k.
  void EmitPass(int units) {
    const asmjit::Label step = as_.newLabel(), tail = as_.newLabel(), done = as_.newLabel();
    if (single_row_)
      for (int unit = 0; unit < units; ++unit) BroadcastA(zmm(kFirstOfA + unit), kA, unit);
    else
      GatherA(units);
    PointToB();
    as_.mov(kSums, Argument(offsetof(MicroKernelArgs, d)));
    as_.mov(kStepsLeft, WholeSteps());
    as_.test(kStepsLeft, kStepsLeft);
    as_.jz(tail);
    as_.align(asmjit::AlignMode::kCode, 32);
    as_.bind(step);
    EmitStep(units, false);
    const int bytes = (group_ == 1 ? vectors_ : 1) * kVector;
    as_.add(kB0, bytes);
    as_.add(kB5, bytes);
    as_.add(kSums, vectors_ * kVector);
    as_.dec(kStepsLeft);
    as_.jnz(step);
    as_.bind(tail);
    as_.kortestq(k1, k1);
    as_.jz(done);
    EmitStep(units, true);
    as_.bind(done);
    as_.add(kA, units * unit_);
    for (int row = 0; row < units * group_; ++row) as_.add(kB, kBRow);
    as_.sub(kK, units);
    // Pieces of rows that are short are over before the hardware has seen that they are streams.
    if (!single_row_) PrefetchB();
  }
  void PointToB() {
    as_.mov(kB0, kB);
    as_.lea(kB5, ptr(kB, kBRow, 2));
    as_.add(kB5, kBRow);
  }
  void PrefetchB() {
    constexpr int kLines = 4;
    PointToB();
    for (int line = 0; line < kLines; ++line)
      for (int row = 0; row < units_ * group_; ++row) as_.prefetcht0(RowOfB(row, line * kVector));
  }

  /// Into L2: in L1, rows that lie pages apart would drive each other out.
  void PrefetchAhead(int units) {
    const int lines = group_ == 1 ? vectors_ : 1;
    for (int row = 0; row < units * group_; ++row)
      for (int line = 0; line < lines; ++line) as_.prefetcht1(RowOfB(row, kAhead + line * kVector));
  }

  /// What all columns need of A lies far apart, where it would share few sets of L1 with B.
  void GatherA(int units) {
    const asmjit::Label row = as_.newLabel();
    const Gp to = kRowOfSums;
    as_.mov(kRowOfA, kA);
    as_.lea(to, Gathered());
    as_.mov(kRowsLeft, Argument(offsetof(MicroKernelArgs, rows)));
    as_.bind(row);
    for (int byte = 0; byte < units * unit_; byte += unit_) {
      const Gp word = unit_ == 8 ? Gp(kB0) : Gp(kB0.r32());
      as_.mov(word, Mem(kRowOfA, byte, static_cast<std::uint32_t>(unit_)));
      as_.mov(Mem(to, byte, static_cast<std::uint32_t>(unit_)), word);
    }
    as_.add(kRowOfA, kARow);
    as_.add(to, units * unit_);
    as_.dec(kRowsLeft);
    as_.jnz(row);
  }

  /// All rows of A, for the next columns.
  void EmitStep(int units, bool masked) {
    const asmjit::Label row = as_.newLabel();
    if (group_ > 1 || !single_row_)
      for (int unit = 0; unit < units; ++unit) LoadB(unit, masked);
    if (!masked) PrefetchAhead(units);
    if (single_row_) return EmitRow(units, kSums, masked);
    as_.lea(kRowOfA, Gathered());
    as_.mov(kRowOfSums, kSums);
    as_.mov(kRowsLeft, Argument(offsetof(MicroKernelArgs, rows)));
    as_.align(asmjit::AlignMode::kCode, 32);
    as_.bind(row);
    EmitRow(units, kRowOfSums, masked);
    as_.add(kRowOfA, units * unit_);
    as_.add(kRowOfSums, kSumsRow);
    as_.dec(kRowsLeft);
    as_.jnz(row);
  }

  void EmitRow(int units, const Gp& sums, bool masked) {
    for (int vector = 0; vector < vectors_; ++vector) sums_.Load(Sum(vector), ptr(sums, vector * kVector), -1);
    for (int unit = 0; unit < units; ++unit) {
      if (!single_row_) BroadcastA(zmm(kBroadcast), kRowOfA, unit);
      for (int vector = 0; vector < vectors_; ++vector) {
        // What is used once comes from memory.
        if (group_ == 1 && single_row_ && !masked) {
          as_.emit(Product(), Sum(vector), zmm(kFirstOfA + unit), RowOfB(unit, vector * kVector));
          continue;
        }
        if (group_ == 1 && single_row_) LoadRow(B(0, vector), unit, vector, true);
        Multiply(vector, zmm(single_row_ ? kFirstOfA + unit : kBroadcast),
                 B(group_ == 1 && single_row_ ? 0 : unit, vector));
      }
    }
    for (int vector = 0; vector < vectors_; ++vector) sums_.Store(ptr(sums, vector * kVector), Sum(vector), -1);
  }

  /// The vectors of one row of units. Those of several rows of B have their columns in the order that joining within
  /// quarters of vectors makes: see PiecesOfTile.
  void LoadB(int unit, bool masked) {
    const auto row = [&](int index) { return zmm(kFirstOfJoin + index); };
    if (group_ == 1) {
      for (int vector = 0; vector < vectors_; ++vector) LoadRow(B(unit, vector), unit, vector, masked);
      return;
    }
    for (int i = 0; i < group_; ++i) LoadRow(row(i), unit * group_ + i, 0, masked);
    if (group_ == 2) {
      as_.vpunpcklwd(B(unit, 0), row(0), row(1));
      as_.vpunpckhwd(B(unit, 1), row(0), row(1));
      return;
    }
    for (int pair = 0; pair < 2; ++pair) {
      as_.vpunpcklbw(row(4 + pair), row(2 * pair), row(2 * pair + 1));
      as_.vpunpckhbw(row(6 + pair), row(2 * pair), row(2 * pair + 1));
    }
    for (int half = 0; half < 2; ++half) {
      as_.vpunpcklwd(B(unit, 2 * half), row(4 + 2 * half), row(5 + 2 * half));
      as_.vpunpckhwd(B(unit, 2 * half + 1), row(4 + 2 * half), row(5 + 2 * half));
    }
  }
  void LoadRow(const Zmm& to, int row, int vector, bool masked) {
    if (masked) as_.k(k(1 + vector)).z();
    switch (group_) {
      case 1:
        as_.emit(unit_ == 8 ? Inst::kIdVmovupd : Inst::kIdVmovups, to, RowOfB(row, vector * kVector));
        return;
      case 2:
        as_.vmovdqu16(to, RowOfB(row, 0));
        return;
      default:
        as_.vmovdqu8(to, RowOfB(row, 0));
    }
  }
  Mem RowOfB(int row, int byte) const {
    const Gp& base = row < kRowsPerBase ? kB0 : kB5;
    switch (row % kRowsPerBase) {
      case 0:
        return ptr(base, byte);
      case 3:
        return ptr(base, kBRow3, 0, byte);
      default:
        return ptr(base, kBRow, row % kRowsPerBase / 2, byte);
    }
  }

  void BroadcastA(const Zmm& to, const Gp& row, int unit) {
    sums_.Broadcast(to, Mem(row, unit * unit_, static_cast<std::uint32_t>(unit_)));
  }
  /// The first factor of bytes is the unsigned one.
  void Multiply(int vector, const Zmm& a, const Zmm& b) {
    const bool b_first = math_ == CpuMath::kS8U8;
    as_.emit(Product(), Sum(vector), b_first ? b : a, b_first ? a : b);
  }
  Id Product() const {
    if (math_ == CpuMath::kBf16) return Inst::kIdVdpbf16ps;
    if (group_ == 4) return Inst::kIdVpdpbusd;
    return unit_ == 8 ? Inst::kIdVfmadd231pd : Inst::kIdVfmadd231ps;
  }
  Zmm B(int unit, int vector) const { return zmm(kFirstOfB + unit * vectors_ + vector); }
  static Zmm Sum(int vector) { return zmm(kFirstSum + vector); }

  Assembler& as_;
  const CpuMath math_;
  const int group_, unit_, vectors_;
  const int units_;        ///< Rows of units of B that are read at once.
  const bool single_row_;  ///< Of A, which stays in registers.
  const Vectors sums_;
};

/// Loads a vector of sums whose quarters lie apart, as LoadB had them.
void LoadQuarters(Assembler& as, const Zmm& to, const Gp& row, int vector, int group) {
  const int step = vector / group * group;
  for (int quarter = 0; quarter < 4; ++quarter) {
    const int piece = (vector - step) * 4 + quarter;
    if (quarter > 0) as.k(k(1 + quarter));
    as.vbroadcasti32x4(to, ptr(row, (step + piece % group) * kVector + piece / group * kPiece));
  }
}

}  // namespace

void EmitSweep(Assembler& assembler, const MicroKernelRecipe& recipe) { SweepEmitter(assembler, recipe).Emit(); }

void EmitSweptTile(Assembler& as, const RegisterTile& tile) {
  const CpuMath math = tile.recipe.math;
  const int group = Info(math).group;
  const Vectors sums{as, Info(math).sum, kVector, true};
  for (int quarter = 1; group > 1 && quarter < 4; ++quarter) {
    as.mov(eax, 0xf << 4 * quarter);
    as.kmovw(k(1 + quarter), eax);
  }
  as.mov(rax, Argument(offsetof(MicroKernelArgs, a)));
  as.mov(rcx, Argument(offsetof(MicroKernelArgs, a_row)));
  for (int row = 0; row < tile.rows; ++row, as.add(rax, rcx)) {
    for (int vector = 0; vector < tile.vectors; ++vector) {
      const int sum = row * tile.vectors + vector;
      if (group == 1)
        sums.Load(sums.Register(sum), ptr(rax, vector * kVector), -1);
      else
        LoadQuarters(as, zmm(sum), rax, vector, group);
    }
  }
  EmitFinish(as, tile.recipe, {0, tile.rows, tile.vectors, tile.masked, kVector, true});
  as.vzeroupper();
  as.ret();
}

}  // namespace gemmsmith
