#include "jit/x86/finish_emitter.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "jit/x86/epilogue_operands.h"
#include "jit/x86/trace_program.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;

const Gp kArgs = rdi, kC = rsi, kCRow = rdx, kD = r8, kDRow = r9, kPasses = r10, kWaiting = rsi;
// Longer code is a loop over rows: what is written once need not be assembled and fetched again.
constexpr int kMostUnrolled = 100;
constexpr int kVectorsAtOnce = 4;  // Enough to hide how long each takes.

Mem Argument(std::size_t offset) { return qword_ptr(kArgs, static_cast<std::int32_t>(offset)); }
Mem Flag(std::size_t offset) { return dword_ptr(kArgs, static_cast<std::int32_t>(offset)); }

/// The registers of a tile, and what is done to sums as they are: D = alpha * sum, + beta * C unless beta is 0 (of
/// either sign). All of a row of C is read before D is written.
class Sums {
 public:
  Sums(Assembler& assembler, const MicroKernelRecipe& recipe, const TileSums& sums)
      : as_(assembler), sums_(sums), vectors_{assembler, Info(recipe.math).sum, sums.vector_bytes, sums.avx512} {}

  const Vectors& vectors() const { return vectors_; }
  int count() const { return sums_.rows * sums_.vectors; }
  int Register(int index) const { return sums_.first + index; }
  Vec Sum(int index) const { return vectors_.Register(Register(index)); }
  bool IsMasked(int vector) const { return sums_.masked && vector + 1 == sums_.vectors; }
  /// All others but `mask`.
  std::vector<int> Free(bool without_mask) const {
    std::vector<int> free;
    for (int reg = 0; reg < (sums_.avx512 ? 32 : 16); ++reg)
      if ((reg < sums_.first || reg >= sums_.first + count()) && (!without_mask || reg != TypedMemory::kMask))
        free.push_back(reg);
    return free;
  }

  /// k1, or for AVX2 the last register, which is never a sum.
  void MakeMask() const {
    if (!sums_.masked) return;
    as_.mov(rcx, Argument(offsetof(MicroKernelArgs, columns)));
    if (sums_.vectors > 1) as_.sub(rcx, (sums_.vectors - 1) * vectors_.lanes());
    vectors_.MakeMask(TypedMemory::kMask);
  }
  /// Nearly always by 1, which short products notice.
  void Scale() const {
    const asmjit::Label is_one = as_.newLabel();
    as_.commentf("; alpha");
    const Gp bits = LoadScalar(offsetof(MicroKernelArgs, alpha));
    if (vectors_.type == DType::kF64) {
      as_.mov(kCRow, std::bit_cast<std::uint64_t>(1.0));
      as_.cmp(bits, kCRow);
    } else {
      as_.cmp(bits, vectors_.type == DType::kS32 ? 1 : std::bit_cast<std::int32_t>(1.0f));
    }
    as_.je(is_one);
    const Vec scalar = vectors_.Register(Free(true)[0]);
    Broadcast(scalar, offsetof(MicroKernelArgs, alpha));
    for (int i = 0; i < count(); ++i) vectors_.Multiply(Sum(i), Sum(i), scalar);
    as_.bind(is_one);
  }
  void JumpIfBetaIsZero(const asmjit::Label& label) const {
    as_.commentf("; beta * C");
    const Gp bits = LoadScalar(offsetof(MicroKernelArgs, beta));
    if (vectors_.type == DType::kS32)
      as_.test(bits, bits);
    else
      as_.add(bits, bits);  // Drops the sign.
    as_.jz(label);
  }
  Gp LoadScalar(std::size_t argument) const {
    const Gp bits = vectors_.element_bytes() == 8 ? Gp(rcx) : Gp(ecx);
    as_.mov(rax, Argument(argument));
    as_.mov(bits, Mem(rax, 0, static_cast<std::uint32_t>(vectors_.element_bytes())));
    return bits;
  }
  void Broadcast(const Vec& to, std::size_t argument) const {
    as_.mov(rax, Argument(argument));
    vectors_.Broadcast(to, Mem(rax, 0, static_cast<std::uint32_t>(vectors_.element_bytes())));
  }
  void LoadC() const {
    as_.mov(kC, Argument(offsetof(MicroKernelArgs, c)));
    as_.mov(kCRow, Argument(offsetof(MicroKernelArgs, c_row)));
  }
  void LoadD() const {
    as_.mov(kD, Argument(offsetof(MicroKernelArgs, d)));
    as_.mov(kDRow, Argument(offsetof(MicroKernelArgs, d_row)));
  }
  /// C is of the sums' type.
  void AddC() const {
    const asmjit::Label done = as_.newLabel();
    const std::vector<int> free = Free(true);
    const Vec beta = vectors_.Register(free[0]), loaded = vectors_.Register(free[1]);
    LoadC();
    Broadcast(beta, offsetof(MicroKernelArgs, beta));
    for (int row = 0; row < sums_.rows; ++row, as_.add(kC, kCRow)) {
      EndIfFewer(row, done);
      for (int vector = 0; vector < sums_.vectors; ++vector) {
        vectors_.Load(loaded, ptr(kC, vector * sums_.vector_bytes), IsMasked(vector) ? TypedMemory::kMask : -1);
        vectors_.MultiplyAdd(Sum(row * sums_.vectors + vector), loaded, beta);
      }
    }
    as_.bind(done);
  }
  void Store() const {
    const asmjit::Label done = as_.newLabel();
    LoadD();
    for (int row = 0; row < sums_.rows; ++row, as_.add(kD, kDRow)) {
      EndIfFewer(row, done);
      for (int vector = 0; vector < sums_.vectors; ++vector)
        vectors_.Store(ptr(kD, vector * sums_.vector_bytes), Sum(row * sums_.vectors + vector),
                       IsMasked(vector) ? TypedMemory::kMask : -1);
    }
    as_.bind(done);
  }

