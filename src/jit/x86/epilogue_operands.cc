#include "jit/x86/epilogue_operands.h"

#include <cstddef>

#include "jit/x86/trace_program.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using namespace asmjit::x86;

constexpr std::uint32_t kMagnitude = 0x7fffffff;

Mem Argument(std::size_t offset) { return qword_ptr(rdi, static_cast<std::int32_t>(offset)); }
Mem Member(const Gp& epilogue, std::size_t offset) { return qword_ptr(epilogue, static_cast<std::int32_t>(offset)); }
Mem Sized(Mem memory, std::uint32_t bytes) {
  memory.setSize(bytes);
  return memory;
}

/// The member of CpuEpilogue that an input is read from.
std::size_t PointerOf(Op op) {
  switch (op) {
    case Op::kBias:
    case Op::kPairedBias:
      return offsetof(CpuEpilogue, bias);
    case Op::kBiasM:
      return offsetof(CpuEpilogue, bias_m);
    case Op::kResidual:
      return offsetof(CpuEpilogue, residual);
    case Op::kScaleRow:
      return offsetof(CpuEpilogue, scale_row);
    case Op::kScaleColumn:
    case Op::kPairedScaleColumn:
      return offsetof(CpuEpilogue, scale_column);
    case Op::kScaleBlock:
      return offsetof(CpuEpilogue, scale_block);
    case Op::kDScaleRow:
      return offsetof(CpuEpilogue, d_scale_row);
    case Op::kDScaleColumn:
      return offsetof(CpuEpilogue, d_scale_column);
    case Op::kDScaleBlock:
      return offsetof(CpuEpilogue, d_scale_block);
    case Op::kScalar:
      return offsetof(CpuEpilogue, scalar);
    default:
      return offsetof(CpuEpilogue, d_scale);
  }
}
std::size_t RowOfBlocks(Op op) {
  return op == Op::kScaleBlock ? offsetof(CpuEpilogue, block_row) : offsetof(CpuEpilogue, d_block_row);
}
bool IsBlock(Op op) { return op == Op::kScaleBlock || op == Op::kDScaleBlock; }
bool IsSingle(Op op) { return op == Op::kScalar || op == Op::kDScale; }
bool IsOfRow(Op op) { return op == Op::kBiasM || op == Op::kScaleRow || op == Op::kDScaleRow; }
constexpr std::size_t kNoStride = ~std::size_t{0};

}  // namespace

EpilogueOperands::EpilogueOperands(const Vectors& vectors, const MicroKernelRecipe& recipe, const TileSums& sums,
                                   const TileOfD& d, const TypedMemory& memory, ConstantPool& pool, StackFrame& frame)
    : vectors_(vectors), as_(vectors.as), recipe_(recipe), sums_(sums), d_(d), memory_(memory), pool_(pool) {
  if (recipe.epilogue_id != 0) Reserve(frame);
}

void EpilogueOperands::Reserve(StackFrame& frame) {
  const Epilogue epilogue = *Epilogue::Find(recipe_.epilogue_id);
  for (const OpNode& node : epilogue.trace().body)
    if (Info(node.op).kind == OpKind::kInput) inputs_[node.op].block = node.block;
  for (const OpOutput& output : epilogue.trace().outputs) outputs_[output.kind].block = output.block;
  outputs_.erase(OutputKind::kD);
  const int all = d_.groups * vectors_.vector_bytes, numbers = d_.groups * lanes() * 4;
  const bool whole = recipe_.nr / recipe_.columns_per_d % lanes() == 0;  // Tiles begin with whole vectors of D.
  const auto reserve = [&](Item& item, int vectors) {
    item.vectors = frame.Take(vectors);
    item.pointer = frame.Take(8);
    if (item.block.columns == 0) return;
    item.blocks = frame.Take(numbers);
    item.aligned = whole && item.block.columns % lanes() == 0;
  };
  for (auto& [op, item] : inputs_) reserve(item, IsSingle(op) ? vectors_.vector_bytes : all);
  for (auto& [kind, item] : outputs_) reserve(item, all);
  row_ = frame.Take(8);
  columns_ = frame.Take(8);
  number_ = frame.Take(8);
}

void EpilogueOperands::LoadEpilogue(const Gp& to) const { as_.mov(to, Argument(offsetof(MicroKernelArgs, epilogue))); }
void EpilogueOperands::LoadColumnOfD(const Gp& to) const {
  as_.mov(to, Argument(offsetof(MicroKernelArgs, column)));
  if (recipe_.columns_per_d == 2) as_.shr(to, 1);
}

