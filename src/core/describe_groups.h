#pragma once

#include "gemmsmith/args.h"

namespace gemmsmith {

/// Sets the grouping that `args.groups` asks for, against the ranks and sizes of A, B and D. Throws kInvalidArgument
/// and kUnsupported for group tensors that do not fit, with what would.
void DescribeGroups(const GemmArgs& args, GemmProblem& problem);

}  // namespace gemmsmith
