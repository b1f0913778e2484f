#include "jit/x86/program_writer.h"

#include <algorithm>
#include <bit>

#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;
using Id = Inst::Id;

/// How an operation is spelled. Comparisons and roundings have an immediate.
struct Spelling {
  Id avx2, avx512;
  int immediate = -1;
  bool commutes = false;
};

Spelling SpellingOf(VectorOp op) {
  switch (op) {
    case VectorOp::kAdd:
      return {Inst::kIdVaddps, Inst::kIdVaddps, -1, true};
    case VectorOp::kSub:
      return {Inst::kIdVsubps, Inst::kIdVsubps};
    case VectorOp::kMul:
      return {Inst::kIdVmulps, Inst::kIdVmulps, -1, true};
    case VectorOp::kDiv:
      return {Inst::kIdVdivps, Inst::kIdVdivps};
    case VectorOp::kMin:
      return {Inst::kIdVminps, Inst::kIdVminps};
    case VectorOp::kMax:
      return {Inst::kIdVmaxps, Inst::kIdVmaxps};
    case VectorOp::kSqrt:
      return {Inst::kIdVsqrtps, Inst::kIdVsqrtps};
    case VectorOp::kRound:
      return {Inst::kIdVroundps, Inst::kIdVrndscaleps, 8};
    case VectorOp::kAnd:
      return {Inst::kIdVandps, Inst::kIdVandps, -1, true};
    case VectorOp::kOr:
      return {Inst::kIdVorps, Inst::kIdVorps, -1, true};
    case VectorOp::kXor:
      return {Inst::kIdVxorps, Inst::kIdVxorps, -1, true};
    case VectorOp::kAddS32:
      return {Inst::kIdVpaddd, Inst::kIdVpaddd, -1, true};
    case VectorOp::kSubS32:
      return {Inst::kIdVpsubd, Inst::kIdVpsubd};
    case VectorOp::kMulS32:
      return {Inst::kIdVpmulld, Inst::kIdVpmulld, -1, true};
    case VectorOp::kMinS32:
      return {Inst::kIdVpminsd, Inst::kIdVpminsd, -1, true};
    case VectorOp::kMaxS32:
      return {Inst::kIdVpmaxsd, Inst::kIdVpmaxsd, -1, true};
    case VectorOp::kShiftLeft:
      return {Inst::kIdVpslld, Inst::kIdVpslld};
    case VectorOp::kShiftRight:
      return {Inst::kIdVpsrld, Inst::kIdVpsrld};
    case VectorOp::kShiftRightSigned:
      return {Inst::kIdVpsrad, Inst::kIdVpsrad};
    case VectorOp::kToF32:
      return {Inst::kIdVcvtdq2ps, Inst::kIdVcvtdq2ps};
    case VectorOp::kNearestS32:
      return {Inst::kIdVcvtps2dq, Inst::kIdVcvtps2dq};
    case VectorOp::kTruncatedS32:
      return {Inst::kIdVcvttps2dq, Inst::kIdVcvttps2dq};
    case VectorOp::kScale:
      return {Inst::kIdNone, Inst::kIdVscalefps};
    case VectorOp::kLess:
      return {Inst::kIdVcmpps, Inst::kIdVcmpps, 0x11};
    case VectorOp::kLessEqual:
      return {Inst::kIdVcmpps, Inst::kIdVcmpps, 0x12};
    case VectorOp::kEqual:
      return {Inst::kIdVcmpps, Inst::kIdVcmpps, 0x00, true};
    case VectorOp::kUnordered:
      return {Inst::kIdVcmpps, Inst::kIdVcmpps, 0x03, true};
    case VectorOp::kGreaterS32:
      return {Inst::kIdVpcmpgtd, Inst::kIdVpcmpgtd};
    case VectorOp::kEqualS32:
      return {Inst::kIdVpcmpeqd, Inst::kIdVpcmpeqd, -1, true};
    case VectorOp::kMaskAnd:
      return {Inst::kIdVandps, Inst::kIdKandw, -1, true};
    case VectorOp::kMaskOr:
      return {Inst::kIdVorps, Inst::kIdKorw, -1, true};
    default:
      return {Inst::kIdNone, Inst::kIdNone};
  }
}