Mem EpilogueOperands::EverySecond(std::uint32_t first) {
  if (!every_second_[first]) {
    std::vector<std::uint32_t> lanes;
    for (std::uint32_t lane = 0; lane < 16; ++lane) lanes.push_back(2 * lane + first);
    every_second_[first] = pool_.Lanes(lanes);
  }
  return *every_second_[first];
}

void EpilogueOperands::PickColumns(int low, int high, int to, std::uint32_t first) {
  const Vec x = vectors_.Register(low), y = vectors_.Register(high), picked = vectors_.Register(to);
  if (vectors_.vector_bytes == 64) {
    as_.vmovups(picked, EverySecond(first));
    as_.vpermi2ps(picked, x, y);
    return;
  }
  as_.vshufps(picked, x, y, first == 0 ? 0x88 : 0xdd);
  if (vectors_.vector_bytes == 32) as_.vpermpd(Ymm(picked.id()), Ymm(picked.id()), 0xd8);
}

void EpilogueOperands::PrepareProduct(const std::vector<int>& free) {
  PrepareColumns(Op::kBias, Op::kPairedBias, recipe_.bias_type, PointerOf(Op::kBias), free);
  PrepareColumns(Op::kScaleColumn, Op::kPairedScaleColumn, DType::kF32, PointerOf(Op::kScaleColumn), free);
}

/// Every second element belongs to `odd` where columns are paired.
void EpilogueOperands::PrepareColumns(Op even, Op odd, DType type, std::size_t pointer, const std::vector<int>& free) {
  if (!Reads(even) && !Reads(odd)) return;
  const int bytes = static_cast<int>(SizeOf(type));
  LoadEpilogue(rax);
  as_.mov(rax, Member(rax, pointer));
  as_.mov(rcx, Argument(offsetof(MicroKernelArgs, column)));
  as_.lea(rax, ptr(rax, rcx, bytes == 4 ? 2 : 1));
  const auto load = [&](int vector, int to) {
    memory_.Load(type, vectors_.Register(to), ptr(rax, vector * lanes() * bytes),
                 sums_.masked && vector + 1 == sums_.vectors);
  };
  const auto keep = [&](Op op, int group, int from) {
    if (Reads(op)) as_.vmovups(Vector(inputs_.at(op).vectors, group), vectors_.Register(from));
  };
  for (int group = 0; group < d_.groups; ++group) {
    const int low = recipe_.columns_per_d * group;
    load(low, free[0]);
    if (recipe_.columns_per_d == 1) {
      keep(even, group, free[0]);
      continue;
    }
    const bool has_high = low + 1 < sums_.vectors;  // Else half of the result is of no use.
    if (has_high) load(low + 1, free[1]);
    PickColumns(free[0], free[has_high ? 1 : 0], free[2], 0);
    keep(even, group, free[2]);
    PickColumns(free[0], free[has_high ? 1 : 0], free[2], 1);
    keep(odd, group, free[2]);
  }
}

void EpilogueOperands::PrepareD(const std::vector<int>& free) {
  as_.mov(rax, Argument(offsetof(MicroKernelArgs, columns)));
  if (recipe_.columns_per_d == 2) as_.shr(rax, 1);
  as_.mov(columns_, rax);
  as_.mov(rax, Argument(offsetof(MicroKernelArgs, row)));
  as_.mov(row_, rax);
  for (const auto& [op, item] : inputs_) {
    if (IsSingle(op)) PrepareSingle(op, PointerOf(op), free[0]);
    if (IsOfRow(op))
      PrepareRowPointer(item.pointer, PointerOf(op), kNoStride,
                        op == Op::kBiasM ? static_cast<int>(SizeOf(recipe_.bias_type)) : 4);
    if (IsBlock(op)) PrepareBlocks(item);
  }
  if (Reads(Op::kResidual)) {
    const Mem& pointer = inputs_.at(Op::kResidual).pointer;
    PrepareRowPointer(pointer, PointerOf(Op::kResidual), offsetof(CpuEpilogue, residual_row), 1);
    LoadColumnOfD(rax);
    as_.imul(rax, rax, static_cast<int>(SizeOf(recipe_.residual_type)));
    as_.add(pointer, rax);
  }
  if (Reads(Op::kDScaleColumn)) PrepareDScaleColumn(free[0]);
  if (Reads(Op::kColumn)) PrepareColumnNumbers(free[0]);
  PrepareMaxima(free[0]);
}

