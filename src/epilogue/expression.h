#pragma once

#include <memory>
#include <vector>

#include "epilogue/trace.h"

namespace gemmsmith {

/// What a Value stands for; shared by all that is computed from it.
struct Expression {
  OpNode node;  ///< Without operand indices.
  std::vector<std::shared_ptr<const Expression>> operands;
  std::size_t depth = 1;
};

Value Input(Op op, EpilogueBlock block = {0, 0});
/// The operation called `text`. Throws kInvalidArgument where it does not take operands of these types.
Value Apply(std::string_view text, std::vector<Value> operands);

}  // namespace gemmsmith