bool IsShift(VectorOp op) { return op >= VectorOp::kShiftLeft && op <= VectorOp::kShiftRightSigned; }
bool IsConstantOp(VectorOp op) { return op == VectorOp::kConstant || op == VectorOp::kMaskConstant; }

constexpr std::uint32_t kSignBit = 0x80000000;
constexpr std::uint32_t kMasks = 0xfc;  // k1 is the tail's, and k0 is none.

}  // namespace

ProgramWriter::ProgramWriter(const Vectors& vectors, const VectorProgram& program, ConstantPool& pool,
                             ProgramHost& host)
    : vectors_(vectors), as_(vectors.as), program_(program), pool_(pool), host_(host) {
  FindUses();
}

/// Backwards. What nobody uses is not written; as many vectors as live at a time may have to lie on the stack.
void ProgramWriter::FindUses() {
  const std::vector<VectorNode>& nodes = program_.nodes();
  is_used_.assign(nodes.size(), false);
  later_use_.assign(nodes.size(), {kNever, kNever, kNever});
  std::vector<int> next(nodes.size(), kNever);
  first_use_.assign(nodes.size(), kNever);
  int live = 0;
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const VectorNode& node = nodes[i];
    is_used_[i] = node.op == VectorOp::kSink || next[i] != kNever;
    if (!is_used_[i]) continue;
    first_use_[i] = next[i];
    if (next[i] != kNever && !IsConstantOp(node.op)) --live;
    if (!IsConstantOp(node.op) && node.op != VectorOp::kSource) ++size_;
    // Before any of them is set: an operand that stands here twice has its later use beyond this node.
    for (int j = 0; j < 3 && node.operands[j] >= 0; ++j) later_use_[i][j] = next[node.operands[j]];
    for (int j = 0; j < 3 && node.operands[j] >= 0; ++j) {
      int& use = next[node.operands[j]];
      if (use == kNever && !IsConstantOp(nodes[node.operands[j]].op)) stack_vectors_ = std::max(stack_vectors_, ++live);
      use = static_cast<int>(i);
    }
  }
}

void ProgramWriter::KeepConstants(const std::vector<int>& registers) {
  std::vector<std::pair<VectorNode, int>> uses;
  const auto count = [&](VectorNode node) {
    node.operands = {-1, -1, -1};
    for (auto& [other, times] : uses)
      if (other.op == node.op && other.bits == node.bits) return void(++times);
    uses.emplace_back(node, 1);
  };
  for (std::size_t i = 0; i < program_.nodes().size(); ++i) {
    const VectorNode& node = program_.nodes()[i];
    if (!is_used_[i]) continue;
    if (node.op == VectorOp::kConstant || node.op == VectorOp::kLookup) count(node);
    if (node.op == VectorOp::kCopySign) count({VectorOp::kConstant, {-1, -1, -1}, kSignBit});
  }
  std::stable_sort(uses.begin(), uses.end(), [](const auto& x, const auto& y) { return x.second > y.second; });
  kept_.clear();
  for (std::size_t i = 0; i < std::min(uses.size(), registers.size()); ++i) {
    const VectorNode& node = uses[i].first;
    if (node.op == VectorOp::kLookup)
      as_.vmovups(zmm(registers[i]), Table(node.bits));
    else
      LoadConstant(vectors_.Register(registers[i]), node.bits);
    kept_.emplace_back(node, registers[i]);
  }
}

int ProgramWriter::KeptIn(const VectorNode& node) const {
  for (const auto& [kept, reg] : kept_)
    if (kept.op == node.op && kept.bits == node.bits) return reg;
  return kNone;
}