void EpilogueOperands::PrepareDScaleColumn(int free) {
  LoadEpilogue(rax);
  as_.mov(rax, Member(rax, PointerOf(Op::kDScaleColumn)));
  LoadColumnOfD(rcx);
  as_.lea(rax, ptr(rax, rcx, 2));
  for (int group = 0; group < d_.groups; ++group) {
    memory_.Load(DType::kF32, vectors_.Register(free), ptr(rax, group * vectors_.vector_bytes), IsMasked(group));
    as_.vmovups(Vector(inputs_.at(Op::kDScaleColumn).vectors, group), vectors_.Register(free));
  }
}

void EpilogueOperands::PrepareColumnNumbers(int free) {
  LoadColumnOfD(rax);
  as_.mov(number_, rax);
  for (int group = 0; group < d_.groups; ++group) {
    std::vector<std::uint32_t> numbers;
    for (int lane = 0; lane < lanes(); ++lane) numbers.push_back(static_cast<std::uint32_t>(group * lanes() + lane));
    as_.vpbroadcastd(vectors_.Register(free), Sized(number_, 4));
    as_.vpaddd(vectors_.Register(free), vectors_.Register(free), pool_.Lanes(numbers));
    as_.vmovups(Vector(inputs_.at(Op::kColumn).vectors, group), vectors_.Register(free));
  }
}

void EpilogueOperands::PrepareSingle(Op op, std::size_t pointer, int free) {
  LoadEpilogue(rax);
  as_.mov(rax, Member(rax, pointer));
  as_.vbroadcastss(vectors_.Register(free), dword_ptr(rax));
  as_.vmovups(inputs_.at(op).vectors, vectors_.Register(free));
}

/// To the tile's first row: `element` bytes apart, or so many times the number that CpuEpilogue has at `stride`.
void EpilogueOperands::PrepareRowPointer(const Mem& slot, std::size_t pointer, std::size_t stride, int element) {
  LoadEpilogue(rcx);
  as_.mov(rax, row_);
  if (stride != kNoStride) as_.imul(rax, Member(rcx, stride));
  as_.imul(rax, rax, element);
  as_.add(rax, Member(rcx, pointer));
  as_.mov(slot, rax);
}

/// Numbers of the blocks that the tile's columns lie in.
void EpilogueOperands::PrepareBlocks(const Item& item) {
  LoadColumnOfD(rax);
  as_.xor_(edx, edx);
  as_.mov(ecx, item.block.columns);
  as_.div(rcx);
  const auto next = [&](int columns) {
    const asmjit::Label same = as_.newLabel();
    as_.add(edx, columns);
    as_.cmp(edx, item.block.columns);
    as_.jb(same);
    as_.sub(edx, item.block.columns);
    as_.inc(eax);
    as_.bind(same);
  };
  if (item.aligned) {
    for (int group = 0; group < d_.groups; ++group) {
      as_.mov(Sized(item.blocks.cloneAdjusted(4 * group), 4), eax);
      if (group + 1 < d_.groups) next(lanes());
    }
    return;
  }
  const asmjit::Label again = as_.newLabel();
  Mem block = Sized(item.blocks, 4);
  block.setIndex(rcx, 2);
  as_.xor_(ecx, ecx);
  as_.bind(again);
  as_.mov(block, eax);
  next(1);
  as_.inc(rcx);
  as_.cmp(rcx, columns_);
  as_.jl(again);
}

void EpilogueOperands::PrepareMaxima(int free) {
  for (const auto& [kind, item] : outputs_) {
    if (kind == OutputKind::kAmaxRow) {
      PrepareRowPointer(item.pointer, offsetof(CpuEpilogue, amax_row), kNoStride, 4);
    } else if (kind == OutputKind::kAmaxBlock) {
      PrepareBlocks(item);
    } else {
      LoadEpilogue(rcx);
      LoadColumnOfD(rax);
      as_.shl(rax, 2);
      as_.add(rax, Member(rcx, offsetof(CpuEpilogue, amax_column)));
      as_.mov(item.pointer, rax);
      vectors_.Clear(vectors_.Register(free));
      for (int group = 0; group < d_.groups; ++group) as_.vmovups(Vector(item.vectors, group), vectors_.Register(free));
    }
  }
}

void EpilogueOperands::StartRow() {
  for (const auto& [op, item] : inputs_) {
    if (!IsBlock(op)) continue;
    FindRowOfBlocks(item, PointerOf(op), RowOfBlocks(op));
    if (!item.aligned) ReadRowOfBlocks(item);
  }
  if (outputs_.count(OutputKind::kAmaxBlock) != 0)
    FindRowOfBlocks(outputs_.at(OutputKind::kAmaxBlock), offsetof(CpuEpilogue, amax_block),
                    offsetof(CpuEpilogue, amax_block_row));
}