  /// From now on, the code is shared with an entry of `rows` rows, which comes with `passes` in kPasses.
  void ShareWithFewer(int rows, int passes) { fewer_rows_ = rows, fewer_passes_ = passes; }
  /// Leaves a loop over rows, at `row`, if there are no more.
  void EndIfFewer(int row, const asmjit::Label& end) const {
    if (fewer_rows_ == 0 || row != fewer_rows_) return;
    as_.cmp(kPasses.r32(), fewer_passes_);
    as_.je(end);
  }

 private:
  Assembler& as_;
  const TileSums sums_;
  const Vectors vectors_;
  int fewer_rows_ = 0, fewer_passes_ = 0;
};

void EmitPlain(const Sums& sums, Assembler& as) {
  const asmjit::Label store = as.newLabel();
  sums.MakeMask();
  sums.Scale();
  sums.JumpIfBetaIsZero(store);
  sums.AddC();
  as.bind(store);
  sums.Store();
}

/// sum + beta * C, for a C that must be converted.
class OtherC final : public ProgramHost {
 public:
  OtherC(const TypedMemory& memory, const Mem& beta, DType type) : memory_(memory), beta_(beta), type_(type) {}
  void Set(int sum, const Mem& c, bool masked) { sum_ = sum, c_ = c, masked_ = masked; }

  Place Find(int source) const override {
    return source == kSourceBeta ? Place::kMemory : source == kSourceC ? Place::kElsewhere : Place::kRegister;
  }
  int Register(int) const override { return sum_; }
  Mem Address(int) override { return beta_; }
  void Load(int, const Vec& to) override { memory_.Load(type_, to, c_, masked_); }
  void Sink(int, const Vec& value, const Vec&) override { result_ = static_cast<int>(value.id()); }
  int result() const { return result_; }

 private:
  const TypedMemory& memory_;
  const Mem beta_;
  const DType type_;
  int sum_ = 0, result_ = 0;
  Mem c_;
  bool masked_ = false;
};