void ProgramWriter::Write(const std::vector<int>& registers, const Mem& stack) {
  const std::vector<VectorNode>& nodes = program_.nodes();
  stack_ = stack;
  homes_.assign(nodes.size(), {});
  slots_.assign(static_cast<std::size_t>(stack_vectors_), false);
  registers_ = masks_ = {};
  for (const int reg : registers) registers_.usable |= 1u << reg;
  masks_.usable = kMasks;
  registers_.free = registers_.usable, masks_.free = masks_.usable;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    homes_[i].next_use = first_use_[i];
    if (nodes[i].op == VectorOp::kConstant) homes_[i].reg = KeptIn(nodes[i]);
  }
  TakeSources();
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (is_used_[i]) WriteNode(static_cast<int>(i));
}

void ProgramWriter::TakeSources() {
  const std::vector<VectorNode>& nodes = program_.nodes();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!is_used_[i] || nodes[i].op != VectorOp::kSource) continue;
    const int source = static_cast<int>(nodes[i].bits);
    if (host_.Find(source) == ProgramHost::Place::kRegister)
      Put(static_cast<int>(i), registers_, host_.Register(source));
  }
}

void ProgramWriter::WriteNode(int at) {
  const VectorNode& node = program_.nodes()[at];
  registers_.locked = masks_.locked = 0;
  switch (node.op) {
    case VectorOp::kSource:
    case VectorOp::kConstant:
    case VectorOp::kMaskConstant:
      return;  // When it is needed.
    case VectorOp::kSink:
      return WriteSink(node);
    case VectorOp::kFma:
    case VectorOp::kFnma:
      return WriteFma(node, at);
    case VectorOp::kCopySign:
      return WriteCopySign(node, at);
    case VectorOp::kLookup:
      return WriteLookup(node, at);
    case VectorOp::kHalf:
      return WriteHalf(node, at);
    case VectorOp::kSelect:
      return WriteSelect(node, at);
    case VectorOp::kMaskNot:
      return WriteMaskNot(node, at);
    default:
      return node.operands[1] < 0 ? WriteUnary(node, at) : WriteBinary(node, at);
  }
}

ProgramWriter::Operand ProgramWriter::RegisterOf(int value) const {
  if (IsMaskRegister(value)) return KReg(homes_[value].reg);
  return vectors_.Register(homes_[value].reg);
}

/// A register that is free, or becomes so.
int ProgramWriter::Take(File& file) {
  int best = kNone;
  if (const std::uint32_t free = file.free & ~file.locked; free != 0) {
    best = std::countr_zero(free);
  } else {
    int best_use = kNone;
    for (std::uint32_t rest = file.usable & ~file.locked; rest != 0; rest &= rest - 1) {
      const int reg = std::countr_zero(rest), use = homes_[file.value[reg]].next_use;
      if (use > best_use) best = reg, best_use = use;
    }
    if (best < 0) throw Fail(Code::kInternal, "", "x86: an epilogue needs more than {} registers", kFewestRegisters);
    Evict(file, best);
  }
  file.locked |= 1u << best;
  return best;
}

void ProgramWriter::Evict(File& file, int reg) {
  const int value = file.value[reg];
  Home& home = homes_[value];
  const VectorNode& node = program_.nodes()[value];
  const bool can_be_read_again =
      IsConstant(value) || home.slot >= 0 ||
      (node.op == VectorOp::kSource && host_.Find(static_cast<int>(node.bits)) != ProgramHost::Place::kRegister);
  if (!can_be_read_again) {
    home.slot = static_cast<int>(std::find(slots_.begin(), slots_.end(), false) - slots_.begin());
    slots_[home.slot] = true;
    if (IsMaskRegister(value))
      as_.kmovw(Slot(home.slot), KReg(reg));
    else
      as_.vmovups(Slot(home.slot), vectors_.Register(reg));
  }
  home.reg = kNone;
  file.free |= 1u << reg;
}