void EpilogueOperands::FindRowOfBlocks(const Item& item, std::size_t pointer, std::size_t stride) {
  as_.mov(rax, row_);
  if (item.block.rows > 1) {
    as_.xor_(edx, edx);
    as_.mov(ecx, item.block.rows);
    as_.div(rcx);
  }
  LoadEpilogue(rcx);
  as_.imul(rax, Member(rcx, stride));
  as_.shl(rax, 2);
  as_.add(rax, Member(rcx, pointer));
  as_.mov(item.pointer, rax);
}

/// One scale for each column.
void EpilogueOperands::ReadRowOfBlocks(const Item& item) {
  const asmjit::Label again = as_.newLabel();
  Mem block = Sized(item.blocks, 4), to = Sized(item.vectors, 4);
  block.setIndex(rcx, 2);
  to.setIndex(rcx, 2);
  as_.mov(rdx, item.pointer);
  as_.xor_(ecx, ecx);
  as_.bind(again);
  as_.mov(eax, block);
  as_.mov(eax, dword_ptr(rdx, rax, 2));
  as_.mov(to, eax);
  as_.inc(rcx);
  as_.cmp(rcx, columns_);
  as_.jl(again);
}

ProgramHost::Place EpilogueOperands::Find(int source) const {
  const auto [op, group] = Locate<Op>(source);
  switch (op) {
    case Op::kAccumulator:
    case Op::kPaired:
      return waits_ ? Place::kMemory : Place::kRegister;
    case Op::kRow:
    case Op::kScaleRow:
    case Op::kDScaleRow:
      return Place::kSingle;
    case Op::kBiasM:
      return recipe_.bias_type == DType::kF32 ? Place::kSingle : Place::kElsewhere;
    case Op::kScaleBlock:
    case Op::kDScaleBlock:
      return inputs_.at(op).aligned ? Place::kSingle : Place::kMemory;
    case Op::kResidual:
      return recipe_.residual_type == DType::kF32 && !IsMasked(group) ? Place::kMemory : Place::kElsewhere;
    default:
      return Place::kMemory;
  }
}

int EpilogueOperands::Register(int source) const { return Locate<Op>(source).kind == Op::kPaired ? paired_ : sum_; }

Mem EpilogueOperands::Address(int source) {
  const auto [op, group] = Locate<Op>(source);
  if (op == Op::kAccumulator) return Vector(*waits_, group - group_);
  if (op == Op::kRow) return Sized(row_, 4);
  const Item& item = inputs_.at(op);
  if (IsBlock(op) && item.aligned) {
    as_.mov(rax, item.pointer);
    as_.mov(ecx, Sized(item.blocks.cloneAdjusted(4 * group), 4));
    return dword_ptr(rax, rcx, 2);
  }
  if (IsOfRow(op) || op == Op::kResidual) {
    as_.mov(rax, item.pointer);
    if (IsOfRow(op)) return dword_ptr(rax);
    return ptr(rax, group * lanes() * static_cast<int>(SizeOf(recipe_.residual_type)));
  }
  return Vector(item.vectors, IsSingle(op) ? 0 : group);
}

void EpilogueOperands::Load(int source, const Vec& to) {
  const auto [op, group] = Locate<Op>(source);
  const Mem address = Address(source);
  if (op == Op::kBiasM)
    memory_.LoadSingle(recipe_.bias_type, to, address);
  else
    memory_.Load(recipe_.residual_type, to, address, IsMasked(group));
}

void EpilogueOperands::Sink(int sink, const Vec& value, const Vec& scratch) {
  const auto [kind, group] = Locate<OutputKind>(sink);
  if (kind == OutputKind::kD) {
    memory_.Store(recipe_.d_type, ptr(r8, group * lanes() * static_cast<int>(SizeOf(recipe_.d_type))), value, scratch,
                  IsMasked(group));
    return;
  }
  const Mem& kept = outputs_.at(kind).vectors;
  if (kind == OutputKind::kAmaxRow)
    KeepMaximum(kept, value, scratch, group, group == 0);
  else
    KeepMaximum(Vector(kept, group), value, scratch, group, kind == OutputKind::kAmaxBlock);
}

