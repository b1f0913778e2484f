#include "jit/x86/vector_program.h"

#include <algorithm>

namespace gemmsmith {

V VectorProgram::Add(VectorNode node) {
  nodes_.push_back(node);
  return {*this, static_cast<std::int32_t>(nodes_.size()) - 1};
}

V VectorProgram::Source(int source) {
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].op == VectorOp::kSource && nodes_[i].bits == static_cast<std::uint32_t>(source))
      return {*this, static_cast<std::int32_t>(i)};
  return Add({VectorOp::kSource, {-1, -1, -1}, static_cast<std::uint32_t>(source)});
}

V VectorProgram::Constant(float value) { return Bits(std::bit_cast<std::uint32_t>(value)); }

// A value of its own for each use: in a register, a constant is worth nothing once it was used.
V VectorProgram::Bits(std::uint32_t bits) { return Add({VectorOp::kConstant, {-1, -1, -1}, bits}); }

VectorProgram VectorProgram::Interleaved(int vectors) const {
  VectorProgram all(avx512_);
  all.tables_ = tables_;
  std::vector<std::int32_t> first;  // Of each node's copies.
  for (const VectorNode& node : nodes_) {
    first.push_back(static_cast<std::int32_t>(all.nodes_.size()));
    const bool moves = node.op == VectorOp::kSource || node.op == VectorOp::kSink;
    for (int vector = 0; vector < vectors; ++vector) {
      VectorNode copy = node;
      for (std::int32_t& operand : copy.operands)
        if (operand >= 0) operand = first[operand] + vector;
      if (moves) copy.bits += static_cast<std::uint32_t>(vector * kSourcesOfVector);
      all.Add(copy);
    }
  }
  return all;
}

std::uint32_t VectorProgram::Table(const LookupTable& entries) {
  tables_.push_back(entries);
  return static_cast<std::uint32_t>(std::find(tables_.begin(), tables_.end(), entries) - tables_.begin());
}

void VectorProgram::Sink(int sink, V value) {
  Add({VectorOp::kSink, {value.index(), -1, -1}, static_cast<std::uint32_t>(sink)});
}

}  // namespace gemmsmith
