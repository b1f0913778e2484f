#include "jit/x86/vector_program.h"

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

void VectorProgram::Sink(int sink, V value) {
  Add({VectorOp::kSink, {value.index(), -1, -1}, static_cast<std::uint32_t>(sink)});
}

}  // namespace gemmsmith