/// Without their signs, floats are in the order of their bits, and NaN is the largest.
void EpilogueOperands::KeepMaximum(const Mem& kept, const Vec& value, const Vec& scratch, int group, bool first) {
  const Mem magnitude = pool_.Find(kMagnitude, vectors_.vector_bytes);
  if (IsMasked(group) && vectors_.avx512) as_.k(k1).z();
  as_.emit(Inst::kIdVandps, scratch, value, magnitude);
  if (IsMasked(group) && !vectors_.avx512) as_.vandps(scratch, scratch, vectors_.Register(TypedMemory::kMask));
  if (!first) as_.vpmaxud(scratch, scratch, kept);
  as_.vmovups(kept, scratch);
}

void EpilogueOperands::EndRow(const std::vector<int>& free) {
  for (const auto& [kind, item] : outputs_) {
    if (kind == OutputKind::kAmaxRow) {
      ReduceMaximum(item.vectors, free);
      as_.mov(rcx, item.pointer);
      RaiseMaximum(dword_ptr(rcx));
      MoveOn(item.pointer, kNoStride, 4);
    } else if (kind == OutputKind::kAmaxBlock) {
      EndRowOfBlocks(item, free);
    }
  }
  for (const auto& [op, item] : inputs_)
    if (IsOfRow(op))
      MoveOn(item.pointer, kNoStride, op == Op::kBiasM ? static_cast<int>(SizeOf(recipe_.bias_type)) : 4);
  if (Reads(Op::kResidual)) MoveOn(inputs_.at(Op::kResidual).pointer, offsetof(CpuEpilogue, residual_row), 1);
  if (recipe_.epilogue_id != 0) as_.inc(Sized(row_, 8));
}

void EpilogueOperands::MoveOn(const Mem& slot, std::size_t stride, int element) {
  if (stride == kNoStride) {
    as_.add(Sized(slot, 8), element);
    return;
  }
  LoadEpilogue(rax);
  as_.mov(rax, Member(rax, stride));
  as_.add(slot, rax);
}

void EpilogueOperands::EndRowOfBlocks(const Item& item, const std::vector<int>& free) {
  if (item.aligned) {
    for (int group = 0; group < d_.groups; ++group) {
      ReduceMaximum(Vector(item.vectors, group), free);
      as_.mov(rcx, item.pointer);
      as_.mov(edx, Sized(item.blocks.cloneAdjusted(4 * group), 4));
      RaiseMaximum(dword_ptr(rcx, rdx, 2));
    }
    return;
  }
  const asmjit::Label again = as_.newLabel();
  Mem block = Sized(item.blocks, 4), value = Sized(item.vectors, 4);
  block.setIndex(r11, 2);
  value.setIndex(r11, 2);
  as_.mov(rcx, item.pointer);
  as_.xor_(r11d, r11d);
  as_.bind(again);
  as_.mov(eax, value);
  as_.mov(edx, block);
  RaiseMaximum(dword_ptr(rcx, rdx, 2));
  as_.inc(r11);
  as_.cmp(r11, columns_);
  as_.jl(again);
}

/// The largest lane, into eax.
void EpilogueOperands::ReduceMaximum(const Mem& kept, const std::vector<int>& free) {
  const Xmm x = xmm(free[0]), y = xmm(free[1]);
  as_.vmovups(x, kept);
  for (int byte = 16; byte < vectors_.vector_bytes; byte += 16) as_.vpmaxud(x, x, kept.cloneAdjusted(byte));
  as_.vpshufd(y, x, 0x4e);
  as_.vpmaxud(x, x, y);
  as_.vpshufd(y, x, 0xb1);
  as_.vpmaxud(x, x, y);
  as_.vmovd(eax, x);
}

void EpilogueOperands::RaiseMaximum(const Mem& maximum) {
  const asmjit::Label below = as_.newLabel();
  as_.cmp(eax, maximum);
  as_.jbe(below);
  as_.mov(maximum, eax);
  as_.bind(below);
}

void EpilogueOperands::EndTile(const std::vector<int>& free) {
  if (outputs_.count(OutputKind::kAmaxColumn) == 0) return;
  const Item& item = outputs_.at(OutputKind::kAmaxColumn);
  const Vec x = vectors_.Register(free[0]);
  as_.mov(rax, item.pointer);
  for (int group = 0; group < d_.groups; ++group) {
    const int mask = IsMasked(group) ? TypedMemory::kMask : -1;
    const Mem maxima = ptr(rax, group * vectors_.vector_bytes);
    vectors_.Load(x, maxima, mask);
    as_.vpmaxud(x, x, Vector(item.vectors, group));
    vectors_.Store(maxima, x, mask);
  }
}

}  // namespace gemmsmith