void ProgramWriter::Put(int value, File& file, int reg) {
  homes_[value].reg = reg;
  file.value[reg] = value;
  file.free &= ~(1u << reg);
  file.locked |= 1u << reg;
}

void ProgramWriter::Need(int value) {
  File& file = FileOf(value);
  if (homes_[value].reg < 0) {
    const int reg = Take(file);
    Fetch(value, reg);
    Put(value, file, reg);
  } else {
    file.locked |= 1u << homes_[value].reg;
  }
}

void ProgramWriter::Fetch(int value, int reg) {
  const VectorNode& node = program_.nodes()[value];
  const Vec to = vectors_.Register(reg);
  if (homes_[value].slot >= 0) {
    if (IsMaskRegister(value))
      as_.kmovw(KReg(reg), Slot(homes_[value].slot));
    else
      as_.vmovups(to, Slot(homes_[value].slot));
  } else if (IsMaskRegister(value)) {
    as_.emit(node.bits != 0 ? Inst::kIdKxnorw : Inst::kIdKxorw, KReg(reg), KReg(reg), KReg(reg));
  } else if (IsConstant(value)) {
    LoadConstant(to, BitsOf(node));
  } else {
    const int source = static_cast<int>(node.bits);
    const ProgramHost::Place place = host_.Find(source);
    if (place == ProgramHost::Place::kMemory)
      as_.vmovups(to, host_.Address(source));
    else if (place == ProgramHost::Place::kSingle)
      as_.vbroadcastss(to, host_.Address(source));
    else
      host_.Load(source, to);
  }
}

void ProgramWriter::LoadConstant(const Vec& to, std::uint32_t bits) {
  if (bits == 0) return vectors_.Clear(to);
  Mem constant = pool_.Find(bits, vectors_.vector_bytes);
  constant.resetBroadcast();
  as_.emit(vectors_.avx512 ? Inst::kIdVbroadcastss : Inst::kIdVmovups, to, constant);
}

std::uint32_t ProgramWriter::BitsOf(const VectorNode& constant) {
  return constant.op == VectorOp::kMaskConstant && constant.bits != 0 ? ~0u : constant.bits;
}

Mem ProgramWriter::Constant(int value) { return pool_.Find(BitsOf(program_.nodes()[value]), vectors_.vector_bytes); }

Mem ProgramWriter::Table(std::uint32_t number) {
  return pool_.Lanes(
      std::bit_cast<std::array<std::uint32_t, std::tuple_size_v<LookupTable>>>(program_.tables()[number]));
}

bool ProgramWriter::IsInMemory(int value) const {
  if (homes_[value].reg >= 0 || IsMaskRegister(value)) return false;
  if (homes_[value].slot >= 0 || IsConstant(value)) return true;
  const ProgramHost::Place place = host_.Find(static_cast<int>(program_.nodes()[value].bits));
  return place == ProgramHost::Place::kMemory || (place == ProgramHost::Place::kSingle && vectors_.avx512);
}

Mem ProgramWriter::Memory(int value) {
  if (homes_[value].slot >= 0) return Slot(homes_[value].slot);
  if (IsConstant(value)) return Constant(value);
  const int source = static_cast<int>(program_.nodes()[value].bits);
  const Mem memory = host_.Address(source);
  if (host_.Find(source) == ProgramHost::Place::kMemory) return memory;
  return vectors_.vector_bytes == 64 ? memory._1to16() : vectors_.vector_bytes == 32 ? memory._1to8() : memory._1to4();
}