/// All that is not plain: an epilogue, or a D of another type than the sums.
class FusedFinish {
 public:
  FusedFinish(Assembler& assembler, const MicroKernelRecipe& recipe, const TileSums& sums)
      : as_(assembler),
        recipe_(recipe),
        tile_(sums),
        sums_(assembler, recipe, sums),
        d_{(sums.vectors + recipe.columns_per_d - 1) / recipe.columns_per_d,
           sums.masked || sums.vectors % recipe.columns_per_d != 0},
        pool_(assembler, sums.avx512),
        converts_(Info(recipe.math).sum == DType::kS32 && !Info(recipe.d_type).is_integer()),
        vectors_{assembler, DType::kF32, sums.vector_bytes, sums.avx512},
        tail_(frame_.Take(kMostVectorBytes)),
        beta_(frame_.Take(kMostVectorBytes)),
        count_(frame_.Take(kMostVectorBytes)),
        memory_(vectors_, tail_, count_),
        operands_(vectors_, recipe, sums, d_, memory_, pool_, frame_),
        other_c_(memory_, beta_, recipe.d_type),
        add_c_(AddCProgram(recipe, AccumulatorType(), sums.avx512)),
        finish_(FinishProgram(recipe, AccumulatorType(), sums.avx512)),
        add_c_writer_(vectors_, add_c_, pool_, other_c_),
        writer_(vectors_, finish_, pool_, operands_),
        vectors_at_once_(VectorsAtOnce()),
        several_(finish_.Interleaved(vectors_at_once_)),
        several_writer_(vectors_, several_, pool_, operands_),
        stack_(frame_.Take(kMostVectorBytes * std::max({add_c_writer_.stack_vectors(), writer_.stack_vectors(),
                                                        several_writer_.stack_vectors()}))),
        waiting_(frame_.Take(Loops() ? sums_.count() * vectors_.vector_bytes : 0)),
        free_(sums_.Free(sums.masked || d_.masked)) {}

  void Emit(SharedFinish* shared) {
    const asmjit::Label no_c = as_.newLabel(), finish = as_.newLabel(), end = as_.newLabel();
    if (Loops()) as_.mov(kPasses.r32(), tile_.rows / RowsAtOnce());
    if (shared != nullptr) Share(*shared);
    as_.push(rbp);
    as_.mov(rbp, rsp);
    as_.and_(rsp, -kMostVectorBytes);
    as_.sub(rsp, frame_.bytes());
    sums_.MakeMask();
    sums_.Scale();
    sums_.JumpIfBetaIsZero(no_c);
    AddC();
    as_.bind(no_c);
    as_.commentf("; sums of some of k only");
    as_.cmp(Flag(offsetof(MicroKernelArgs, d_is_sum)), 0);
    as_.je(finish);
    sums_.Store();
    as_.jmp(end);
    as_.bind(finish);
    as_.commentf("; the epilogue, and D's type");
    if (converts_) Convert();
    EmitRows();
    as_.bind(end);
    as_.mov(rsp, rbp);
    as_.pop(rbp);
    pool_.Emit();
  }

 private:
  static constexpr int kMostVectorBytes = 64;

  /// With an entry of fewer rows, if the loop over rows can end after them.
  void Share(SharedFinish& shared) {
    if (!Loops() || shared.fewer_rows == 0 || shared.fewer_rows % RowsAtOnce() != 0) return;
    shared.passes = shared.fewer_rows / RowsAtOnce();
    shared.finish = as_.newLabel();
    as_.bind(*shared.finish);
    sums_.ShareWithFewer(shared.fewer_rows, shared.passes);
  }

  /// What the programs see.
  DType AccumulatorType() const { return converts_ ? DType::kF32 : Info(recipe_.math).sum; }

  /// C as it is where it holds sums; all else is converted. To integer sums, a C that has fractions is added when they
  /// have become f32.
  void AddC() {
    const asmjit::Label from_c = as_.newLabel(), done = as_.newLabel();
    const bool differs = recipe_.d_type != Info(recipe_.math).sum;
    if (differs) {
      as_.cmp(Flag(offsetof(MicroKernelArgs, c_is_sum)), 0);
      as_.je(from_c);
    }
    sums_.AddC();
    if (differs) {
      as_.jmp(done);
      as_.bind(from_c);
      if (!converts_) AddOtherC();
    }
    as_.bind(done);
  }

