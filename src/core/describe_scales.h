#pragma once

#include "gemmsmith/args.h"

namespace gemmsmith {

/// The scaling of a call whose scales are given. Throws kInvalidArgument for scales that fit no scaling, or that D
/// overlaps. `problem`: all else of it.
Scaling DescribeScales(const GemmArgs& args, const GemmProblem& problem);

}  // namespace gemmsmith
