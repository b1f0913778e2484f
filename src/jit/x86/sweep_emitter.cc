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
constexpr int kMostRowsOfB = 8, kFewRowsOfB = 4, kRowsPerBase = 5;
constexpr int kMostRereads = 4;  // By rows of A: more take longer than memory.
// For all of a sweep.
const Gp kA = rsi, kB = rdx, kBRow = rcx, kBRow3 = r8, kK = r9, kARow = r14, kSumsRow = r15, kSumsRow3 = r10;
// For a step of columns: B from its first row and from the fifth after it, what of it comes nearer, and the sums.
const Gp kStepsLeft = r12, kB0 = r11, kB5 = rax, kNext0 = r13, kNext5 = rbp, kSums0 = rbx, kSums5 = rdi;
const Gp kArgs = rdi;  // Until the first pass.
const Gp kSaved[] = {rbx, rbp, r12, r13, r14, r15};
// Vectors of B, which leave some free for a single row of A; of rows that are joined to them; of sums.
constexpr int kFirstOfB = 0, kFirstOfA = 8, kFirstOfJoin = 16, kFirstSum = 24, kBroadcast = 28;
// Where the sums of several rows of A are held at once.
constexpr int kFirstBroadcast = 4, kBroadcasts = 4, kFirstOfSums = 8;

// On the stack: two words, and what of A is worked on, of 8 bytes at most each.
constexpr int kFrame = 64 + kMostSweptRows * kMostRowsOfB * 8;
Mem WholeSteps() { return qword_ptr(rsp); }
Mem Sums() { return qword_ptr(rsp, 8); }
constexpr int kGathered = 64;

Mem Argument(std::size_t offset) { return qword_ptr(kArgs, static_cast<std::int32_t>(offset)); }

class SweepEmitter {
 public:
  SweepEmitter(Assembler& assembler, const MicroKernelRecipe& recipe)
      : as_(assembler),
        math_(recipe.math),
        group_(Info(math_).group),
        unit_(Info(math_).unit_bytes),
        rows_(recipe.mr),
        vectors_(group_ > 1   ? group_
                 : rows_ > 1  ? 4
                 : recipe.far ? 1
                              : 2),
        units_(recipe.sweep / group_),
        rereads_(recipe.far != 0 && rows_ <= kMostRereads),
        ahead_(recipe.far != 0              ? 0
               : recipe.sweep > kFewRowsOfB ? 1024
                                            : 4096),
        sums_{assembler, Info(math_).sum, kVector, true} {
    if (math_ == CpuMath::kS16 || units_ < 1 || recipe.sweep % group_ != 0 || recipe.sweep > kMostRowsOfB ||
        rows_ > kMostSweptRows)
      throw Fail(Code::kUnsupported, "", "avx512: no sweep of {} rows of B as {} for {} of A", recipe.sweep,
                 Info(math_).name, rows_);
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
  /// Keeps the number of whole steps of columns. k1 on: the valid elements of vectors of B in a step after these.
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
    for (int vector = 0; vector < vectors_; ++vector, as_.shr(rax, lanes)) as_.kmovq(k(1 + vector), rax);
    as_.mov(kA, Argument(offsetof(MicroKernelArgs, a)));
    as_.mov(kARow, Argument(offsetof(MicroKernelArgs, a_row)));
    as_.mov(kB, Argument(offsetof(MicroKernelArgs, b)));
    as_.mov(kBRow, Argument(offsetof(MicroKernelArgs, b_step)));
    as_.lea(kBRow3, ptr(kBRow, kBRow, 1));
    as_.mov(kSumsRow, Argument(offsetof(MicroKernelArgs, d_row)));
    as_.lea(kSumsRow3, ptr(kSumsRow, kSumsRow, 1));
    as_.mov(kK, Argument(offsetof(MicroKernelArgs, k)));
    as_.mov(rax, Argument(offsetof(MicroKernelArgs, d)));
    as_.mov(Sums(), rax);
  }