  void AddOtherC() {
    const asmjit::Label done = as_.newLabel();
    const Vec beta = vectors_.Register(free_[0]);
    sums_.LoadC();
    sums_.Broadcast(beta, offsetof(MicroKernelArgs, beta));
    if (converts_) as_.vcvtdq2ps(beta, beta);
    as_.vmovups(beta_, beta);
    KeepCount(tile_.masked, tile_.vectors, 1);
    const int size = static_cast<int>(SizeOf(recipe_.d_type));
    for (int i = 0; i < sums_.count(); ++i) {
      const int vector = i % tile_.vectors;
      if (vector == 0) sums_.EndIfFewer(i / tile_.vectors, done);
      other_c_.Set(sums_.Register(i), ptr(kC, vector * vectors_.lanes() * size), sums_.IsMasked(vector));
      std::vector<int> registers = free_;
      registers.push_back(sums_.Register(i));
      add_c_writer_.Write(registers, stack_);
      if (other_c_.result() != sums_.Register(i)) as_.vmovaps(sums_.Sum(i), vectors_.Register(other_c_.result()));
      if (vector + 1 == tile_.vectors) as_.add(kC, kCRow);
    }
    as_.bind(done);
  }

  /// Where AVX2 has masks for longer elements only, lanes are counted.
  void KeepCount(bool masked, int vectors, int columns_per_vector) {
    if (!masked) return;
    as_.mov(rcx, Argument(offsetof(MicroKernelArgs, columns)));
    if (columns_per_vector == 2) as_.shr(rcx, 1);
    if (vectors > 1) as_.sub(rcx, (vectors - 1) * vectors_.lanes());
    as_.mov(count_, rcx);
  }

  void Convert() {
    const asmjit::Label done = as_.newLabel();
    for (int i = 0; i < sums_.count(); ++i) as_.vcvtdq2ps(sums_.Sum(i), sums_.Sum(i));
    as_.cmp(Flag(offsetof(MicroKernelArgs, c_is_sum)), 0);
    as_.jne(done);
    sums_.JumpIfBetaIsZero(done);
    AddOtherC();
    as_.bind(done);
  }

  void EmitRows() {
    KeepCount(tile_.masked, tile_.vectors, 1);
    if (recipe_.epilogue_id != 0) operands_.PrepareProduct(free_);
    if (recipe_.columns_per_d == 2 && d_.masked) {
      KeepCount(true, d_.groups, 2);
      vectors_.MakeMask(TypedMemory::kMask);
    }
    if (recipe_.epilogue_id != 0) operands_.PrepareD(free_);
    sums_.LoadD();
    if (Loops()) {
      EmitRowLoop();
    } else {
      std::vector<int> registers = free_;
      for (int row = 0; row < tile_.rows; ++row) EmitRow(row, registers, false);
    }
    operands_.EndTile(free_);
  }

  /// Sums wait on the stack, so that programs of several vectors have registers, and constants too.
  void EmitRowLoop() {
    const int rows = RowsAtOnce(), bytes = vectors_.vector_bytes;
    for (int i = 0; i < sums_.count(); ++i) as_.vmovups(waiting_.cloneAdjusted(i * bytes), sums_.Sum(i));
    as_.lea(kWaiting, waiting_);
    std::vector<int> registers = free_;
    for (int i = 0; i < sums_.count(); ++i) registers.push_back(sums_.Register(i));
    constexpr int kLoaded = 2;  // Operands that come from memory and are used at once.
    const std::ptrdiff_t needed = std::max(ProgramWriter::kFewestRegisters, several_writer_.stack_vectors() + kLoaded);
    const auto rest = registers.begin() + std::min(std::ssize(registers), needed);
    several_writer_.KeepConstants({rest, registers.end()});
    registers.erase(rest, registers.end());

    const asmjit::Label again = as_.newLabel();
    as_.align(asmjit::AlignMode::kCode, 32);
    as_.bind(again);
    for (int row = 0; row < rows; ++row) EmitRow(row, registers, true);
    as_.add(kWaiting, rows * tile_.vectors * bytes);
    as_.dec(kPasses.r32());
    as_.jnz(again);
  }

