#include "jit/x86/tile_emitter.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "jit/x86/finish_emitter.h"
#include "jit/x86/listing.h"
#include "jit/x86/sweep_emitter.h"
#include "util/log.h"

extern "C" FILE* gemmsmith_asmjit_stderr;

namespace gemmsmith {
namespace {

// A linker that takes objects from an archive brings asmjit_stderr.cc along because this names its variable.
[[gnu::used]] FILE** const kAsmjitStderr = &gemmsmith_asmjit_stderr;

using namespace asmjit::x86;

// One pointer reaches five rows of A: at 0, 1, 2, 3 and 4 times the row stride, by scaled index.
constexpr int kRowsPerBase = 5;
const Gp kBases[] = {rax, r11, rbx, rbp, r12, r13};
constexpr int kScratchBases = 2;  // The first of kBases need not be saved for the caller.
const Gp kArgs = rdi, kB = rsi, kBStep = rdx, kK = rcx, kARow = r8, kARow3 = r9, kACol = r10, kAhead = r14, kLast = r15;
const Gp kAheadStep = kBases[1], kAddressOfD = kARow3, kPartsOfD = kARow;  // Free where rows of A are adjacent.
// Where rows of B are joined: from one to the next, and three times that. There are fewer bases then.
const Gp kBRow = r12, kBRow3 = r13;
constexpr int kMostBasesWithJoins = 4;
const Gp kKept = kBases[kMostBasesWithJoins - 1];  // One fewer where they are kept.

constexpr int kLine = 64;       // Bytes of a cache line.
constexpr int kLastSteps = 64;  // Of k: as long as memory takes to bring D.
constexpr int kShortK = 24;     // Below it, prefetching D costs more than it hides.

/// The row of B `row` rows after that of `base`.
Mem RowAfter(const Gp& base, int row, int byte) {
  if (row == 0) return ptr(base, byte);
  return row == 3 ? ptr(base, kBRow3, 0, byte) : ptr(base, kBRow, row == 2 ? 1 : 0, byte);
}

Mem Argument(std::size_t offset) { return qword_ptr(kArgs, static_cast<std::int32_t>(offset)); }

}  // namespace

int BasesFor(int rows) { return (rows + kRowsPerBase - 1) / kRowsPerBase; }

int TileEmitter::bases() const { return BasesFor(tile_.rows); }

/// The same for entries that may share their end.
int TileEmitter::saved_bases() const {
  if (tile_.recipe.joins != 0) return static_cast<int>(std::size(kBases)) - kScratchBases;
  return std::max(0, BasesFor(tile_.recipe.mr) - kScratchBases);
}

void TileEmitter::Emit() {
  if (tile_.recipe.adjacent == 0 && tile_.recipe.fetch_every > 1)
    throw Fail(Code::kUnsupported, "", "x86: fetches every {} steps where rows of A lie apart",
               tile_.recipe.fetch_every);
  if (joins() && bases() > kMostBasesWithJoins - (tile_.keeps ? 1 : 0))
    throw Fail(Code::kUnsupported, "", "x86: rows of B are not joined for {} rows of A", tile_.rows);
  for (int i = 0; i < saved_bases(); ++i) as_.push(kBases[kScratchBases + i]);
  as_.push(kAhead);
  as_.push(kLast);

  if (tile_.masked) {
    as_.mov(rcx, Argument(offsetof(MicroKernelArgs, columns)));
    if (tile_.vectors > 1) as_.sub(rcx, (tile_.vectors - 1) * lanes());
    MakeMask();
  }
  if (joins()) PrepareJoins();
  if (tail_steps() > 1) PrepareTail();
  LoadArguments();
  StartSums();

  if (tile_.recipe.fetch_every > 1) {
    EmitChunks();
  } else {
    SplitK();
    EmitLoop(tile_.recipe.adjacent != 0 ? Rows::kAdjacent : Rows::kStrided);
  }
  if (sums_columns()) SubtractColumns();
  if (sums_columns() && tile_.keeps) KeepColumns();
  if (tail_steps() > 1) SumTail();
  EmitEnd();
}

void TileEmitter::EmitEnd() {
  std::optional<asmjit::Label>& sums = tile_.shared->sums;
  if (tile_.keeps && sums) return static_cast<void>(as_.jmp(*sums));
  if (tile_.recipe.keeps != 0 && tile_.rows == tile_.recipe.mr) {
    sums = as_.newLabel();
    as_.bind(*sums);
  }
  if (GoOnInShared(as_, *tile_.shared, tile_.rows)) return;
  EmitFinish(as_, tile_.recipe, {0, tile_.rows, tile_.vectors, tile_.masked, vector_bytes_, Sums().avx512},
             tile_.shared);
  as_.vzeroupper();
  as_.pop(kLast);
  as_.pop(kAhead);
  for (int i = saved_bases() - 1; i >= 0; --i) as_.pop(kBases[kScratchBases + i]);
  as_.ret();
}

void TileEmitter::LoadArguments() {
  as_.mov(kBases[0], Argument(offsetof(MicroKernelArgs, a)));
  as_.mov(kB, Argument(offsetof(MicroKernelArgs, b)));
  as_.mov(kBStep, Argument(offsetof(MicroKernelArgs, b_step)));
  as_.mov(kARow, Argument(offsetof(MicroKernelArgs, a_row)));
  as_.mov(kACol, Argument(offsetof(MicroKernelArgs, a_col)));
  if (joins()) {
    as_.mov(kBRow, kBStep);
    as_.shr(kBRow, Info(math_).group == 2 ? 1 : 2);
    as_.lea(kBRow3, ptr(kBRow, kBRow, 1));
  }
  as_.lea(kARow3, ptr(kARow, kARow, 1));
  as_.lea(kAhead, ptr(kARow, kARow, 2));
  for (int i = 1; i < bases(); ++i) as_.lea(kBases[i], ptr(kBases[i - 1], kAhead));
  as_.mov(kAhead, Argument(offsetof(MicroKernelArgs, ahead)));
  if (tile_.keeps) as_.mov(kKept, Argument(offsetof(MicroKernelArgs, kept)));
}

/// 0, or what each column's sums begin with.
void TileEmitter::StartSums() {
  const Vectors sums = Sums();
  const asmjit::Label zero = as_.newLabel(), done = as_.newLabel();
  if (tile_.recipe.starts != 0 && !joins()) {
    constexpr int kLog2Of128 = 7;
    as_.mov(kLast, Argument(offsetof(MicroKernelArgs, start)));
    as_.test(kLast, kLast);
    as_.jz(zero);
    const bool counts_more = math_ == CpuMath::kU8S8;  // A counts 128 more than it is; else 128 less.
    const Vec nothing = sums.Register(tile_.rows * tile_.vectors);
    if (counts_more) sums.Clear(nothing);
    // Whole vectors: a panel's first row has them all.
    for (int vector = 0; vector < tile_.vectors; ++vector) {
      const Vec sum = sums.Register(vector);
      sums.Load(sum, ptr(kLast, vector * vector_bytes_), -1);
      as_.vpslld(sum, sum, kLog2Of128);
      if (counts_more) as_.vpsubd(sum, nothing, sum);
    }
    for (int i = tile_.vectors; i < tile_.rows * tile_.vectors; ++i)
      as_.vmovaps(sums.Register(i), sums.Register(i % tile_.vectors));
    as_.jmp(done);
    as_.bind(zero);
  }
  for (int i = 0; i < (tile_.rows + (sums_columns() ? 1 : 0)) * tile_.vectors; ++i) sums.Clear(sums.Register(i));
  as_.bind(done);
}

void TileEmitter::SubtractColumns() {
  const Vectors sums = Sums();
  const int all = tile_.rows * tile_.vectors;
  for (int i = 0; i < all; ++i) as_.vpsubd(sums.Register(i), sums.Register(i), sums.Register(all + i % tile_.vectors));
}

void TileEmitter::KeepColumns() {
  as_.mov(kKept, Argument(offsetof(MicroKernelArgs, kept)));
  as_.sub(kKept, tile_.recipe.nr * unit_bytes());
  for (int vector = 0; vector < tile_.vectors; ++vector) KeepSums(vector, ptr(kKept, vector * vector_bytes_));
}

/// kLast: the last steps of k, at whose begin D is fetched; earlier, B would drive it out of L1 again. kK: those
/// before.
void TileEmitter::SplitK() {
  const asmjit::Label ready = as_.newLabel();
  as_.mov(kK, Argument(offsetof(MicroKernelArgs, k)));
  as_.xor_(kLast.r32(), kLast.r32());
  as_.cmp(kK, kShortK);
  as_.jl(ready);
  as_.mov(kLast.r32(), kLastSteps);
  as_.cmp(kK, kLast);
  as_.cmovl(kLast, kK);
  as_.sub(kK, kLast);
  as_.bind(ready);
}

int TileEmitter::LinesOfD() const {
  const int bytes =
      tile_.vectors * lanes() / tile_.recipe.columns_per_d * static_cast<int>(SizeOf(tile_.recipe.d_type));
  return (bytes + kLine - 1) / kLine;
}

void TileEmitter::PrefetchD(const Gp& address) {
  as_.mov(address, Argument(offsetof(MicroKernelArgs, d)));
  for (int row = 0; row < tile_.rows; ++row) {
    for (int line = 0; line < LinesOfD(); ++line) as_.prefetchw(ptr(address, line * kLine));
    if (row + 1 < tile_.rows) as_.add(address, Argument(offsetof(MicroKernelArgs, d_row)));
  }
}

/// Some lines of D with each chunk: all at once would keep lines of B waiting. A part is a number of rows, or, of few
/// rows, half a row.
struct TileEmitter::PartsOfD {
  int lines, rows;  ///< Of D's row; of a part.
  bool halves;
  int count(int of_rows) const { return halves ? 2 * of_rows : (of_rows + rows - 1) / rows; }
};

TileEmitter::PartsOfD TileEmitter::SplitD() const {
  const int lines = LinesOfD(), steps = tile_.recipe.fetch_every;
  return {lines, (tile_.rows * steps + kStepsOfD - 1) / kStepsOfD, lines > 1 && 2 * tile_.rows * steps <= kStepsOfD};
}

/// kPartsOfD: those left.
void TileEmitter::PrefetchPartOfD() {
  const PartsOfD parts = SplitD();
  const asmjit::Label done = as_.newLabel();
  as_.cmp(kLast, kLastSteps);
  as_.jg(done);
  as_.test(kPartsOfD, kPartsOfD);
  as_.jz(done);
  as_.dec(kPartsOfD);
  if (parts.halves) {
    const int half = (parts.lines + 1) / 2;
    for (int line = 0; line < half; ++line) as_.prefetchw(ptr(kAddressOfD, line * kLine));
    as_.add(kAddressOfD, half * kLine);
    as_.test(kPartsOfD, 1);
    as_.jnz(done);
    as_.sub(kAddressOfD, 2 * half * kLine);
    as_.add(kAddressOfD, Argument(offsetof(MicroKernelArgs, d_row)));
  }
  for (int row = 0; row < parts.rows && !parts.halves; ++row) {
    for (int line = 0; line < parts.lines; ++line) as_.prefetchw(ptr(kAddressOfD, line * kLine));
    as_.add(kAddressOfD, Argument(offsetof(MicroKernelArgs, d_row)));
  }
  as_.bind(done);
}

void TileEmitter::EmitLoop(Rows rows) {
  // Small tiles are unrolled until the loop's own instructions do not count.
  const int unroll = tail_steps() > 1 ? tail_steps() : std::clamp(32 / (tile_.rows * tile_.vectors), 1, 4);
  const asmjit::Label main = as_.newLabel(), rest = as_.newLabel(), single = as_.newLabel(), end = as_.newLabel(),
                      again = as_.newLabel(), done = as_.newLabel();
  as_.bind(again);
  if (unroll > 1) {
    as_.sub(kK, unroll);
    as_.jl(rest);
    as_.align(asmjit::AlignMode::kCode, 32);
    as_.bind(main);
    if (tail_steps() > 1)
      EmitTailProducts(unroll);
    else
      for (int i = 0; i < unroll; ++i) EmitStep(rows);
    as_.sub(kK, unroll);
    as_.jge(main);
    as_.bind(rest);
    as_.add(kK, unroll);
  }
  as_.test(kK, kK);
  as_.jle(end);
  as_.align(asmjit::AlignMode::kCode, 32);
  as_.bind(single);
  if (tail_steps() > 1)
    EmitTailProducts(1);
  else
    EmitStep(rows);
  as_.dec(kK);
  as_.jnz(single);
  as_.bind(end);
  as_.test(kLast, kLast);
  as_.jz(done);
  PrefetchD(kK);
  as_.mov(kK, kLast);
  as_.xor_(kLast.r32(), kLast.r32());
  as_.jmp(again);
  as_.bind(done);
}

/// kK: the steps of a chunk, of which the last may be short; kLast: those left.
void TileEmitter::EmitChunks() {
  const int steps = tile_.recipe.fetch_every;
  const asmjit::Label chunk = as_.newLabel(), step = as_.newLabel(), done = as_.newLabel();
  as_.mov(kAheadStep, Argument(offsetof(MicroKernelArgs, ahead_step)));
  as_.mov(kLast, Argument(offsetof(MicroKernelArgs, k)));
  as_.test(kLast, kLast);
  as_.jle(done);
  as_.mov(kAddressOfD, Argument(offsetof(MicroKernelArgs, d)));
  as_.mov(kPartsOfD.r32(), SplitD().count(tile_.rows));
  as_.bind(chunk);
  PrefetchPartOfD();
  for (int line = 0; line < tile_.recipe.fetch; ++line) as_.prefetcht1(ptr(kAhead, line * kLine));
  as_.add(kAhead, kAheadStep);
  as_.mov(kK.r32(), steps);
  as_.cmp(kLast, kK);
  as_.cmovl(kK, kLast);
  as_.sub(kLast, kK);
  as_.align(asmjit::AlignMode::kCode, 32);
  as_.bind(step);
  EmitProducts(Rows::kAdjacent);
  as_.dec(kK);
  as_.jnz(step);
  as_.test(kLast, kLast);
  as_.jnz(chunk);
  as_.bind(done);
}

void TileEmitter::EmitStep(Rows rows) {
  PrefetchB();
  EmitProducts(rows);
  as_.add(kAhead, kBStep);
}

void TileEmitter::EmitProducts(Rows rows) {
  for (int vector = 0; vector < tile_.vectors; ++vector) {
    if (joins())
      JoinB(vector);
    else
      LoadB(vector, ptr(kB, vector * vector_bytes_));
  }
  if (tile_.keeps) {
    for (int vector = 0; vector < tile_.vectors; ++vector) KeepB(vector, ptr(kKept, vector * vector_bytes_));
    as_.add(kKept, tile_.recipe.nr * unit_bytes());
  }
  if (sums_columns()) SumColumns();
  for (int row = 0; row < tile_.rows; ++row) MultiplyRow(row, AddressOfA(rows, row), tile_.vectors);
  as_.add(kB, kBStep);
  const int moving = rows == Rows::kAdjacent ? 1 : bases();
  for (int i = 0; i < moving; ++i) as_.add(kBases[i], kACol);
}

/// All of tail_steps(), or a single one.
void TileEmitter::EmitTailProducts(int steps) {
  const int whole = tile_.vectors - 1;
  for (int step = 0; step < steps; ++step) {
    PrefetchB();
    for (int vector = 0; vector < whole; ++vector) LoadB(vector, ptr(kB, vector * vector_bytes_));
    LoadTail(step, ptr(kB, whole * vector_bytes_));
    for (int row = 0; row < tile_.rows && whole > 0; ++row)
      MultiplyRow(row, AddressOfA(Rows::kStrided, row, step), whole);
    as_.add(kB, kBStep);
    as_.add(kAhead, kBStep);
  }
  JoinTail();
  for (int row = 0; row < tile_.rows; ++row) {
    const Mem a = AddressOfA(Rows::kStrided, row, 0, steps);
    if (steps > 1)
      MultiplyTail(row, a);
    else
      MultiplyTailOnce(row, a);
  }
  for (int i = 0; i < bases(); ++i) as_.add(kBases[i], steps * unit_bytes());
}

/// The hardware does not follow the rows of an unpacked B by itself, each on a page of its own.
void TileEmitter::PrefetchB() {
  const int rows = joins() ? Info(math_).group : 1, bytes = tile_.vectors * vector_bytes_ / rows;
  const int fetched = joins() ? bytes : std::min(tile_.recipe.fetch * kLine, bytes);
  if (tile_.recipe.keeps != 0 && !tile_.keeps) return;  // It has come.
  for (int row = 0; row < rows; ++row)
    for (int byte = 0; byte < fetched; byte += kLine) as_.prefetcht1(RowAfter(kAhead, row, byte));
}

Mem TileEmitter::RowOfB(int row, int byte) const { return RowAfter(kB, row, byte); }

Mem TileEmitter::AddressOfA(Rows rows, int row, int step, int units) const {
  const auto size = static_cast<std::uint32_t>(units * unit_bytes());
  const int byte = step * unit_bytes();
  if (rows == Rows::kAdjacent) return Mem(kBases[0], row * unit_bytes(), size);
  const Gp base = kBases[row / kRowsPerBase];
  switch (row % kRowsPerBase) {
    case 0:
      return Mem(base, byte, size);
    case 1:
      return Mem(base, kARow, 0, byte, size);
    case 2:
      return Mem(base, kARow, 1, byte, size);
    case 3:
      return Mem(base, kARow3, 0, byte, size);
    default:
      return Mem(base, kARow, 2, byte, size);
  }
}

namespace {

/// In the order of MicroKernelHeader::entries.
constexpr const char* kEntryNames[] = {"full tile",
                                       "column tail",
                                       "row tail",
                                       "row and column tail",
                                       "sweep",
                                       "full tile, keeping B",
                                       "column tail, keeping B"};
constexpr int kSweepEntry = 4, kKeepFull = 5, kKeepLast = 6;

class ThrowingHandler : public asmjit::ErrorHandler {
 public:
  void handleError(asmjit::Error, const char* message, asmjit::BaseEmitter*) override {
    throw Fail(Code::kInternal, "", "x86 assembler: {}", message);
  }
};

}  // namespace

std::string EmitSet(const MicroKernelRecipe& recipe, int vector_bytes, std::string* listing,
                    void (*emit)(asmjit::x86::Assembler& assembler, const RegisterTile& tile)) {
  ThrowingHandler handler;
  Listing logger(listing);
  asmjit::CodeHolder holder;
  holder.init(asmjit::Environment(asmjit::Arch::kX64));
  holder.setErrorHandler(&handler);
  Assembler as(&holder);
  logger.Attach(as);

  const int lanes = recipe.dots != 0 ? 1 : vector_bytes / Info(recipe.math).unit_bytes;
  const int rows[] = {recipe.mr, recipe.m_tail}, columns[] = {recipe.nr, recipe.n_tail};
  SharedFinish shared[2];  // Of full columns, of their tail.
  for (SharedFinish& finish : shared) finish.fewer_rows = recipe.m_tail;
  MicroKernelHeader header;
  header.recipe = recipe;
  const auto begin = [&](int entry) {
    as.align(asmjit::AlignMode::kCode, kLine);
    header.entries[entry] = static_cast<std::uint32_t>(sizeof(header) + as.offset());
  };
  for (const int entry : {0, 1, 2, 3, kKeepFull, kKeepLast}) {
    const bool keeps = entry > kSweepEntry, last = entry % 2 == (keeps ? 0 : 1);
    const int m = keeps ? recipe.mr : rows[entry / 2], n = columns[last ? 1 : 0];
    if (m == 0 || n == 0 || (recipe.narrow != 0 && !last) || (keeps && recipe.keeps == 0)) continue;
    begin(entry);
    as.commentf("; %s: %d rows, %s%d columns", kEntryNames[entry], m, last ? "at most " : "", n);
    const bool joins = recipe.joins != 0 && keeps == (recipe.keeps != 0);
    emit(as, {recipe, m, (n + lanes - 1) / lanes, last, joins, keeps, &shared[last ? 1 : 0]});
  }
  if (recipe.sweep != 0) {
    begin(kSweepEntry);
    as.commentf("; sweep: %d rows of B at once", recipe.sweep);
    EmitSweep(as, recipe);
  }
  std::string part(sizeof(header) + holder.codeSize(), '\0');
  std::memcpy(part.data(), &header, sizeof(header));
  holder.copyFlattenedData(part.data() + sizeof(header), holder.codeSize());
  return part;
}

}  // namespace gemmsmith