  /// All columns, for `units` of k.
  void EmitPass(int units) {
    const asmjit::Label step = as_.newLabel(), tail = as_.newLabel(), done = as_.newLabel();
    const int bytes = (group_ == 1 ? vectors_ : 1) * kVector;
    if (rows_ == 1)
      for (int unit = 0; unit < units; ++unit) BroadcastA(zmm(kFirstOfA + unit), kA, unit);
    else
      GatherA(units);
    as_.mov(kB0, kB);
    PointAfter(kB5, kB0);
    if (ahead_ != 0) {
      as_.lea(kNext0, ptr(kB0, ahead_));
      as_.lea(kNext5, ptr(kB5, ahead_));
    }
    as_.mov(kSums0, Sums());
    if (rows_ > kRowsPerBase) {
      as_.lea(kSums5, ptr(kSums0, kSumsRow, 2));
      as_.add(kSums5, kSumsRow);
    }
    as_.mov(kStepsLeft, WholeSteps());
    as_.test(kStepsLeft, kStepsLeft);
    as_.jz(tail);
    const asmjit::Label turn = as_.newLabel();
    if (ahead_ != 0) {
      as_.cmp(kStepsLeft, ahead_ / bytes);
      as_.ja(step);
      as_.bind(turn);
    }
    PointToNextPass(units);
    as_.align(asmjit::AlignMode::kCode, 32);
    as_.bind(step);
    EmitStep(units, false);
    for (const Gp& of_b : {kB0, kB5, kNext0, kNext5}) as_.add(of_b, bytes);
    as_.add(kSums0, vectors_ * kVector);
    if (rows_ > kRowsPerBase) as_.add(kSums5, vectors_ * kVector);
    as_.dec(kStepsLeft);
    if (ahead_ == 0) {
      as_.jnz(step);
    } else {
      as_.jz(tail);
      as_.cmp(kStepsLeft, ahead_ / bytes);
      as_.jne(step);
      as_.jmp(turn);
    }
    as_.bind(tail);
    as_.kortestq(k1, k1);
    as_.jz(done);
    EmitStep(units, true);
    as_.bind(done);
    as_.add(kA, units * unit_);
    for (int row = 0; row < units * group_; ++row) as_.add(kB, kBRow);
    as_.sub(kK, units);
  }
  /// `fifth`: kRowsPerBase rows of B after `first`.
  void PointAfter(const Gp& fifth, const Gp& first) {
    as_.lea(fifth, ptr(first, kBRow, 2));
    as_.add(fifth, kBRow);
  }
  /// From the end of these rows of B on to the begin of the ones after them.
  void PointToNextPass(int units) {
    as_.mov(kNext0, kB);
    for (int row = 0; row < units * group_; ++row) as_.add(kNext0, kBRow);
    PointAfter(kNext5, kNext0);
  }
  /// Into L2: in L1, rows that lie pages apart would drive each other out.
  void PrefetchAhead(int units) {
    const int lines = group_ == 1 ? vectors_ : 1;
    for (int row = 0; row < units * group_; ++row)
      for (int line = 0; line < lines; ++line) as_.prefetcht1(RowOfB(kNext0, kNext5, row, line * kVector));
  }

  /// What all columns need of A lies far apart, where it would share few sets of L1 with B.
  void GatherA(int units) {
    const Gp word = unit_ == 8 ? Gp(kNext0) : Gp(kNext0.r32());
    as_.mov(kB0, kA);
    for (int row = 0; row < rows_; ++row) {
      for (int unit = 0; unit < units; ++unit) {
        as_.mov(word, Mem(kB0, unit * unit_, static_cast<std::uint32_t>(unit_)));
        as_.mov(Gathered(row, unit), word);
      }
      as_.add(kB0, kARow);
    }
  }
  Mem Gathered(int row, int unit) const {
    return Mem(rsp, kGathered + (row * units_ + unit) * unit_, static_cast<std::uint32_t>(unit_));
  }