void ProgramWriter::Leave(const VectorNode& node, int at) {
  for (int j = 0; j < 3 && node.operands[j] >= 0; ++j) {
    const int value = node.operands[j];
    Home& home = homes_[value];
    home.next_use = later_use_[at][j];
    if (home.next_use != kNever) continue;
    if (home.slot >= 0) slots_[home.slot] = false;
    home.slot = kNone;
    if (home.reg >= 0) FileOf(value).free |= (1u << home.reg) & FileOf(value).usable;
  }
}

int ProgramWriter::Result(int at, const VectorNode& node) {
  Leave(node, at);
  File& file = FileOf(at);
  for (int j = 0; j < 3 && node.operands[j] >= 0; ++j) {
    const int value = node.operands[j], reg = homes_[value].reg;
    if (homes_[value].next_use != kNever || reg < 0 || &FileOf(value) != &file || IsKept(value)) continue;
    Put(at, file, reg);
    return reg;
  }
  const int reg = Take(file);
  Put(at, file, reg);
  return reg;
}

int ProgramWriter::ResultOver(int at, const VectorNode& node, int operand) {
  const int old = homes_[node.operands[operand]].reg;
  const bool replaces = IsLastUse(at, operand) && !IsKept(node.operands[operand]);
  Leave(node, at);
  const int reg = replaces ? old : Take(registers_);
  if (!replaces) as_.vmovaps(vectors_.Register(reg), vectors_.Register(old));
  Put(at, registers_, reg);
  return reg;
}

void ProgramWriter::WriteSink(const VectorNode& node) {
  const int value = node.operands[0];
  Need(value);
  const int scratch = Take(registers_);
  host_.Sink(static_cast<int>(node.bits), VectorOf(value), vectors_.Register(scratch));
  Leave(node, static_cast<int>(&node - program_.nodes().data()));
}

void ProgramWriter::WriteUnary(const VectorNode& node, int at) {
  const Spelling spelling = SpellingOf(node.op);
  const Id id = vectors_.avx512 ? spelling.avx512 : spelling.avx2;
  Need(node.operands[0]);
  const Vec x = VectorOf(node.operands[0]), to = vectors_.Register(Result(at, node));
  if (IsShift(node.op))
    as_.emit(id, to, x, asmjit::Imm(node.bits));
  else if (spelling.immediate >= 0)
    as_.emit(id, to, x, asmjit::Imm(spelling.immediate));
  else
    as_.emit(id, to, x);
}

void ProgramWriter::WriteBinary(const VectorNode& node, int at) {
  const Spelling spelling = SpellingOf(node.op);
  const Id id = vectors_.avx512 ? spelling.avx512 : spelling.avx2;
  int x = node.operands[0], y = node.operands[1];
  if (spelling.commutes && IsInMemory(x) && !IsInMemory(y)) std::swap(x, y);
  Need(x);
  const bool from_memory = IsInMemory(y);
  if (!from_memory) Need(y);
  const Operand first = RegisterOf(x), second = from_memory ? Operand(Memory(y)) : RegisterOf(y);
  Result(at, node);
  if (spelling.immediate >= 0)
    as_.emit(id, RegisterOf(at), first, second, asmjit::Imm(spelling.immediate));
  else
    as_.emit(id, RegisterOf(at), first, second);
}

