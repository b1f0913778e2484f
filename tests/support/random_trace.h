#pragma once

// Random epilogue traces and elements, rich in special values.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "epilogue/trace.h"

namespace gemmsmith {

inline std::uint32_t RandomFloatBits(std::mt19937& random) {
  constexpr std::uint32_t kSpecial[] = {
      0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001,
      0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x3f000000, 0x43e00000, 0xc3e80000,
      0x4f000000, 0xcf000000, 0x42ff0000, 0xc3008000, 0x3fc00000, 0x40200000, 0x3b000000, 0x37000000};
  switch (random() % 4) {
    case 0:
      return kSpecial[random() % std::size(kSpecial)];
    case 1:
      return static_cast<std::uint32_t>(random());
    default:
      return std::bit_cast<std::uint32_t>(std::uniform_real_distribution<float>(-4, 4)(random));
  }
}

inline EpilogueElement RandomElement(std::mt19937& random) {
  EpilogueElement element;
  const auto set = [&](auto& member) {
    if constexpr (std::is_same_v<decltype(member), float&>) {
      member = std::bit_cast<float>(RandomFloatBits(random));
    } else {
      member = static_cast<std::int32_t>(random() % 2 == 0 ? random() % 8 : random());
    }
  };
#define GEMMSMITH_EPILOGUE_INPUT(name, text, type, member, ...) set(element.member);
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
  return element;
}

/// Of `size` nodes at most, constants among them, with unused and repeated ones.
class RandomTrace {
 public:
  explicit RandomTrace(std::mt19937& random) : random_(random) {}

  OpTrace Make(int size) {
    trace_ = {};
    Leaf(ValueType::kF32);
    for (int i = 0; i < size; ++i) Compute();
    trace_.outputs.push_back({OutputKind::kD, Operand(ValueType::kF32)});
    if (random_() % 4 == 0) trace_.outputs.push_back({OutputKind::kAmaxRow, Operand(ValueType::kF32)});
    if (random_() % 4 == 0) trace_.outputs.push_back({OutputKind::kAmaxBlock, Operand(ValueType::kF32), {2, 64}});
    return trace_;
  }

 private:
  void Compute() {
    const OpInfo& info = AllOps()[random_() % AllOps().size()];
    if (info.kind != OpKind::kComputed) return;
    OpNode node{info.op};
    for (int i = 0; i < info.arity; ++i) node.operands[i] = Operand(info.operands[i]);
    trace_.body.push_back(node);
  }
  std::int32_t Operand(ValueType type) {
    std::vector<std::int32_t> fitting;
    for (std::size_t i = 0; i < trace_.body.size(); ++i)
      if (Info(trace_.body[i].op).type == type) fitting.push_back(static_cast<std::int32_t>(i));
    if (fitting.empty() || random_() % 3 == 0) return Leaf(type);
    return fitting[random_() % fitting.size()];
  }
  std::int32_t Leaf(ValueType type) {
    std::vector<Op> fitting;
    for (const OpInfo& info : AllOps())
      if (info.kind != OpKind::kComputed && info.type == type)
        fitting.insert(fitting.end(), info.kind == OpKind::kConstant ? 6 : 1, info.op);
    OpNode node{fitting[random_() % fitting.size()]};
    if (node.op == Op::kConstantF32) node.bits = RandomFloatBits(random_);
    if (node.op == Op::kConstantS32)
      node.bits = static_cast<std::uint32_t>(random_() % 2 == 0 ? random_() % 8 : random_());
    if (node.op == Op::kConstantBool) node.bits = random_() % 2;
    if (node.op == Op::kScaleBlock || node.op == Op::kDScaleBlock) node.block = {1, 128};
    trace_.body.push_back(node);
    return static_cast<std::int32_t>(trace_.body.size()) - 1;
  }

  std::mt19937& random_;
  OpTrace trace_;
};

/// The same function built otherwise: nodes in another order, some twice, operands exchanged where they may be, and
/// nodes that nobody uses.
inline OpTrace Shuffled(const OpTrace& trace, std::mt19937& random) {
  OpTrace result;
  std::vector<std::vector<std::int32_t>> copies(trace.body.size());
  const auto pick = [&](std::int32_t old) { return copies[old][random() % copies[old].size()]; };
  const auto ready = [&](const OpNode& node) {
    return std::all_of(node.operands.begin(), node.operands.begin() + Info(node.op).arity,
                       [&](std::int32_t operand) { return !copies[operand].empty(); });
  };
  std::size_t missing = trace.body.size();
  while (missing > 0) {
    const std::size_t i = random() % trace.body.size();
    OpNode node = trace.body[i];
    if (!ready(node) || (!copies[i].empty() && random() % 8 != 0)) continue;
    for (int j = 0; j < Info(node.op).arity; ++j) node.operands[j] = pick(node.operands[j]);
    if (Info(node.op).trait == OpTrait::kCommutative && random() % 2 == 0)
      std::swap(node.operands[0], node.operands[1]);
    missing -= copies[i].empty();
    copies[i].push_back(static_cast<std::int32_t>(result.body.size()));
    result.body.push_back(node);
  }
  result.body.push_back({Op::kRow});
  result.outputs = trace.outputs;
  for (OpOutput& output : result.outputs) output.value = pick(output.value);
  std::shuffle(result.outputs.begin(), result.outputs.end(), random);
  return result;
}

/// Whether all bits of both are the same. NaNs are one and the same, as Evaluate makes them.
inline bool SameBits(const EpilogueResult& x, const EpilogueResult& y) { return std::memcmp(&x, &y, sizeof x) == 0; }

}  // namespace gemmsmith
