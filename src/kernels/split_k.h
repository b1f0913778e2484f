#pragma once

#include <cstdint>

#include "kernels/family.h"
#include "templates/params.h"

namespace gemmsmith {

/// How a kernel on tensor cores shares k among blocks: each leaves sums, whole tiles of them, which a second launch
/// adds and finishes.
struct SplitK {
  int rows, columns;  ///< Of D, that tiles are multiples of.
  int block_k;        ///< Of k, in one step.
  int splits;         ///< 1: k is not shared.
};

/// Parts that give each multiprocessor a block, if `blocks`, one for each tile of D, leave some without.
int ChooseSplits(const GemmProblem& problem, double blocks, int block_k, const DeviceSpec& spec);
/// Of the sums.
std::int64_t PartialBytes(const GemmProblem& problem, const SplitK& split);

/// The problem of a kernel that leaves sums as they are.
GemmProblem WithoutFinish(GemmProblem problem);
/// Without the pointers of a call.
Sm80Params MakeTensorParams(const GemmProblem& problem, const SplitK& split);
/// The same as a launch's parameters, with those of the problem's epilogue where it has one.
void SetTensorParams(LaunchStep& step, const GemmProblem& problem, const SplitK& split);

/// The launch that adds and finishes, `vector_d` elements of D in one access.
FollowUp AddParts(const GemmProblem& problem, const SplitK& split, int vector_d, const CodeTarget& target,
                  const CompileOptions& options);

}  // namespace gemmsmith