/// Of the three operands one may be in memory; a register of another becomes the result.
void ProgramWriter::WriteFma(const VectorNode& node, int at) {
  constexpr int kPreference[] = {2, 1, 0};
  const auto first_that = [&](auto&& is_right) {
    const int* const found = std::find_if(std::begin(kPreference), std::end(kPreference), is_right);
    return found == std::end(kPreference) ? kNone : *found;
  };
  int in_memory = first_that([&](int j) { return IsInMemory(node.operands[j]); });
  for (int j = 0; j < 3; ++j)
    if (j != in_memory) Need(node.operands[j]);
  if (in_memory >= 0 && !IsInMemory(node.operands[in_memory])) in_memory = kNone;  // It stands here twice.
  int over = first_that([&](int j) { return j != in_memory && IsLastUse(at, j) && !IsKept(node.operands[j]); });
  if (over == kNone) over = first_that([&](int j) { return j != in_memory; });
  Operand operands[3];
  for (int j = 0; j < 3; ++j)
    operands[j] = j == in_memory ? Operand(Memory(node.operands[j])) : RegisterOf(node.operands[j]);
  const Vec to = vectors_.Register(ResultOver(at, node, over));
  const bool negated = node.op == VectorOp::kFnma;
  const int other = over == 0 ? 1 : 0;
  if (over == 2) {
    const int last = in_memory == 0 ? 0 : 1;
    as_.emit(negated ? Inst::kIdVfnmadd231ps : Inst::kIdVfmadd231ps, to, operands[1 - last], operands[last]);
  } else if (in_memory == other) {
    as_.emit(negated ? Inst::kIdVfnmadd132ps : Inst::kIdVfmadd132ps, to, operands[2], operands[other]);
  } else {
    as_.emit(negated ? Inst::kIdVfnmadd213ps : Inst::kIdVfmadd213ps, to, operands[other], operands[2]);
  }
}

void ProgramWriter::WriteCopySign(const VectorNode& node, int at) {
  Need(node.operands[0]);
  Need(node.operands[1]);
  const Vec sign = VectorOf(node.operands[1]);
  const Vec to = vectors_.Register(ResultOver(at, node, 0));
  // Bit by bit: the constant ? sign : to.
  if (const int kept = KeptConstant(kSignBit); kept != kNone)
    as_.vpternlogd(to, sign, vectors_.Register(kept), 0xd8);
  else
    as_.vpternlogd(to, sign, pool_.Find(kSignBit, vectors_.vector_bytes), 0xd8);
}

/// Of 16 lanes, however few are in use: shorter permutations have fewer to choose from.
void ProgramWriter::WriteLookup(const VectorNode& node, int at) {
  Need(node.operands[0]);
  const int index = homes_[node.operands[0]].reg;
  const int table = KeptIn(node), to = Result(at, node);
  if (table != kNone)
    as_.vpermps(zmm(to), zmm(index), zmm(table));
  else
    as_.vpermps(zmm(to), zmm(index), Table(node.bits));
}

void ProgramWriter::WriteHalf(const VectorNode& node, int at) {
  Need(node.operands[0]);
  const Vec x = VectorOf(node.operands[0]), to = vectors_.Register(Result(at, node));
  const Vec half = vectors_.vector_bytes == 64 ? Vec(ymm(to.id())) : Vec(xmm(to.id()));
  as_.emit(Inst::kIdVcvtps2ph, half, x, asmjit::Imm(0));
  as_.emit(Inst::kIdVcvtph2ps, to, half);
}

void ProgramWriter::WriteSelect(const VectorNode& node, int at) {
  const auto [mask, x, y] = node.operands;
  Need(mask);
  Need(y);
  const bool from_memory = IsInMemory(x);
  if (!from_memory) Need(x);
  const Operand condition = RegisterOf(mask), chosen = from_memory ? Operand(Memory(x)) : RegisterOf(x);
  const Vec other = VectorOf(y), to = vectors_.Register(Result(at, node));
  if (vectors_.avx512)
    as_.k(KReg(condition.id())).emit(Inst::kIdVblendmps, to, other, chosen);
  else
    as_.emit(Inst::kIdVblendvps, to, other, chosen, condition);
}

void ProgramWriter::WriteMaskNot(const VectorNode& node, int at) {
  Need(node.operands[0]);
  const Operand x = RegisterOf(node.operands[0]);
  Result(at, node);
  if (vectors_.avx512)
    as_.emit(Inst::kIdKnotw, RegisterOf(at), x);
  else
    as_.emit(Inst::kIdVxorps, RegisterOf(at), x, pool_.Find(~0u, vectors_.vector_bytes));
}

}  // namespace gemmsmith