  /// All rows of A, for the next columns.
  void EmitStep(int units, bool masked) {
    if (rows_ > 1 && group_ == 1) return EmitStepOfAllRows(units, masked);
    if (group_ > 1)
      for (int unit = 0; unit < units; ++unit) JoinB(unit, masked);
    if (!masked) PrefetchAhead(units);
    for (int row = 0; row < rows_; ++row) EmitRow(units, row, masked);
  }
  /// Sums stay in registers for all units.
  void EmitStepOfAllRows(int units, bool masked) {
    const auto sum = [&](int row, int vector) { return zmm(kFirstOfSums + row * vectors_ + vector); };
    const bool loads = masked || !rereads_;
    if (!masked) PrefetchAhead(units);
    for (int row = 0; row < rows_; ++row)
      for (int vector = 0; vector < vectors_; ++vector) sums_.Load(sum(row, vector), SumsOf(row, vector), -1);
    for (int unit = 0; unit < units; ++unit) {
      for (int vector = 0; loads && vector < vectors_; ++vector) LoadRow(B(0, vector), unit, vector, masked);
      for (int row = 0; row < rows_; ++row) {
        const Zmm a = zmm(kFirstBroadcast + row % kBroadcasts);
        sums_.Broadcast(a, Gathered(row, unit));
        for (int vector = 0; vector < vectors_; ++vector) {
          if (loads)
            as_.emit(Product(), sum(row, vector), a, B(0, vector));
          else
            as_.emit(Product(), sum(row, vector), a, RowOfB(kB0, kB5, unit, vector * kVector));
        }
      }
    }
    for (int row = 0; row < rows_; ++row)
      for (int vector = 0; vector < vectors_; ++vector) sums_.Store(SumsOf(row, vector), sum(row, vector), -1);
  }

  void EmitRow(int units, int row, bool masked) {
    for (int vector = 0; vector < vectors_; ++vector) sums_.Load(Sum(vector), SumsOf(row, vector), -1);
    for (int unit = 0; unit < units; ++unit) {
      const Zmm a = zmm(rows_ == 1 ? kFirstOfA + unit : kBroadcast);
      if (rows_ > 1) sums_.Broadcast(a, Gathered(row, unit));
      for (int vector = 0; vector < vectors_; ++vector) {
        if (group_ > 1) {
          Multiply(vector, a, B(unit, vector));
        } else if (masked) {
          LoadRow(B(0, vector), unit, vector, true);
          Multiply(vector, a, B(0, vector));
        } else {  // What is used once comes from memory.
          as_.emit(Product(), Sum(vector), a, RowOfB(kB0, kB5, unit, vector * kVector));
        }
      }
    }
    for (int vector = 0; vector < vectors_; ++vector) sums_.Store(SumsOf(row, vector), Sum(vector), -1);
  }

  /// The vectors of one row of units, of several rows of B, with their columns in the order that joining within
  /// quarters of vectors makes: see PiecesOfTile.
  void JoinB(int unit, bool masked) {
    const auto row = [&](int index) { return zmm(kFirstOfJoin + index); };
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
    const Mem from = RowOfB(kB0, kB5, row, vector * kVector);
    switch (group_) {
      case 1:
        as_.emit(unit_ == 8 ? Inst::kIdVmovupd : Inst::kIdVmovups, to, from);
        return;
      case 2:
        as_.vmovdqu16(to, from);
        return;
      default:
        as_.vmovdqu8(to, from);
    }
  }
  static Mem RowOfB(const Gp& first, const Gp& fifth, int row, int byte) {
    return RowAfter(row < kRowsPerBase ? first : fifth, kBRow, kBRow3, row % kRowsPerBase, byte);
  }
  static Mem SumsOf(int row, int vector) {
    return RowAfter(row < kRowsPerBase ? kSums0 : kSums5, kSumsRow, kSumsRow3, row % kRowsPerBase, vector * kVector);
  }
  static Mem RowAfter(const Gp& base, const Gp& stride, const Gp& stride3, int row, int byte) {
    if (row == 0) return ptr(base, byte);
    return row == 3 ? ptr(base, stride3, 0, byte) : ptr(base, stride, row / 2, byte);
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
  const int group_, unit_;
  const int rows_;  ///< Of A. A single one stays in registers.
  const int vectors_;
  const int units_;     ///< Rows of units of B that are read at once.
  const bool rereads_;  ///< Each row of A, B.
  /// Bytes along each row of B: the hardware follows so many streams, but not far enough. 0: as far as the same columns
  /// of the rows after these, which does not bring what another thread reads beyond the last of them.
  const int ahead_;
  const Vectors sums_;
};

/// Loads a vector of sums whose quarters lie apart, as JoinB had them.
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