  bool Loops() const { return RowsAtOnce() != tile_.rows; }
  /// All, or a divisor.
  int RowsAtOnce() const {
    if (writer_.size() * d_.groups * tile_.rows <= kMostUnrolled) return tile_.rows;
    for (int rows = 1; rows < tile_.rows; ++rows)
      if (tile_.rows % rows == 0 && rows * d_.groups >= kVectorsAtOnce) return rows;
    return tile_.rows % 2 != 0 || tile_.rows == 2 ? 1 : tile_.rows / 2;
  }

  /// Of a row whose sums wait: as many as leave each of them enough registers, and divide the row.
  int VectorsAtOnce() const {
    const int registers = sums_.count() + static_cast<int>(sums_.Free(true).size());
    for (int vectors = kVectorsAtOnce; vectors > 1; --vectors)
      if (recipe_.columns_per_d == 1 && d_.groups % vectors == 0 &&
          vectors * (writer_.stack_vectors() + 1) <= registers)
        return vectors;
    return 1;
  }

  /// Sums of `row` are in registers, which become free, or wait from kWaiting on.
  void EmitRow(int row, std::vector<int>& registers, bool wait) {
    operands_.StartRow();
    for (int group = 0; group < d_.groups; group += wait ? vectors_at_once_ : 1) {
      const int low = row * tile_.vectors + recipe_.columns_per_d * group;
      const int high = std::min(low + recipe_.columns_per_d, (row + 1) * tile_.vectors) - 1;
      if (wait && recipe_.columns_per_d == 1) {
        operands_.SetVector(group, Waiting(low));
      } else {
        const int x = wait ? FetchWaiting(low, registers[2]) : sums_.Register(low);
        const int y = low == high ? x : wait ? FetchWaiting(high, registers[3]) : sums_.Register(high);
        if (!wait) registers.insert(registers.end(), {x, y});
        SetSums(group, x, y, registers);
      }
      (wait ? several_writer_ : writer_).Write(registers, stack_);
    }
    operands_.EndRow(registers);
    as_.add(kD, kDRow);
  }
  Mem Waiting(int index) const { return ptr(kWaiting, index * vectors_.vector_bytes); }
  int FetchWaiting(int index, int to) {
    as_.vmovups(vectors_.Register(to), Waiting(index));
    return to;
  }
  void SetSums(int group, int x, int y, const std::vector<int>& free) {
    if (recipe_.columns_per_d == 1) return operands_.SetVector(group, x, -1);
    operands_.PickColumns(x, y, free[0], 0);
    operands_.PickColumns(x, y, free[1], 1);
    operands_.SetVector(group, free[0], free[1]);
  }

  Assembler& as_;
  const MicroKernelRecipe& recipe_;
  const TileSums tile_;
  Sums sums_;
  const TileOfD d_;
  ConstantPool pool_;
  const bool converts_;  ///< Integer sums, which become f32 because D has fractions.
  const Vectors vectors_;
  StackFrame frame_;
  const Mem tail_, beta_, count_;
  const TypedMemory memory_;
  EpilogueOperands operands_;
  OtherC other_c_;
  const VectorProgram add_c_, finish_;
  ProgramWriter add_c_writer_, writer_;
  const int vectors_at_once_;
  const VectorProgram several_;
  ProgramWriter several_writer_;
  const Mem stack_, waiting_;
  const std::vector<int> free_;
};

}  // namespace

void EmitFinish(Assembler& assembler, const MicroKernelRecipe& recipe, const TileSums& sums, SharedFinish* shared) {
  const DType sum = Info(recipe.math).sum;
  if (recipe.plain()) return EmitPlain(Sums(assembler, recipe, sums), assembler);
  if (sum == DType::kF64 || recipe.d_type == DType::kF64)
    throw Fail(Code::kUnsupported, "", "x86: sums in {} with an epilogue, or stored as {}", ToString(sum),
               ToString(recipe.d_type));
  FusedFinish(assembler, recipe, sums).Emit(shared);
}

bool GoOnInShared(Assembler& assembler, const SharedFinish& shared, int rows) {
  if (!shared.finish || rows != shared.fewer_rows) return false;
  assembler.mov(kPasses.r32(), shared.passes);
  assembler.jmp(*shared.finish);
  return true;
}

}  // namespace gemmsmith
